"""Runs one job to its row, with as many attempts as it may have."""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr

from realtime_core.turn import TurnTaking

if TYPE_CHECKING:
    from realtime_core.batch.manifest import Job
    from realtime_core.batch.results import ResultRow
    from realtime_core.plugins import PluginManager

__all__ = ["JobEnvironment", "JobSettings", "run_job"]

log = logging.getLogger(__name__)


class JobSettings(BaseModel):
    """What all jobs of a batch have in common. It holds no secret and can be pickled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    transport: str = "webrtc"
    """The name of a plugin's transport."""
    transport_options: dict[str, JsonValue] = Field(default_factory=dict)
    """More keyword arguments for it."""
    url: str | None = None
    """The full endpoint; None means the provider's own."""
    model: str | None = None
    instructions: str | None = None
    voice: str | None = None
    session: dict[str, JsonValue] = Field(default_factory=dict)
    """More of the session's configuration; what a job says counts more."""
    taking: TurnTaking = TurnTaking.MANUAL
    deadline_s: Annotated[float, Field(gt=0)] = 120.0
    """How long an answer may take, from its question's end to its last sound."""
    records_conversation: bool = True
    middlewares: tuple[str, ...] = ()
    """Specs; the first is the nearest to the program."""
    max_attempts: Annotated[int, Field(ge=1)] = 3

    @property
    def is_realtime(self) -> bool:
        """Whether questions are sent as they would be spoken."""
        return self.transport != "memory" and self.transport_options.get("pace") != "fast"

    def session_config(self, job: Job) -> dict[str, Any]:
        """The session's configuration for a job, but for who takes turns."""
        config: dict[str, Any] = {}
        if self.voice:
            config["audio"] = {"output": {"voice": self.voice}}
        config = _merged(config, self.session)
        config = _merged(config, job.session)
        instructions = job.instructions if job.instructions is not None else self.instructions
        if instructions is not None:
            config["instructions"] = instructions
        if job.tools:
            config["tools"] = [dict(tool) for tool in job.tools]
        return config


@dataclass(frozen=True)
class JobEnvironment:
    """Where a job runs."""

    plugins: PluginManager
    api_key: SecretStr | None = None
    worker: str = ""
    """For the row."""
    on_connected: Callable[[], None] = field(default_factory=lambda: lambda: None)
    """Called when a session stands."""
    on_late: Callable[[float], None] = field(default_factory=lambda: ignore)
    """Gets, for each frame that is sent in real time, by how many seconds it is late."""
    sleep: Callable[[float], Awaitable[None]] = field(default_factory=lambda: asyncio.sleep)
    """Waits between attempts."""


def ignore(_: object) -> None:
    """For what nobody wants to know."""


async def run_job(
    job: Job, settings: JobSettings, *, folder: Path, environment: JobEnvironment
) -> ResultRow:
    """Have the conversation, and tell what became of it.

    A failure that another attempt may mend (the network, a server that asks to wait) is followed
    by one, as long as `JobSettings.max_attempts` allows it.

    Args:
        job: The job.
        settings: What all jobs have in common.
        folder: For its recordings, which the row names relative to it. What is in it is removed.
        environment: The rest.

    Raises:
        asyncio.CancelledError: It was cancelled; everything is closed. Nothing else is raised.
    """
    from realtime_core.batch.failures import describe_failure, retry_delay_s, row_without_session
    from realtime_core.batch.session import JobSession

    attempt = 0
    while True:
        attempt += 1
        shutil.rmtree(folder, ignore_errors=True)
        session = JobSession(job, settings, folder, environment)
        try:
            row = (await session.run()).model_copy(update={"attempts": attempt})
        except Exception as exc:  # a defect here, which must not have the batch wait for ever
            log.exception("job %s could not be run to its end", job.id)
            failure = describe_failure(exc, is_connected=False, turn=None)
            failure = failure.model_copy(update={"stage": "worker"})
            return row_without_session(job, failure, attempts=attempt, now=datetime.now(UTC))
        if session.failure is None or attempt >= settings.max_attempts:
            return row
        # By chance, so that jobs that failed together do not come back together.
        delay_s = retry_delay_s(session.failure, attempt, random.Random())  # noqa: S311
        if delay_s is None:
            return row
        await environment.sleep(delay_s)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Both configurations; where both say something, what is above."""
    merged = dict(below)
    for key, value in above.items():
        before = merged.get(key)
        is_both = isinstance(before, dict) and isinstance(value, dict)
        merged[key] = _merged(before, value) if is_both and isinstance(before, dict) else value
    return merged
