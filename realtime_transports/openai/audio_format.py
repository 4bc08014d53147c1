"""The ways to write an audio format, and the one form that the Realtime API takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from realtime_core.errors import ValidationError
from realtime_transports.openai.config_values import Json

_PCM_24_KHZ: Final[Mapping[str, object]] = {"type": "audio/pcm", "rate": 24_000}
_BY_NAME: Final[Mapping[str, Mapping[str, object]]] = {
    "pcm16": _PCM_24_KHZ,
    "g711_ulaw": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
    "audio/pcm": _PCM_24_KHZ,
    "audio/pcmu": {"type": "audio/pcmu"},
    "audio/pcma": {"type": "audio/pcma"},
}


def normalize_audio_format(value: object) -> Json | None:
    """The API's form of an audio format, whatever was written.

    Names that are not known are taken for 24 kHz PCM, as OpenAI Agents JS does. A session
    config is read more strictly, see `read_audio_format`.

    Args:
        value: A name such as `"pcm16"`, or the API's own form, which is copied. There, a PCM rate
            that is infinite or no number becomes 24 kHz. None and "" mean that nothing was said.

    Returns:
        A new dict such as `{"type": "audio/pcm", "rate": 24000}`; None where nothing was said.
    """
    if isinstance(value, Mapping):
        return dict(_PCM_24_KHZ if _has_impossible_rate(value) else value)
    if not value:
        return None
    return dict(_BY_NAME.get(str(value), _PCM_24_KHZ))


def read_audio_format(value: object, *, field: str) -> Json | None:
    """`normalize_audio_format`, for what a caller wrote under `field` of a session config.

    Raises:
        ValidationError: A name that is not known, or neither name nor mapping. Taking it for PCM
            would make noise of every other codec.
    """
    is_said = value is not None and value != ""
    if is_said and not isinstance(value, Mapping) and value not in tuple(_BY_NAME):
        raise ValidationError(
            f"{field} is {value!r}; it must be one of {', '.join(_BY_NAME)}, "
            'or a mapping such as {"type": "audio/pcm", "rate": 24000}'
        )
    return normalize_audio_format(value)


def _has_impossible_rate(audio_format: Mapping[str, object]) -> bool:
    rate = audio_format.get("rate")
    is_pcm = audio_format.get("type") == "audio/pcm"
    return is_pcm and isinstance(rate, float) and not math.isfinite(rate)
