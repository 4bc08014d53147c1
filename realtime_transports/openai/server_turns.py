"""When the user speaks and when a turn is over, from the energy of the audio alone.

Rules, frame by frame of 20 ms:

* A frame is loud when its level is above the gate, and 10 dB above the background. The gate comes
  from the client's threshold. The background falls at once to the level of a quieter frame and
  rises slowly, so that a steady noise does not count as speech for ever.
* Silence → speech: 60 ms of loud frames in a row.
* Speech → silence: no loud frame for `silence_duration_ms`. While somebody speaks, a frame up to
  6 dB below both limits still counts as loud, for words end softly.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["EnergyTurnDetector", "SpeechChange", "TurnSettings", "level_dbfs"]

RATE_HZ = 24_000
FRAME_SAMPLES = RATE_HZ // 50
START_FRAMES = 3
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


class EnergyTurnDetector:
    """Listens to a stream and tells when speech starts and stops."""

    def __init__(self, settings: TurnSettings, position: int = 0) -> None:
        """Begin in silence.

        Args:
            settings: How to tell turns apart.
            position: Index of the first sample that will be pushed, on the caller's time line.
        """
        self.settings = settings
        self.is_speaking = False
        self._position = position
        self._rest: Pcm16 = np.zeros(0, np.int16)
        self._background_dbfs = MIN_BACKGROUND_DBFS
        self._loud_frames = 0
        self._quiet_frames = 0

    def push(self, samples: Pcm16) -> list[tuple[SpeechChange, int]]:
        """Listen on; any way of cutting the stream gives the same result.

        Args:
            samples: int16, mono, 24 kHz.

        Returns:
            Each change with its place on the time line: where speech began (without padding), or
            the end of the silence that ended it.
        """
        pending = np.concatenate([self._rest, samples])
        whole = len(pending) // FRAME_SAMPLES
        changes = []
        for index in range(whole):
            frame = pending[index * FRAME_SAMPLES : (index + 1) * FRAME_SAMPLES]
            self._position += FRAME_SAMPLES
            change = self._judge(level_dbfs(frame))
            if change is not None:
                changes.append(change)
        self._rest = pending[whole * FRAME_SAMPLES :].copy()
        return changes

    def reset(self) -> None:
        """Forget that somebody speaks; the background stays known."""
        self.is_speaking = False
        self._loud_frames = 0
        self._quiet_frames = 0

    def _judge(self, level: float) -> tuple[SpeechChange, int] | None:
        limit = max(self.settings.gate_dbfs, self._background_dbfs + BACKGROUND_MARGIN_DB)
        is_loud = level > (limit - HYSTERESIS_DB if self.is_speaking else limit)
        if is_loud:
            self._loud_frames += 1
            self._quiet_frames = 0
        else:
            self._quiet_frames += 1
            self._loud_frames = 0
        self._learn_background(level)
        if not self.is_speaking and self._loud_frames >= START_FRAMES:
            self.is_speaking = True
            return SpeechChange.STARTED, self._position - START_FRAMES * FRAME_SAMPLES
        if self.is_speaking and self._quiet_frames >= self._frames_that_end_a_turn():
            self.is_speaking = False
            return SpeechChange.STOPPED, self._position
        return None

    def _frames_that_end_a_turn(self) -> int:
        return max(1, round(self.settings.silence_duration_ms * RATE_HZ / 1000 / FRAME_SAMPLES))

    def _learn_background(self, level: float) -> None:
        followed = min(level, self._background_dbfs + BACKGROUND_RISE_DB)
        self._background_dbfs = min(max(followed, MIN_BACKGROUND_DBFS), MAX_BACKGROUND_DBFS)


def level_dbfs(samples: Pcm16) -> float:
    """The level of some audio in dB relative to a full-scale square wave; -100 for silence."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    if power <= 0.0:
        return SILENT_DBFS
    return max(SILENT_DBFS, 10.0 * float(np.log10(power / 32768.0**2)))
