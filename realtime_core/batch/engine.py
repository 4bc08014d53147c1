"""What runs the jobs of a batch: the contract of engines, which plugins bring by name.

An engine runs jobs on something (processes of this machine, a cluster) and gives a `JobResult` for
each as it is done. Whoever started it names files and writes rows, so nothing that an engine does
twice is seen twice.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from realtime_core.batch.results import ResultRow

if TYPE_CHECKING:
    from pydantic import SecretStr

    from realtime_core.batch.job import JobSettings
    from realtime_core.batch.manifest import Job
    from realtime_core.plugins import PluginManager

__all__ = ["BatchContext", "BatchEngine", "EngineState", "JobResult"]


@dataclass(frozen=True, slots=True)
class JobResult:
    """What became of a job, as an engine gives it."""

    row: ResultRow
    """The paths of its recordings are relative to `folder`."""
    folder: Path | None
    """Where the recordings are, on the machine of whoever started the engine: a folder in
    `BatchContext.scratch` that nothing else is in. It is moved from there. None where there are
    none."""


@dataclass(frozen=True, slots=True)
class EngineState:
    """How an engine is doing, for people."""

    running: int
    """Sessions under way."""
    allowed: int
    """Sessions that it would run now if there were enough jobs."""
    workers: int
    note: str = ""
    """Something worth a line, such as ``worker 2 was killed; its 6 jobs are run again``."""


@dataclass(frozen=True)
class BatchContext:
    """What an engine needs besides the jobs."""

    settings: JobSettings
    api_key: SecretStr | None
    """None where the endpoint needs none. It belongs in no argument, file, log line or
    environment variable of a worker: hand it over by pipe or message."""
    scratch: Path
    """An existing empty folder for what is being written, on the same file system as the results,
    so that moving is atomic. It is removed at the end, and by the next start if this one is
    killed."""
    plugins: PluginManager
    """Of this process."""
    allow: Sequence[str] | None = None
    """Which plugins a worker in another process loads, as for `PluginManager`."""
    processes: int | None = None
    """How many workers; None leaves it to the engine, 0 means within this process."""
    max_sessions: int | None = None
    """The most sessions at a time, all workers together; None: what the machine carries."""
    address: str | None = None
    """Where the cluster is; None means this machine."""
    tell: Callable[[EngineState], None] = field(default_factory=lambda: lambda _: None)
    """Called on the event loop whenever something has changed."""


class BatchEngine(Protocol):
    """Runs jobs. Made by a factory of the hook ``realtime_batch_engines``."""

    def run(self, jobs: Sequence[Job], context: BatchContext) -> AsyncGenerator[JobResult]:
        """Run all jobs, in any order, each with `realtime_core.batch.job.run_job`.

        Each job comes out exactly once, failed ones too; a worker that dies has its jobs run again.
        What a job did before that is forgotten: its folder is not the new one's.

        Closing the generator (`aclose`), or cancelling what awaits it, ends all sessions and
        workers before it returns.

        Args:
            jobs: Their ids differ and are safe as names of files.
            context: The rest.

        Raises:
            UserError: The engine cannot be used: a package is missing, the address is wrong.
            RealtimeError: Something that concerns all jobs, such as workers that cannot be started.
        """
