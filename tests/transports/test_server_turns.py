"""Turns, found by energy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from realtime_transports.openai.server_turns import (
    EnergyTurnDetector,
    SpeechChange,
    TurnSettings,
    level_dbfs,
)

RATE = 24_000
RECORDINGS = Path(__file__).parents[1] / "data"


def noise(seconds: float, dbfs: float, seed: int = 1) -> np.ndarray:
    samples = np.random.default_rng(seed).normal(
        0, 32768 * 10 ** (dbfs / 20), round(seconds * RATE)
    )
    return np.clip(samples, -32768, 32767).astype(np.int16)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.int16)


def changes_in(samples: np.ndarray, settings: TurnSettings | None = None) -> list:
    return EnergyTurnDetector(settings or TurnSettings()).push(samples)


def test_the_level_of_a_full_scale_square_wave_is_zero() -> None:
    assert level_dbfs(np.full(480, -32768, np.int16)) == pytest.approx(0.0)
    assert level_dbfs(np.zeros(480, np.int16)) == -100.0
    assert level_dbfs(np.zeros(0, np.int16)) == -100.0


def test_speech_begins_where_it_begins_and_ends_after_the_silence() -> None:
    spoken = np.concatenate([silence(0.5), noise(1.0, -25), silence(1.0)])
    (started, begin), (stopped, end) = changes_in(spoken)
    assert (started, stopped) == (SpeechChange.STARTED, SpeechChange.STOPPED)
    assert begin == pytest.approx(0.5 * RATE, abs=480)
    assert end == pytest.approx(2.0 * RATE, abs=480)


def test_a_pause_shorter_than_the_setting_does_not_end_a_turn() -> None:
    spoken = np.concatenate([noise(0.5, -25), silence(0.4), noise(0.5, -25), silence(1.0)])
    assert len(changes_in(spoken)) == 2
    assert len(changes_in(spoken, TurnSettings(silence_duration_ms=200))) == 4


def test_a_click_is_no_speech() -> None:
    assert changes_in(np.concatenate([silence(0.5), noise(0.03, -10), silence(1.0)])) == []


def test_a_higher_threshold_needs_louder_speech() -> None:
    spoken = np.concatenate([silence(0.5), noise(1.0, -45), silence(1.0)])
    assert changes_in(spoken, TurnSettings(threshold=0.5))
    assert changes_in(spoken, TurnSettings(threshold=0.9)) == []


def test_a_steady_noise_stops_counting_as_speech() -> None:
    detector = EnergyTurnDetector(TurnSettings())
    detector.push(noise(10.0, -48))
    assert not detector.is_speaking


def test_speech_stands_out_of_a_steady_noise() -> None:
    detector = EnergyTurnDetector(TurnSettings())
    detector.push(noise(10.0, -48))
    assert [change for change, _ in detector.push(noise(1.0, -25))] == [SpeechChange.STARTED]


@pytest.mark.parametrize("name", ["mailbox_number", "say_your_name", "ill_disposed"])
def test_a_recorded_sentence_is_one_turn(name: str) -> None:
    samples, rate = soundfile.read(RECORDINGS / f"{name}.wav", dtype="int16")
    samples = np.concatenate([soxr.resample(samples, rate, RATE), silence(1.0)])
    changes = changes_in(samples)
    assert [change for change, _ in changes] == [SpeechChange.STARTED, SpeechChange.STOPPED]


@given(st.lists(st.integers(0, 5_000), max_size=20))
def test_any_cutting_gives_the_same_changes(cuts: list[int]) -> None:
    spoken = np.concatenate([silence(0.3), noise(0.4, -25), silence(0.7), noise(0.2, -20)])
    detector = EnergyTurnDetector(TurnSettings())
    changes = []
    start = 0
    for length in cuts:
        changes += detector.push(spoken[start : start + length])
        start += length
    changes += detector.push(spoken[start:])
    assert changes == changes_in(spoken)


@pytest.mark.parametrize(("eagerness", "silence_ms"), [("low", 1200), ("auto", 700), ("high", 400)])
def test_semantic_vad_waits_as_long_as_its_eagerness_says(eagerness: str, silence_ms: int) -> None:
    settings = TurnSettings.from_session({"type": "semantic_vad", "eagerness": eagerness})
    assert settings.silence_duration_ms == silence_ms
