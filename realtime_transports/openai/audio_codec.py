"""Between samples and the bytes that events carry, in each of the API's audio formats."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from realtime_core.audio import Pcm16

__all__ = ["PCM_RATE_HZ", "bytes_per_sample", "decode", "encode", "rate_hz_of"]

PCM_RATE_HZ: Final = 24_000
"""The rate of PCM where a format names none, and of what has no known format."""

G711_RATE_HZ: Final = 8_000

_MAX_RATE_HZ: Final = 768_000
"""More than any audio has."""

_BIAS: Final = 132

_NAMES: Final = {
    "audio/pcmu": "ulaw",
    "g711_ulaw": "ulaw",
    "audio/pcma": "alaw",
    "g711_alaw": "alaw",
}


def rate_hz_of(audio_format: object) -> int:
    """Samples per second.

    Args:
        audio_format: The API's object, or an older name such as ``g711_ulaw``; what is neither
            counts as 24 kHz PCM.
    """
    if _law(audio_format) is not None:
        return G711_RATE_HZ
    # A server may say anything; `dict` stands first because `Mapping` takes long to look at.
    if not isinstance(audio_format, (dict, Mapping)) or audio_format.get("type") != "audio/pcm":
        return PCM_RATE_HZ
    rate_hz = audio_format.get("rate")
    if isinstance(rate_hz, (int, float)) and 1 <= rate_hz <= _MAX_RATE_HZ:
        return int(rate_hz)
    return PCM_RATE_HZ


def bytes_per_sample(audio_format: object) -> int:
    """How many bytes a sample has; the argument is as for `rate_hz_of`."""
    return 2 if _law(audio_format) is None else 1


def decode(data: bytes, audio_format: object) -> Pcm16:
    """The samples in some bytes: int16, mono, shape (n,). Half a sample at the end is dropped."""
    law = _law(audio_format)
    if law is None:
        return np.frombuffer(data, "<i2", len(data) // 2).astype(np.int16)
    decoded: Pcm16 = _decode_table(law)[np.frombuffer(data, np.uint8)]
    return decoded


def encode(samples: Pcm16, audio_format: object) -> bytes:
    """The bytes for samples: int16, mono, shape (n,)."""
    law = _law(audio_format)
    if law is None:
        return samples.astype("<i2", copy=False).tobytes()
    return _encode_table(law)[samples.astype(np.int32) + 32_768].tobytes()


def _law(audio_format: object) -> str | None:
    kind = audio_format.get("type") if isinstance(audio_format, (dict, Mapping)) else audio_format
    return _NAMES.get(kind) if isinstance(kind, str) else None


@cache
def _decode_table(law: str) -> Pcm16:
    """What each byte says (G.711, tables 1 and 2), scaled to 16 bits."""
    codes = np.arange(256, dtype=np.int32)
    flipped = codes ^ (0xFF if law == "ulaw" else 0x55)
    exponent, mantissa = (flipped >> 4) & 7, flipped & 15
    if law == "ulaw":
        size = ((2 * mantissa + 33) << (exponent + 2)) - _BIAS
        is_negative = (flipped & 0x80) != 0
    else:
        size = np.where(
            exponent == 0,
            (2 * mantissa + 1) << 3,
            (2 * mantissa + 33) << (np.maximum(exponent, 1) + 2),
        )
        is_negative = (flipped & 0x80) == 0
    table: Pcm16 = np.where(is_negative, -size, size).astype(np.int16)
    return table


@cache
def _encode_table(law: str) -> NDArray[np.uint8]:
    """The byte whose meaning is nearest, for each of the 65,536 samples."""
    meanings = _decode_table(law).astype(np.int32)
    order = 255 - np.argsort(meanings[::-1], kind="stable")  # of two zeros the positive one
    ordered = meanings[order]
    samples = np.arange(-32_768, 32_768)
    above = np.clip(np.searchsorted(ordered, samples), 1, len(ordered) - 1)
    is_below_nearer = samples - ordered[above - 1] < ordered[above] - samples
    return order[np.where(is_below_nearer, above - 1, above)].astype(np.uint8)
