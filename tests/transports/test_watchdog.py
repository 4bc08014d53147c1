"""When a silent link is a lost link."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime_transports.webrtc.watchdog import TICK_S, LinkWatchdog, Verdict

TOLD_WITHIN_S = 3.0


def watch(
    packets: list[float], until_s: float, *, ticks: list[float] | None = None
) -> list[tuple[float, Verdict]]:
    """What a watchdog says of packets that come at these times, checked at each tick."""
    watchdog = LinkWatchdog(0.0)
    if ticks is None:
        ticks = [n * TICK_S for n in range(1, int(until_s / TICK_S) + 1)]
    said = []
    for now_s in ticks:
        last_s = max((packet for packet in packets if packet <= now_s), default=0.0)
        verdict = watchdog.check(now_s, last_s)
        if verdict is not None:
            said.append((now_s, verdict))
    return said


def only(said: list[tuple[float, Verdict]], verdict: Verdict) -> list[float]:
    return [now_s for now_s, what in said if what is verdict]


def test_a_busy_link_is_left_alone() -> None:
    assert watch([n * 0.02 for n in range(500)], 10.0) == []


def test_silence_is_asked_about_before_it_is_a_loss() -> None:
    said = watch([], 10.0)
    assert said[0] == (1.0, Verdict.PROBE)
    assert only(said, Verdict.LOST) == [2.5]


def test_a_lost_link_is_still_asked_about_so_that_it_can_come_back() -> None:
    said = watch([], 10.0)
    assert max(only(said, Verdict.PROBE)) > 9.0


def test_a_packet_after_the_loss_is_a_recovery_told_once() -> None:
    said = watch([6.0, 6.5, 7.0], 7.5)
    assert only(said, Verdict.LOST) == [2.5]
    assert only(said, Verdict.RECOVERED) == [6.0]


def test_each_loss_is_told() -> None:
    assert len(only(watch([5.0], 12.0), Verdict.LOST)) == 2


def test_time_in_which_the_program_stood_still_does_not_count() -> None:
    ticks = [0.25, 0.5, 0.75, 1.0, 6.0, 6.25, 6.5, 6.75]
    assert only(watch([1.0], 7.0, ticks=ticks), Verdict.LOST) == []


def test_a_link_that_died_while_the_program_stood_still_is_lost_soon_after() -> None:
    ticks = [1.0, 6.0] + [6.0 + n * TICK_S for n in range(1, 20)]
    assert only(watch([0.5], 11.0, ticks=ticks), Verdict.LOST) == [8.5]


def test_standing_still_is_no_recovery() -> None:
    ticks = [n * TICK_S for n in range(1, 13)] + [8.0, 8.25]
    assert only(watch([], 9.0, ticks=ticks), Verdict.RECOVERED) == []


gaps = st.lists(st.floats(0.01, 6.0), max_size=30)
jitter = st.lists(st.floats(0.01, 2 * TICK_S), min_size=1, max_size=200)


def at(gaps_s: list[float]) -> list[float]:
    times, now_s = [], 0.0
    for gap_s in gaps_s:
        now_s += gap_s
        times.append(now_s)
    return times


@given(st.lists(st.floats(0.01, 1.0), min_size=1), jitter)
def test_a_link_with_a_packet_each_second_is_never_lost(
    between_s: list[float], ticks_s: list[float]
) -> None:
    packets = at(between_s)
    ticks = [tick for tick in at(ticks_s) if tick <= packets[-1]]
    assert only(watch(packets, 0.0, ticks=ticks), Verdict.LOST) == []


@given(gaps)
def test_losses_and_recoveries_take_turns(between_s: list[float]) -> None:
    packets = at(between_s)
    said = [what for _, what in watch(packets, sum(between_s) + 5.0)]
    turns = [what for what in said if what is not Verdict.PROBE]
    assert turns == [Verdict.LOST, Verdict.RECOVERED] * (len(turns) // 2) + [Verdict.LOST] * (
        len(turns) % 2
    )


@given(gaps)
def test_every_silence_is_told_within_three_seconds(between_s: list[float]) -> None:
    packets = [0.0, *at(between_s)]
    lost = only(watch(packets, packets[-1] + 4.0), Verdict.LOST)
    for began_s, ended_s in zip(packets, [*packets[1:], packets[-1] + 4.0], strict=True):
        told = [now_s for now_s in lost if began_s <= now_s <= ended_s]
        if ended_s - began_s >= TOLD_WITHIN_S:
            assert len(told) == 1
            assert told[0] - began_s <= TOLD_WITHIN_S


@given(st.lists(st.floats(0.01, 10.0), max_size=60), gaps)
def test_nothing_is_lost_before_two_and_a_half_seconds_were_watched(
    ticks_s: list[float], between_s: list[float]
) -> None:
    ticks, packets = at(ticks_s), at(between_s)
    for now_s in only(watch(packets, 0.0, ticks=ticks), Verdict.LOST):
        assert max((p for p in packets if p <= now_s), default=0.0) <= now_s - 2.5
