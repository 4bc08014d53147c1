"""The driver's end of a worker: starts the process, gives it jobs, hears what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from realtime_core.masking import mask_secrets

if TYPE_CHECKING:
    from realtime_core.batch.manifest import Job
    from realtime_core.batch.worker import WorkerSetup

__all__ = ["WorkerProcess"]

log = logging.getLogger(__name__)

MAX_LINE_BYTES = 64 * 1024 * 1024

SILENT_S = 60.0
"""A worker says every few seconds that it is alive. One that has said nothing for twice this is
taken for dead: twice, as the driver itself may have been stopped, and then finds its time over."""

FIRST_WORD_S = 300.0
"""The same, until it has said something: it loads its packages first."""

LAST_WORDS_S = 1.0
"""Of a process that has ended. What it has started itself may keep its standard error open."""

END_DEADLINE_S = 10.0
"""A worker closes its sessions first."""

KEY_VARIABLES = ("OPENAI_API_KEY", "REALTIME_API_KEY")
"""A worker gets its key by the pipe, where no other program of the machine's can read it."""


class WorkerProcess:
    """One process."""

    def __init__(self, setup: WorkerSetup) -> None:
        """Nothing is started yet.

        Args:
            setup: What it is told first.
        """
        self.setup = setup
        self.jobs: dict[str, Job] = {}
        """What it was given and has not done yet, by id."""
        self.allowed = 0
        """How many it can have; 0 until it is ready."""
        self.last_words: deque[str] = deque(maxlen=5)
        """Of its standard error."""
        self._process: asyncio.subprocess.Process | None = None
        self._errors: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process's id; None before `start`."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the process.

        Raises:
            OSError: That is not possible.
        """
        environment = {k: v for k, v in os.environ.items() if k not in KEY_VARIABLES}
        # Its own session: an interrupt of the terminal is for the driver, which then ends it.
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "realtime_core.batch.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            limit=MAX_LINE_BYTES,
            start_new_session=sys.platform != "win32",
        )
        self._errors = asyncio.get_running_loop().create_task(self._read_errors())
        self._write(self.setup.model_dump_json())

    def give(self, job: Job) -> None:
        """Let it do a job; it may be gone by now."""
        self.jobs[job.id] = job
        self._write(json.dumps(job.model_dump(mode="json")))

    async def messages(self) -> AsyncIterator[tuple[str, Any]]:
        """What it tells, until it ends: a kind and a value. One that hangs is killed."""
        silent_s = FIRST_WORD_S
        while line := await self._read_line(silent_s):
            silent_s = SILENT_S
            if not line.endswith(b"\n"):
                return  # it was killed while it wrote
            for kind, value in json.loads(line).items():
                yield kind, value

    async def _read_line(self, silent_s: float) -> bytes:
        """The next line; nothing at the end."""
        if self._process is None or self._process.stdout is None:
            return b""
        for _ in range(2):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(silent_s):
                    return await self._process.stdout.readline()
        log.warning("worker %s has said nothing for %g s", self.setup.name, 2 * silent_s)
        self._kill()
        return b""

    async def end(self) -> int | None:
        """Let it close everything and end; it is killed when that takes long. Returns its code."""
        process = self._process
        if process is None:
            return None
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(END_DEADLINE_S):
                await process.wait()
        except TimeoutError:
            log.warning("worker %s did not end within %g s", self.setup.name, END_DEADLINE_S)
            self._kill()
        except asyncio.CancelledError:
            self._kill()
            raise
        finally:
            await process.wait()
            await self._end_errors()
        return process.returncode

    async def _end_errors(self) -> None:
        if self._errors is not None:
            await asyncio.wait([self._errors], timeout=LAST_WORDS_S)
            self._errors.cancel()
            await asyncio.gather(self._errors, return_exceptions=True)

    def _kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def _write(self, text: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            # A worker that is gone is noticed where its messages end.
            self._process.stdin.write(text.encode() + b"\n")

    async def _read_errors(self) -> None:
        if self._process is None or self._process.stderr is None:
            return
        while line := await self._process.stderr.readline():
            text = mask_secrets(line.decode(errors="replace").rstrip())
            self.last_words.append(text)
            log.warning("worker %s: %s", self.setup.name, text)
