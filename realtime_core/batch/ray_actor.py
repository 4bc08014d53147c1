"""What the engine ``ray`` runs on a cluster: an actor that has many sessions in one process.

It is plain code; Ray makes an actor of the class and calls its methods, many at a time, on one
event loop. Each call brings all that it needs, as Ray may have started the process anew meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr

from realtime_core.batch.engine import JobResult
from realtime_core.batch.job import JobEnvironment, JobSettings
from realtime_core.batch.manifest import Job
from realtime_core.batch.pool import PoolEvents, SessionPool
from realtime_core.batch.results import ResultRow
from realtime_core.loop_lag import keep_what_is_loaded
from realtime_core.plugins import PluginManager

__all__ = ["ActorSetup", "Delivery", "Greeting", "SessionActor", "unpack"]

TELL_EVERY_S = 5.0
"""So often an actor says that it is alive, whether or not anything has changed."""


class ActorSetup(BaseModel):
    """What an actor has to know. It goes with each call, from the driver straight to the actor.

    Ray keeps what an actor's constructor gets, and a runtime environment, in the cluster's state,
    where others see it; the arguments of a method it does not.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    settings: JobSettings
    api_key: SecretStr | None = None
    scratch: Path
    """The driver's; it may not be there on the actor's machine."""
    allow: tuple[str, ...] | None = None
    """As for `PluginManager`."""
    most: int | None = None
    """The most sessions at a time."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """Who an actor is."""

    version: str
    """Of this project, where it runs."""
    host: str
    pid: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a job, in a form that can be sent."""

    row: ResultRow
    files: dict[str, bytes]
    """The recordings, by their paths in the row."""


class SessionActor:
    """Runs jobs. All methods are called on one event loop."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._pool: SessionPool | None = None
        self._scratch: Path | None = None
        self._changed = asyncio.Event()
        self._results: dict[str, asyncio.Future[JobResult]] = {}
        self._deliveries: dict[str, asyncio.Task[Delivery]] = {}

    async def greet(self) -> Greeting:
        """Say who this is; the first call to a process, so it also tells that there is one."""
        return Greeting(version("realtime-transports"), socket.gethostname(), os.getpid())

    async def watch(self, setup: ActorSetup, known: int) -> int:
        """Wait until another number of sessions is allowed, or some seconds.

        Args:
            setup: The same with each call.
            known: What the last call returned; 0 for the first.

        Returns:
            How many jobs this may have at a time.
        """
        pool = self._open(setup)
        try:
            async with asyncio.timeout(TELL_EVERY_S):
                while pool.allowed == known:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass
        return pool.allowed

    async def run(self, setup: ActorSetup, job: Job) -> Delivery:
        """Run a job. One that is under way already, as its first call broke off, is waited for."""
        self._open(setup)
        delivery = self._deliveries.get(job.id)
        if delivery is None:
            delivery = asyncio.get_running_loop().create_task(self._deliver(job))
            self._deliveries[job.id] = delivery
            delivery.add_done_callback(lambda _: self._deliveries.pop(job.id))
        return await asyncio.shield(delivery)

    async def close(self) -> None:
        """End all sessions, and leave nothing on the disk."""
        deliveries = list(self._deliveries.values())
        for delivery in deliveries:
            delivery.cancel()
        await asyncio.gather(*deliveries, return_exceptions=True)
        if self._pool is not None:
            await self._pool.close()
            self._pool = None
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _open(self, setup: ActorSetup) -> SessionPool:
        if self._pool is None:
            self._scratch = _make_scratch(setup.scratch)
            self._pool = SessionPool(
                setup.settings,
                JobEnvironment(
                    PluginManager(allow=setup.allow),
                    setup.api_key,
                    f"{setup.name}@{socket.gethostname()}",
                ),
                self._scratch,
                PoolEvents(self._on_result, self._changed.set, keep_what_is_loaded),
                most=setup.most,
            )
            self._pool.start()
        return self._pool

    async def _deliver(self, job: Job) -> Delivery:
        if self._pool is None:
            raise RuntimeError("the actor is closed")
        result = self._results[job.id] = asyncio.get_running_loop().create_future()
        try:
            self._pool.add(job)
            return await asyncio.to_thread(_pack, await result)
        finally:
            del self._results[job.id]

    def _on_result(self, result: JobResult) -> None:
        waiting = self._results.get(result.row.id)
        if waiting is not None and not waiting.done():
            waiting.set_result(result)


def _make_scratch(wanted: Path) -> Path:
    """A new folder: in the driver's, which somebody clears, where this machine sees that one."""
    is_seen = wanted.is_dir() and os.access(wanted, os.W_OK)
    return Path(tempfile.mkdtemp(prefix="worker-", dir=wanted if is_seen else None))


def _pack(result: JobResult) -> Delivery:
    """The result with its recordings, which are gone from the disk then."""
    folder = result.folder
    if folder is None:
        return Delivery(result.row, {})
    files = {file.path: (folder / file.path).read_bytes() for file in result.row.audio_files}
    shutil.rmtree(folder, ignore_errors=True)
    return Delivery(result.row, files)


def unpack(delivery: Delivery, folder: Path) -> JobResult:
    """Write down what an actor sent.

    Args:
        delivery: What it sent.
        folder: Does not exist yet.

    Raises:
        OSError: The disk is full.
        ValueError: A recording is to be written elsewhere.
    """
    if not delivery.files:
        return JobResult(delivery.row, None)
    folder.mkdir(parents=True)
    for name, content in delivery.files.items():
        if name in {"", ".."} or Path(name).name != name:
            raise ValueError(f"a recording of {delivery.row.id} has the name {name!r}")
        (folder / name).write_bytes(content)
    return JobResult(delivery.row, folder)
