"""What comes from the network reaches the sink, and a sink never holds the network up."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.audio import AudioFrame, AudioSink, frame_from_mono
from realtime_core.errors import AudioError
from realtime_transports.audio.incoming import MAX_BUFFERED_S, IncomingAudio
from tests.transports.test_outgoing import BadTap

RATE_HZ = 48_000


class Store(AudioSink):
    """Keeps what it gets; can be made slow, or to fail."""

    def __init__(self, rate_hz: int | None = None) -> None:
        self.rate_hz = rate_hz
        self.frames: list[AudioFrame] = []
        self.is_free = asyncio.Event()
        self.is_free.set()
        self.fails = False

    @property
    def samples(self) -> np.ndarray:
        return np.concatenate([np.zeros(0, np.int16), *(f.to_mono() for f in self.frames)])

    @property
    def played_samples(self) -> int:
        return len(self.samples)

    async def open(self) -> None:
        """Nothing."""

    async def write(self, frame: AudioFrame) -> None:
        await self.is_free.wait()
        if self.fails:
            raise OSError("disk full")
        self.frames.append(frame)

    def clear(self) -> None:
        if self.fails:
            raise OSError("gone")

    async def drain(self) -> None:
        """Nothing."""

    async def close(self, *, complete: bool = True) -> None:
        """Nothing."""


class Slow(Store):
    """Takes a frame as late as it may, and drops nothing but what it has taken."""

    def __init__(self, rate_hz: int | None = None) -> None:
        super().__init__(rate_hz)
        self.is_asked = asyncio.Event()

    async def write(self, frame: AudioFrame) -> None:
        self.is_asked.set()
        await super().write(frame)

    def clear(self) -> None:
        self.frames.clear()


def frame(count: int, first: int = 0) -> AudioFrame:
    values = ((np.arange(count) + first) % 30_000).astype(np.int16)
    return frame_from_mono(values, RATE_HZ, first)


@given(st.lists(st.integers(1, 2_000), max_size=30))
def test_everything_arrives_in_order(lengths: list[int]) -> None:
    async def run() -> None:
        store, first = Store(), 0
        audio = IncomingAudio(store, on_error=pytest.fail)
        for length in lengths:
            audio.push(frame(length, first))
            first += length
        await audio.drain()
        np.testing.assert_array_equal(store.samples, frame(first).to_mono())
        assert audio.dropped_s == 0
        assert audio.received_s == pytest.approx(first / RATE_HZ)
        await audio.close()

    asyncio.run(run())


@given(st.lists(st.integers(100, 50_000), max_size=60))
def test_a_slow_sink_loses_the_oldest_and_it_is_counted(lengths: list[int]) -> None:
    async def run() -> None:
        store, first = Store(), 0
        store.is_free.clear()
        audio = IncomingAudio(store, on_error=pytest.fail)
        for length in lengths:  # nothing here waits: a full queue holds nobody up
            audio.push(frame(length, first))
            first += length
        assert sum(held.duration_s for held in audio._frames) <= MAX_BUFFERED_S
        store.is_free.set()
        await audio.drain()
        kept_s = len(store.samples) / RATE_HZ
        assert kept_s + audio.dropped_s == pytest.approx(audio.received_s)
        expected = frame(len(store.samples), first - len(store.samples)).to_mono()
        np.testing.assert_array_equal(store.samples, expected)
        await audio.close()

    asyncio.run(run())


async def test_audio_is_resampled_to_what_the_sink_wants() -> None:
    store = Store(rate_hz=16_000)
    audio = IncomingAudio(store, on_error=pytest.fail)
    for n in range(50):
        audio.push(frame(960, n * 960))
    await audio.drain()
    assert {held.rate_hz for held in store.frames} == {16_000}
    assert 14_000 < len(store.samples) <= 16_000  # the filter looks ahead
    await audio.close()


async def test_no_sink_drains_and_counts() -> None:
    audio = IncomingAudio(None, on_error=pytest.fail)
    for n in range(500):
        audio.push(frame(960, n * 960))
    audio.clear()
    await audio.drain()
    assert audio.received_s == pytest.approx(10.0)
    assert not audio._frames
    await audio.close()


async def test_clearing_drops_what_was_not_written() -> None:
    store = Store()
    audio = IncomingAudio(store, on_error=pytest.fail)
    audio.push(frame(960))
    audio.clear()
    await audio.drain()
    assert len(store.samples) == 0
    await audio.close()


async def test_a_sink_that_raises_is_named_once_and_the_audio_is_drained() -> None:
    store, errors = Store(), list[Exception]()
    store.fails = True
    audio = IncomingAudio(store, on_error=errors.append)
    for n in range(500):
        audio.push(frame(960, n * 960))
    await audio.drain()
    audio.push(frame(960))
    await audio.drain()
    assert [type(error) for error in errors] == [AudioError]
    assert "sink Store raised OSError: disk full" in str(errors[0])
    await audio.close()


async def test_a_sink_that_cannot_be_cleared_is_reported_not_raised() -> None:
    store, errors = Store(), list[Exception]()
    store.fails = True
    audio = IncomingAudio(store, on_error=errors.append)
    audio.clear()
    assert ["Store raised OSError: gone" in str(error) for error in errors] == [True]


async def test_a_tap_that_raises_is_told_once_and_the_sink_gets_its_audio() -> None:
    store, errors = Store(), list[Exception]()
    audio = IncomingAudio(store, tap=BadTap(), on_error=errors.append)
    for n in range(3):
        audio.push(frame(960, n * 960))
    await audio.drain()
    assert len(errors) == 1
    assert len(store.samples) == 3 * 960
    await audio.close()


async def test_what_the_sink_is_just_taking_when_it_is_cleared_is_cleared_too() -> None:
    store = Slow()
    audio = IncomingAudio(store, on_error=pytest.fail)
    store.is_free.clear()
    audio.push(frame(1_000))
    audio.push(frame(1_000))
    await store.is_asked.wait()
    audio.clear()
    audio.push(frame(500))
    store.is_free.set()
    await audio.drain()
    np.testing.assert_array_equal(store.samples, frame(500).to_mono())
    await audio.close()


async def test_what_the_resampler_still_holds_is_cleared_too() -> None:
    store = Slow(rate_hz=24_000)
    audio = IncomingAudio(store, on_error=pytest.fail)
    audio.push(frame_from_mono(np.full(4_800, 20_000, np.int16), RATE_HZ))
    await audio.drain()
    audio.clear()
    audio.push(frame_from_mono(np.zeros(4_800, np.int16), RATE_HZ))
    await audio.drain()
    assert not store.samples.any()
    await audio.close()


async def test_silence_takes_the_place_of_what_comes_and_its_length_stays() -> None:
    store = Store()
    audio = IncomingAudio(store, on_error=pytest.fail)
    audio.silence(0.025)
    for first in range(0, 5_000, 1_000):
        audio.push(frame(1_000, first))
    audio.silence(0.5)
    audio.push(frame(1_000))
    audio.silence(0)
    audio.push(frame(1_000))
    await audio.drain()
    # Whole frames: 25 ms begin in the second of 1000 samples at 48 kHz.
    expected = [*np.zeros(2_000), *frame(3_000, 2_000).to_mono(), *np.zeros(1_000)]
    np.testing.assert_array_equal(store.samples, [*expected, *frame(1_000).to_mono()])
    assert audio.received_s == pytest.approx(7_000 / RATE_HZ)
    await audio.close()
