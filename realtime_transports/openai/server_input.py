"""The input audio buffer: what came from the user and is in no item yet."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["InputBuffer"]


class InputBuffer:
    """Audio on a time line that begins with the session; the oldest is dropped when it is full.

    Places are indexes of samples since the beginning of the session.
    """

    def __init__(self, max_samples: int) -> None:
        """Begin empty.

        Args:
            max_samples: How much it holds.
        """
        self._max_samples = max_samples
        self._pieces: deque[Pcm16] = deque()
        self._start = 0
        self._end = 0

    @property
    def start(self) -> int:
        """Place of the oldest sample that is still there."""
        return self._start

    @property
    def end(self) -> int:
        """Place of the next sample that will come."""
        return self._end

    def append(self, samples: Pcm16) -> None:
        """Add audio; int16, mono."""
        if len(samples):
            self._pieces.append(samples)
            self._end += len(samples)
        if self._end - self._start > self._max_samples:
            self.drop_until(self._end - self._max_samples)

    def take(self, start: int, end: int) -> Pcm16:
        """What is between two places; it and everything before it is gone afterwards."""
        taken = self.peek(start, end)
        self.drop_until(min(end, self._end))
        return taken

    def peek(self, start: int, end: int) -> Pcm16:
        """What is between two places and stays; only what is before it is gone afterwards."""
        self.drop_until(start)
        count = max(0, min(end, self._end) - self._start)
        return np.concatenate([np.zeros(0, np.int16), *self._pieces])[:count]

    def drop_until(self, place: int) -> None:
        """Forget what is before a place."""
        while self._pieces and self._start < place:
            piece = self._pieces.popleft()
            dropped = min(len(piece), place - self._start)
            self._start += dropped
            if dropped < len(piece):
                self._pieces.appendleft(piece[dropped:])
