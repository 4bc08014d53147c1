"""When the user speaks and when a turn is over: from a model's judgement, or from energy alone.

Rules, frame by frame; each frame counts as speech or not:

* Silence → speech: about 60 ms of speech frames in a row.
* Speech → silence: no speech frame for `silence_duration_ms`.
* By a model, a frame is speech when its probability reaches the client's threshold; while somebody
  speaks, when it is not more than 0.15 below that.
* By energy, a frame of 20 ms is speech when its level is above the gate, and 10 dB above the
  background. The gate comes from the client's threshold. The background falls at once to the level
  of a quieter frame and rises slowly, so that a steady noise does not count as speech for ever.
  While somebody speaks, a frame up to 6 dB below both limits still counts, for words end softly.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = [
    "EnergyTurnDetector",
    "ModelTurnDetector",
    "SpeechChange",
    "TurnDetector",
    "TurnSettings",
    "level_dbfs",
]

RATE_HZ = 24_000
FRAME_SAMPLES = RATE_HZ // 50
START_S = 0.06
MODEL_HYSTERESIS = 0.15
"""What Silero's authors advise, as for the 64 ms (two of their frames) that start a turn."""

BACKGROUND_MARGIN_DB = 10.0
HYSTERESIS_DB = 6.0
SILENT_DBFS = -100.0
"""What digital silence counts as."""

MIN_BACKGROUND_DBFS = -70.0
"""Where the background begins, so that a noise after digital silence is soon known for one."""

MAX_BACKGROUND_DBFS = -40.0
"""No background is so loud that speech at a usual level would drown in it."""

BACKGROUND_RISE_DB = 0.1
"""By how much a frame can raise it: 5 dB a second."""

SEMANTIC_SILENCE_MS = {"low": 1_200, "medium": 700, "auto": 700, "high": 400}
"""How long a pause ends a turn under semantic_vad. The API judges the words; this judges none."""

SEMANTIC_PREFIX_MS = 300
SEMANTIC_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """How turns are told apart."""

    threshold: float = 0.5
    """0 takes almost every sound for speech, 1 only loud ones."""
    prefix_padding_ms: int = 300
    """How much before the detected start belongs to the turn."""
    silence_duration_ms: int = 500
    """How long a silence ends it."""

    @classmethod
    def from_session(cls, settings: Mapping[str, Any]) -> TurnSettings:
        """Read the session's `turn_detection`, which has all defaults filled in."""
        if settings["type"] == "semantic_vad":
            silence_ms = SEMANTIC_SILENCE_MS[settings["eagerness"]]
            return cls(SEMANTIC_THRESHOLD, SEMANTIC_PREFIX_MS, silence_ms)
        return cls(
            float(settings["threshold"]),
            int(settings["prefix_padding_ms"]),
            int(settings["silence_duration_ms"]),
        )

    @property
    def gate_dbfs(self) -> float:
        """The level below which nothing is speech: -50 dB of full scale at a threshold of 0.5."""
        return -65.0 + 30.0 * self.threshold


class SpeechChange(enum.Enum):
    """What changed."""

    STARTED = "started"
    STOPPED = "stopped"


class _TurnState:
    """Whether somebody speaks, from whether each frame is speech. Places are in samples."""

    def __init__(self, settings: TurnSettings, frame_samples: int, position: int) -> None:
        self.is_speaking = False
        self._frame_samples = frame_samples
        self._start_frames = max(1, round(START_S * RATE_HZ / frame_samples))
        silence_samples = settings.silence_duration_ms * RATE_HZ / 1000
        self._end_frames = max(1, round(silence_samples / frame_samples))
        self.position = position
        self.spoken_until = position
        self._speech_frames = 0
        self._other_frames = 0

    @property
    def silence_samples(self) -> int:
        """How much silence ends a turn."""
        return self._end_frames * self._frame_samples

    def reset(self) -> None:
        self.is_speaking = False
        self._speech_frames = 0
        self._other_frames = 0

    def step(self, *, is_speech: bool) -> tuple[SpeechChange, int] | None:
        """What the next frame changes, and the place."""
        self.position += self._frame_samples
        if is_speech:
            self._speech_frames += 1
            self._other_frames = 0
            self.spoken_until = self.position
        else:
            self._other_frames += 1
            self._speech_frames = 0
        if not self.is_speaking and self._speech_frames >= self._start_frames:
            self.is_speaking = True
            begin = self.position - self._start_frames * self._frame_samples
            return SpeechChange.STARTED, begin
        if self.is_speaking and self._other_frames >= self._end_frames:
            self.is_speaking = False
            return SpeechChange.STOPPED, self.position
        return None


