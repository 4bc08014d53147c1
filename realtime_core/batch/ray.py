"""The engine ``ray``: asynchronous actors of Ray core, on this machine or a cluster.

The driver, which is whoever runs this, gives each actor as many jobs as the actor says it carries.
A job is one call of a method, and what the call returns is the row with its recordings, as bytes:
so no folder need be shared, and only the driver writes results.

Ray starts actors that died anew (``max_restarts``), where there is room, and repeats the greeting
until there is one (``max_task_retries``). It does not repeat jobs: it cannot know which of them
killed the actor, and would give up on all. `JobQueue` does that.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from realtime_core.batch.engine import BatchContext, EngineState, JobResult
from realtime_core.batch.job_queue import JobQueue, share_of, worker_count
from realtime_core.batch.manifest import Job
from realtime_core.batch.ray_actor import ActorSetup, Greeting, SessionActor, unpack
from realtime_core.batch.ray_cluster import RayCluster, first_line, require_ray
from realtime_core.errors import RealtimeError, UserError

__all__ = ["RayEngine"]

log = logging.getLogger(__name__)

CALLS_AT_A_TIME = 10_000
"""Of an actor, at most: how many jobs it has is decided elsewhere."""

START_DEADLINE_S = 600.0
"""A cluster that grows when it is needed takes minutes to get another machine."""

WATCH_DEADLINE_S = 60.0
"""An actor says every few seconds that it is alive."""

CLOSE_DEADLINE_S = 15.0
MAX_STILLBORN = 3
"""So many deaths of an actor, one after the other, before it has said how many jobs it can have: it
never will."""


class RayEngine:
    """Runs jobs on Ray."""

    def __init__(self) -> None:
        """Look whether Ray is installed.

        Raises:
            UserError: It is not.
        """
        require_ray()

    async def run(self, jobs: Sequence[Job], context: BatchContext) -> AsyncGenerator[JobResult]:
        """Run all jobs; see `BatchEngine`."""
        if context.processes == 0:
            raise UserError("the engine 'ray' has its workers in other processes: at least one")
        fleet = _Fleet(jobs, context)
        try:
            await fleet.start()
            for _ in jobs:
                yield await fleet.take_result()
        finally:
            await fleet.close()


@dataclass
class _Worker:
    """An actor, as the driver sees it."""

    setup: ActorSetup
    actor: Any
    jobs: dict[str, Job] = field(default_factory=dict)
    calls: set[asyncio.Task[None]] = field(default_factory=set)
    allowed: int = 0
    """How many jobs it can have; 0 while there is no process of it."""
    lost: int = 0
    """Jobs that came to nothing since it was last well."""
    stillborn: int = 0
    is_ready: bool = False
    """Whether it has ever been there."""


class _Fleet:
    """All actors."""

    def __init__(self, jobs: Sequence[Job], context: BatchContext) -> None:
        self._context = context
        self._queue = JobQueue(jobs)
        self._results: asyncio.Queue[JobResult | Exception] = asyncio.Queue()
        self._cluster = RayCluster()
        self._workers: list[_Worker] = []
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        context, cluster = self._context, self._cluster
        await cluster.open(context.address, context.processes)
        await cluster.call(cluster.check_reaches, context.settings.url)
        count = worker_count(
            context.processes,
            cpus=await cluster.call(cluster.cpus),
            jobs=self._queue.unfinished,
            most=context.max_sessions,
        )
        for place in range(count):
            actor = await cluster.call(self._make_actor)
            self._workers.append(_Worker(self._setup(place, count), actor))
        loop = asyncio.get_running_loop()
        self._keepers = [loop.create_task(self._keep(worker)) for worker in self._workers]

    async def take_result(self) -> JobResult:
        result = await self._results.get()
        if isinstance(result, Exception):
            raise result
        return result

    async def close(self) -> None:
        calls = [call for worker in self._workers for call in worker.calls]
        for task in (*self._keepers, *calls):
            task.cancel()
        try:
            await asyncio.gather(*self._keepers, *calls, return_exceptions=True)
            await asyncio.gather(*(self._end(worker) for worker in self._workers))
        finally:
            await self._cluster.close()

    def _make_actor(self) -> Any:
        return (
            self._cluster.ray.remote(SessionActor)
            .options(
                num_cpus=1,
                max_concurrency=CALLS_AT_A_TIME,
                max_restarts=-1,
                max_task_retries=0,
                scheduling_strategy="SPREAD",
            )
            .remote()
        )

    def _setup(self, place: int, count: int) -> ActorSetup:
        context = self._context
        return ActorSetup(
            name=str(place + 1),
            settings=context.settings,
            api_key=context.api_key,
            scratch=context.scratch,
            allow=None if context.allow is None else tuple(context.allow),
            most=share_of(context.max_sessions, place, count),
        )

    async def _keep(self, worker: _Worker) -> None:
        """Use an actor, in all its lives, until the jobs are done."""
        try:
            while self._queue.unfinished:
                await self._greet(worker)
                await self._watch(worker)
        except Exception as exc:
            self._results.put_nowait(exc)

    async def _greet(self, worker: _Worker) -> None:
        """Wait until Ray has started its process, for the first time or anew."""
        greet = worker.actor.greet.options(max_task_retries=-1)
        while True:
            try:
                async with asyncio.timeout(START_DEADLINE_S):
                    greeting: Greeting = await greet.remote()
                break
            except TimeoutError:
                if not any(each.allowed for each in self._workers):
                    raise RealtimeError(
                        f"no worker has started within {START_DEADLINE_S:g} s; "
                        "is there a free processor in the cluster?"
                    ) from None
                log.warning("worker %s waits for a free processor", worker.setup.name)
            except self._errors.RayError as exc:
                raise RealtimeError(
                    f"a worker cannot be started: {first_line(exc)}; "
                    "each machine of the cluster needs realtime-transports"
                ) from exc
        self._check_version(greeting)
        worker.is_ready = True

    def _check_version(self, greeting: Greeting) -> None:
        from importlib.metadata import version

        own = version("realtime-transports")
        if greeting.version != own:
            raise UserError(
                f"{greeting.host} has realtime-transports {greeting.version}, "
                f"and this machine has {own}; install the same on all"
            )

    async def _watch(self, worker: _Worker) -> None:
        """Give it jobs until it dies or all are done."""
        known = 0
        try:
            while self._queue.unfinished:
                async with asyncio.timeout(WATCH_DEADLINE_S):
                    known = await worker.actor.watch.remote(worker.setup, known)
                worker.allowed, worker.lost, worker.stillborn = known, 0, 0
                self._feed_all()
        except self._errors.RayTaskError as exc:
            raise RealtimeError(f"a worker cannot work: {first_line(exc)}") from exc
        except TimeoutError:
            note = f"has said nothing for {WATCH_DEADLINE_S:g} s"
            await self._cluster.call(lambda: self._kill(worker, forever=False))
            await self._bury(worker, note)
        except self._errors.RayError as exc:
            log.debug("worker %s: %s", worker.setup.name, exc)
            await self._bury(worker, f"ended ({type(exc).__name__})")

    async def _bury(self, worker: _Worker, ending: str) -> None:
        """The process has ended: what it had in hand is run again."""
        worker.stillborn += 1
        worker.allowed = 0
        if worker.calls:  # they fail by themselves, each on its own
            await asyncio.wait(worker.calls, timeout=CLOSE_DEADLINE_S)
        note = f"worker {worker.setup.name} {ending}"
        if worker.lost:
            note += f"; {worker.lost} jobs that it had are run again"
        worker.lost = 0
        log.warning("%s", note)
        self._feed_all(note)
        if worker.stillborn >= MAX_STILLBORN:
            raise RealtimeError(f"workers end before they are ready: {note}")

    def _feed_all(self, note: str = "") -> None:
        while (taken := self._queue.take(self._workers)) is not None:
            worker, job = taken
            worker.jobs[job.id] = job
            call = asyncio.get_running_loop().create_task(self._run(worker, job))
            worker.calls.add(call)
            call.add_done_callback(worker.calls.discard)
        running = sum(len(each.jobs) for each in self._workers)
        allowed = sum(each.allowed for each in self._workers)
        ready = sum(each.allowed > 0 for each in self._workers)
        self._context.tell(EngineState(running, allowed, ready, note))

    async def _run(self, worker: _Worker, job: Job) -> None:
        """Have a job run, to its result or to its worker's end."""
        # Beside the actors' own folders, none of which is called so.
        folder = self._context.scratch / "done" / job.id
        try:
            delivery = await worker.actor.run.remote(worker.setup, job)
            result = await asyncio.to_thread(unpack, delivery, folder)
        except self._errors.RayError as exc:
            worker.allowed = 0  # until it says that it is there
            worker.lost += 1
            row = self._queue.lose(job, first_line(exc), datetime.now(UTC))
            if row is not None:
                self._results.put_nowait(JobResult(row, None))
        except Exception as exc:  # the disk, or Ray; `take_result` raises it
            self._results.put_nowait(exc)
        else:
            self._queue.finish()
            self._results.put_nowait(result)
        finally:
            del worker.jobs[job.id]
        self._feed_all()

    async def _end(self, worker: _Worker) -> None:
        """Let its sessions be closed, then end it for good."""
        try:
            if worker.is_ready:
                async with asyncio.timeout(CLOSE_DEADLINE_S):
                    await worker.actor.close.remote()
        except TimeoutError:
            log.warning("worker %s did not end within %g s", worker.setup.name, CLOSE_DEADLINE_S)
        except self._errors.RayError as exc:
            log.debug("worker %s was gone already: %s", worker.setup.name, first_line(exc))
        try:
            await self._cluster.call(lambda: self._kill(worker, forever=True))
        except (RealtimeError, self._errors.RayError) as exc:
            log.warning("worker %s may still be there: %s", worker.setup.name, exc)

    def _kill(self, worker: _Worker, *, forever: bool) -> None:
        self._cluster.ray.kill(worker.actor, no_restart=forever)

    @property
    def _errors(self) -> Any:
        return importlib.import_module("ray.exceptions")
