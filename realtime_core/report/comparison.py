"""Two runs of the same conversations: what got better, what worse, and what nobody can tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from realtime_core.batch.results import ResultRow
from realtime_core.report.metrics import METRICS, Metric
from realtime_core.report.runs import Run
from realtime_core.report.statistics import Change, paired_change

__all__ = ["FAILED", "Comparison", "MetricChange", "compare"]

FAILED = Metric(
    "failed",
    "Failed",
    "%",
    "words",
    "conversations that did not come to their end",
    of_row=lambda row: 100.0 * (row.status == "failed"),
    statistic="mean",
)


@dataclass(frozen=True)
class MetricChange:
    """How one figure changed."""

    metric: Metric
    headline: Change
    """Of the metric's own statistic."""
    tail: Change | None
    """Of the 95th percentile, where that is more than one or two conversations."""

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``different``, ``unclear`` or ``few`` (too few to tell)."""
        return verdict(self.metric, self.headline)


@dataclass(frozen=True)
class Comparison:
    """What `compare` found."""

    pairs: tuple[tuple[ResultRow, ResultRow], ...]
    """The conversations that are in both runs."""
    only_before: tuple[ResultRow, ...]
    only_after: tuple[ResultRow, ...]
    appeared: tuple[str, ...]
    """Ids of conversations that fail now and did not."""
    vanished: tuple[str, ...]
    """Ids of conversations that failed and do not now."""
    changes: tuple[MetricChange, ...]

    def of(self, verdict: str) -> tuple[MetricChange, ...]:
        """The changes with this verdict."""
        return tuple(each for each in self.changes if each.verdict == verdict)


def compare(before: Run, after: Run) -> Comparison:
    """Compare two runs by their conversations' ids."""
    first = {row.id: row for row in before.rows}
    second = {row.id: row for row in after.rows}
    pairs = tuple((first[each], second[each]) for each in first if each in second)
    return Comparison(
        pairs=pairs,
        only_before=tuple(row for each, row in first.items() if each not in second),
        only_after=tuple(row for each, row in second.items() if each not in first),
        appeared=tuple(b.id for a, b in pairs if a.status == "ok" and b.status == "failed"),
        vanished=tuple(b.id for a, b in pairs if a.status == "failed" and b.status == "ok"),
        changes=tuple(
            change
            for metric in (FAILED, *METRICS)
            if (change := _change(metric, pairs)) is not None
        ),
    )


def verdict(metric: Metric, change: Change) -> str:
    """What a change means; see `MetricChange.verdict`."""
    if change.low is None:
        return "few"
    if not change.is_clear:
        return "unclear"
    if metric.is_less_better is None:
        return "different"
    return "better" if (change.difference < 0) is metric.is_less_better else "worse"


def _change(metric: Metric, pairs: Sequence[tuple[ResultRow, ResultRow]]) -> MetricChange | None:
    values = [(metric.value(a), metric.value(b)) for a, b in pairs]
    both = [(a, b) for a, b in values if a is not None and b is not None]
    if not both:
        return None
    before, after = zip(*both, strict=True)
    headline = paired_change(before, after, metric.statistic)
    tail = None if metric.unit == "%" else paired_change(before, after, "p95")
    return MetricChange(metric, headline, tail if tail and tail.low is not None else None)
