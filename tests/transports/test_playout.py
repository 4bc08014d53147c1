"""The queue of what leaves next."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from realtime_transports.webrtc.playout import Playout

RATE = 24_000


def ramp(count: int, start: int = 1) -> np.ndarray:
    return np.arange(start, start + count, dtype=np.int16)


@given(st.lists(st.integers(0, 700), max_size=12), st.integers(1, 500))
def test_everything_leaves_once_in_order_without_a_gap(pieces: list[int], block: int) -> None:
    audio = ramp(sum(pieces))
    playout = Playout(RATE)
    start = 0
    for length in pieces:
        playout.add(audio[start : start + length])
        start += length
    taken = [playout.take(block) for _ in range(len(audio) // block + 2)]
    assert all(len(samples) == block for samples in taken)
    played = np.concatenate(taken)
    assert np.array_equal(played[: len(audio)], audio)
    assert not played[len(audio) :].any()
    assert playout.played_samples == len(audio)
    assert playout.queued_s == 0


def test_silence_is_not_counted_as_played() -> None:
    playout = Playout(RATE)
    playout.take(480)
    playout.add(ramp(100))
    playout.take(480)
    assert playout.played_samples == 100


def test_what_is_cleared_fades_out_and_counts_as_unheard() -> None:
    playout = Playout(RATE)
    playout.add(np.full(RATE, 10_000, np.int16))
    playout.take(480)
    playout.clear()
    rest = playout.take(480)
    assert 0 < rest[0] < 10_000
    assert np.abs(np.diff(rest[:121].astype(int))).max() < 200
    assert not rest[120:].any()
    assert playout.played_samples == 480
    assert playout.queued_s == 0


def test_clearing_nothing_leaves_silence() -> None:
    playout = Playout(RATE)
    playout.clear()
    assert not playout.take(480).any()


def test_audio_after_a_clear_follows_the_fade() -> None:
    playout = Playout(RATE)
    playout.add(np.full(1_000, 10_000, np.int16))
    playout.clear()
    playout.add(ramp(10, start=5))
    taken = playout.take(480)
    assert np.array_equal(taken[120:130], ramp(10, start=5))
    assert playout.played_samples == 10
