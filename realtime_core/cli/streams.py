"""Where ``realtime run`` reads and writes: files, pipes, and whatever else plugins bring."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from realtime_core.plugins import PluginManager

__all__ = ["spec_for", "standard_output_for", "uses_standard_stream"]

STANDARD = "-"
STANDARD_SPECS = (STANDARD, "pcm:", "pcm:-")


def spec_for(kind: str, path: Path, plugins: PluginManager) -> str:
    """The spec that an argument means.

    Args:
        kind: ``source`` or ``sink``.
        path: ``-`` for standard input or output, a spec such as ``mic:USB``, or a file. What begins
            like a spec and is the name of a file that exists is the file.
        plugins: Say which specs there are.
    """
    text = str(path)
    if text == STANDARD:
        return "pcm:-"
    name, colon, _ = text.partition(":")
    # One letter and a colon is a drive.
    is_spec = bool(colon) and len(name) > 1 and name in plugins.names(kind)
    return text if is_spec and not path.exists() else f"file:{text}"


def uses_standard_stream(path: Path) -> bool:
    """Whether an argument means standard input or output."""
    return str(path).partition("?")[0] in STANDARD_SPECS


@contextlib.contextmanager
def standard_output_for(out: Path) -> Iterator[None]:
    """Where audio goes to standard output, let all that is printed go to standard error."""
    if not uses_standard_stream(out):
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield
