"""Sees a job's audio as it passes: where on the time line each turn lies, and what left late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from realtime_core.audio import AudioFrame, AudioTap

__all__ = ["JobTap", "TurnSpan"]

SOUND_PEAK = 328
"""-40 dB of full scale, as for the ``metrics`` middleware."""


@dataclass(slots=True)
class TurnSpan:
    """Where a turn's sounds are, in seconds of the tap's clock; to within a frame."""

    question_s: float | None = None
    question_end_s: float | None = None
    answer_s: float | None = None
    answer_end_s: float | None = None


class JobTap:
    """Notes what passes and shows it to a recorder. An `AudioTap`."""

    def __init__(
        self,
        recorder: AudioTap | None,
        *,
        is_realtime: bool,
        on_late: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Begin before the first turn.

        Args:
            recorder: Sees the same.
            is_realtime: Whether the times of frames are those of the event loop's clock.
            on_late: Gets, for each frame of a turn that is sent in real time, by how many seconds
                it is late.
        """
        self._recorder = recorder
        self._is_realtime = is_realtime
        self._on_late = on_late
        self._begin_s: float | None = None
        self._end_s = 0.0
        self.spans: list[TurnSpan] = []
        """Of each turn that has begun."""
        self.lateness_s: float | None = None
        """The most by which a frame of a turn left late; None where none left in real time."""

    def begin_turn(self) -> None:
        """What is heard from now on belongs to the next turn."""
        self.spans.append(TurnSpan())

    def sent(self, frame: AudioFrame, at_s: float) -> None:
        """A frame of the question's."""
        if self._is_realtime and self.spans:  # before, it is of no turn: a session still connects
            late_s = max(0.0, asyncio.get_running_loop().time() - at_s)
            self.lateness_s = max(self.lateness_s or 0.0, late_s)
            self._on_late(late_s)
        at_s = self._placed(frame, at_s)
        if self.spans and _has_sound(frame):
            span = self.spans[-1]
            if span.question_s is None:
                span.question_s = at_s
            span.question_end_s = at_s + frame.duration_s
        if self._recorder is not None:
            self._recorder.sent(frame, at_s)

    def heard(self, frame: AudioFrame, at_s: float) -> None:
        """A frame of the agent's."""
        at_s = self._placed(frame, at_s)
        if self.spans and _has_sound(frame):
            span = self.spans[-1]
            if span.answer_s is None:
                span.answer_s = at_s
            span.answer_end_s = at_s + frame.duration_s
        if self._recorder is not None:
            self._recorder.heard(frame, at_s)

    def on_time_line(self, at_s: float) -> float:
        """The same time counted from the first frame, where the recording begins."""
        return round(max(0.0, at_s - (self._begin_s or 0.0)), 3)

    def now_s(self) -> float:
        """Where on the tap's clock something lies that happens now."""
        return asyncio.get_running_loop().time() if self._is_realtime else self._end_s

    def _placed(self, frame: AudioFrame, at_s: float) -> float:
        """Where a frame lies: where there is no clock to go by, one sound is behind the other."""
        if not self._is_realtime:
            at_s = self._end_s
        if self._begin_s is None:
            self._begin_s = at_s
        self._end_s = max(self._end_s, at_s + frame.duration_s)
        return at_s


def _has_sound(frame: AudioFrame) -> bool:
    samples = frame.samples
    return bool(len(samples)) and bool(samples.max() > SOUND_PEAK or samples.min() < -SOUND_PEAK)
