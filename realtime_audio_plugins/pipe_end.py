"""One end of a pipe, used by a thread that can be told to stop.

Reading from and writing to a pipe may block for as long as the program at its other end likes. The
loop's own non-blocking pipes are no way out: they refuse files, exist only partly on Windows, and
make standard input non-blocking for every program that shares it, a shell among them. So a thread
waits for the descriptor and for a wake-up call at once. Windows cannot wait so; there the thread is
left behind in its call, as a daemon, until the other end does something or the program ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from realtime_core.errors import AudioError

__all__ = ["STANDARD", "WRITE_BYTES", "PipeEnd"]

STANDARD = "-"
"""The path that means standard input or output."""

WRITE_BYTES = getattr(select, "PIPE_BUF", 512)
"""As much as can be written without blocking when a pipe is ready (POSIX)."""

_POKE_S = 0.01
_STOP_S = 1.0


class PipeEnd:
    """A descriptor and the thread that uses it."""

    def __init__(self, path: str, mode: Literal["read", "write"]) -> None:
        """Name it; `start` opens it.

        Args:
            path: A FIFO, device or file, or ``-``.
            mode: Which end.

        Raises:
            AudioError: There is no such thing, or it is a directory.
        """
        self._path = path
        self._mode = mode
        self._is_fifo = False
        self._fd = -1
        self._is_stopped = threading.Event()
        self._is_open = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._wake: tuple[int, int] | None = None
        """Read and write end of a pipe that wakes the thread; closed by it, under the lock."""
        if path != STANDARD:
            self._look_at()

    @property
    def name(self) -> str:
        """What to call it."""
        if self._path != STANDARD:
            return repr(self._path)
        return "standard input" if self._mode == "read" else "standard output"

    @property
    def is_stopped(self) -> bool:
        """Whether `request_stop` was called."""
        return self._is_stopped.is_set()

    def start(self, work: Callable[[], None]) -> None:
        """Open the pipe and do the work, both in the thread.

        A FIFO opens when another program has its other end.

        Args:
            work: Calls `open` first, ends when `wait_ready` returns False, raises nothing.
        """
        self._wake = os.pipe()
        self._thread = threading.Thread(
            target=self._run, args=(work,), name="realtime-pipe", daemon=True
        )
        self._thread.start()

    def open(self) -> None:
        """Open the descriptor; in the thread. May block until `join` ends it.

        Raises:
            OSError: It cannot be opened.
        """
        is_reading = self._mode == "read"
        if self._path == STANDARD:
            # A copy: closing it leaves the program's own alone.
            self._fd = os.dup(0 if is_reading else 1)
        elif is_reading:
            self._fd = os.open(self._path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
            self._fd = os.open(self._path, flags, 0o666)
        if sys.platform == "win32":
            import msvcrt

            msvcrt.setmode(self._fd, os.O_BINARY)
        self._is_open.set()

    def wait_ready(self) -> bool:
        """Wait until reading or writing will not block; False: stop. In the thread."""
        if sys.platform != "win32":
            events = select.POLLIN if self._mode == "read" else select.POLLOUT
            poll = select.poll()
            poll.register(self._fd, events)
            if self._wake is not None:
                poll.register(self._wake[0], select.POLLIN)
            poll.poll()
        return not self.is_stopped

    def read(self, size: int) -> bytes:
        """Up to so many bytes, nothing at the end; after `wait_ready`.

        Raises:
            OSError: Reading failed.
        """
        return os.read(self._fd, size)

    def write(self, data: bytes) -> int:
        """Write and say how much was taken; after `wait_ready`, at most `WRITE_BYTES`.

        Raises:
            OSError: Writing failed; BrokenPipeError: nobody reads any more.
        """
        return os.write(self._fd, data)

    def request_stop(self) -> None:
        """Make `wait_ready` return False from here on. From any thread; twice is fine."""
        self._is_stopped.set()
        with self._lock:
            if self._wake is not None:
                os.write(self._wake[1], b"!")

    def join(self) -> None:
        """After `request_stop`: wait until the thread has ended and the descriptor is closed.

        Not on Windows, and not for more than a second.
        """
        if self._thread is None or sys.platform == "win32":
            return
        for _ in range(round(_STOP_S / _POKE_S)):
            if self._is_fifo and not self._is_open.is_set():
                self._poke()
            self._thread.join(_POKE_S)
            if not self._thread.is_alive():
                return

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            self._close_all()

    def _look_at(self) -> None:
        try:
            mode = os.stat(self._path).st_mode  # noqa: PTH116 - a path such as \\.\pipe\x stays as it is
        except FileNotFoundError as exc:
            if self._mode == "write" and Path(self._path).parent.is_dir():
                return
            raise AudioError(f"{self._path!r}: no such pipe or file") from exc
        except (OSError, ValueError) as exc:
            raise AudioError(f"cannot {self._mode} {self._path!r}: {exc}") from exc
        if stat.S_ISDIR(mode):
            raise AudioError(f"{self._path!r} is a directory, not a pipe or file")
        self._is_fifo = stat.S_ISFIFO(mode)

    def _poke(self) -> None:
        """Be the other end for a moment, so that opening the FIFO returns."""
        other = os.O_WRONLY if self._mode == "read" else os.O_RDONLY
        # ENXIO: the thread has not begun to open it; or somebody removed it.
        with contextlib.suppress(OSError):
            os.close(os.open(self._path, other | os.O_NONBLOCK))

    def _close_all(self) -> None:
        with self._lock:
            wake, self._wake = self._wake or (), None
            for fd in (self._fd, *wake):
                if fd >= 0:
                    os.close(fd)
            self._fd = -1
