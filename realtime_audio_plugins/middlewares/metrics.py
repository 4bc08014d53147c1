"""The figures by which voice agents are judged, for each turn."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from realtime_audio_plugins.middlewares.turn_clock import TurnClock, TurnTimes
from realtime_core.errors import UserError
from realtime_core.loop_lag import LagMeter, LoopLag
from realtime_core.middleware import EventMiddleware
from realtime_core.specs import SpecOptions

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from realtime_core.audio import AudioFrame, AudioTap

__all__ = ["LoopLag", "MetricsMiddleware", "MetricsOptions", "TurnMetrics"]

LOGGER = "realtime.metrics"

TURNS_KEPT = 10_000

SOUND_PEAK = 328
"""-40 dB of full scale: a quiet room's noise stays below, the beginning of a word does not."""


class MetricsOptions(SpecOptions):
    """Options of ``metrics``."""

    spec_argument: ClassVar[str | None] = "path"

    path: str | None = Field(None, description="a file to append a JSON line to for each turn")


@dataclass(frozen=True, slots=True)
class TurnMetrics:
    """One response of the model. A figure is None where the turn has no such thing."""

    response_id: str
    status: str | None
    """As the server says; None when the connection ended first."""
    measured_by: Literal["audio", "events"]
    """Whether the model's voice was heard here, or only events told of it."""
    voice_to_voice_s: float | None = None
    """From the end of the user's speech to the first sound of the answer."""
    first_audio_s: float | None = None
    """From the request for the answer to its first sound."""
    interruption_to_silence_s: float | None = None
    """From the moment the interruption was known here to the last sound of the answer."""
    truncation_error_ms: float | None = None
    """What the conversation keeps as heard, less what was heard; above zero it keeps too much."""
    loop_lag: LoopLag | None = None
    """How late the event loop was since the turn before."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    type: Literal["turn_metrics"] = "turn_metrics"


class MetricsMiddleware(EventMiddleware):
    """Measures each turn; best as the last middleware, the nearest to the wire.

    What was said and heard is taken from the audio as it passes, by its tap: the end of the user's
    speech is the last block with sound that left, the first sound of the answer the first frame
    with sound that goes to the sink. Where no audio passes (a sideband, a program that calls
    `send_audio`), events about it stand in.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        on_turn: Callable[[TurnMetrics], None] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Say where the figures go, besides `turns` and the log (``realtime.metrics``, INFO).

        Args:
            path: A file that gets a JSON line for each turn.
            on_turn: Called with each turn.
            clock: Seconds, that of the taps; None means the running event loop's.

        Raises:
            UserError: The file's directory is not there.
        """
        self._path = Path(path) if path is not None else None
        if self._path is not None and not self._path.parent.is_dir():
            raise UserError(f"the directory {str(self._path.parent)!r} does not exist")
        self._on_turn = on_turn
        self._clock = clock or _loop_time
        self._turn_clock = TurnClock()
        self._lag = LagMeter()
        self._meter = _Meter(self._turn_clock, self._tell_finished)
        self._turns: deque[TurnMetrics] = deque(maxlen=TURNS_KEPT)

    @classmethod
    def from_options(cls, options: MetricsOptions) -> MetricsMiddleware:
        """What ``metrics`` in a spec makes."""
        return cls(options.path)

    @property
    def name(self) -> str:
        """What it is called in errors."""
        return "metrics"

    @property
    def turns(self) -> tuple[TurnMetrics, ...]:
        """The turns so far, the last 10,000 of them."""
        return tuple(self._turns)

    @property
    def tap(self) -> AudioTap:
        """What listens."""
        return self._meter

    def incoming(self, event: dict[str, Any]) -> dict[str, Any]:
        """Note when an event of the server comes."""
        self._turn_clock.received_event(event, self._clock())
        self._tell_finished()
        return event

    def outgoing(self, event: dict[str, Any]) -> dict[str, Any]:
        """Note when an event for the server leaves."""
        self._turn_clock.sent_event(event, self._clock())
        self._tell_finished()
        return event

    def link_opened(self, model: str) -> None:  # noqa: ARG002 - nothing depends on it
        """Begin to watch the event loop."""
        self._lag.start()

    def link_closed(self) -> None:
        """A turn that was under way ends here."""
        self._lag.stop()
        self._turn_clock.closed()
        self._tell_finished()

    def _tell_finished(self) -> None:
        for times in self._turn_clock.take_finished():
            self._tell(_metrics(times, self._lag.take()))

    def _tell(self, turn: TurnMetrics) -> None:
        self._turns.append(turn)
        text = json.dumps(asdict(turn))
        logging.getLogger(LOGGER).info("%s", text, extra={"realtime": turn})
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(text + "\n")
        if self._on_turn is not None:
            self._on_turn(turn)


class _Meter:
    """Says of each frame whether there is sound in it. An `AudioTap`."""

    def __init__(self, turn_clock: TurnClock, tell_finished: Callable[[], None]) -> None:
        self._turn_clock = turn_clock
        self._tell_finished = tell_finished

    def sent(self, frame: AudioFrame, at_s: float) -> None:
        sound = _sound(frame)
        if sound is not None:
            self._turn_clock.sent_audio(at_s + sound[1], is_sound=True)

    def heard(self, frame: AudioFrame, at_s: float) -> None:
        sound = _sound(frame)
        begin_s, end_s = sound or (0.0, frame.duration_s)
        self._turn_clock.heard_audio(at_s + begin_s, at_s + end_s, is_sound=sound is not None)
        self._tell_finished()


def _sound(frame: AudioFrame) -> tuple[float, float] | None:
    """From where to where in the frame there is sound, in seconds; None when there is none."""
    loud = np.flatnonzero((np.abs(frame.samples.astype(np.int32)) > SOUND_PEAK).any(axis=1))
    if not len(loud):
        return None
    return float(loud[0]) / frame.rate_hz, float(loud[-1] + 1) / frame.rate_hz


def _metrics(times: TurnTimes, lag: LoopLag | None) -> TurnMetrics:
    return TurnMetrics(
        response_id=times.response_id,
        status=times.status,
        measured_by="audio" if times.is_sound_heard else "events",
        voice_to_voice_s=_between(times.speech_end_s, times.first_sound_s),
        first_audio_s=_between(times.asked_s, times.first_sound_s),
        interruption_to_silence_s=_silence_after(times),
        truncation_error_ms=_truncation_error_ms(times),
        loop_lag=lag,
        input_tokens=_count(times.usage.get("input_tokens")),
        output_tokens=_count(times.usage.get("output_tokens")),
    )


def _between(begin_s: float | None, end_s: float | None) -> float | None:
    return None if begin_s is None or end_s is None else round(end_s - begin_s, 6)


def _silence_after(times: TurnTimes) -> float | None:
    """Only what was heard can tell when it became silent."""
    if times.interrupted_s is None or times.last_sound_s is None:
        return None
    return round(max(0.0, times.last_sound_s - times.interrupted_s), 6)


def _truncation_error_ms(times: TurnTimes) -> float | None:
    if times.truncated_ms is None or not times.is_sound_heard:
        return None
    if times.first_sound_s is None or times.last_sound_s is None:
        return None
    heard_ms = (times.last_sound_s - times.first_sound_s) * 1000
    return round(times.truncated_ms - heard_ms, 3)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _loop_time() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()
