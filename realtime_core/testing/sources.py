"""The suite that every audio source passes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from realtime_core.audio import AudioFrame, AudioSource
from realtime_core.errors import RealtimeError
from realtime_core.testing import audio_ends
from realtime_core.testing.demand import broken, require

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

__all__ = ["AudioSourceContract", "SourceCase"]

MAX_FRAME_S = 0.1
ENOUGH_S = 0.5
"""Of a source that does not end."""


@dataclass(frozen=True)
class SourceCase:
    """What the suite needs to know of a source."""

    make: Callable[[], AudioSource]
    """Makes one; nothing is opened."""
    ends: bool = True
    """Whether it ends by itself, within seconds."""
    make_unusable: Callable[[], AudioSource] | None = None
    """Makes one that cannot be opened, such as of a missing file; None where there is no such."""
    deadline_s: float = 10.0
    """For each test."""


class AudioSourceContract:
    """What a transport may rely on, whatever the source.

    Subclass it and override one fixture::

        class TestMine(AudioSourceContract):
            @pytest.fixture
            def case(self):
                return SourceCase(make=MySource)
    """

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def case(self) -> SourceCase:
        """Override this one."""
        raise NotImplementedError(f"{type(self).__name__} must override the fixture `case`")

    async def test_it_is_read_to_its_end_and_stays_there(self, case: SourceCase) -> None:
        if not case.ends:
            pytest.skip("it does not end")
        async with opened(case) as source:
            frames = await read(source, case)
            require(frames, "a source has audio", seen="no frame", see=AudioSource.read)
            again = [await source.read() for _ in range(2)]
            require(
                again == [None, None],
                "behind its end a source gives None, as often as it is asked",
                seen=again,
                see=AudioSource.read,
            )

    async def test_it_says_whether_it_ends(self, case: SourceCase) -> None:
        source = case.make()
        require(
            source.is_endless is not case.ends,
            "`is_endless` is True of a source that never ends by itself, False of all others",
            seen=f"{source.is_endless!r} of one that {'ends' if case.ends else 'does not end'}",
            see="AudioSource.is_endless",
        )
        async with opened(case) as source:
            require(
                source.is_endless is not case.ends,
                "`is_endless` is the same before and after `open`",
                seen=source.is_endless,
                see="AudioSource.is_endless",
            )

    async def test_frames_are_audio_of_one_form(self, case: SourceCase) -> None:
        async with opened(case) as source:
            frames = await read(source, case)
            forms = {(f.samples.dtype.str, f.samples.ndim, f.rate_hz, f.channels) for f in frames}
            require(
                len(forms) == 1 and all(len(frame.samples) for frame in frames),
                "rate and number of channels do not change within a stream, no frame is empty",
                seen=forms,
                see=AudioSource.read,
            )

    async def test_frames_are_short(self, case: SourceCase) -> None:
        async with opened(case) as source:
            longest_s = max(frame.duration_s for frame in await read(source, case))
            require(
                longest_s <= MAX_FRAME_S,
                "a frame is of 10 to 100 ms (the last may be shorter): longer ones are late",
                seen=f"{longest_s:.3f} s",
                see=AudioSource.read,
            )

    async def test_frames_lie_behind_each_other_on_the_time_line(self, case: SourceCase) -> None:
        async with opened(case) as source:
            expected = 0
            for frame in await read(source, case):
                # A live source may have dropped what nobody read in time.
                is_placed = frame.first_sample == expected
                require(
                    is_placed or (source.is_live and frame.first_sample > expected),
                    "`first_sample` counts the samples of the stream: it is that of the frame "
                    "before plus its length, and 0 at first",
                    seen=f"{frame.first_sample} instead of {expected}",
                    see=AudioFrame,
                )
                expected = frame.first_sample + len(frame.samples)

    async def test_cancelling_a_read_loses_nothing(self, case: SourceCase) -> None:
        async with opened(case) as source:
            undisturbed = joined(await read(source, case))
        async with opened(case) as source:
            if source.is_live:
                pytest.skip("a live source is never the same twice")
            disturbed = joined(await read(source, case, cancelling=True))
            if not case.ends:  # it may have been read a little further
                undisturbed, disturbed = _common_part(undisturbed, disturbed)
            require(
                np.array_equal(undisturbed, disturbed),
                "cancelling read() loses no audio: the next read() goes on where it stood",
                seen=f"{len(disturbed)} samples instead of {len(undisturbed)}, or others",
                see=AudioSource.read,
            )

    async def test_reading_lets_others_run(self, case: SourceCase) -> None:
        async with opened(case) as source:
            turns = 0

            async def count() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            counting = asyncio.ensure_future(count())
            reads = 0
            while reads < 10 and await source.read() is not None:
                reads += 1
            counting.cancel()
            await asyncio.gather(counting, return_exceptions=True)
            require(
                turns >= reads,
                "a source that never waits yields at each read(), or the call's other tasks starve",
                seen=f"{turns} turns of another task in {reads} reads",
                see=AudioSource.read,
            )

    async def test_its_duration_is_unknown_before_it_is_open_and_true_then(
        self, case: SourceCase
    ) -> None:
        source = case.make()
        require(
            told_duration(source) is None,
            "`duration_s` is None before the source is open",
            seen=told_duration(source),
            see=AudioSource.duration_s,
        )
        async with opened(case) as source:
            duration_s = source.duration_s
            if duration_s is None or not case.ends:
                return
            read_s = sum(frame.duration_s for frame in await read(source, case))
            require(
                abs(duration_s - read_s) < 0.05,
                "`duration_s` is how long it plays",
                seen=f"{duration_s} s told, {read_s} s read",
                see=AudioSource.duration_s,
            )

    async def test_opening_twice_is_fine(self, case: SourceCase) -> None:
        async with opened(case) as source:
            first = await source.read()
            await source.open()
            second = await source.read()
            require(
                first is not None and (second is None or second.first_sample >= len(first.samples)),
                "opening twice is fine, and does not begin again",
                seen=second,
                see=AudioSource.open,
            )

    async def test_closing_twice_or_unopened_is_fine(self, case: SourceCase) -> None:
        async with watched(case):
            source = case.make()
            await source.close()
            await source.close()
        async with opened(case) as source:
            await source.read()
            await source.close()
            await source.close()

    async def test_reading_what_is_not_open_is_no_surprise(self, case: SourceCase) -> None:
        async with watched(case):
            try:
                await case.make().read()
            except RealtimeError:
                return
            except Exception as exc:
                broken(
                    "a source that is not open says so with a RealtimeError",
                    seen=exc,
                    see=AudioSource,
                )

    async def test_what_cannot_be_opened_raises_audio_error(self, case: SourceCase) -> None:
        if case.make_unusable is None:
            pytest.skip("there is no such source")
        await audio_ends.refuse_to_open(
            AudioSource, case.make_unusable, case.deadline_s, lambda source: source.close()
        )


def watched(case: SourceCase) -> AbstractAsyncContextManager[None]:
    """Sees that nothing waits for ever, and nothing is left."""
    return audio_ends.watched(AudioSource, case.deadline_s)


def opened(case: SourceCase) -> AbstractAsyncContextManager[AudioSource]:
    """An open one, which is closed and leaves nothing."""
    return audio_ends.opened(AudioSource, case.make, case.deadline_s)


async def read(
    source: AudioSource, case: SourceCase, *, cancelling: bool = False
) -> list[AudioFrame]:
    """All frames, or those of half a second where there is no end.

    Args:
        source: Open.
        case: Says whether it ends.
        cancelling: Whether each read is preceded by two that are cancelled, one before and one
            after it has begun.
    """
    frames: list[AudioFrame] = []
    while case.ends or sum(len(frame.samples) / frame.rate_hz for frame in frames) < ENOUGH_S:
        for turns in (0, 1) if cancelling else ():
            frames += await _cancelled_read(source, turns)
        frame = await source.read()
        if frame is None:
            break
        frames.append(frame)
    return frames


async def _cancelled_read(source: AudioSource, turns: int) -> list[AudioFrame]:
    """Cancel a read after so many turns of the loop; what it gave all the same."""
    reading = asyncio.ensure_future(source.read())
    for _ in range(turns):
        await asyncio.sleep(0)
    reading.cancel()
    (outcome,) = await asyncio.gather(reading, return_exceptions=True)
    return [outcome] if isinstance(outcome, AudioFrame) else []


def joined(frames: list[AudioFrame]) -> np.ndarray:
    """All samples."""
    return np.concatenate([frame.samples for frame in frames])


def told_duration(source: AudioSource) -> object:
    """What `duration_s` says, or raises."""
    try:
        return source.duration_s
    except Exception as exc:
        return exc


def _common_part(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count = min(len(one), len(other))
    return one[:count], other[:count]
