from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.report.waveform import MOST_BUCKETS, outline


def decoded(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.int8).reshape(-1, 2)


def ramp(frames: int) -> np.ndarray:
    both = np.linspace(-20_000, 20_000, frames).astype(np.int16)
    return np.stack([both, -both], axis=1)


def test_an_outline_is_the_lowest_and_the_highest_sample_of_each_piece():
    samples = ramp(96_000)
    found = outline([samples], len(samples), 16_000)
    assert found.lowest.shape == (2, MOST_BUCKETS)
    assert found.bucket_s == pytest.approx(0.01)
    pieces = samples.reshape(MOST_BUCKETS, 160, 2)
    np.testing.assert_array_equal(found.lowest.T, pieces.min(axis=1))
    np.testing.assert_array_equal(found.highest.T, pieces.max(axis=1))


@given(st.lists(st.integers(1, 5_000), max_size=12))
def test_any_way_of_cutting_a_recording_gives_the_same_outline(cuts: list[int]):
    samples = ramp(20_011)
    whole = outline([samples], len(samples), 8_000)
    pieces = np.split(samples, np.unique(np.minimum(np.cumsum(cuts, dtype=int), 20_011)))
    found = outline([each for each in pieces if len(each)], len(samples), 8_000)
    np.testing.assert_array_equal(found.lowest, whole.lowest)
    np.testing.assert_array_equal(found.highest, whole.highest)


def test_the_last_piece_may_be_shorter():
    found = outline([ramp(1_000)], 1_000, 8_000)
    assert found.lowest.shape == (2, -(-1_000 // 64))


def test_what_is_quiet_is_told_as_finely_as_what_is_loud():
    at = np.arange(8_000) / 8_000
    loud = np.stack([np.sin(2 * np.pi * 100 * at)] * 2, axis=1)
    quiet, full = (
        outline([(level * loud).astype(np.int16)], 8_000, 8_000) for level in (300, 30_000)
    )
    assert quiet.peak == pytest.approx(300 / 32_768, rel=0.01)
    assert full.peak == pytest.approx(30_000 / 32_768, rel=0.01)
    difference = decoded(quiet.encoded(0)).astype(int) - decoded(full.encoded(0))
    assert np.abs(difference).max() <= 1
    assert decoded(full.encoded(1)).max() == 127


def test_both_sides_keep_their_loudness_against_each_other():
    both = np.zeros((8_000, 2), np.int16)
    both[:, 0], both[:, 1] = 20_000, 5_000
    found = outline([both], 8_000, 8_000)
    assert decoded(found.encoded(0)).max() == 127
    assert decoded(found.encoded(1)).max() == 32


def test_silence_and_nothing_have_an_outline_too():
    silence = outline([np.zeros((800, 1), np.int16)], 800, 8_000)
    assert silence.peak == 0
    assert not decoded(silence.encoded(0)).any()
    nothing = outline([], 0, 8_000)
    assert (nothing.peak, nothing.described()["lanes"]) == (0, [""])
