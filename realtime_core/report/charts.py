"""The geometry of the report's charts: numbers in, coordinates out; the page draws them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from realtime_core.report.comparison import MetricChange
from realtime_core.report.figures import shown, with_unit
from realtime_core.report.metrics import Metric
from realtime_core.report.statistics import Bins, Distribution, bins_for, nice_step

__all__ = ["Bar", "DistributionChart", "Interval", "Label", "distribution_chart", "intervals"]

Place: TypeAlias = Callable[[float], float]

WIDTH = 340.0
TOP, BOTTOM = 34.0, 116.0
LEFT, RIGHT = 8.0, 332.0
MOST_TICKS = 5
CHARACTER_WIDTH = 6.2
"""Of a tick's label, at 10.5 px: a wide font's digits."""

TICK_GAP = 8.0
MARGIN = 8.0
"""Beside the chart, inside the card."""
MOST_STEPS = 400
"""Of an empirical distribution; more cannot be seen."""


@dataclass(frozen=True, slots=True)
class Label:
    """A place on an axis and what stands there."""

    x: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Bar:
    """A bin of a histogram."""

    x: float
    y: float
    width: float
    height: float
    about: str


@dataclass(frozen=True, slots=True)
class DistributionChart:
    """A metric's distribution, drawn in two ways on the same axis."""

    metric: Metric
    distribution: Distribution
    bars: tuple[Bar, ...]
    steps: str
    """The empirical distribution function, as an SVG path."""
    ticks: tuple[Label, ...]
    percentiles: tuple[Label, ...]
    beyond: str
    """What lies right of the axis; empty when nothing does."""
    before: Distribution | None = None
    """That of the run that this one is compared with."""
    before_outline: str = ""
    """Its histogram, as an SVG path."""
    before_steps: str = ""

    @property
    def about(self) -> str:
        """The chart in words."""
        values, unit = self.distribution, self.metric.unit
        return (
            f"{self.metric.title}: {values.count} values from {shown(values.low, unit)} to "
            f"{shown(values.high, unit)}, half of them up to {shown(values.p50, unit)}, "
            f"95 % up to {shown(values.p95, unit)}"
        )


def distribution_chart(
    metric: Metric, values: Sequence[float], before: Sequence[float] = ()
) -> DistributionChart | None:
    """The chart of a metric's values; None where there are none.

    Args:
        metric: The metric.
        values: All of its values.
        before: Those of the run that it is compared with.
    """
    distribution = Distribution.of(values)
    if distribution is None:
        return None
    bins = bins_for([*values, *before])
    unit = metric.unit

    def x(value: float) -> float:
        share = (value - bins.start) / (bins.end - bins.start)
        return round(LEFT + min(1.0, max(0.0, share)) * (RIGHT - LEFT), 2)

    heights, before_heights = _heights(bins, values), _heights(bins, before)
    tallest = max(*heights, *before_heights) or 1.0
    beyond = sum(value >= bins.end for value in values)
    return DistributionChart(
        metric,
        distribution,
        _bars(bins, values, tallest, metric, x),
        _steps(values, x),
        _tick_labels(bins, unit, x),
        (
            _percentile("p50", distribution.p50, unit, x),
            _percentile("p95", distribution.p95, unit, x),
        ),
        f"{beyond} beyond {shown(bins.end, unit)}" if beyond else "",
        Distribution.of(before),
        _outline(bins, before_heights, tallest, x) if before else "",
        _steps(before, x) if before else "",
    )


def _heights(bins: Bins, values: Sequence[float]) -> list[float]:
    """The share of the values in each bin."""
    return [count / max(1, len(values)) for count in bins.fill(values)]


def _bars(
    bins: Bins, values: Sequence[float], tallest: float, metric: Metric, x: Place
) -> tuple[Bar, ...]:
    bars = []
    for number, count in enumerate(bins.fill(values)):
        if not count:
            continue
        low, high = (bins.start + (number + edge) * bins.step for edge in (0, 1))
        height = round((BOTTOM - TOP) * count / len(values) / tallest, 2)
        about = f"{shown(low, metric.unit)} to {shown(high, metric.unit)}: {count}"
        width = max(1.0, round(x(high) - x(low) - 1, 2))
        bars.append(Bar(x(low), round(BOTTOM - height, 2), width, height, about))
    return tuple(bars)


