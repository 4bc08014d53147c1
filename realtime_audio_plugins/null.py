"""Silence as a source, and a sink that only counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from realtime_audio_plugins.generated import GeneratedSource
from realtime_core.audio import AudioSink

if TYPE_CHECKING:
    from realtime_core.audio import AudioFrame, Pcm16

__all__ = ["NullSink", "NullSource"]


class NullSource(GeneratedSource):
    """Silence, without end unless told otherwise."""

    def __init__(self, duration_s: float | None = None, *, rate_hz: int = 48_000) -> None:
        """Set how long.

        Args:
            duration_s: When it ends; None for never.
            rate_hz: Samples per second.

        Raises:
            ValidationError: The rate is not positive, or the duration negative or no number.
        """
        super().__init__(rate_hz, duration_s)

    def _compute(self, first_sample: int, count: int) -> Pcm16:  # noqa: ARG002 - the same anywhere
        return np.zeros(count, np.int16)


class NullSink(AudioSink):
    """Takes everything at once, keeps nothing, and counts."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._played_samples = 0
        self._played_s = 0.0

    @property
    def played_samples(self) -> int:
        """How many samples were written."""
        return self._played_samples

    @property
    def played_s(self) -> float:
        """How much was written, in seconds, whatever the rates."""
        return self._played_s

    async def open(self) -> None:
        """Nothing."""

    async def write(self, frame: AudioFrame) -> None:
        """Count the frame."""
        self._played_samples += len(frame.samples)
        self._played_s += frame.duration_s

    def clear(self) -> None:
        """Nothing: what was written counts as heard."""

    async def drain(self) -> None:
        """Nothing."""

    async def close(self, *, complete: bool = True) -> None:
        """Nothing; the counts stay."""
