"""What waits to be played, and what has been."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["PlayClock", "PlayQueue"]


class PlayQueue:
    """Samples that wait to be played. Not thread-safe by itself."""

    def __init__(self) -> None:
        self._blocks: deque[Pcm16] = deque()
        self.length = 0
        """In samples."""
        self.end = 0
        """How many samples were ever appended."""

    def append(self, samples: Pcm16) -> None:
        """Add samples at the end."""
        if len(samples):
            self._blocks.append(samples)
            self.length += len(samples)
            self.end += len(samples)

    def clear(self) -> None:
        """Forget all."""
        self._blocks.clear()
        self.length = 0

    def take(self, count: int) -> Pcm16:
        """Return and forget up to so many samples."""
        pieces: list[Pcm16] = [np.zeros(0, np.int16)]
        while self._blocks and count:
            block = self._blocks.popleft()
            if len(block) > count:
                self._blocks.appendleft(block[count:])
                block = block[:count]
            pieces.append(block)
            count -= len(block)
            self.length -= len(block)
        return np.concatenate(pieces)


class PlayClock:
    """Counts samples as they leave the device, by the times the device tells. Not thread-safe."""

    def __init__(self, rate_hz: int = 48_000) -> None:
        self._rate_hz = rate_hz
        self._on_their_way: deque[tuple[float, int]] = deque()
        self._played = 0

    def hand_over(self, count: int, first_leaves_at: float) -> None:
        """The device took so many samples; the first leaves at this time of the stream's clock."""
        # Some drivers tell no time; then what they took counts as played.
        if count and first_leaves_at <= 0:
            self._played += count
        elif count:
            self._on_their_way.append((first_leaves_at, count))

    def count_pending(self, now: float) -> int:
        """How many samples the device took and has not let out; whole hand-overs count."""
        self._advance(now)
        return sum(count for _, count in self._on_their_way)

    def played_samples(self, now: float | None) -> int:
        """How many have left at this time; None: the clock stands still."""
        if now is None:
            return self._played
        self._advance(now)
        if not self._on_their_way:
            return self._played
        leaves_at, count = self._on_their_way[0]
        return self._played + min(count, max(0, math.floor((now - leaves_at) * self._rate_hz)))

    def stop(self, now: float) -> None:
        """Stand still; what has not left by now never will."""
        self._played = self.played_samples(now)
        self._on_their_way.clear()

    def _advance(self, now: float) -> None:
        while self._on_their_way:
            leaves_at, count = self._on_their_way[0]
            if leaves_at + count / self._rate_hz > now:
                return
            self._on_their_way.popleft()
            self._played += count