def _outline(bins: Bins, heights: Sequence[float], tallest: float, x: Place) -> str:
    parts = [f"M{LEFT} {BOTTOM}"]
    for number, height in enumerate(heights, start=1):
        y = round(BOTTOM - (BOTTOM - TOP) * height / tallest, 2)
        parts.append(f"V{y}H{x(bins.start + number * bins.step)}")
    return "".join([*parts, f"V{BOTTOM}"])


def _percentile(name: str, value: float, unit: str, x: Place) -> Label:
    """They stand in lines of their own, so that no two overlap wherever they are."""
    at = x(value)
    return Label(at, f"{name} {shown(value, unit)}", "start" if at < 0.6 * WIDTH else "end")


def _anchor(x: float, text: str) -> str:
    """In the middle of its tick, unless it would leave the card."""
    half = CHARACTER_WIDTH * len(text) / 2
    if x - half < -MARGIN:
        return "start"
    return "end" if x + half > WIDTH + MARGIN else "middle"


def _tick_labels(bins: Bins, unit: str, x: Place) -> tuple[Label, ...]:
    """As many as have room beside each other."""
    labels: tuple[Label, ...] = ()
    for most in range(MOST_TICKS, 0, -1):
        labels = tuple(
            Label(x(at), text, _anchor(x(at), text))
            for at, text in _ticks(bins.start, bins.end, unit, most)
        )
        ends = [_extent(label) for label in labels]
        if all(right + TICK_GAP <= left for (_, right), (left, _) in pairwise(ends)):
            break
    return labels


def _extent(label: Label) -> tuple[float, float]:
    """From where to where a tick's label reaches, about."""
    width = CHARACTER_WIDTH * len(label.text)
    left = label.x - {"start": 0.0, "middle": width / 2, "end": width}[label.anchor]
    return left, left + width


def _ticks(start: float, end: float, unit: str, most: int) -> list[tuple[float, str]]:
    step = nice_step(end - start, most)
    first, last = int(np.ceil(start / step - 1e-9)), int(np.floor(end / step + 1e-9))
    is_long = unit == "ms" and end >= 10_000
    scale, unit = (0.001, "s") if is_long else (1.0, unit)
    digits = max(0, -int(np.floor(np.log10(step * scale) + 1e-9)))
    return [
        (number * step, with_unit(number * step * scale, digits, unit))
        for number in range(first, last + 1)
    ]


def _steps(values: Sequence[float], x: Place) -> str:
    array = np.sort(np.asarray(values, np.float64))
    count = len(array)
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_STEPS)).round().astype(int))
    parts = [f"M{LEFT} {BOTTOM}"]
    for index in chosen:
        y = round(BOTTOM - (BOTTOM - TOP) * (index + 1) / count, 2)
        parts.append(f"H{x(float(array[index]))}V{y}")
    parts.append(f"H{RIGHT}")
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class Interval:
    """A change as a share of what it was, on an axis that all changes have in common."""

    low: float
    middle: float
    high: float
    is_cut_low: bool
    """Whether it goes on beyond the axis."""
    is_cut_high: bool
    beyond: str
    """The direction in which the change itself lies beyond the axis: ``left``, ``right`` or empty.
    """
    about: str


INTERVAL_WIDTH = 220.0
INTERVAL_MIDDLE = INTERVAL_WIDTH / 2
WIDEST_SHARE = 1.0


def intervals(changes: Sequence[MetricChange]) -> tuple[float, list[Interval | None]]:
    """The changes' intervals, and the share of the old value at which their axis ends.

    A metric that was zero, or has too few pairs, has none.
    """
    shares: list[tuple[float, float, float] | None] = []
    for each in changes:
        change = each.headline
        if change.low is None or change.high is None or change.before == 0:
            shares.append(None)
            continue
        by = abs(change.before)
        shares.append((change.low / by, change.difference / by, change.high / by))
    ends = [max(abs(low), abs(high)) for low, _, high in filter(None, shares)]
    widest = min(WIDEST_SHARE, max(ends, default=0.1) * 1.05) or 0.1
    return widest, [_interval(share, widest) for share in shares]


def _interval(share: tuple[float, float, float] | None, widest: float) -> Interval | None:
    if share is None:
        return None
    low, middle, high = (
        round(INTERVAL_MIDDLE * (1 + min(1.0, max(-1.0, each / widest))), 2) for each in share
    )
    about = f"{share[1]:+.1%}, 95 % interval {share[0]:+.1%} to {share[2]:+.1%}"
    beyond = "" if abs(share[1]) <= widest else "right" if share[1] > 0 else "left"
    return Interval(low, middle, high, share[0] < -widest, share[2] > widest, beyond, about)
