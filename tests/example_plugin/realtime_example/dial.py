"""The source ``dial``: a telephone's keys, for trying out whoever answers them."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import numpy as np
from pydantic import Field
from realtime_core.audio import AudioFrame, AudioSource, Pcm16
from realtime_core.errors import UserError
from realtime_core.specs import SpecOptions

RATE_HZ = 24_000
FRAME_SAMPLES = RATE_HZ // 50
"""20 ms."""

LOW_HZ = (697, 770, 852, 941)
HIGH_HZ = (1209, 1336, 1477, 1633)
KEYS = "123A456B789C*0#D"
"""Row by row; a key's tone is that of its row and that of its column (ITU-T Q.23)."""


class DialOptions(SpecOptions):
    """What may be written behind ``dial``."""

    spec_argument: ClassVar[str | None] = "keys"

    keys: str = Field(
        min_length=1, max_length=100, pattern=f"^[{KEYS}]+$", description="the keys to press"
    )
    tone_ms: int = Field(100, ge=40, le=2_000, description="how long each is held")
    pause_ms: int = Field(60, ge=0, le=2_000, description="silence after each")


class DialSource(AudioSource):
    """Presses keys, one after the other."""

    def __init__(self, keys: str, *, tone_ms: int = 100, pause_ms: int = 60) -> None:
        """Set the keys; nothing is computed before `open`."""
        self._keys = keys
        self._tone_s = tone_ms / 1000
        self._pause_s = pause_ms / 1000
        self._samples: Pcm16 | None = None
        self._position = 0

    @property
    def duration_s(self) -> float | None:
        """How long it takes, once it is open."""
        return None if self._samples is None else len(self._samples) / RATE_HZ

    async def open(self) -> None:
        """Begin with the first key, unless it has begun."""
        if self._samples is None:
            pause = np.zeros(round(self._pause_s * RATE_HZ), np.int16)
            parts = [part for key in self._keys for part in (_tone(key, self._tone_s), pause)]
            self._samples = np.concatenate(parts)
            self._position = 0

    async def read(self) -> AudioFrame | None:
        """The next 20 ms."""
        # A source that never waits lets others run here. Cancelled here, nothing is lost.
        await asyncio.sleep(0)
        if self._samples is None:
            raise UserError("the source is not open")
        first = self._position
        samples = self._samples[first : first + FRAME_SAMPLES]
        self._position += len(samples)
        return AudioFrame(samples.reshape(-1, 1), RATE_HZ, first) if len(samples) else None

    async def close(self) -> None:
        """Forget everything."""
        self._samples = None


def make_dial(options: DialOptions) -> DialSource:
    """Make the source that the options describe."""
    return DialSource(options.keys, tone_ms=options.tone_ms, pause_ms=options.pause_ms)


def _tone(key: str, duration_s: float) -> Pcm16:
    row, column = divmod(KEYS.index(key), 4)
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    waves = np.sin(2 * np.pi * np.outer((LOW_HZ[row], HIGH_HZ[column]), time_s))
    samples: Pcm16 = np.rint(8_000 * waves.sum(axis=0)).astype(np.int16)
    return samples
