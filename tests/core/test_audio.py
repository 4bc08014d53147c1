"""The one form that audio has inside."""

from __future__ import annotations

import numpy as np
import pytest

from realtime_core.audio import AudioFrame, AudioSink, AudioSource, frame_from_mono


def test_a_frame_knows_its_channels_and_its_duration():
    frame = AudioFrame(np.zeros((480, 2), np.int16), 48_000, first_sample=960)
    assert frame.channels == 2
    assert frame.duration_s == pytest.approx(0.01)
    assert frame.first_sample == 960


def test_an_empty_frame_lasts_no_time():
    frame = frame_from_mono(np.zeros(0, np.int16), 8_000)
    assert frame.duration_s == 0
    assert len(frame.to_mono()) == 0


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(480, np.int16),
        np.zeros((1, 480, 1), np.int16),
        np.zeros((480, 0), np.int16),
        np.zeros((480, 1), np.float32),
        np.zeros((480, 1), np.int32),
    ],
    ids=["flat", "of three dimensions", "without channels", "float", "of 32 bits"],
)
def test_what_is_no_audio_is_refused_with_its_form(samples: np.ndarray):
    with pytest.raises(ValueError, match=r"must be int16 of shape \(n, channels\), not ") as caught:
        AudioFrame(samples, 48_000)
    assert str(samples.dtype) in str(caught.value)
    assert str(samples.shape) in str(caught.value)


@pytest.mark.parametrize("rate_hz", [0, -48_000])
def test_a_rate_must_be_positive(rate_hz: int):
    with pytest.raises(ValueError, match=f"not {rate_hz}"):
        AudioFrame(np.zeros((1, 1), np.int16), rate_hz)


def test_mono_of_one_channel_is_that_channel():
    samples = np.arange(-5, 5, dtype=np.int16)
    assert np.array_equal(frame_from_mono(samples, 24_000).to_mono(), samples)


def test_mono_of_several_channels_is_their_mean_without_overflow():
    samples = np.array([[32767, 32767], [-32768, -32768], [32767, -32768], [3, 4]], np.int16)
    mono = AudioFrame(samples, 48_000).to_mono()
    assert mono.dtype == np.int16
    assert mono.tolist() == [32767, -32768, 0, 4]  # -0.5 and 3.5 are rounded to the even


def test_a_frame_of_mono_samples_shares_their_memory():
    samples = np.zeros(480, np.int16)
    assert np.shares_memory(frame_from_mono(samples, 48_000).samples, samples)


def test_frames_can_be_looked_for_in_a_list():
    first, second = (frame_from_mono(np.zeros(480, np.int16), 48_000) for _ in range(2))
    assert [first, second].index(second) == 1
    assert len({first, second}) == 2


@pytest.mark.parametrize("contract", [AudioSource, AudioSink])
def test_a_source_or_sink_that_lacks_a_method_cannot_be_made(contract: type):
    with pytest.raises(TypeError, match="abstract"):
        type("Incomplete", (contract,), {})()


def test_a_source_is_patient_and_of_unknown_length_unless_it_says_otherwise():
    class Source(AudioSource):
        async def open(self) -> None: ...
        async def read(self) -> None: ...
        async def close(self) -> None: ...

    assert Source().is_live is False
    assert Source().is_endless is False
    assert Source().duration_s is None
