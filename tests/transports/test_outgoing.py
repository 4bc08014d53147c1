"""The user's audio leaves in blocks of 20 ms, whatever the source does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.audio import AudioFrame, AudioSource, frame_from_mono
from realtime_core.errors import AudioError
from realtime_transports.audio import outgoing
from realtime_transports.audio.outgoing import (
    BLOCK_S,
    BLOCK_SAMPLES,
    BUFFER_S,
    WIRE_RATE_HZ,
    OutgoingAudio,
    Pacer,
)

BUFFER_SAMPLES = round(WIRE_RATE_HZ * BUFFER_S)


class Pieces(AudioSource):
    """Gives what it is told to, then ends, raises or waits for ever."""

    def __init__(
        self,
        pieces: Sequence[np.ndarray],
        *,
        rate_hz: int = 48_000,
        is_live: bool = False,
        then: Exception | str = "end",
    ) -> None:
        self.is_live = is_live
        self.reads = 0
        self.waiting = asyncio.Event()
        self._pieces = list(pieces)
        self._rate_hz = rate_hz
        self._then = then

    async def open(self) -> None:
        """Nothing."""

    async def read(self) -> AudioFrame | None:
        await asyncio.sleep(0)
        self.reads += 1
        if self._pieces:
            return frame_from_mono(self._pieces.pop(0), self._rate_hz)
        self.waiting.set()
        if isinstance(self._then, Exception):
            raise self._then
        if self._then == "wait":
            await asyncio.Event().wait()
        return None

    async def close(self) -> None:
        """Nothing."""


def ramp(count: int, first: int = 1) -> np.ndarray:
    return ((np.arange(count) + first) % 30_000).astype(np.int16)


def cut(samples: np.ndarray, lengths: Sequence[int]) -> list[np.ndarray]:
    return np.split(samples, np.cumsum(lengths)[:-1]) if lengths else []


async def take_all(source: AudioSource) -> np.ndarray:
    """Every block up to the one that ends the source."""
    errors: list[Exception] = []
    audio = OutgoingAudio(source, on_error=errors.append)
    audio.start()
    blocks = []
    while not audio.ended.is_set():
        blocks.append(await audio.take_block())
    await audio.close()
    assert errors == []
    return np.concatenate(blocks)


@given(st.lists(st.integers(0, 3_000), max_size=12))
def test_any_chunking_gives_the_same_samples(lengths: list[int]) -> None:
    samples = ramp(sum(lengths))
    taken = asyncio.run(take_all(Pieces(cut(samples, lengths))))
    assert len(taken) % BLOCK_SAMPLES == 0
    np.testing.assert_array_equal(taken[: len(samples)], samples)
    assert not taken[len(samples) :].any()


@given(st.lists(st.integers(0, 900), min_size=1, max_size=8))
def test_any_chunking_at_another_rate_gives_the_same_samples(lengths: list[int]) -> None:
    samples = (8_000 * np.sin(np.arange(sum(lengths)) / 7)).astype(np.int16)
    whole = asyncio.run(take_all(Pieces([samples], rate_hz=16_000)))
    pieces = asyncio.run(take_all(Pieces(cut(samples, lengths), rate_hz=16_000)))
    size = min(len(whole), len(pieces))
    np.testing.assert_array_equal(whole[:size], pieces[:size])
    assert not whole[size:].any()
    assert not pieces[size:].any()


async def test_nothing_is_read_before_the_start() -> None:
    source = Pieces([ramp(BLOCK_SAMPLES)])
    audio = OutgoingAudio(source, on_error=pytest.fail)
    assert not (await audio.take_block()).any()
    assert source.reads == 0
    assert not audio.ended.is_set()
    audio.start()
    assert (await audio.take_block()).any()
    await audio.close()


async def test_no_source_is_silence_that_has_ended() -> None:
    audio = OutgoingAudio(None, on_error=pytest.fail)
    audio.start()
    assert not (await audio.take_block()).any()
    assert audio.ended.is_set()
    await audio.close()


async def test_a_source_that_is_not_live_runs_ahead_by_the_buffer_only() -> None:
    source = Pieces([ramp(BLOCK_SAMPLES)] * 100)
    audio = OutgoingAudio(source, on_error=pytest.fail)
    audio.start()
    for _ in range(200):
        await asyncio.sleep(0)
    assert source.reads == BUFFER_SAMPLES // BLOCK_SAMPLES
    assert audio.dropped_samples == 0
    await audio.close()


@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=20))
def test_of_a_live_source_the_oldest_is_dropped_and_counted(lengths: list[int]) -> None:
    async def run() -> None:
        samples = ramp(sum(lengths))
        source = Pieces(cut(samples, lengths), is_live=True, then="wait")
        audio = OutgoingAudio(source, on_error=pytest.fail)
        audio.start()
        await source.waiting.wait()
        kept = len(samples) - audio.dropped_samples
        assert kept <= BUFFER_SAMPLES
        blocks = [await audio.take_block() for _ in range(-(-kept // BLOCK_SAMPLES))]
        taken = np.concatenate([*blocks, np.zeros(0, np.int16)])[:kept]
        np.testing.assert_array_equal(taken, samples[audio.dropped_samples :])
        await audio.close()

    asyncio.run(run())


async def test_a_live_source_that_has_nothing_is_not_waited_for() -> None:
    audio = OutgoingAudio(Pieces([], is_live=True, then="wait"), on_error=pytest.fail)
    audio.start()
    async with asyncio.timeout(5):
        for _ in range(500):  # with a wait for each it would take a hundred seconds
            assert not (await audio.take_block()).any()
    await audio.close()


async def test_a_source_that_stalls_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outgoing, "UNDERRUN_WAIT_S", 0.01)
    audio = OutgoingAudio(Pieces([ramp(100)], then="wait"), on_error=pytest.fail)
    audio.start()
    async with asyncio.timeout(10):
        block = await audio.take_block()
    np.testing.assert_array_equal(block[:100], ramp(100))
    assert not audio.ended.is_set()
    await audio.close()


async def test_while_muted_time_goes_on() -> None:
    audio = OutgoingAudio(Pieces(cut(ramp(2_880), [960] * 3)), on_error=pytest.fail)
    audio.start()
    audio.muted = True
    assert not (await audio.take_block()).any()
    audio.muted = False
    np.testing.assert_array_equal(await audio.take_block(), ramp(960, 961))
    await audio.close()


@pytest.mark.parametrize("is_live", [False, True])
async def test_a_source_that_raises_is_named_and_counts_as_ended(is_live: bool) -> None:
    errors: list[Exception] = []
    source = Pieces([ramp(100)], is_live=is_live, then=OSError("unplugged"))
    audio = OutgoingAudio(source, on_error=errors.append)
    audio.start()
    await source.waiting.wait()
    taken = await audio.take_block()
    np.testing.assert_array_equal(taken[:100], ramp(100))
    assert audio.ended.is_set()
    assert [type(error) for error in errors] == [AudioError]
    assert "Pieces raised OSError: unplugged" in str(errors[0])
    await audio.close()


class BadTap:
    """Raises whatever it sees."""

    def sent(self, frame: AudioFrame, at_s: float) -> None:
        raise OSError("disk full")

    heard = sent


async def test_a_tap_that_raises_is_told_once_and_stops_nothing() -> None:
    errors: list[Exception] = []
    audio = OutgoingAudio(None, tap=BadTap(), on_error=errors.append)
    for _ in range(3):
        await audio.take_block()
    assert len(errors) == 1
    assert "tap BadTap raised OSError: disk full" in str(errors[0])


# The pacer


@given(st.lists(st.floats(0, 1), min_size=1, max_size=100))
def test_blocks_are_never_early_and_never_waited_for_when_late(busy_s: list[float]) -> None:
    pacer, now_s = Pacer(), 5.0
    for n, busy in enumerate(busy_s):
        delay = pacer.take_delay(now_s)
        due_s = 5.0 + n * BLOCK_S
        assert delay == pytest.approx(max(0.0, due_s - now_s))
        now_s += delay + busy


def test_a_loop_that_stood_still_catches_up_at_once() -> None:
    pacer, now_s, sent = Pacer(), 0.0, []
    for n in range(200):
        now_s += pacer.take_delay(now_s)
        sent.append(now_s)
        if n == 50:
            now_s += 2.0  # stands still
    assert sent[-1] == pytest.approx(199 * BLOCK_S)
    assert max(late - early for early, late in pairwise(sent)) == pytest.approx(2.0)


class Hasty(AudioSource):
    """Live, and never waits for anything."""

    is_live = True

    async def open(self) -> None:
        """Nothing."""

    async def read(self) -> AudioFrame:
        return frame_from_mono(ramp(480), WIRE_RATE_HZ)

    async def close(self) -> None:
        """Nothing."""


async def test_a_live_source_that_never_waits_does_not_hold_the_loop() -> None:
    audio = OutgoingAudio(Hasty(), on_error=lambda exc: None)
    audio.start()
    async with asyncio.timeout(5.0):
        for _ in range(100):
            await asyncio.sleep(0)
    await audio.close()
    assert audio.dropped_samples > 0
