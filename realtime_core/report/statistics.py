"""What can be said of many figures, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FEWEST_PAIRS",
    "STATISTICS",
    "Bins",
    "Change",
    "Distribution",
    "bins_for",
    "nice_step",
    "paired_change",
]

Floats: TypeAlias = NDArray[np.float64]
Statistic: TypeAlias = Callable[..., Any]
"""A function of an array and an ``axis``."""

FEWEST_PAIRS = 8
"""With fewer, resampling tells an interval that is much too narrow."""

FEWEST_PAIRS_FOR_TAIL = 40
"""With fewer, the 95th percentile is one or two conversations."""

RESAMPLES = 4000
SEED = 20_260
CHUNK = 2_000_000
"""Indices at a time: 16 MB."""

MOST_BINS = 24


def _p95(values: Floats, axis: int | None = None) -> Any:
    return np.percentile(values, 95, axis=axis)


STATISTICS: dict[str, Statistic] = {"median": np.median, "mean": np.mean, "p95": _p95}


@dataclass(frozen=True, slots=True)
class Distribution:
    """Many figures in a few. Percentiles are interpolated between neighbours."""

    count: int
    low: float
    p50: float
    p95: float
    high: float
    mean: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Distribution | None:
        """That of these values; None where there are none."""
        if not values:
            return None
        array = np.asarray(values, np.float64)
        p50, p95 = np.percentile(array, (50, 95))
        return cls(
            len(array),
            float(array.min()),
            float(p50),
            float(p95),
            float(array.max()),
            float(array.mean()),
        )


@dataclass(frozen=True, slots=True)
class Bins:
    """Equally wide pieces of an axis, which begin at round numbers."""

    first: int
    """The first one's number: it begins at so many steps."""
    step: float
    count: int

    @property
    def start(self) -> float:
        """Where the first one begins."""
        return self.first * self.step

    @property
    def end(self) -> float:
        """Where the last one ends."""
        return (self.first + self.count) * self.step

    def fill(self, values: Sequence[float]) -> tuple[int, ...]:
        """How many of the values lie in each; those beyond the last are in none."""
        # By the bins' numbers, so that a value at an edge is where its own division puts it.
        places = np.floor(np.asarray(values, np.float64) / self.step).astype(np.int64) - self.first
        inside = places[(places >= 0) & (places < self.count)]
        return tuple(int(each) for each in np.bincount(inside, minlength=self.count))


def nice_step(span: float, most: int) -> float:
    """The smallest of …, 1, 2, 5, 10, … that divides a span into at most so many pieces."""
    least = span / most
    power = 10.0 ** np.floor(np.log10(least))
    for factor in (1, 2, 5):
        if factor * power >= least * (1 - 1e-9):
            return float(factor * power)
    return float(10 * power)


def bins_for(values: Sequence[float]) -> Bins:
    """Bins for a histogram: a few values that lie far above all others are left out.

    Args:
        values: At least one.
    """
    array = np.asarray(values, np.float64)
    low, p95, high = (float(each) for each in np.percentile(array, (0, 95, 100)))
    if low == high:
        step = nice_step(abs(low) or 1.0, 5)
        first = int(np.floor(low / step)) - 2
        return Bins(max(0, first) if low >= 0 else first, step, 5)
    end = low + 2.0 * (p95 - low)
    top = end if p95 > low and high > end else high
    step = nice_step(top - low, min(MOST_BINS, 4 + 2 * round(len(array) ** 0.5)))
    first = int(np.floor(low / step))
    return Bins(first, step, int(np.floor(top / step)) - first + 1)


@dataclass(frozen=True, slots=True)
class Change:
    """How a figure differs between two runs of the same conversations."""

    pairs: int
    before: float
    after: float
    low: float | None
    """Where the difference's 95 % interval begins; None with too few pairs to tell."""
    high: float | None

    @property
    def difference(self) -> float:
        """After minus before."""
        return self.after - self.before

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def paired_change(
    before: Sequence[float], after: Sequence[float], statistic: str = "median"
) -> Change:
    """The change of a statistic, with its percentile bootstrap interval.

    Pairs are drawn together, so what makes one conversation slower than another in both runs does
    not blur the difference. The same values give the same interval.

    Args:
        before: A value a conversation, at least one.
        after: The same conversations' values in the other run, in the same order.
        statistic: A name of `STATISTICS`.
    """
    measure = STATISTICS[statistic]
    first, second = np.asarray(before, np.float64), np.asarray(after, np.float64)
    low = high = None
    fewest = FEWEST_PAIRS_FOR_TAIL if statistic == "p95" else FEWEST_PAIRS
    if len(first) >= fewest:
        low, high = (
            float(each) for each in np.percentile(_differences(first, second, measure), (2.5, 97.5))
        )
    return Change(len(first), float(measure(first)), float(measure(second)), low, high)


def _differences(first: Floats, second: Floats, measure: Statistic) -> Floats:
    random = np.random.default_rng(SEED)
    count = len(first)
    found, left = [], RESAMPLES
    while left:
        rows = min(left, max(1, CHUNK // count))
        drawn = random.integers(0, count, (rows, count))
        found.append(measure(second[drawn], axis=1) - measure(first[drawn], axis=1))
        left -= rows
    return np.concatenate(found)
