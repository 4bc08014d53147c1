"""Standard streams that a command can rely on, whatever became of their other ends.

A command's product is a file, a page, a conversation; its text is told to whoever still reads. So
``realtime run … | head -1`` goes on to its end, and ``… >&-`` works like ``… >/dev/null``.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from realtime_core.errors import RealtimeError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["OutputError", "reliable_streams"]

NOBODY_READS = frozenset({errno.EPIPE, errno.EBADF, errno.EINVAL})
"""EINVAL is what Windows says of a broken pipe."""


class OutputError(RealtimeError):
    """Standard output takes no more, as of a full disk."""


@contextmanager
def reliable_streams() -> Iterator[None]:
    """Give `sys.stdout` and `sys.stderr` that go on where nobody reads any more.

    Raises:
        OutputError: What was printed last cannot be written. Printing raises it, too.
    """
    _occupy_closed()
    if sys.stdout is sys.__stdout__:  # as tests have it otherwise, or whoever calls `main`
        sys.stdout = _reliable(sys.stdout, 1, "standard output")
    if sys.stderr is sys.__stderr__:
        sys.stderr = _reliable(sys.stderr, 2, None)
    try:
        yield
    finally:
        _flush_last()


def _occupy_closed() -> None:
    """Take the numbers of closed streams, lest a file that is opened next gets what we print.

    What is opened here cannot be written (or read, for 0), so that audio that goes there is told.
    """
    for number, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)


def _reliable(stream: TextIO | None, number: int, name: str | None) -> TextIO:
    if stream is not None and stream.isatty():
        return stream
    raw = _Reliable(number, name)
    encoding = stream.encoding if stream is not None else "utf-8"
    # As PYTHONUNBUFFERED asks for.
    is_unbuffered = getattr(stream, "write_through", False)
    # A log that cannot show a character is no reason to fail.
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=name is None or is_unbuffered,
    )


def _flush_last() -> None:
    """Say now, and once, what cannot be written; the interpreter, at its end, says it otherwise."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Reliable) and raw.has_raised:
        raw.name_in_errors = None
    try:
        sys.stdout.flush()
    finally:
        if isinstance(raw, _Reliable):
            raw.name_in_errors = None


class _Reliable(io.FileIO):
    """Drops what nobody reads."""

    def __init__(self, number: int, name_in_errors: str | None) -> None:
        super().__init__(number, "w", closefd=False)
        self.name_in_errors = name_in_errors
        """None: what cannot be written is dropped for whatever reason."""
        self.has_raised = False

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as exc:
            if exc.errno in NOBODY_READS or self.name_in_errors is None:
                return memoryview(data).nbytes
            self.has_raised = True
            raise OutputError(f"{self.name_in_errors} cannot be written: {exc.strerror}") from exc
