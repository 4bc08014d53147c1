"""From the first sound to the last."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["SILENCE_PEAK", "SoundSpan"]

SILENCE_PEAK = 33
"""-60 dB of full scale: what stays within is silence."""


class SoundSpan:
    """Says which samples of a stream to store so that silence at both ends is left out.

    The end of the stream is not known while it runs, so silence after a sound is stored at first;
    `kept_samples` says where to cut when the stream is over. Memory is bounded by `before`.
    """

    def __init__(self, *, before: int, after: int, peak: int = SILENCE_PEAK) -> None:
        """Begin a stream.

        Args:
            before: How many samples to keep before the first sound.
            after: How many to keep after the last one.
            peak: Sound is what exceeds this in any channel; negative: everything is.
        """
        self._before = before
        self._after = after
        self._peak = peak
        self._lead: Pcm16 | None = None
        self._has_begun = False
        self._stored = 0
        self._sound_end = 0

    @classmethod
    def everything(cls) -> SoundSpan:
        """A span that leaves nothing out."""
        return cls(before=0, after=sys.maxsize, peak=-1)

    @property
    def kept_samples(self) -> int:
        """How many of the samples returned so far are to be kept if the stream ends now."""
        return min(self._stored, self._sound_end + self._after) if self._has_begun else 0

    def push(self, samples: Pcm16) -> Pcm16:
        """Take the next samples.

        Args:
            samples: int16, shape (n, channels).

        Returns:
            What to store now, of the same shape; often nothing before the first sound, and more
            than came with it.
        """
        loud = np.flatnonzero(((samples > self._peak) | (samples < -self._peak)).any(axis=1))
        skipped = 0
        if not self._has_begun:
            if self._lead is not None:
                samples = np.concatenate([self._lead, samples])
                loud += len(self._lead)
            if not len(loud):
                self._lead = samples[max(0, len(samples) - self._before) :].copy()
                return samples[:0]
            self._has_begun, self._lead = True, None
            skipped = max(0, int(loud[0]) - self._before)
            samples = samples[skipped:]
        if len(loud):
            self._sound_end = self._stored + int(loud[-1]) - skipped + 1
        self._stored += len(samples)
        return samples
