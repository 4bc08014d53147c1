"""A recording's outline: what is drawn of it, and no more."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_BUCKETS", "Waveform", "outline"]

Samples: TypeAlias = NDArray[np.int16]

MOST_BUCKETS = 600
"""More than a window has columns to show."""

FEWEST_PER_BUCKET = 64


@dataclass(frozen=True)
class Waveform:
    """The lowest and the highest sample of each piece of a recording, a row a channel."""

    lowest: NDArray[np.int16]
    """Shape (channels, buckets)."""
    highest: NDArray[np.int16]
    bucket_s: float

    @property
    def peak(self) -> float:
        """The largest sample of all, of full scale 1."""
        if not self.highest.size:
            return 0.0
        lowest, highest = int(self.lowest.min()), int(self.highest.max())
        return max(-lowest, highest, 0) / 32_768

    def encoded(self, channel: int) -> str:
        """A channel for the page: base64 of int8, lowest and highest in turn; 127 is the peak."""
        scale = 127 / max(1.0, self.peak * 32_768)
        both = np.stack([self.lowest[channel], self.highest[channel]], axis=1) * scale
        scaled = np.clip(np.round(both), -127, 127).astype(np.int8)
        return base64.b64encode(scaled.tobytes()).decode()

    def described(self) -> dict[str, Any]:
        """What the page gets."""
        return {
            "bucket_s": round(self.bucket_s, 6),
            "peak": round(self.peak, 5),
            "lanes": [self.encoded(channel) for channel in range(len(self.lowest))],
        }


def outline(blocks: Iterable[Samples], frames: int, rate_hz: int) -> Waveform:
    """The outline of a recording that comes in pieces; only what is drawn is kept.

    Args:
        blocks: int16 of shape (n, channels), n at least 1.
        frames: How many samples a channel has, all blocks together, as far as is known.
        rate_hz: Samples per second.
    """
    size = max(FEWEST_PER_BUCKET, -(-frames // MOST_BUCKETS))
    lowest: list[NDArray[np.int16]] = []
    highest: list[NDArray[np.int16]] = []
    held = np.zeros((0, 1), np.int16)
    for block in blocks:
        held = np.concatenate([held, block]) if len(held) else block
        whole = len(held) - len(held) % size
        if whole:
            pieces = held[:whole].reshape(-1, size, held.shape[1])
            lowest.append(pieces.min(axis=1))
            highest.append(pieces.max(axis=1))
            held = held[whole:]
    if len(held):
        lowest.append(held.min(axis=0, keepdims=True))
        highest.append(held.max(axis=0, keepdims=True))
    empty = np.zeros((0, 1), np.int16)
    return Waveform(
        np.concatenate(lowest or [empty]).T, np.concatenate(highest or [empty]).T, size / rate_hz
    )
