"""What the command logs, and how it stands beside a progress display."""

from __future__ import annotations

import logging
import sys

from realtime_core.cli.text import one_line

__all__ = ["set_up_logging"]

FOREIGN = ("aiortc", "aioice", "aiohttp", "asyncio")
"""Libraries below ours; what they tell is for those who debug them."""


def set_up_logging(verbosity: int) -> None:
    """Log to stderr. Called again, it replaces what it set up before.

    Args:
        verbosity: 0 warnings, 1 what happens, 2 every wire event, 3 the libraries below too.
    """
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    handler = _StderrHandler()
    handler.setFormatter(_LineFormatter(with_names=verbosity > 0))
    root = logging.getLogger()
    for older in [one for one in root.handlers if isinstance(one, _StderrHandler)]:
        root.removeHandler(older)
    root.addHandler(handler)
    root.setLevel(level)
    foreign_level = logging.NOTSET if verbosity > 2 else max(level, logging.WARNING)
    for name in FOREIGN:
        logging.getLogger(name).setLevel(foreign_level)


class _StderrHandler(logging.Handler):
    """Writes to what is stderr at the time: a progress display puts itself there."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except (OSError, ValueError):  # it is closed
            self.handleError(record)


class _LineFormatter(logging.Formatter):
    """``warning: what happened``, with the logger's name for those who asked for more."""

    def __init__(self, *, with_names: bool) -> None:
        super().__init__()
        self._with_names = with_names

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        name = f" {record.name}" if self._with_names else ""
        return f"{record.levelname.lower()}{name}: {one_line(record.message)}"