class TurnDetector:
    """What is known of a turn, however speech is told from silence. Places are in samples."""

    settings: TurnSettings
    _state: _TurnState

    @property
    def is_speaking(self) -> bool:
        """Whether a turn goes on."""
        return self._state.is_speaking

    @property
    def position(self) -> int:
        """How far the stream was judged."""
        return self._state.position

    @property
    def spoken_until(self) -> int:
        """Where the last frame of speech ends."""
        return self._state.spoken_until

    @property
    def silence_samples(self) -> int:
        """So long a silence behind `spoken_until` ends a turn."""
        return self._state.silence_samples


class ModelTurnDetector(TurnDetector):
    """Concludes from what a model thinks of each frame when speech starts and stops."""

    def __init__(self, settings: TurnSettings, frame_samples: int, position: int = 0) -> None:
        """Begin in silence.

        Args:
            settings: How turns are told apart.
            frame_samples: How long the model's frames are, at 24 kHz.
            position: Place of the first frame's first sample.
        """
        self.settings = settings
        self._state = _TurnState(settings, frame_samples, position)
        self._deaf_until = position

    def judge(self, probabilities: Sequence[float]) -> list[tuple[SpeechChange, int]]:
        """What the next frames change, each with the place in the stream.

        Args:
            probabilities: Of speech, from 0 to 1, frame by frame.
        """
        changes = []
        for probability in probabilities:
            limit = self.settings.threshold
            if self._state.is_speaking:
                limit -= MODEL_HYSTERESIS
            is_new = self._state.position >= self._deaf_until
            change = self._state.step(is_speech=is_new and probability >= limit)
            if change is not None:
                changes.append(change)
        return changes

    def reset(self, position: int) -> None:
        """Forget that somebody speaks; what came before `position` is dealt with already.

        A model's judgement comes late, so that some of it may be about audio from before.
        """
        self._state.reset()
        self._deaf_until = position


class EnergyTurnDetector(TurnDetector):
    """Listens to a stream and tells when speech starts and stops."""

    def __init__(self, settings: TurnSettings, position: int = 0) -> None:
        """Begin in silence.

        Args:
            settings: How turns are told apart.
            position: Place of the first sample that will come.
        """
        self.settings = settings
        self._state = _TurnState(settings, FRAME_SAMPLES, position)
        self._rest: Pcm16 = np.zeros(0, np.int16)
        self._background_dbfs = MIN_BACKGROUND_DBFS

    def push(self, samples: Pcm16) -> list[tuple[SpeechChange, int]]:
        """Listen on.

        Args:
            samples: int16, mono, 24 kHz; any number.

        Returns:
            What changed, each with the place in the stream: where speech started, or how far it
            was listened to when it had stopped.
        """
        pending = np.concatenate([self._rest, samples])
        whole = len(pending) // FRAME_SAMPLES
        changes = []
        for index in range(whole):
            frame = pending[index * FRAME_SAMPLES : (index + 1) * FRAME_SAMPLES]
            change = self._judge(level_dbfs(frame))
            if change is not None:
                changes.append(change)
        self._rest = pending[whole * FRAME_SAMPLES :].copy()
        return changes

    def reset(self, _position: int = 0) -> None:
        """Forget that somebody speaks; the background stays known."""
        self._state.reset()

    def _judge(self, level: float) -> tuple[SpeechChange, int] | None:
        limit = max(self.settings.gate_dbfs, self._background_dbfs + BACKGROUND_MARGIN_DB)
        if self._state.is_speaking:
            limit -= HYSTERESIS_DB
        self._learn_background(level)
        return self._state.step(is_speech=level > limit)

    def _learn_background(self, level: float) -> None:
        followed = min(level, self._background_dbfs + BACKGROUND_RISE_DB)
        self._background_dbfs = min(max(followed, MIN_BACKGROUND_DBFS), MAX_BACKGROUND_DBFS)


def level_dbfs(samples: Pcm16) -> float:
    """The level of some audio in dB relative to a full-scale square wave; -100 for silence."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    if power <= 0.0:
        return SILENT_DBFS
    return max(SILENT_DBFS, 10.0 * float(np.log10(power / 32768.0**2)))
