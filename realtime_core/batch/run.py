"""A batch from its inputs to its last row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from realtime_core.batch.engine import BatchContext, EngineState, JobResult
from realtime_core.batch.job import JobSettings
from realtime_core.batch.manifest import load_jobs
from realtime_core.batch.results_file import BatchFolder, read_rows
from realtime_core.batch.word_errors import require_jiwer, with_word_errors
from realtime_core.endpoints import endpoint_for
from realtime_core.errors import RealtimeError, UserError
from realtime_core.plugins import PluginManager

if TYPE_CHECKING:
    import os

    from realtime_core.batch.engine import BatchEngine
    from realtime_core.batch.manifest import Job
    from realtime_core.batch.results import ResultRow

__all__ = ["BatchOptions", "BatchProgress", "BatchSummary", "run_batch"]

LOCAL = "local"
PARQUET = "results.parquet"
SYNC_EVERY_S = 1.0
SERVER_SESSIONS = 10_000
"""As many as the local server may hold: how many there are is decided elsewhere."""

LATE_MS = 100.0
"""By so much latencies of the same agent differ anyway."""

SOCKET_TRANSPORTS = ("websocket",)
DEFAULT_SETTINGS = JobSettings()


@dataclass(frozen=True)
class BatchOptions:
    """How a batch is run."""

    settings: JobSettings = DEFAULT_SETTINGS
    """What all jobs have in common. Its `url` is found by `to`."""
    to: str = LOCAL
    """``local`` (a server in this process), ``openai``, a base URL ending in ``/v1``, or a full
    endpoint."""
    responder: str = "speech"
    """Who answers on the local server."""
    engine: str = "local"
    """The name of a plugin's batch engine."""
    processes: int | None = None
    """How many workers; None: what the engine finds right; 0: none but this process."""
    max_sessions: int | None = None
    """The most sessions at a time; None: what the machine carries in real time."""
    address: str | None = None
    """Where the engine's cluster is; None means this machine."""
    resume: bool = True
    """Whether a folder that has some of this batch's results is gone on with."""
    retry_failed: bool = False
    """Whether jobs that have failed are run again."""
    parquet: bool = False
    """Whether the rows are written to ``results.parquet`` too, at the end."""
    allow: Sequence[str] | None = None
    """Plugins to load, as for `PluginManager`."""


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is."""

    total: int
    done: int
    """Those of earlier starts included."""
    failed: int
    resumed: int
    """How many were done before this start."""
    elapsed_s: float
    state: EngineState
    row: ResultRow | None = None
    """The row that was just written; None when something else has changed."""

    @property
    def rate(self) -> float:
        """Jobs a second, since this start."""
        return (self.done - self.resumed) / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """How long it will still take, if it goes on so; None before the first job is done."""
        rate = self.rate
        return (self.total - self.done) / rate if rate > 0 else None


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """What a batch came to."""

    folder: Path
    total: int
    ok: int
    failed: int
    resumed: int
    """How many were done before this start."""
    duration_s: float
    sessions: float = 0.0
    """How many there were at a time since this start, on average."""
    most_sessions: int = 0
    late: int = 0
    """Jobs of this start whose audio left more than `LATE_MS` late: their latencies tell of this
    machine as well."""


async def run_batch(
    inputs: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    options: BatchOptions | None = None,
    *,
    api_key: str | SecretStr | None = None,
    plugins: PluginManager | None = None,
    on_progress: Callable[[BatchProgress], None] = lambda _: None,
) -> BatchSummary:
    """Run all jobs that have no row yet.

    Cancelling it closes all sessions; what is done stays done, and the same call goes on there.

    Args:
        inputs: As for `load_jobs`.
        out: The folder of the results; see `realtime_core.batch.results_file`.
        options: The rest.
        api_key: The key; None means the environment's, as ``realtime run`` takes it.
        plugins: Those of this process; None means the installed ones. Workers in other processes
            have the installed ones in any case.
        on_progress: Called on the event loop when something has changed.

    Raises:
        UserError: The inputs, the options or the folder do not fit; nothing was run.
        RealtimeError: Something went wrong that concerns all jobs. What is done stays done.
    """
    options = options or BatchOptions()
    plugins = plugins or PluginManager(allow=options.allow)
    jobs = await asyncio.to_thread(load_jobs, inputs)
    engine = _check_before(jobs, options, plugins)
    key = _key(options, api_key)
    folder = BatchFolder(Path(out))
    recorded = _recorded_settings(options)
    await asyncio.to_thread(
        folder.open, jobs, recorded, resume=options.resume, retry_failed=options.retry_failed
    )
    with folder:
        run = _Run(jobs, folder, on_progress)
        if run.waiting:
            async with _endpoint(options, plugins) as settings:
                context = BatchContext(
                    settings=settings,
                    api_key=key,
                    scratch=folder.scratch,
                    plugins=plugins,
                    allow=options.allow,
                    processes=options.processes,
                    max_sessions=options.max_sessions,
                    address=options.address,
                    tell=run.note_state,
                )
                await run.take_all(engine, context, options.engine)
        if options.parquet:
            from realtime_core.batch.parquet import write_parquet

            partial = folder.scratch / PARQUET
            with _writing(folder.path):
                await asyncio.to_thread(write_parquet, read_rows(folder.path), partial)
                partial.replace(folder.path / PARQUET)
        return run.summary()


class _Run:
    """The one that writes."""

    def __init__(
        self, jobs: Sequence[Job], folder: BatchFolder, on_progress: Callable[[BatchProgress], None]
    ) -> None:
        self._folder = folder
        self._on_progress = on_progress
        self._total = len(jobs)
        self.waiting = [job for job in jobs if job.id not in folder.done]
        self._resumed = len(folder.done)
        self._failed = sum(not is_ok for is_ok in folder.done.values())
        self._late = 0
        self._state = EngineState(0, 0, 0)
        self._sessions = _SessionCount()
        self._began_s = time.monotonic()

    async def take_all(self, engine: BatchEngine, context: BatchContext, name: str) -> None:
        """Write a row for each job."""
        try:
            await self._take_all(engine, context, name)
        except (asyncio.CancelledError, RealtimeError) as exc:
            exc.add_note(
                f"{len(self._folder.done)} of {self._total} jobs are done; "
                "the same command goes on from there"
            )
            raise
        missing = [job.id for job in self.waiting if job.id not in self._folder.done]
        if missing:
            raise RealtimeError(f"the engine gave no result for {len(missing)} jobs: {missing[:3]}")

    async def _take_all(self, engine: BatchEngine, context: BatchContext, name: str) -> None:
        over = asyncio.Event()
        syncing = asyncio.get_running_loop().create_task(self._sync(over))
        try:
            async with aclosing(engine.run(self.waiting, context)) as results:
                async for result in results:
                    if syncing.done():
                        break  # the disk has failed
                    self._take(result)
        except OSError as exc:  # an engine is foreign code
            raise RealtimeError(f"the engine {name!r} failed: {exc}") from exc
        finally:
            self._sessions.note(0)
            over.set()
            with _writing(self._folder.path):
                await syncing

    def note_state(self, state: EngineState) -> None:
        """The engine tells how it is doing."""
        self._state = state
        self._sessions.note(state.running)
        self._tell(None)

    def summary(self) -> BatchSummary:
        """What it came to."""
        ok = sum(self._folder.done.values())
        return BatchSummary(
            folder=self._folder.path,
            total=self._total,
            ok=ok,
            failed=len(self._folder.done) - ok,
            resumed=self._resumed,
            duration_s=round(time.monotonic() - self._began_s, 3),
            sessions=round(self._sessions.mean, 2),
            most_sessions=self._sessions.most,
            late=self._late,
        )

    def _take(self, result: JobResult) -> None:
        if result.row.id in self._folder.done:
            return  # an engine may do a job twice; it is seen once
        error = result.row.error
        with _writing(self._folder.path):
            if error is not None and error.stage == "output":
                self._folder.check_room()  # it fails no job that there is none
            row = self._folder.take(replace(result, row=with_word_errors(result.row)))
        self._failed += row.status == "failed"
        self._late += (row.media_lateness_ms or 0.0) > LATE_MS
        self._tell(row)

    def _tell(self, row: ResultRow | None) -> None:
        self._on_progress(
            BatchProgress(
                total=self._total,
                done=len(self._folder.done),
                failed=self._failed,
                resumed=self._resumed,
                elapsed_s=time.monotonic() - self._began_s,
                state=self._state,
                row=row,
            )
        )

    async def _sync(self, over: asyncio.Event) -> None:
        """Bring rows to the disk every second and, as nothing is cut off there, at the end."""
        while not over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(SYNC_EVERY_S):
                    await over.wait()
            await asyncio.to_thread(self._folder.sync)


class _SessionCount:
    """How many sessions there are at a time."""

    def __init__(self) -> None:
        self._running = 0
        self._since_s = self._began_s = time.monotonic()
        self._session_s = 0.0
        self.most = 0

    @property
    def mean(self) -> float:
        """Over the time until the last change."""
        passed_s = self._since_s - self._began_s
        return self._session_s / passed_s if passed_s > 0 else 0.0

    def note(self, running: int) -> None:
        """There are so many from now on."""
        now_s = time.monotonic()
        self._session_s += self._running * (now_s - self._since_s)
        self._since_s = now_s
        self._running = running
        self.most = max(self.most, running)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Tell of what the disk does not take."""
    try:
        yield
    except OSError as exc:
        raise UserError(f"{folder} cannot be written: {exc}") from exc


