"""The engine ``local``: processes of this machine, or this process itself."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from typing import Any

from realtime_core.batch.engine import BatchContext, EngineState, JobResult
from realtime_core.batch.job import JobEnvironment
from realtime_core.batch.job_queue import JobQueue, share_of, worker_count
from realtime_core.batch.manifest import Job
from realtime_core.batch.pool import PoolEvents, SessionPool
from realtime_core.batch.results import ResultRow, parse_row
from realtime_core.batch.worker import WorkerSetup
from realtime_core.batch.worker_process import WorkerProcess
from realtime_core.errors import RealtimeError

__all__ = ["LocalEngine"]

log = logging.getLogger(__name__)

MAX_STILLBORN = 3
"""So many workers one after the other that die before they are ready: none will ever be."""


class LocalEngine:
    """Runs jobs in processes of this machine."""

    async def run(self, jobs: Sequence[Job], context: BatchContext) -> AsyncGenerator[JobResult]:
        """Run all jobs; see `BatchEngine`."""
        runner = _Inline(jobs, context) if context.processes == 0 else _Fleet(jobs, context)
        try:
            await runner.start()
            for _ in jobs:
                yield await runner.take_result()
        finally:
            await runner.close()


class _Inline:
    """All sessions in this process."""

    def __init__(self, jobs: Sequence[Job], context: BatchContext) -> None:
        self._waiting = deque(jobs)
        self._context = context
        self._results: asyncio.Queue[JobResult] = asyncio.Queue()
        self._pool = SessionPool(
            context.settings,
            JobEnvironment(context.plugins, context.api_key, "0"),
            context.scratch,
            PoolEvents(self._results.put_nowait, self._feed),
            most=context.max_sessions,
        )

    async def start(self) -> None:
        self._pool.start()
        self._feed()

    async def take_result(self) -> JobResult:
        return await self._results.get()

    async def close(self) -> None:
        await self._pool.close()

    def _feed(self) -> None:
        while self._waiting and self._pool.room:
            self._pool.add(self._waiting.popleft())
        self._context.tell(EngineState(self._pool.running, self._pool.allowed, 0))


class _Fleet:
    """Workers, each replaced when it dies."""

    def __init__(self, jobs: Sequence[Job], context: BatchContext) -> None:
        self._context = context
        self._queue = JobQueue(jobs)
        self._results: asyncio.Queue[JobResult | Exception] = asyncio.Queue()
        self._workers: dict[int, WorkerProcess] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._started = 0
        self._stillborn = 0
        self._is_closing = False

    async def start(self) -> None:
        count = worker_count(
            self._context.processes,
            cpus=_usable_cpus(),
            jobs=self._queue.unfinished,
            most=self._context.max_sessions,
        )
        loop = asyncio.get_running_loop()
        self._keepers = [loop.create_task(self._keep(place, count)) for place in range(count)]

    async def take_result(self) -> JobResult:
        result = await self._results.get()
        if isinstance(result, Exception):
            raise result
        return result

    async def close(self) -> None:
        self._is_closing = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    async def _keep(self, place: int, count: int) -> None:
        """Have a worker in this place until all jobs are done."""
        try:
            while self._queue.unfinished:
                await self._run_worker(place, count)
        except Exception as exc:
            self._results.put_nowait(exc)

    async def _run_worker(self, place: int, count: int) -> None:
        worker = WorkerProcess(self._setup(place, count))
        worker.setup.scratch.mkdir(parents=True)
        try:
            await worker.start()
            self._workers[place] = worker
            async for kind, value in worker.messages():
                self._heed(worker, kind, value)
        except OSError as exc:
            raise RealtimeError(f"a worker cannot be started: {exc}") from exc
        finally:
            self._workers.pop(place, None)
            code = await worker.end()
        self._bury(worker, code)

    def _setup(self, place: int, count: int) -> WorkerSetup:
        self._started += 1
        context = self._context
        return WorkerSetup(
            name=str(place + 1),
            # A folder of its own: nobody knows what the one before is still about to write.
            scratch=context.scratch / f"worker-{self._started}",
            settings=context.settings,
            api_key=context.api_key.get_secret_value() if context.api_key else None,
            allow=None if context.allow is None else tuple(context.allow),
            most=share_of(context.max_sessions, place, count),
            log_level=logging.getLogger().getEffectiveLevel(),
        )

    def _heed(self, worker: WorkerProcess, kind: str, value: Any) -> None:
        match kind:
            case "allowed":
                self._stillborn = 0
                worker.allowed = value
            case "result":
                self._finish(worker, parse_row(value))
            case "log":
                level, name, message = value
                logging.getLogger(name).log(level, "worker %s: %s", worker.setup.name, message)
                return
        self._feed_all()

    def _finish(self, worker: WorkerProcess, row: ResultRow) -> None:
        if worker.jobs.pop(row.id, None) is None:
            return
        self._queue.finish()
        self._results.put_nowait(JobResult(row, worker.setup.scratch / row.id))

    def _feed_all(self) -> None:
        while (taken := self._queue.take(self._workers.values())) is not None:
            worker, job = taken
            worker.give(job)
        self._tell()

    def _bury(self, worker: WorkerProcess, code: int | None) -> None:
        """A worker has ended: what it had in hand is run again."""
        if self._is_closing or not self._queue.unfinished:
            return
        if not worker.allowed:
            self._count_stillborn(worker, code)
        lost = list(worker.jobs.values())
        note = f"worker {worker.setup.name} ended ({_ending(code)})"
        if lost:
            note += f"; {len(lost)} jobs that it had are run again"
        log.warning("%s", note)
        shutil.rmtree(worker.setup.scratch, ignore_errors=True)
        for job in reversed(lost):
            row = self._queue.lose(job, _ending(code), datetime.now(UTC))
            if row is not None:
                self._results.put_nowait(JobResult(row, None))
        self._feed_all()
        self._tell(note)

    def _count_stillborn(self, worker: WorkerProcess, code: int | None) -> None:
        self._stillborn += 1
        if self._stillborn >= MAX_STILLBORN:
            words = "; ".join(worker.last_words) or "it said nothing"
            raise RealtimeError(f"workers end before they are ready ({_ending(code)}): {words}")

    def _tell(self, note: str = "") -> None:
        workers = self._workers.values()
        running = sum(len(each.jobs) for each in workers)
        allowed = sum(each.allowed for each in workers)
        self._context.tell(EngineState(running, allowed, len(workers), note))


def _usable_cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {-code}"
    return f"exit code {code}"
