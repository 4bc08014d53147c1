"""A batch whose process is killed at the n-th thing that it does to the results' folder."""

from __future__ import annotations

import asyncio
import os
import pathlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from realtime_core.batch.results_file import BatchFolder
from realtime_core.batch.run import run_batch
from tests.batch.children import children_of
from tests.batch.recordings import in_memory


class Countdown:
    """Counts what is done to files, and ends the process before, in or after one of these."""

    def __init__(self, left: int) -> None:
        self.left = left

    def is_over(self) -> bool:
        self.left -= 1
        return self.left < 0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if self.is_over():
                die()
            return function(*args, **kwargs)

        return counted

    def write(self, file: int, data: bytes) -> int:
        """As `os.write`, which may come as far as half the row."""
        if self.is_over():
            WRITE(file, data[: len(data) // 2])
            die()
        return WRITE(file, data)


WRITE = os.write


def die() -> None:
    sys.stdout.write(" ".join(map(str, children_of(os.getpid()))))
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def main(manifest: str, out: str, processes: str, kill_at: str) -> None:
    countdown = Countdown(int(kill_at))
    pathlib.Path.replace = countdown.around(pathlib.Path.replace)  # type: ignore[method-assign]
    BatchFolder._append = countdown.around(BatchFolder._append)  # type: ignore[method-assign]
    os.write = countdown.write  # type: ignore[assignment]
    asyncio.run(run_batch([manifest], Path(out), in_memory(processes=int(processes))))
    sys.stdout.write("survived")


if __name__ == "__main__":
    main(*sys.argv[1:])
