"""Audio in events, in the formats that a session may have, and the 24 kHz used inside.

G.711 has 8 kHz (`audio_codec`), so a stream of it is resampled, which holds back a few
milliseconds of it until `flush`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from realtime_core.errors import ProtocolError
from realtime_core.resample import RateConverter, StreamingResampler
from realtime_transports.openai import audio_codec
from realtime_transports.openai.server_checks import invalid
from realtime_transports.openai.wire import decode_audio, encode_audio

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["RATE_HZ", "InputStream", "OutputStream", "pcm_from_base64", "pcm_to_base64"]

RATE_HZ = 24_000
"""The rate inside: int16, mono."""


class InputStream:
    """The audio of all append events as one stream."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._converter = RateConverter(RATE_HZ, low_delay=True)

    def push(self, text: object, audio_format: Mapping[str, Any], param: str) -> Pcm16:
        """The samples of one event that are ready: int16, mono, 24 kHz.

        Raises:
            ClientEventError: It is no base64, or no whole samples.
        """
        samples = _decode(text, audio_format, param)
        rate_hz = audio_codec.rate_hz_of(audio_format)
        return self._converter.push(samples[:, np.newaxis], rate_hz)[:, 0]

    def flush(self) -> Pcm16:
        """What is held back."""
        return self._converter.flush()[:, 0]


class OutputStream:
    """The audio of one content part on its way into delta events."""

    def __init__(self, audio_format: Mapping[str, Any]) -> None:
        """Begin with nothing."""
        self._format = audio_format
        self._resampler = StreamingResampler(
            RATE_HZ, audio_codec.rate_hz_of(audio_format), low_delay=True
        )

    def push(self, samples: Pcm16) -> bytes:
        """The bytes of what is ready; may be none."""
        return self._encode(self._resampler.push(samples[:, np.newaxis]))

    def flush(self) -> bytes:
        """The bytes of what is held back; may be none."""
        return self._encode(self._resampler.flush())

    def _encode(self, samples: Pcm16) -> bytes:
        return audio_codec.encode(samples[:, 0], self._format)


def pcm_from_base64(text: object, audio_format: Mapping[str, Any], param: str) -> Pcm16:
    """All the audio of a content part.

    Returns:
        int16, mono, 24 kHz.

    Raises:
        ClientEventError: It is no base64, or no whole samples.
    """
    stream = InputStream()
    return np.concatenate([stream.push(text, audio_format, param), stream.flush()])


def pcm_to_base64(samples: Pcm16, audio_format: Mapping[str, Any]) -> str:
    """The base64 of a whole content part: int16, mono, 24 kHz."""
    stream = OutputStream(audio_format)
    return encode_audio(stream.push(samples) + stream.flush())


def _decode(text: object, audio_format: Mapping[str, Any], param: str) -> Pcm16:
    if not isinstance(text, str):
        raise invalid(param, "expected base64-encoded audio")
    try:
        data = decode_audio(text)
    except ProtocolError as exc:
        raise invalid(param, "expected base64-encoded audio") from exc
    if len(data) % audio_codec.bytes_per_sample(audio_format):
        raise invalid(param, "expected samples of two bytes each")
    return audio_codec.decode(data, audio_format)
