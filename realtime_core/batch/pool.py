"""Runs jobs in one process: as many sessions at a time as the process carries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from realtime_core.batch.engine import JobResult
from realtime_core.batch.job import JobEnvironment, JobSettings, run_job
from realtime_core.batch.pacing import PacingRules, SessionPacing, StartPacing
from realtime_core.loop_lag import LagMeter, percentile

if TYPE_CHECKING:
    from realtime_core.batch.manifest import Job

__all__ = ["PoolEvents", "SessionPool"]

LOOK_EVERY_S = 0.5
LATE_SHARE = 0.95

LOADED_WITHIN_S = 5.0
"""How long the others wait for the first session, which may have no luck with the server."""


@dataclass(frozen=True)
class PoolEvents:
    """Where a pool tells what happens; all are called on its event loop and must not raise."""

    on_result: Callable[[JobResult], None]
    on_change: Callable[[], None] = lambda: None
    """There is room for another number of jobs."""
    on_loaded: Callable[[], None] = lambda: None
    """The first session stands, so what is loaded once has been."""


class SessionPool:
    """Takes jobs and has a session for each. What it can take is `room`.

    The first session connects alone, as much is loaded for it once, which takes a second of the
    event loop; in real time the others follow one after the other. So none is late for another's
    beginning, and what a process carries is not judged by it.
    """

    def __init__(
        self,
        settings: JobSettings,
        environment: JobEnvironment,
        scratch: Path,
        events: PoolEvents,
        *,
        most: int | None = None,
    ) -> None:
        """Begin without jobs.

        Args:
            settings: What all jobs have in common.
            environment: Where they run.
            scratch: Gets a folder for each job.
            events: Told what happens.
            most: Never more sessions at a time than these; None sets no bound.
        """
        self._settings = settings
        self._lateness_s: list[float] = []
        self._has_begun = False
        self._is_loaded = asyncio.Event()
        self._starts = StartPacing()
        self._unstarted = 0
        self._environment = replace(
            environment, on_late=self._lateness_s.append, on_connected=self._note_loaded
        )
        self._scratch = scratch
        rules = PacingRules.of(is_realtime=settings.is_realtime, most=most)
        self._pacing = SessionPacing(rules)
        self._events = events
        self._lag = LagMeter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None

    @property
    def running(self) -> int:
        """Sessions under way."""
        return len(self._tasks)

    @property
    def allowed(self) -> int:
        """Sessions that may be under way."""
        return self._pacing.allowed

    @property
    def room(self) -> int:
        """How many more jobs may be given."""
        return max(0, self.allowed - self.running)

    def start(self) -> None:
        """Begin to look at how the process is doing."""
        self._lag.start()
        self._looking = asyncio.get_running_loop().create_task(self._look())

    def add(self, job: Job) -> None:
        """Run a job; `PoolEvents.on_result` gets what becomes of it."""
        task = asyncio.get_running_loop().create_task(self._run(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End everything; what is under way comes to nothing."""
        self._lag.stop()
        tasks = [*self._tasks, *([self._looking] if self._looking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, job: Job) -> None:
        self._unstarted += 1
        try:
            await self._wait_start()
        finally:
            self._unstarted -= 1
        folder = self._scratch / job.id
        row = await run_job(job, self._settings, folder=folder, environment=self._environment)
        current = asyncio.current_task()
        if current is not None:
            self._tasks.discard(current)  # there is room before the result is told
        self._note_loaded()
        self._events.on_result(JobResult(row, folder))
        self._events.on_change()

    async def _wait_start(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LOADED_WITHIN_S):
                await self._is_loaded.wait()
        self._note_loaded()
        if self._settings.is_realtime:
            await asyncio.sleep(self._starts.take_delay(asyncio.get_running_loop().time()))

    def _note_loaded(self) -> None:
        if not self._is_loaded.is_set():
            self._is_loaded.set()
            self._events.on_loaded()

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            lag = self._lag.take()
            late_s, self._lateness_s[:] = sorted(self._lateness_s), []
            if not self._is_loaded.is_set():
                continue
            allowed = self.allowed
            self._pacing.observe(
                loop.time(),
                running=self.running - self._unstarted,
                lag_s=lag.p95_ms / 1000 if lag else 0.0,
                lateness_s=percentile(late_s, LATE_SHARE) if late_s else 0.0,
            )
            if self.allowed != allowed:
                self._events.on_change()
