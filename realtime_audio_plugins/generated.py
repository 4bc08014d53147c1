"""What silence and tones have in common: audio that is computed."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING

from realtime_core.audio import AudioFrame, AudioSource, frame_from_mono
from realtime_core.errors import UserError, ValidationError

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["GeneratedSource"]

_BLOCKS_PER_SECOND = 50


class GeneratedSource(AudioSource):
    """Computes blocks of 20 ms as fast as they are read: it does not pace itself."""

    def __init__(self, rate_hz: int, duration_s: float | None) -> None:
        """Set what is generated.

        Args:
            rate_hz: Samples per second.
            duration_s: When it ends; None for never.

        Raises:
            ValidationError: The rate is not positive, or the duration negative or no number.
        """
        if rate_hz <= 0:
            raise ValidationError(f"rate_hz must be positive, not {rate_hz}")
        if duration_s is not None and not 0 <= duration_s < float("inf"):
            raise ValidationError(f"duration_s must be a number of seconds, not {duration_s}")
        self.rate_hz = rate_hz
        self.is_endless = duration_s is None
        self._end = None if duration_s is None else round(duration_s * rate_hz)
        self._position: int | None = None

    @property
    def duration_s(self) -> float | None:
        """How long it plays, in seconds; None while not open, or without an end."""
        return None if self._end is None or self._position is None else self._end / self.rate_hz

    async def open(self) -> None:
        """Begin at the start."""
        if self._position is None:
            self._position = 0

    async def read(self) -> AudioFrame | None:
        """The next 20 ms (the last frame may be shorter), or None at the end."""
        # Cancelled here, nothing is lost; and a reader that never waits cannot stop the loop.
        await asyncio.sleep(0)
        if self._position is None:
            raise UserError("the source is not open")
        count = max(1, self.rate_hz // _BLOCKS_PER_SECOND)
        if self._end is not None:
            count = min(count, self._end - self._position)
        if count <= 0:
            return None
        frame = frame_from_mono(self._compute(self._position, count), self.rate_hz, self._position)
        self._position += count
        return frame

    async def close(self) -> None:
        """Stop; opened again it begins at its start."""
        self._position = None

    @abstractmethod
    def _compute(self, first_sample: int, count: int) -> Pcm16:
        """Samples from an absolute position on; int16, shape (count,)."""
