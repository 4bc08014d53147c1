"""The pace of an answer's audio."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_transports.openai.server_pacing import LEAD_S, AudioPace, cut

RATE = 24_000


def test_the_first_audio_leaves_at_once_and_the_rest_as_fast_as_it_is_heard() -> None:
    pace = AudioPace()
    now_s = 5.0
    for _ in range(20):
        now_s += pace.delay_s(RATE // 10, now_s)
    assert now_s == pytest.approx(5.0 + 19 * 0.1 - LEAD_S)


def test_a_responder_slower_than_speech_is_never_held_up() -> None:
    pace = AudioPace()
    assert [pace.delay_s(RATE // 10, 1.0 + 0.2 * n) for n in range(10)] == [0.0] * 10


def test_a_pause_is_not_made_up_for() -> None:
    pace = AudioPace()
    pace.delay_s(RATE, 0.0)
    assert pace.delay_s(RATE, 100.0) == 0.0
    assert pace.delay_s(RATE, 100.0) == pytest.approx(1.0 - LEAD_S)


@given(st.integers(0, 20_000))
def test_pieces_are_short_and_nothing_is_lost(length: int) -> None:
    samples = np.arange(length).astype(np.int16)
    pieces = list(cut(samples))
    assert all(0 < len(piece) <= RATE // 10 for piece in pieces)
    assert np.array_equal(np.concatenate([samples[:0], *pieces]), samples)
