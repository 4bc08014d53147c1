"""``realtime batch``: many recordings in, their answers and a row of results for each out."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from realtime_core.cli.batch_options import BatchArguments
from realtime_core.cli.batch_progress import make_batch_display, span
from realtime_core.cli.exit_codes import ExitCode
from realtime_core.cli.text import one_line
from realtime_core.errors import UserError
from realtime_core.loop_lag import keep_what_is_loaded

if TYPE_CHECKING:
    from realtime_core.batch.run import BatchOptions, BatchProgress, BatchSummary

__all__ = ["run_batch_command", "summary_lines"]

CAUSES_SHOWN = 3


async def run_batch_command(arguments: BatchArguments) -> ExitCode:
    """Run the batch; the exit code is 1 when a job failed, now or at an earlier start.

    Raises:
        RealtimeError: What `exit_with` turns into an exit code.
    """
    from realtime_core.batch.run import run_batch

    options = _options(arguments)
    with make_batch_display(as_json=arguments.as_json) as display:
        show = _after_loading(display.show)
        summary = await run_batch(arguments.inputs, arguments.out, options, on_progress=show)
    _print_summary(summary, as_json=arguments.as_json)
    return ExitCode.FAILED if summary.failed else ExitCode.DONE


def _after_loading(show: Callable[[BatchProgress], None]) -> Callable[[BatchProgress], None]:
    """The same; with the first row, the local server and its models are loaded."""
    is_loaded = False

    def shown(progress: BatchProgress) -> None:
        nonlocal is_loaded
        if progress.row is not None and not is_loaded:
            is_loaded = True
            keep_what_is_loaded()
        show(progress)

    return shown


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
        middlewares=tuple(arguments.middlewares or ()),
        max_attempts=arguments.max_attempts,
    )
    shared = {field.name for field in dataclasses.fields(BatchOptions)} - {"settings"}
    return BatchOptions(settings, **{name: getattr(arguments, name) for name in shared})


def _transport_options(transport: str, pace: str | None) -> dict[str, Any]:
    if transport == "websocket":
        return {"pace": str(pace or "fast")}
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
    causes = cause_lines(summary) if summary.failed else ()
    for line in summary_lines(summary, causes):
        print(one_line(line))


def cause_lines(summary: BatchSummary) -> Iterator[str]:
    """Why jobs failed: the causes of most of them."""
    from realtime_core.batch import read_rows
    from realtime_core.report.causes import causes

    found = causes(read_rows(summary.folder))
    for cause in found[:CAUSES_SHOWN]:
        message, _ = cause.messages[0]
        yield f"failed: {cause.count} x {cause.key}: {message}"
    others = sum(cause.count for cause in found[CAUSES_SHOWN:])
    if others:
        yield f"failed: {others} x for other reasons, which the report lists"


def summary_lines(summary: BatchSummary, causes: Iterable[str] = ()) -> Iterator[str]:
    """What a batch came to, for people; `causes` says why jobs failed."""
    before = f" ({summary.resumed} of them before this start)" if summary.resumed else ""
    yield f"done: {summary.ok} of {summary.total} jobs went well, {summary.failed} failed{before}"
    yield from causes
    took = span(summary.duration_s) if summary.duration_s >= 60 else f"{summary.duration_s:.1f} s"
    if summary.most_sessions:
        took += f", {summary.sessions:.1f} sessions at a time, {summary.most_sessions} at most"
    yield f"took: {took}"
    if summary.late:
        jobs = "1 job" if summary.late == 1 else f"{summary.late} jobs"
        yield f"late: audio left late in {jobs}; their latencies are partly this machine's"
    yield f"results: {summary.folder / 'results.jsonl'}"
    yield f"next: realtime report {shlex.quote(str(summary.folder))}"
