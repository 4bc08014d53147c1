"""Whether there is a terminal on which something can change while it is looked at."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["live_console"]


def live_console() -> Console | None:
    """The terminal, or None: a pipe, a file, or a terminal that only knows lines."""
    # Asked of the stream itself: rich takes variables such as FORCE_COLOR for a terminal.
    if not sys.stdout.isatty():
        return None
    from rich.console import Console

    console = Console()
    return None if console.is_dumb_terminal else console
