"""Silence, and the sink that only counts."""

import numpy as np
import pytest

from realtime_audio_plugins import NullSink, NullSource
from realtime_core.audio import frame_from_mono
from realtime_core.errors import UserError, ValidationError


async def read_all(source):
    frames = []
    while (frame := await source.read()) is not None:
        frames.append(frame)
    return frames


async def test_silence_lasts_as_long_as_asked_for():
    source = NullSource(0.105, rate_hz=8_000)
    await source.open()
    frames = await read_all(source)
    samples = np.concatenate([frame.samples for frame in frames])
    assert samples.shape == (840, 1)
    assert not samples.any()
    assert [frame.first_sample for frame in frames] == [0, 160, 320, 480, 640, 800]
    assert await source.read() is None


async def test_what_is_generated_tells_its_length_while_it_is_open():
    source = NullSource(0.105, rate_hz=8_000)
    assert not source.is_endless
    assert source.duration_s is None
    await source.open()
    assert source.duration_s == 0.105
    await source.close()
    assert source.duration_s is None


async def test_silence_is_endless_unless_told_otherwise():
    source = NullSource()
    await source.open()
    last = [await source.read() for _ in range(1_000)][-1]
    assert last.first_sample == 999 * 960
    assert not source.is_live
    assert source.is_endless
    assert source.duration_s is None


async def test_a_source_opened_again_begins_at_its_start():
    source = NullSource()
    await source.open()
    await source.read()
    await source.open()
    assert (await source.read()).first_sample == 960
    await source.close()
    await source.close()
    with pytest.raises(UserError, match="not open"):
        await source.read()
    await source.open()
    assert (await source.read()).first_sample == 0


@pytest.mark.parametrize(
    ("duration_s", "rate_hz"), [(-1, 8_000), (float("nan"), 8_000), (float("inf"), 8_000), (1, 0)]
)
def test_senseless_durations_and_rates_are_refused(duration_s, rate_hz):
    with pytest.raises(ValidationError):
        NullSource(duration_s, rate_hz=rate_hz)


async def test_the_null_sink_counts_what_it_is_given():
    sink = NullSink()
    await sink.open()
    await sink.write(frame_from_mono(np.zeros(480, np.int16), 48_000))
    await sink.write(frame_from_mono(np.zeros(240, np.int16), 24_000))
    sink.clear()
    await sink.drain()
    await sink.close()
    await sink.close(complete=False)
    assert sink.played_samples == 720
    assert sink.played_s == pytest.approx(0.02)
    assert sink.rate_hz is None
