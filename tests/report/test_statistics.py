from __future__ import annotations

import statistics

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.report.statistics import (
    FEWEST_PAIRS,
    STATISTICS,
    Distribution,
    bins_for,
    nice_step,
    paired_change,
)

figures = st.lists(st.floats(-1e6, 1e6).map(lambda each: round(each, 3)), min_size=1, max_size=200)


def latencies(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(6, 100, count)


def test_a_distribution_is_that_of_the_standard_library():
    values = list(latencies(137))
    found = Distribution.of(values)
    assert found is not None
    hundredths = statistics.quantiles(values, n=100, method="inclusive")
    assert found.p50 == pytest.approx(statistics.median(values))
    assert found.p95 == pytest.approx(hundredths[94])
    assert found.mean == pytest.approx(statistics.fmean(values))
    assert (found.count, found.low, found.high) == (137, min(values), max(values))


def test_there_is_no_distribution_of_nothing():
    assert Distribution.of([]) is None


# Bins


@pytest.mark.parametrize(
    ("span", "most", "step"), [(10, 10, 1), (11, 10, 2), (100, 24, 5), (0.07, 4, 0.02), (9.9, 2, 5)]
)
def test_steps_are_round(span: float, most: int, step: float):
    assert nice_step(span, most) == pytest.approx(step)


@given(figures)
def test_every_value_is_in_a_bin_or_beyond_the_last(values: list[float]):
    bins = bins_for(values)
    beyond = sum(int(np.floor(value / bins.step)) >= bins.first + bins.count for value in values)
    assert sum(bins.fill(values)) + beyond == len(values)
    assert 1 <= bins.count <= 26
    assert beyond <= 0.05 * len(values) + 1


def test_bins_hold_what_lies_between_their_edges():
    bins = bins_for(list(range(100)))
    counts = bins.fill(list(range(100)))
    assert (bins.start, bins.step, bins.end) == (0, 5, 100)
    assert set(counts) == {5}


def test_a_value_far_from_all_others_does_not_squeeze_them():
    values = [*latencies(200), 90_000.0]
    bins = bins_for(values)
    assert bins.end < 5_000
    assert sum(bins.fill(values)) == 200


def test_values_that_are_all_the_same_lie_in_one_bin():
    bins = bins_for([24.0] * 9)
    assert sorted(bins.fill([24.0] * 9)) == [0, 0, 0, 0, 9]
    assert bins_for([0.0, 0.0]).start == 0


# Changes


@pytest.mark.parametrize("statistic", sorted(STATISTICS))
def test_the_interval_is_that_of_scipy(statistic: str):
    before = latencies(120)
    after = before * 0.9 + np.random.default_rng(1).normal(0, 40, 120)
    found = paired_change(list(before), list(after), statistic)
    measure = STATISTICS[statistic]
    theirs = scipy.stats.bootstrap(
        (before, after),
        lambda a, b, axis: measure(b, axis=axis) - measure(a, axis=axis),
        paired=True,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    # Both are by chance; their ends differ by much less than the interval is wide.
    width = theirs.high - theirs.low
    assert found.low == pytest.approx(theirs.low, abs=0.15 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.15 * width)


def test_the_means_interval_is_that_of_the_normal_distribution():
    before = latencies(400)
    change = np.random.default_rng(3).normal(-30, 50, 400)
    found = paired_change(list(before), list(before + change), "mean")
    half = 1.96 * change.std(ddof=1) / np.sqrt(400)
    assert found.difference == pytest.approx(change.mean())
    assert found.low == pytest.approx(change.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(change.mean() + half, abs=0.15 * half)
    assert found.is_clear


def test_what_conversations_have_in_common_does_not_blur_their_change():
    # 10 ms of change are lost among 250 ms of difference between conversations, unless paired.
    before = latencies(60)
    after = before - 10 + np.random.default_rng(4).normal(0, 2, 60)
    assert paired_change(list(before), list(after), "mean").is_clear
    alone = np.random.default_rng(5).permutation(after)
    assert not paired_change(list(before), list(alone), "mean").is_clear


def test_the_interval_holds_the_truth_as_often_as_it_says():
    random = np.random.default_rng(6)
    inside = 0
    for _ in range(100):
        before = random.gamma(6, 100, 50)
        found = paired_change(list(before), list(before + random.normal(20, 60, 50)), "mean")
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 20 <= found.high
    assert 87 <= inside <= 100


def test_the_same_values_give_the_same_interval():
    before, after = list(latencies(40)), list(latencies(40, seed=1))
    assert paired_change(before, after) == paired_change(before, after)


def test_too_few_pairs_have_no_interval():
    values = [100.0] * (FEWEST_PAIRS - 1)
    found = paired_change(values, [each + 1 for each in values])
    assert (found.low, found.high, found.is_clear) == (None, None, False)
    assert found.difference == 1
    few = list(latencies(20))
    assert paired_change(few, few, "p95").low is None


def test_many_conversations_do_not_need_all_their_resamples_at_once(monkeypatch):
    values = list(latencies(50))
    whole = paired_change(values, [each + 5 for each in values])
    monkeypatch.setattr("realtime_core.report.statistics.CHUNK", 999)
    pieces = paired_change(values, [each + 5 for each in values])
    assert pieces == whole
