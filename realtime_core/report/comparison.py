"""Two runs of the same conversations: what got better, what worse, and what nobody can tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from realtime_core.batch.results import ResultRow
from realtime_core.errors import UserError
from realtime_core.report.conditions import Load, compare_load
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
    is_comparable: bool = True
    """False where the load of the runs may be all that made it, or hides it."""

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``different``, ``unclear``, ``few`` or ``incomparable``.

        Few are too few to tell.
        """
        return verdict(self.metric, self.headline) if self.is_comparable else "incomparable"


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
    load: Load
    """How the load of the runs differed."""

    def of(self, verdict: str) -> tuple[MetricChange, ...]:
        """The changes with this verdict."""
        return tuple(each for each in self.changes if each.verdict == verdict)


def compare(before: Run, after: Run) -> Comparison:
    """Compare two runs by their conversations' ids.

    Raises:
        UserError: No conversation is in both, so there is nothing to compare.
    """
    first = {row.id: row for row in before.rows}
    second = {row.id: row for row in after.rows}
    pairs = tuple((first[each], second[each]) for each in first if each in second)
    if not pairs:
        there, here = (next(iter(ids), None) for ids in (first, second))
        raise UserError(
            f"no conversation is in both {before.folder} and {after.folder}, so there is nothing "
            f"to compare (ids such as {there!r} there, {here!r} here); "
            "run the same recordings or the same manifest twice"
        )
    load = compare_load(before, after, pairs)
    return Comparison(
        pairs=pairs,
        only_before=tuple(row for each, row in first.items() if each not in second),
        only_after=tuple(row for each, row in second.items() if each not in first),
        appeared=tuple(b.id for a, b in pairs if a.status == "ok" and b.status == "failed"),
        vanished=tuple(b.id for a, b in pairs if a.status == "failed" and b.status == "ok"),
        changes=tuple(
            change
            for metric in (FAILED, *METRICS)
            if (change := _change(metric, pairs, load)) is not None
        ),
        load=load,
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


def _change(
    metric: Metric, pairs: Sequence[tuple[ResultRow, ResultRow]], load: Load
) -> MetricChange | None:
    values = [(metric.value(a), metric.value(b)) for a, b in pairs]
    places = [place for place, both in enumerate(values) if None not in both]
    if not places:
        return None
    before, after = ([cast("float", values[place][side]) for place in places] for side in (0, 1))
    headline = paired_change(before, after, metric.statistic)
    tail = None if metric.unit == "%" else paired_change(before, after, "p95")
    least = None
    if load.excess_ms is not None and metric.unit == "ms":
        excess_ms = [load.excess_ms[place] for place in places]
        lessened = [value - more for value, more in zip(after, excess_ms, strict=True)]
        least = paired_change(before, lessened, metric.statistic)
    return MetricChange(
        metric,
        headline,
        tail if tail and tail.low is not None else None,
        not metric.grows_with_load or _outlasts(metric, headline, least, load),
    )


def _outlasts(metric: Metric, change: Change, least: Change | None, load: Load) -> bool:
    """Whether the verdict is the same whatever part of the figures is the load's.

    Args:
        metric: What is compared.
        change: As it was measured.
        least: The same without all that lateness may have added; None where lateness is alike, or
            what it adds is not known.
        load: How it differed.
    """
    told = verdict(metric, change)
    if told == "few":
        return True
    if (load.lengthens_after and told != "better") or (load.lengthens_before and told != "worse"):
        return False
    if least is None:
        return load.excess_ms is None
    return verdict(metric, least) == told
