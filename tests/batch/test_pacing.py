from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.batch.pacing import START_APART_S, PacingRules, SessionPacing, StartPacing

FINE_S, LATE_S = 0.001, 0.05


class Machine:
    """Carries so many sessions and is late with more; time passes by half seconds."""

    def __init__(self, capacity: int, rules: PacingRules | None = None) -> None:
        self.capacity = capacity
        self.pacing = SessionPacing(rules)
        self.now_s = 0.0
        self.running = 0
        self.most_running = 0

    def run(self, seconds: float, jobs: int = 10_000) -> int:
        for _ in range(round(seconds * 2)):
            # What runs is let run: sessions end slowly, and new ones only fill up.
            self.running = max(self.running - 1, min(jobs, self.pacing.allowed))
            self.most_running = max(self.most_running, self.running)
            late = self.running > self.capacity
            self.pacing.observe(
                self.now_s,
                running=self.running,
                lag_s=LATE_S if late else FINE_S,
                lateness_s=0.0,
            )
            self.now_s += 0.5
        return self.pacing.allowed


def test_a_machine_that_carries_them_gets_more_sessions_within_seconds():
    rules = PacingRules.of(is_realtime=False, most=None)
    assert Machine(capacity=1000, rules=rules).run(10) >= 50


def test_in_real_time_sessions_are_added_one_by_one():
    machine = Machine(capacity=1000, rules=PacingRules.of(is_realtime=True, most=None))
    seen = [machine.run(1) for _ in range(20)]
    assert {after - before for before, after in itertools.pairwise(seen)} == {1}


def test_the_number_settles_near_what_the_machine_carries():
    machine = Machine(capacity=40)
    machine.run(60)
    for _ in range(100):
        assert 25 <= machine.run(1) <= 41
    assert machine.most_running <= 60


def test_more_sessions_are_only_allowed_when_those_there_are_do_not_suffice():
    machine = Machine(capacity=1000, rules=PacingRules(initial=4))
    assert machine.run(60, jobs=3) == 4


def test_late_audio_counts_like_a_late_loop():
    pacing = SessionPacing(PacingRules(initial=4))
    pacing.observe(0.0, running=4, lag_s=0.0, lateness_s=LATE_S)
    assert pacing.allowed == 3


def test_after_a_cut_nothing_is_cut_again_until_what_was_too_much_may_have_ended():
    rules = PacingRules(initial=100)
    pacing = SessionPacing(rules)
    for tenth in range(round(rules.recover_s * 10)):
        pacing.observe(tenth / 10, running=100, lag_s=LATE_S, lateness_s=0.0)
        assert pacing.allowed == 75
    pacing.observe(rules.recover_s, running=75, lag_s=LATE_S, lateness_s=0.0)
    assert pacing.allowed == 56


def test_a_cut_counts_from_what_runs_if_that_is_less():
    pacing = SessionPacing(PacingRules(initial=100))
    pacing.observe(0.0, running=8, lag_s=LATE_S, lateness_s=0.0)
    assert pacing.allowed == 6


def test_once_it_was_too_much_the_number_grows_by_one_at_a_time():
    pacing = SessionPacing(PacingRules(initial=100))
    pacing.observe(0.0, running=100, lag_s=LATE_S, lateness_s=0.0)
    seen = {pacing.allowed}
    for tenth in range(1, 200):
        before = pacing.allowed
        pacing.observe(tenth / 10, running=before, lag_s=FINE_S, lateness_s=0.0)
        assert pacing.allowed - before in (0, 1)
        seen.add(pacing.allowed)
    assert max(seen) == 75 + 9  # a look after each two seconds of 20


def test_a_single_late_look_begins_the_waiting_anew():
    rules = PacingRules(initial=4, settle_s=1.0, recover_s=0.0, cut=1.0)
    pacing = SessionPacing(rules)
    pacing.observe(0.0, running=4, lag_s=FINE_S, lateness_s=0.0)
    pacing.observe(0.9, running=4, lag_s=LATE_S, lateness_s=0.0)
    pacing.observe(1.0, running=4, lag_s=FINE_S, lateness_s=0.0)
    assert pacing.allowed == 4


def test_sessions_that_may_begin_at_once_begin_one_after_the_other():
    starts = StartPacing()
    delays_s = [starts.take_delay(now_s) for now_s in (7.0, 7.0, 7.0, 7.0 + START_APART_S)]
    assert delays_s == pytest.approx([0, START_APART_S, 2 * START_APART_S, 2 * START_APART_S])
    assert [starts.take_delay(now_s) for now_s in (60.0, 61.0)] == [0, 0]


observations = st.lists(
    st.tuples(st.floats(0, 2), st.integers(0, 50), st.floats(0, 0.1), st.floats(0, 0.1))
)


@given(st.integers(1, 20), st.one_of(st.none(), st.integers(1, 20)), observations)
def test_there_is_always_at_least_one_and_never_more_than_the_most(
    initial: int, most: int | None, observed: list[tuple[float, int, float, float]]
):
    pacing = SessionPacing(PacingRules(initial=initial, most=most))
    now_s = 0.0
    for step_s, running, lag_s, lateness_s in observed:
        now_s += step_s
        before = pacing.allowed
        pacing.observe(now_s, running=running, lag_s=lag_s, lateness_s=lateness_s)
        assert pacing.allowed >= 1
        assert most is None or pacing.allowed <= most
        if max(lag_s, lateness_s) > 0.02:
            assert pacing.allowed <= before
        if running < before:
            assert pacing.allowed <= before
