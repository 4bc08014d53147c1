"""The suite that every audio sink passes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from realtime_core.audio import AudioFrame, AudioSink, frame_from_mono
from realtime_core.errors import RealtimeError
from realtime_core.testing import audio_ends
from realtime_core.testing.demand import require
from realtime_core.testing.doubles import loud
from realtime_core.testing.transport_connecting import expected

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from realtime_core.audio import Pcm16

__all__ = ["AudioSinkContract", "SinkCase"]

ANY_RATE_HZ = 24_000
"""For sinks that take any rate."""

LENGTHS = (1, 7, 480, 2_400)
"""Of frames, in samples: whatever comes."""


@dataclass(frozen=True)
class SinkCase:
    """What the suite needs to know of a sink."""

    make: Callable[[], AudioSink]
    """Makes one; nothing is opened."""
    make_unusable: Callable[[], AudioSink] | None = None
    """Makes one that cannot be opened; None where there is no such."""
    stored: Callable[[], Pcm16] | None = None
    """What was stored by the sink made last, after it was closed as complete: mono; None where
    nothing is stored, or not as it came."""
    deadline_s: float = 10.0
    """For each test."""


class AudioSinkContract:
    """What a transport may rely on, whatever the sink.

    Subclass it and override one fixture::

        class TestMine(AudioSinkContract):
            @pytest.fixture
            def case(self):
                return SinkCase(make=MySink)
    """

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def case(self) -> SinkCase:
        """Override this one."""
        raise NotImplementedError(f"{type(self).__name__} must override the fixture `case`")

    async def test_what_was_heard_only_grows_up_to_what_was_written(self, case: SinkCase) -> None:
        async with opened(case) as sink:
            written = heard_before = 0
            base = sink.played_samples
            for frame in frames(sink):
                await sink.write(frame)
                written += len(frame.samples)
                heard = sink.played_samples - base
                require(
                    heard_before <= heard <= written,
                    "`played_samples` never goes back, and never beyond what was written",
                    seen=f"{heard} after {heard_before}, with {written} written",
                    see=AudioSink.played_samples,
                )
                heard_before = heard
            await sink.drain()
            require(
                sink.played_samples - base == written,
                "after drain() everything written was heard or stored, in samples of the frames",
                seen=f"{sink.played_samples - base} of {written}",
                see=AudioSink.drain,
            )

    async def test_clearing_drops_at_most_what_was_not_heard(self, case: SinkCase) -> None:
        async with opened(case) as sink:
            sink.clear()
            base = sink.played_samples
            for frame in frames(sink):
                await sink.write(frame)
            heard = sink.played_samples
            require(
                sink.clear() is None,
                "clear() is a plain function: it drops now, and nobody waits",
                seen="it returned something",
                see=AudioSink.clear,
            )
            await sink.drain()
            require(
                heard <= sink.played_samples <= base + sum(len(f.samples) for f in frames(sink)),
                "clear() takes nothing back that was heard, and drain() then ends",
                seen=f"{sink.played_samples} after {heard}",
                see=AudioSink.clear,
            )
            after = sink.played_samples
            await sink.write(frames(sink)[2])
            await sink.drain()
            require(
                sink.played_samples == after + len(frames(sink)[2].samples),
                "what is written after clear() is heard",
                seen=f"{sink.played_samples - after} samples more",
                see=AudioSink.clear,
            )

    async def test_what_was_written_is_stored(self, case: SinkCase) -> None:
        if case.stored is None:
            pytest.skip("it stores nothing, or not as it came")
        async with opened(case) as sink:
            for frame in frames(sink):
                await sink.write(frame)
            whole = [int(sample) for frame in frames(sink) for sample in frame.samples[:, 0]]
        stored = [int(sample) for sample in case.stored()]
        require(
            stored == whole,
            "what was written is stored, sample by sample, when the sink is closed as complete",
            seen=f"{len(stored)} samples of {len(whole)}, or others",
            see=AudioSink.close,
        )

    async def test_a_frame_is_not_changed(self, case: SinkCase) -> None:
        async with opened(case) as sink:
            for frame in frames(sink):
                before = frame.samples.copy()
                await sink.write(frame)
                require(
                    (frame.samples == before).all(),
                    "a sink leaves frames as they are: others may look at them too",
                    seen="other samples than before",
                    see=AudioSink.write,
                )

    async def test_its_rate_is_a_rate_and_stays(self, case: SinkCase) -> None:
        async with opened(case) as sink:
            rate_hz = sink.rate_hz
            require(
                rate_hz is None or (isinstance(rate_hz, int) and rate_hz > 0),
                "`rate_hz` is the rate it wants, or None when it takes any",
                seen=rate_hz,
                see=AudioSink,
            )
            for frame in frames(sink):
                await sink.write(frame)
            require(
                sink.rate_hz == rate_hz,
                "`rate_hz` stays while the sink is open: transports resample to it",
                seen=f"{sink.rate_hz} after {rate_hz}",
                see=AudioSink,
            )

    async def test_another_rate_is_refused_or_taken(self, case: SinkCase) -> None:
        async with opened(case) as sink:
            if sink.rate_hz is None:
                pytest.skip("it takes any rate")
            other = frame_from_mono(loud(0.02), sink.rate_hz + 1_000)
            with expected(RealtimeError, "a frame of another rate is refused", AudioSink.write):
                await sink.write(other)

    async def test_draining_what_is_empty_ends(self, case: SinkCase) -> None:
        async with opened(case) as sink:
            await sink.drain()
            sink.clear()
            await sink.drain()

    async def test_opening_twice_is_fine(self, case: SinkCase) -> None:
        async with opened(case) as sink:
            base = sink.played_samples
            await sink.write(frames(sink)[2])
            await sink.open()
            await sink.write(frames(sink)[2])
            await sink.drain()
            require(
                sink.played_samples - base == 2 * len(frames(sink)[2].samples),
                "opening twice is fine, and does not begin again",
                seen=f"{sink.played_samples - base} samples heard",
                see=AudioSink.open,
            )

    async def test_closing_twice_or_unopened_is_fine(self, case: SinkCase) -> None:
        async with watched(case):
            for complete in (True, False):
                sink = case.make()
                await sink.close(complete=complete)
                await sink.close(complete=complete)
        async with opened(case) as sink:
            await sink.write(frames(sink)[2])
            heard = sink.played_samples
            await sink.close()
            await sink.close(complete=False)
            require(
                sink.played_samples >= heard,
                "what was heard is still known after the end",
                seen=f"{sink.played_samples} after {heard}",
                see=AudioSink.played_samples,
            )

    async def test_an_audio_that_ended_early_can_be_closed_so(self, case: SinkCase) -> None:
        for count in (0, 2):
            async with watched(case):
                sink = case.make()
                await sink.open()
                for frame in frames(sink)[:count]:
                    await sink.write(frame)
                await sink.close(complete=False)

    async def test_a_cancelled_write_leaves_a_sink_that_closes(self, case: SinkCase) -> None:
        async with opened(case) as sink:
            writing = asyncio.ensure_future(sink.write(frames(sink)[3]))
            await asyncio.sleep(0)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            sink.clear()
            await sink.write(frames(sink)[2])
            await sink.drain()

    async def test_its_duration_is_none_or_a_time(self, case: SinkCase) -> None:
        async with opened(case) as sink:
            for frame in frames(sink):
                await sink.write(frame)
            kept_s = sink.duration_s
            require(
                kept_s is None or 0 <= kept_s < 10,
                "`duration_s` is how much it has kept, None where it keeps nothing",
                seen=kept_s,
                see=AudioSink.duration_s,
            )

    async def test_what_cannot_be_opened_raises_audio_error(self, case: SinkCase) -> None:
        if case.make_unusable is None:
            pytest.skip("there is no such sink")
        await audio_ends.refuse_to_open(
            AudioSink,
            case.make_unusable,
            case.deadline_s,
            lambda sink: sink.close(complete=False),
        )


def watched(case: SinkCase) -> AbstractAsyncContextManager[None]:
    """Sees that nothing waits for ever, and nothing is left."""
    return audio_ends.watched(AudioSink, case.deadline_s)


def opened(case: SinkCase) -> AbstractAsyncContextManager[AudioSink]:
    """An open one, which is closed and leaves nothing."""
    return audio_ends.opened(AudioSink, case.make, case.deadline_s)


def frames(sink: AudioSink) -> list[AudioFrame]:
    """Frames of several lengths, one behind the other, at the sink's rate."""
    rate_hz = sink.rate_hz or ANY_RATE_HZ
    samples, first = loud(0.2), 0
    made = []
    for length in LENGTHS:
        made.append(frame_from_mono(samples[first : first + length], rate_hz, first))
        first += length
    return made
