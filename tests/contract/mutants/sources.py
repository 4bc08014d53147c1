"""Sources that break the contract."""

from __future__ import annotations

import asyncio

import numpy as np

from realtime_core.audio import AudioFrame, AudioSource, frame_from_mono
from realtime_core.errors import AudioError, UserError
from tests.contract.mutants.registry import Mutants, leave_a_thread

MUTANTS = Mutants()
caught_by = MUTANTS.caught_by

RATE_HZ = 16_000
SAMPLES = np.random.default_rng(2).integers(-9_000, 9_000, 5_000, np.int16)


class Good(AudioSource):
    """Whole; all others are made of it."""

    frame_samples = 320
    position: int | None = None

    @property
    def duration_s(self) -> float | None:
        return None if self.position is None else len(SAMPLES) / RATE_HZ

    async def open(self) -> None:
        if self.position is None:
            self.position = 0

    async def read(self) -> AudioFrame | None:
        await asyncio.sleep(0)
        return self.take()

    def take(self) -> AudioFrame | None:
        if self.position is None:
            raise UserError("not open")
        first = self.position
        block = SAMPLES[first : first + self.frame_samples]
        self.position += len(block)
        return frame_from_mono(block, RATE_HZ, first) if len(block) else None

    async def close(self) -> None:
        self.position = None


class Unusable(Good):
    async def open(self) -> None:
        raise AudioError("it is not there; look for it")


@caught_by("it_is_read_to_its_end_and_stays_there")
class BeginsAgain(Good):
    async def read(self) -> AudioFrame | None:
        frame = await super().read()
        if frame is None:
            self.position = 0
        return frame


@caught_by("it_is_read_to_its_end_and_stays_there")
class NeverTellsItsEnd(Good):
    async def read(self) -> AudioFrame | None:
        frame = await super().read()
        return frame or await asyncio.Event().wait()  # type: ignore[return-value]


@caught_by("it_says_whether_it_ends")
class ClaimsToBeEndless(Good):
    is_endless = True


@caught_by("it_says_whether_it_ends")
class KnowsItsEndOnlyOnceOpen(Good):
    @property
    def is_endless(self) -> bool:
        return self.position is None


@caught_by("frames_are_audio_of_one_form")
class ChangesItsRate(Good):
    def take(self) -> AudioFrame | None:
        frame = super().take()
        if frame is None or frame.first_sample < 2_000:
            return frame
        return AudioFrame(frame.samples, 48_000, frame.first_sample)


@caught_by("frames_are_audio_of_one_form")
class EndsWithNothing(Good):
    is_over = False

    def take(self) -> AudioFrame | None:
        frame = super().take()
        if frame is None and not self.is_over:
            self.is_over = True
            return frame_from_mono(np.zeros(0, np.int16), RATE_HZ, len(SAMPLES))
        return frame


@caught_by("frames_are_short")
class HasLongFrames(Good):
    frame_samples = RATE_HZ // 4


@caught_by("frames_lie_behind_each_other_on_the_time_line")
class HasNoTimeLine(Good):
    def take(self) -> AudioFrame | None:
        frame = super().take()
        return frame and AudioFrame(frame.samples, frame.rate_hz)


@caught_by("cancelling_a_read_loses_nothing")
class LosesWhatIsCancelled(Good):
    async def read(self) -> AudioFrame | None:
        frame = self.take()
        await asyncio.sleep(0)
        return frame


@caught_by("reading_lets_others_run")
class NeverYields(Good):
    async def read(self) -> AudioFrame | None:
        return self.take()


@caught_by("its_duration_is_unknown_before_it_is_open_and_true_then")
class ExaggeratesItsDuration(Good):
    @property
    def duration_s(self) -> float | None:
        return None if self.position is None else 17.0


@caught_by("its_duration_is_unknown_before_it_is_open_and_true_then")
class RaisesForItsDuration(Good):
    @property
    def duration_s(self) -> float | None:
        if self.position is None:
            raise UserError("not open")
        return super().duration_s


@caught_by("opening_twice_is_fine")
class RewindsWhenOpened(Good):
    async def open(self) -> None:
        self.position = 0


@caught_by("closing_twice_or_unopened_is_fine")
class ClosesOnce(Good):
    async def close(self) -> None:
        if self.position is None:
            raise UserError("not open")
        await super().close()


@caught_by("closing_twice_or_unopened_is_fine")
class LeavesAThread(Good):
    async def open(self) -> None:
        await super().open()
        leave_a_thread()


@caught_by("reading_what_is_not_open_is_no_surprise")
class SurprisesWhenUnopened(Good):
    def take(self) -> AudioFrame | None:
        if self.position is None:
            raise AttributeError("'NoneType' object has no attribute 'read'")
        return super().take()


@caught_by("what_cannot_be_opened_raises_audio_error")
class RaisesWhatItGot(Good):
    async def open(self) -> None:
        raise FileNotFoundError("question.wav")


@caught_by("what_cannot_be_opened_raises_audio_error")
class OpensAnything(Good):
    """There is nothing that it cannot open."""
