"""``realtime report``: a page about one folder of results, or about what changed in a second."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_core.cli.exit_codes import ExitCode
from realtime_core.cli.text import one_line
from realtime_core.errors import UserError

if TYPE_CHECKING:
    from realtime_core.report.comparison import Comparison, MetricChange
    from realtime_core.report.recordings import EmbedLimit
    from realtime_core.report.runs import Run
    from realtime_core.report.write import Report

__all__ = ["ReportOptions", "embed_limit", "make_report", "write_report_in_thread"]

DEFAULT_NAME = "report.html"
COMPARISON_NAME = "comparison.html"

VERDICTS = {
    "better": "better",
    "worse": "worse",
    "different": "different",
    "unclear": "no clear change",
    "incomparable": "not comparable",
}


@dataclass(frozen=True)
class ReportOptions:
    """The command's options."""

    folders: tuple[Path, ...]
    """One or two."""
    out: Path | None
    embed: str | None
    as_json: bool


async def make_report(options: ReportOptions) -> ExitCode:
    """Write the page and say where it is.

    Raises:
        UserError: There are no results, or none to compare, or the page cannot be written.
    """
    from realtime_core.report.runs import read_run

    limit = embed_limit(options.embed)
    runs = [read_run(folder) for folder in options.folders]
    out = options.out or _default_out(options.folders)
    report = await write_report_in_thread(runs, out, limit, is_quiet=options.as_json)
    if options.as_json:
        print(json.dumps(_described(report, runs)))
    else:
        for line in _lines(report, runs):
            print(one_line(line))
    return ExitCode.DONE


def embed_limit(text: str | None) -> EmbedLimit:
    """What ``--embed`` asks for.

    Raises:
        UserError: It is neither ``all`` nor ``none`` nor a number.
    """
    from realtime_core.report.recordings import EmbedLimit

    if text is None:
        return EmbedLimit()
    if text == "all":
        return EmbedLimit(None, None)
    if text == "none":
        return EmbedLimit(0, None)
    if text.isascii() and text.isdecimal():
        return EmbedLimit(int(text), None)
    raise UserError(f"--embed takes all, none or a number of conversations, not {text!r}")


async def write_report_in_thread(
    runs: Sequence[Run], out: Path, limit: EmbedLimit, *, is_quiet: bool
) -> Report:
    """Write it such that an interruption is heard meanwhile: then there is no new page."""
    from realtime_core.report.write import write_report

    is_stopped = threading.Event()
    progress = _Progress(is_shown=not is_quiet and sys.stderr.isatty())

    def on_progress(done: int, count: int) -> None:
        if is_stopped.is_set():
            raise InterruptedError
        progress.show(done, count)

    working = asyncio.ensure_future(
        asyncio.to_thread(write_report, runs, out, limit=limit, on_progress=on_progress)
    )
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        is_stopped.set()
        await asyncio.gather(working, return_exceptions=True)
        raise
    finally:
        progress.clear()


class _Progress:
    """A line on a terminal."""

    def __init__(self, *, is_shown: bool) -> None:
        self._is_shown = is_shown

    def show(self, done: int, count: int) -> None:
        if self._is_shown:
            print(f"\rrecordings {done}/{count}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._is_shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _default_out(folders: Sequence[Path]) -> Path:
    if len(folders) == 1:
        return folders[0] / DEFAULT_NAME
    # Above both, if they lie side by side: then it plays the recordings where they are.
    return folders[1].resolve().parent / COMPARISON_NAME


def _lines(report: Report, runs: Sequence[Run]) -> list[str]:
    lines = [f"{report.path}: {_size(report)}"]
    for run in runs:
        failed = sum(row.status == "failed" for row in run.rows)
        lines.append(f"{run.name}: {len(run.rows)} conversations, {failed} failed")
    if report.comparison is not None:
        lines += _compared(report.comparison)
    return lines


def _size(report: Report) -> str:
    size = f"{report.size_bytes / 1e6:.1f} MB"
    if report.beside:
        size += f", plays {report.beside} recordings from below {report.path.parent}"
    return size


def _compared(comparison: Comparison) -> list[str]:
    from realtime_core.report.figures import shown, shown_change

    lines = []
    for each in comparison.changes:
        change, unit = each.headline, each.metric.unit
        interval = ""
        if change.low is not None and change.high is not None:
            interval = (
                f" (95 %: {shown_change(change.low, unit)} to {shown_change(change.high, unit)})"
            )
        lines.append(
            f"{each.metric.title}: {shown(change.before, unit)} -> {shown(change.after, unit)}, "
            f"{shown_change(change.difference, unit)}{interval}: {_verdict(each)}"
        )
    if comparison.of("incomparable"):
        unlike = "; ".join(each.text for each in comparison.load.unlike)
        lines.append(f"not comparable, as load differed: {unlike}. {comparison.load.advice}")
    lines.append(f"fail now and did not: {', '.join(comparison.appeared) or 'none'}")
    lines.append(f"failed and do not now: {', '.join(comparison.vanished) or 'none'}")
    return lines


def _verdict(change: MetricChange) -> str:
    from realtime_core.report.statistics import FEWEST_PAIRS

    if change.verdict == "few":
        return f"too few pairs to tell ({change.headline.pairs} of at least {FEWEST_PAIRS})"
    return VERDICTS[change.verdict]


def _described(report: Report, runs: Sequence[Run]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "report": str(report.path),
        "size_bytes": report.size_bytes,
        "embedded": report.embedded,
        "beside": report.beside,
        "runs": [
            {
                "name": run.name,
                "conversations": len(run.rows),
                "failed": sum(row.status == "failed" for row in run.rows),
            }
            for run in runs
        ],
    }
    if report.comparison is not None:
        comparison = report.comparison
        described["comparison"] = {
            "pairs": len(comparison.pairs),
            "appeared": list(comparison.appeared),
            "vanished": list(comparison.vanished),
            "unlike": [asdict(each) for each in comparison.load.unlike],
            "changes": {
                each.metric.key: {
                    "statistic": each.metric.statistic,
                    "unit": each.metric.unit,
                    **_rounded(asdict(each.headline)),
                    "verdict": each.verdict,
                }
                for each in comparison.changes
            },
        }
    return described


def _rounded(figures: dict[str, float | None]) -> dict[str, float | None]:
    return {name: None if each is None else round(each, 4) for name, each in figures.items()}
