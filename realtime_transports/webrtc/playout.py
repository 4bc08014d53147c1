"""What leaves next: a queue of audio, with silence where there is none."""

from __future__ import annotations

from collections import deque

import numpy as np

from realtime_core.audio import Pcm16

__all__ = ["Playout"]

FADE_S = 0.005
"""How long audio that is cut off fades out: a hard edge is heard as a click."""


class Playout:
    """Audio waiting to be played at the pace of whoever takes it; silence when there is none."""

    def __init__(self, rate_hz: int) -> None:
        """Begin with an empty queue.

        Args:
            rate_hz: Samples per second of everything that passes.
        """
        self.rate_hz = rate_hz
        self._pieces: deque[Pcm16] = deque()
        self._queued = 0
        self._played = 0
        self._tail: Pcm16 = np.zeros(0, np.int16)

    @property
    def played_samples(self) -> int:
        """How many samples of what was added have been taken so far."""
        return self._played

    @property
    def queued_s(self) -> float:
        """How much is waiting, in seconds."""
        return self._queued / self.rate_hz

    def add(self, samples: Pcm16) -> None:
        """Queue audio behind what is there.

        Args:
            samples: int16, mono, shape (n,). Not copied, so do not change it afterwards.
        """
        if len(samples):
            self._pieces.append(samples)
            self._queued += len(samples)

    def take(self, count: int) -> Pcm16:
        """The next `count` samples, filled up with silence."""
        taken = np.zeros(count, np.int16)
        filled = self._take_tail(taken)
        while filled < count and self._pieces:
            piece = self._pieces.popleft()
            used = min(len(piece), count - filled)
            taken[filled : filled + used] = piece[:used]
            if used < len(piece):
                self._pieces.appendleft(piece[used:])
            filled += used
            self._queued -= used
            self._played += used
        return taken

    def clear(self) -> None:
        """Forget what is waiting, apart from a fade of a few milliseconds."""
        fade = min(round(FADE_S * self.rate_hz), self._queued)
        if fade:
            played = self._played
            ramp = 0.5 + 0.5 * np.cos(np.pi * (np.arange(fade) + 1) / (fade + 1))
            self._tail = np.rint(self.take(fade) * ramp).astype(np.int16)
            self._played = played  # nobody is to count the fade as heard
        self._pieces.clear()
        self._queued = 0

    def _take_tail(self, into: Pcm16) -> int:
        used = min(len(self._tail), len(into))
        into[:used] = self._tail[:used]
        self._tail = self._tail[used:]
        return used
