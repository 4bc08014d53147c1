"""Where ``realtime run`` reads and writes: files, pipes, and whatever else plugins bring."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from realtime_core.cli.exit_codes import InputError
from realtime_core.errors import AudioError, PluginError, UserError
from realtime_core.plugins import PluginManager
from realtime_core.specs import describe_options

__all__ = [
    "explaining_files",
    "spec_for",
    "spec_with_end",
    "standard_output_for",
    "uses_standard_stream",
]

STANDARD = "-"
STANDARD_SPEC = re.compile(r"pcm(:-?)?(\?|$)")
SPEC_NAME = re.compile(r"([A-Za-z][\w+-]+)([:?]|$)")
"""At least two characters: one and a colon is a drive."""

LENGTH_OPTION = "seconds"
"""What the option of a source is called that gives it an end."""


def spec_for(kind: str, path: Path, plugins: PluginManager) -> str:
    """The spec that an argument means.

    Args:
        kind: ``source`` or ``sink``.
        path: ``-`` for standard input or output, a spec such as ``mic`` or ``mic:USB``, or a file.
            What begins like a spec and is the name of a file that exists is the file; a folder of
            that name changes nothing.
        plugins: Say which specs there are.
    """
    text = str(path)
    if text == STANDARD:
        return "pcm:-"
    name = SPEC_NAME.match(text)
    is_spec = name is not None and name[1] in plugins.names(kind)
    return text if is_spec and not _is_file(path) else f"file:{text}"


@contextlib.contextmanager
def explaining_files(kind: str, path: Path, plugins: PluginManager) -> Iterator[None]:
    """Say of what is no usable file that it is no spec either, if it looks like one.

    Args:
        kind: ``source`` or ``sink``.
        path: As for `spec_for`.
        plugins: Say which specs there are, and which plugins could bring none.
    """
    try:
        yield
    except (AudioError, UserError) as exc:
        why = _why_no_spec(kind, path, plugins)
        if why is None:
            raise
        raise InputError(f"{exc}; if no file is meant: {why}") from exc


def spec_with_end(path: Path, plugins: PluginManager) -> str | None:
    """How a source that never ends is given an end, for an example; None where it has no such."""
    text = str(path)
    name = text.partition("?")[0].partition(":")[0]
    options = describe_options(plugins.factory("source", name))
    option = next((each for each in options if each.name == LENGTH_OPTION), None)
    if option is None:
        return None
    if option.is_argument:
        return f"{name}:2"
    return f"{text}{'&' if '?' in text else '?'}{LENGTH_OPTION}=2"


def uses_standard_stream(path: Path) -> bool:
    """Whether an argument means standard input or output."""
    text = str(path)
    return text == STANDARD or (STANDARD_SPEC.match(text) is not None and not _is_file(path))


@contextlib.contextmanager
def standard_output_for(out: Path) -> Iterator[None]:
    """Where audio goes to standard output, let all that is printed go to standard error."""
    if not uses_standard_stream(out):
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _is_file(path: Path) -> bool:
    """Whether audio can be there: in a file, a named pipe or a device; not in a folder."""
    return path.exists() and not path.is_dir()


def _why_no_spec(kind: str, path: Path, plugins: PluginManager) -> str | None:
    """That there is no such source or sink, and which there are; None of what looks like a file."""
    name = SPEC_NAME.match(str(path))
    if name is None or path.exists():
        return None
    try:
        plugins.factory(kind, name[1])
    except PluginError as exc:
        return str(exc)
    return None
