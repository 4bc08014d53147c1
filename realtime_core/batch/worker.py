"""A worker of the local engine: a process that gets jobs on standard input, a JSON object a line.

The first line is a `WorkerSetup`, each other one a `Job`. What the worker tells on standard output
is a line each, too: ``{"allowed": 6}``, how many jobs it can have at a time; ``{"result": {...}}``;
``{"log": [level, name, message]}``; and every few seconds ``{"alive": true}``. When standard input
ends, so does the worker, at once: whoever started it wants no more of it, or is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from realtime_core.batch.engine import JobResult
from realtime_core.batch.job import JobEnvironment, JobSettings
from realtime_core.batch.manifest import Job
from realtime_core.batch.pool import PoolEvents, SessionPool
from realtime_core.loop_lag import keep_what_is_loaded
from realtime_core.masking import mask_secrets
from realtime_core.plugins import PluginManager

__all__ = ["WorkerSetup", "main"]

READ_BYTES = 1 << 20

ALIVE_EVERY_S = 5.0
"""So often a worker says that it is alive, so that one that hangs can be told from a busy one."""


class WorkerSetup(BaseModel):
    """What a worker has to know before the first job."""

    name: str
    scratch: Path
    settings: JobSettings
    api_key: str | None = None
    """Here it may be seen: the pipe is nobody else's."""
    allow: tuple[str, ...] | None = None
    """As for `PluginManager`."""
    most: int | None = None
    """The most sessions at a time."""
    log_level: int = logging.WARNING


def main() -> None:
    """Work until standard input ends."""
    # What plugins print must not get between our lines.
    out = os.dup(1)
    os.dup2(2, 1)
    lines = _Lines(0)
    first = lines.read()
    if first is None:
        return
    setup = WorkerSetup.model_validate_json(first)
    tell = _Teller(out)
    _set_up_logging(setup, tell)
    asyncio.run(_work(setup, lines, tell))


async def _work(setup: WorkerSetup, lines: _Lines, tell: _Teller) -> None:
    environment = JobEnvironment(
        PluginManager(allow=setup.allow),
        None if setup.api_key is None else SecretStr(setup.api_key),
        setup.name,
    )
    pool: SessionPool

    def on_result(result: JobResult) -> None:
        tell("result", result.row.model_dump(mode="json"))

    pool = SessionPool(
        setup.settings,
        environment,
        setup.scratch,
        PoolEvents(on_result, lambda: tell.once("allowed", pool.allowed), keep_what_is_loaded),
        most=setup.most,
    )
    pool.start()
    tell.once("allowed", pool.allowed)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_line(line: bytes | None) -> None:
        if line is None:
            ended.set()
        else:
            # Not from JSON at once: pydantic refuses halves of characters there, and a file's name
            # may hold what is no text.
            pool.add(Job.model_validate(json.loads(line)))

    lines.follow(lambda line: loop.call_soon_threadsafe(on_line, line))
    try:
        while not ended.is_set():
            tell("alive", True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ALIVE_EVERY_S):
                    await ended.wait()
    finally:
        await pool.close()


class _Lines:
    """The lines that come on a file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = bytearray()

    def read(self) -> bytes | None:
        """The next line; None at the end."""
        while (end := self._rest.find(b"\n")) < 0:
            # Not by way of `sys.stdin`: a thread that waits in it disturbs the interpreter's end.
            data = os.read(self._descriptor, READ_BYTES)
            if not data:
                return None
            self._rest += data
        line = bytes(self._rest[:end])
        del self._rest[: end + 1]
        return line

    def follow(self, on_line: Callable[[bytes | None], object]) -> None:
        """Read in a thread, which ends with the input or the process."""
        threading.Thread(target=self._follow, args=(on_line,), daemon=True).start()

    def _follow(self, on_line: Callable[[bytes | None], object]) -> None:
        try:
            while (line := self.read()) is not None:
                on_line(line)
            on_line(None)
        except RuntimeError:  # the loop is closed: nobody wants lines any more
            return


class _Teller:
    """Writes lines to whoever started the worker."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._told: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __call__(self, kind: str, value: Any) -> None:
        data = memoryview(json.dumps({kind: value}).encode() + b"\n")
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except OSError:
                os._exit(1)  # nobody listens any more, so there is nothing left to do

    def once(self, kind: str, value: Any) -> None:
        """Tell it unless it was told last time."""
        if self._told.get(kind) != value:
            self._told[kind] = value
            self(kind, value)


def _set_up_logging(setup: WorkerSetup, tell: _Teller) -> None:
    root = logging.getLogger()
    root.setLevel(setup.log_level)
    root.addHandler(_TellingHandler(tell))
    logging.captureWarnings(capture=True)


class _TellingHandler(logging.Handler):
    def __init__(self, tell: _Teller) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = mask_secrets(self.format(record))  # with the traceback, if there is one
        except Exception:  # whoever logs may have made a mistake, which must not end a job
            self.handleError(record)
        else:
            self._tell("log", [record.levelno, record.name, text])


if __name__ == "__main__":
    main()
