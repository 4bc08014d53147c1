"""``realtime batch``: many recordings in, their answers and a row of results for each out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_core.cli.batch_progress import make_batch_display
from realtime_core.cli.exit_codes import ExitCode
from realtime_core.cli.text import one_line
from realtime_core.errors import UserError
from realtime_core.turn import TurnTaking

if TYPE_CHECKING:
    from realtime_core.batch.run import BatchOptions, BatchSummary

__all__ = ["BatchArguments", "run_batch_command"]


@dataclass(frozen=True)
class BatchArguments:
    """The command's arguments and options."""

    inputs: tuple[str, ...]
    out: Path
    to: str
    transport: str
    taking: TurnTaking
    pace: str | None
    """``realtime`` or ``fast``; None: fast where the transport can."""
    model: str | None
    instructions: str | None
    voice: str | None
    responder: str
    deadline_s: float
    max_attempts: int
    records_conversation: bool
    middlewares: tuple[str, ...]
    engine: str
    address: str | None
    processes: int | None
    max_sessions: int | None
    resume: bool
    retry_failed: bool
    parquet: bool
    as_json: bool
    allow: list[str] | None


async def run_batch_command(arguments: BatchArguments) -> ExitCode:
    """Run the batch; the exit code is 1 when a job failed, now or at an earlier start.

    Raises:
        RealtimeError: What `exit_with` turns into an exit code.
    """
    from realtime_core.batch.run import run_batch

    options = _options(arguments)
    with make_batch_display(as_json=arguments.as_json) as display:
        summary = await run_batch(
            arguments.inputs, arguments.out, options, on_progress=display.show
        )
    _print_summary(summary, as_json=arguments.as_json)
    return ExitCode.FAILED if summary.failed else ExitCode.DONE


def _options(arguments: BatchArguments) -> BatchOptions:
    from realtime_core.batch.job import JobSettings
    from realtime_core.batch.run import BatchOptions

    settings = JobSettings(
        transport=arguments.transport,
        transport_options=_transport_options(arguments.transport, arguments.pace),
        model=arguments.model,
        instructions=arguments.instructions,
        voice=arguments.voice,
        taking=arguments.taking,
        deadline_s=arguments.deadline_s,
        records_conversation=arguments.records_conversation,
        middlewares=arguments.middlewares,
        max_attempts=arguments.max_attempts,
    )
    shared = {field.name for field in dataclasses.fields(BatchOptions)} - {"settings"}
    return BatchOptions(settings, **{name: getattr(arguments, name) for name in shared})


def _transport_options(transport: str, pace: str | None) -> dict[str, Any]:
    if transport == "websocket":
        return {"pace": pace or "fast"}
    if pace == "fast" and transport != "memory":
        raise UserError(
            f"--pace fast: {transport} sends audio in real time; use --transport websocket"
        )
    return {}


def _print_summary(summary: BatchSummary, *, as_json: bool) -> None:
    if as_json:
        described = dataclasses.asdict(summary) | {"folder": str(summary.folder)}
        print(json.dumps(described))
        return
    for line in _summary_lines(summary):
        print(one_line(line))


def _summary_lines(summary: BatchSummary) -> Sequence[str]:
    before = f" ({summary.resumed} of them before this start)" if summary.resumed else ""
    return (
        f"done: {summary.ok} of {summary.total} jobs went well, {summary.failed} failed{before}",
        f"took: {summary.duration_s:.1f} s",
        f"results: {summary.folder / 'results.jsonl'}",
    )
