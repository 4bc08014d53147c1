"""Sinks that break the contract."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import numpy as np

from realtime_core.audio import AudioFrame, AudioSink
from realtime_core.errors import AudioError, UserError
from tests.contract.mutants.registry import Mutants

MUTANTS = Mutants()
caught_by = MUTANTS.caught_by


class Good(AudioSink):
    """Whole; all others are made of it. It stores what it gets."""

    rate_hz = 16_000
    last: ClassVar[Any]

    def __init__(self) -> None:
        self.samples = np.zeros(0, np.int16)
        self.is_open = False
        Good.last = self

    @property
    def duration_s(self) -> float | None:
        return len(self.samples) / 16_000

    async def open(self) -> None:
        self.is_open = True

    async def write(self, frame: AudioFrame) -> None:
        if not self.is_open:
            raise UserError("not open")
        if frame.rate_hz != self.rate_hz:
            raise UserError(f"{frame.rate_hz} Hz instead of {self.rate_hz} Hz")
        self.samples = np.concatenate([self.samples, frame.to_mono()])

    def clear(self) -> None:
        """What was written counts as heard."""

    async def drain(self) -> None:
        """All is stored."""

    @property
    def played_samples(self) -> int:
        return len(self.samples)

    async def close(self, *, complete: bool = True) -> None:
        self.is_open = False


class Unusable(Good):
    async def open(self) -> None:
        raise AudioError("it cannot be written to")


@caught_by("what_was_heard_only_grows_up_to_what_was_written")
class CountsBackwards(Good):
    @property
    def played_samples(self) -> int:
        return -len(self.samples)


@caught_by("what_was_heard_only_grows_up_to_what_was_written")
class CountsBytes(Good):
    @property
    def played_samples(self) -> int:
        return 2 * len(self.samples)


@caught_by("what_was_heard_only_grows_up_to_what_was_written")
class DrainsTooEarly(Good):
    @property
    def played_samples(self) -> int:
        return max(0, len(self.samples) - 480)


@caught_by("clearing_drops_at_most_what_was_not_heard")
class TakesBackWhatWasHeard(Good):
    def clear(self) -> None:
        self.samples = self.samples[:0]


@caught_by("clearing_drops_at_most_what_was_not_heard")
class IsDeafAfterClear(Good):
    is_cleared = False

    def clear(self) -> None:
        self.is_cleared = True

    async def write(self, frame: AudioFrame) -> None:
        if not self.is_cleared:
            await super().write(frame)


@caught_by("what_was_written_is_stored")
class LosesTheLast(Good):
    async def close(self, *, complete: bool = True) -> None:
        self.samples = self.samples[:-1]


@caught_by("a_frame_is_not_changed")
class ScalesInPlace(Good):
    async def write(self, frame: AudioFrame) -> None:
        await super().write(frame)
        frame.samples[:] //= 2


@caught_by("its_rate_is_a_rate_and_stays")
class FollowsTheFrames(Good):
    async def write(self, frame: AudioFrame) -> None:
        await super().write(frame)
        self.rate_hz = 48_000


@caught_by("another_rate_is_refused_or_taken")
class TakesAnyRate(Good):
    async def write(self, frame: AudioFrame) -> None:
        self.samples = np.concatenate([self.samples, frame.to_mono()])


@caught_by("draining_what_is_empty_ends")
class DrainsForEver(Good):
    async def drain(self) -> None:
        if not len(self.samples):
            await asyncio.Event().wait()


@caught_by("opening_twice_is_fine")
class BeginsAgain(Good):
    async def open(self) -> None:
        await super().open()
        self.samples = self.samples[:0]


@caught_by("closing_twice_or_unopened_is_fine")
class ClosesOnce(Good):
    async def close(self, *, complete: bool = True) -> None:
        if not self.is_open:
            raise UserError("not open")
        await super().close()


@caught_by("closing_twice_or_unopened_is_fine")
class ForgetsAtTheEnd(Good):
    async def close(self, *, complete: bool = True) -> None:
        self.samples = self.samples[:0]


@caught_by("an_audio_that_ended_early_can_be_closed_so")
class MustBeComplete(Good):
    async def close(self, *, complete: bool = True) -> None:
        if not complete:
            raise AudioError("it is not complete")
        await super().close()


@caught_by("an_audio_that_ended_early_can_be_closed_so")
class LeavesATask(Good):
    async def open(self) -> None:
        await super().open()
        self.task = asyncio.ensure_future(asyncio.Event().wait())


@caught_by("a_cancelled_write_leaves_a_sink_that_closes")
class BreaksWhenCancelled(Good):
    is_broken = False

    async def write(self, frame: AudioFrame) -> None:
        if self.is_broken:
            raise AudioError("a write was cancelled")
        self.is_broken = True
        await asyncio.sleep(0)
        await super().write(frame)
        self.is_broken = False


@caught_by("its_duration_is_none_or_a_time")
class TellsMilliseconds(Good):
    @property
    def duration_s(self) -> float | None:
        return len(self.samples) / 16


@caught_by("what_cannot_be_opened_raises_audio_error")
class RaisesWhatItGot(Good):
    async def open(self) -> None:
        raise PermissionError("answer.wav")


@caught_by("what_cannot_be_opened_raises_audio_error")
class CannotGiveUpWhatItNeverHad(Unusable):
    async def close(self, *, complete: bool = True) -> None:
        if not complete:
            raise FileNotFoundError("answer.wav.part")
