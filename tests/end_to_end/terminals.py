"""The command on a terminal, as a person sees it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path
from typing import Self

from tests.end_to_end.commands import DEADLINE_S, command_path, environment


class OnTerminal:
    """A command whose stdin, stdout and stderr are a terminal of its own."""

    def __init__(self, *arguments: str | Path, columns: int = 80) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            [command_path(), *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(TERM="xterm-256color"),
            start_new_session=True,
        )
        os.close(slave)
        self.shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def wait_shown(self, pattern: str) -> None:
        """Wait until the terminal has shown what the pattern finds."""
        deadline = time.monotonic() + DEADLINE_S
        while not re.search(pattern, self.shown):
            assert self._read_some(deadline), f"it ended without {pattern!r}: {self.shown!r}"

    def stop(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; the exit code, or minus the signal that killed it."""
        self.process.send_signal(number)
        return self.end()

    def end(self) -> int:
        deadline = time.monotonic() + DEADLINE_S
        while self._read_some(deadline):
            pass
        return self.process.wait(timeout=DEADLINE_S)

    def _read_some(self, deadline: float) -> bool:
        """Read what comes next; False at the end."""
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"the terminal has shown only {self.shown!r}"
        try:
            data = os.read(self._master, 65_536)
        except OSError:  # Linux says so when the other side is closed
            data = b""
        self.shown += data.decode(errors="replace")
        return bool(data)