def _check_before(
    jobs: Sequence[Job], options: BatchOptions, plugins: PluginManager
) -> BatchEngine:
    """Refuse what cannot work, before anything is written."""
    require_jiwer(jobs)
    if options.parquet:
        from realtime_core.batch.parquet import require_pyarrow

        require_pyarrow()
    if options.max_sessions is not None and options.max_sessions < 1:
        raise UserError(f"max_sessions must be at least 1, not {options.max_sessions}")
    settings = options.settings
    plugins.factory("transport", settings.transport)
    for spec in settings.middlewares:
        plugins.middleware(spec)
    engine: BatchEngine = plugins.factory("batch engine", options.engine)()
    return engine


def _key(options: BatchOptions, given: str | SecretStr | None) -> SecretStr | None:
    """The key for the endpoint, which is also checked."""
    if given is not None:
        return given if isinstance(given, SecretStr) else SecretStr(given)
    if options.to == LOCAL:
        return SecretStr("local")
    return SecretStr(_named_endpoint(options).api_key())


def _named_endpoint(options: BatchOptions) -> Any:
    is_socket = options.settings.transport in SOCKET_TRANSPORTS
    return endpoint_for(options.to, is_socket=is_socket)


@asynccontextmanager
async def _endpoint(options: BatchOptions, plugins: PluginManager) -> AsyncIterator[JobSettings]:
    """The settings with the endpoint in them; a local server runs meanwhile."""
    settings = options.settings
    if options.to != LOCAL:
        url = _named_endpoint(options).url
        yield settings.model_copy(update={"url": url})
    elif settings.transport == "memory":
        chosen = {"responder": options.responder, **settings.transport_options}
        yield settings.model_copy(update={"transport_options": chosen})
    else:
        make = plugins.factory("local server", "openai")
        server = make(
            host="127.0.0.1",
            port=0,
            responder=options.responder,
            plugins=plugins,
            max_sessions=SERVER_SESSIONS,
        )
        async with server as running:
            url = _named_endpoint(replace(options, to=running.url)).url
            yield settings.model_copy(update={"url": url})


def _recorded_settings(options: BatchOptions) -> dict[str, Any]:
    """What changes the results; what only changes how fast they come is left out."""
    recorded: dict[str, Any] = options.settings.model_dump(
        mode="json", exclude={"max_attempts", "url"}
    )
    recorded["to"] = options.to
    if options.to == LOCAL:
        recorded["responder"] = options.responder
    return recorded
