"""Session configs: the shapes a caller may write, and the `session` object the API takes.

There are two shapes. The new one is nested like the API's own object (`audio.input.format`). The
deprecated one is flat (`input_audio_format`). They may be mixed; where both say something, the new
one counts. A key that is missing means "nothing said", and the default is taken; so does None,
except under the keys of `_NULLABLE`, where None switches something off and is sent.

A config goes through three forms: as written; stated (the new shape, only what was said); payload
(the API's names, `provider_data` on top). Payloads are merged as the API merges them: a member that
is given replaces the former one as a whole, and of objects only `audio` and its two parts are
merged member by member.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from pydantic import BaseModel

from realtime_transports.openai.audio_format import normalize_audio_format, read_audio_format
from realtime_transports.openai.config_values import Json, plain_object, snake_spelled
from realtime_transports.openai.tools_config import tools_payload

__all__ = [
    "DEFAULT_REALTIME_MODEL",
    "DEFAULT_SESSION_CONFIG",
    "SessionConfig",
    "build_session_payload",
    "merge_session_payloads",
    "normalize_audio_format",
    "stated_session_payload",
    "to_new_session_config",
]

logger = logging.getLogger(__name__)

SessionConfig: TypeAlias = Mapping[str, object] | BaseModel
"""A config of either shape. Of a pydantic model, the fields that were set count as said."""

DEFAULT_REALTIME_MODEL: Final = "gpt-realtime-2.1"
"""The default of both official SDKs as well."""

DEFAULT_SESSION_CONFIG: Final[Mapping[str, object]] = {
    "output_modalities": ["audio"],
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24_000},
            "noise_reduction": None,
            "transcription": {"model": "gpt-4o-mini-transcribe"},
            "turn_detection": {"type": "semantic_vad"},
        },
        "output": {
            "format": {"type": "audio/pcm", "rate": 24_000},
            "speed": 1,
        },
    },
}
"""What is sent where the caller says nothing, as in OpenAI Agents JS."""

_TOP_KEYS: Final[tuple[str, ...]] = (
    "model",
    "instructions",
    "output_modalities",
    "tool_choice",
    "tools",
    "parallel_tool_calls",
    "reasoning",
    "tracing",
    "prompt",
    "max_output_tokens",
    "truncation",
    "include",
    "provider_data",
)
_AUDIO_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "input": ("format", "noise_reduction", "transcription", "turn_detection"),
    "output": ("format", "voice", "speed"),
}
_DEPRECATED: Final[Mapping[str, tuple[str, str]]] = {
    "input_audio_format": ("input", "format"),
    "input_audio_noise_reduction": ("input", "noise_reduction"),
    "input_audio_transcription": ("input", "transcription"),
    "turn_detection": ("input", "turn_detection"),
    "output_audio_format": ("output", "format"),
    "voice": ("output", "voice"),
    "speed": ("output", "speed"),
}
_ALL_KEYS: Final = frozenset({*_TOP_KEYS, *_DEPRECATED, "audio", "modalities"})
_NULLABLE: Final = frozenset(
    {"instructions", "parallel_tool_calls", "noise_reduction", "transcription", "turn_detection"}
)
_TURN_DETECTION_CAMEL_CASE: Final = {
    "createResponse": "create_response",
    "interruptResponse": "interrupt_response",
    "prefixPaddingMs": "prefix_padding_ms",
    "silenceDurationMs": "silence_duration_ms",
    "idleTimeoutMs": "idle_timeout_ms",
    "modelVersion": "model_version",
}
_Tree: TypeAlias = Mapping[str, "_Tree"]
_MERGED_OBJECTS: Final[_Tree] = {"audio": {"input": {}, "output": {}}}
_PROMPT_FIELDS: Final = {"prompt_id": "id", "version": "version", "variables": "variables"}


def build_session_payload(
    config: SessionConfig,
    *,
    model: str = DEFAULT_REALTIME_MODEL,
    defaults: SessionConfig = DEFAULT_SESSION_CONFIG,
) -> Json:
    """The `session` object of a `session.update`, or of a request that creates a session.

    Tracing is not in it: the API takes that only once the session exists, see `tracing_update`.

    Args:
        config: Either shape or both. Keys that are not known are left out with a warning;
            `provider_data` takes any field of the API under its own name and goes over everything
            that `config` says but prompt and tools.
        model: The model where the config names none.
        defaults: A config for what `config` leaves unsaid. `{}` gives a payload of what was said
            alone.

    Returns:
        A new object that shares nothing with the arguments.

    Raises:
        ValidationError: A member has a form that cannot be sent; the message names the field.
        UserError: The approval rules of an MCP tool cannot be understood.
    """
    whole: Json = {"type": "realtime", "model": model}
    for stated in (defaults, config):
        whole = merge_session_payloads(whole, stated_session_payload(stated))
    return whole


def stated_session_payload(config: SessionConfig, *, is_update: bool = False) -> Json:
    """What a config says, in the API's names, and nothing else: neither type nor model nor default.

    Tracing is not in it, unless `provider_data` has it.

    Args:
        config: Either shape or both.
        is_update: Warn of None where it says nothing. In an update it may be meant to take back
            what was said; in a config to begin with there is nothing yet.

    Raises:
        ValidationError: A member has a form that cannot be sent; the message names the field.
        UserError: The approval rules of an MCP tool cannot be understood.
    """
    said = _said(config, warns_of_none=is_update)
    top = said.top
    if audio := {part: members for part, members in said.audio.items() if members}:
        top["audio"] = audio
    on_top = {key: read(top.pop(key)) for key, read in _ON_TOP.items() if key in top}
    provider_data = plain_object(top.pop("provider_data", {}), field="provider_data")
    top.pop("tracing", None)
    return merge_session_payloads(top, provider_data) | on_top


def merge_session_payloads(current: Mapping[str, object], change: Mapping[str, object]) -> Json:
    """`current` with the members of `change`, as the API does it; what is inside is shared."""
    return _merged(current, change, _MERGED_OBJECTS)


def to_new_session_config(config: SessionConfig) -> Json:
    """The same config in the new shape alone; one that has it already stays as it is.

    Audio formats become mappings. Where something about audio input was said, so is noise
    reduction (None), as in OpenAI Agents JS.

    Raises:
        ValidationError: A member has a form that cannot be sent; the message names the field.
    """
    stated = _stated(config)
    parts = _AUDIO_KEYS if stated.is_deprecated else stated.audio
    audio = {part: stated.audio.get(part, {}) for part in parts}
    if "input" in audio:
        audio["input"] = {"noise_reduction": None} | audio["input"]
    return stated.top | ({"audio": audio} if audio else {})


@dataclass(slots=True)
class _Stated:
    """What a config says, in the new shape. Formats are read; the rest is as it was written."""

    top: Json
    """Members that are not about audio."""
    audio: dict[str, Json]
    """The members of "input" and "output", where such a part was given or something was in it."""
    is_deprecated: bool
    """A key that only the deprecated shape has was given."""


def _stated(config: SessionConfig) -> _Stated:
    written = plain_object(config, field="session config")
    _warn_of_unknown_keys(written, _ALL_KEYS, "the session config")
    top = {key: written[key] for key in _TOP_KEYS if key in written}
    if top.get("output_modalities") is None and "modalities" in written:
        top["output_modalities"] = written["modalities"]
    audio = _stated_audio(written)
    for key, (part, member) in _DEPRECATED.items():
        if key not in written:
            continue
        members = audio.setdefault(part, {})
        if not _is_said(members, member):
            _put_member(members, member, written[key], field=key)
    # `voice` at the top belongs to both shapes.
    deprecated = {"modalities", *_DEPRECATED} - {"voice"}
    return _Stated(top, audio, is_deprecated=not deprecated.isdisjoint(written))


def _stated_audio(written: Json) -> dict[str, Json]:
    """The parts of `audio` that were given, without unknown members."""
    stated: dict[str, Json] = {}
    if written.get("audio") is None:
        return stated
    audio = plain_object(written["audio"], field="audio")
    _warn_of_unknown_keys(audio, _AUDIO_KEYS, "audio")
    for part, keys in _AUDIO_KEYS.items():
        if audio.get(part) is None:
            continue
        field = f"audio.{part}"
        members = plain_object(audio[part], field=field)
        _warn_of_unknown_keys(members, keys, field)
        stated[part] = {}
        for key in keys:
            if key in members:
                _put_member(stated[part], key, members[key], field=f"{field}.{key}")
    return stated


def _put_member(members: Json, key: str, value: object, *, field: str) -> None:
    if key != "format":
        members[key] = value
    elif (audio_format := read_audio_format(value, field=field)) is not None:
        members[key] = audio_format


def _said(config: SessionConfig, *, warns_of_none: bool) -> _Stated:
    """`_stated`, without what None leaves unsaid and with turn detection in the API's names."""
    stated = _stated(config)
    if warns_of_none:
        _warn_of_none(stated)
    stated.top = _without_unsaid(stated.top)
    stated.audio = {part: _without_unsaid(members) for part, members in stated.audio.items()}
    audio_input = stated.audio.get("input", {})
    if audio_input.get("turn_detection") is not None:
        detection = plain_object(audio_input["turn_detection"], field="turn_detection")
        audio_input["turn_detection"] = snake_spelled(detection, _TURN_DETECTION_CAMEL_CASE)
    return stated


def _is_said(members: Json, key: str) -> bool:
    """Whether a key that may be there says something; an empty turn detection says nothing."""
    if key not in members or (key == "turn_detection" and members[key] == {}):
        return False
    return members[key] is not None or key in _NULLABLE


def _without_unsaid(members: Json) -> Json:
    return {key: value for key, value in members.items() if _is_said(members, key)}


def _merged(current: Mapping[str, object], change: Mapping[str, object], objects: _Tree) -> Json:
    merged = {**current, **change}
    for key, inner in objects.items():
        former, latter = current.get(key), change.get(key)
        if isinstance(former, Mapping) and isinstance(latter, Mapping):
            merged[key] = _merged(former, latter, inner)
    return merged


def _warn_of_unknown_keys(written: Json, known: Collection[str], where: str) -> None:
    unknown = [str(key) for key in written if key not in known]
    if unknown:
        logger.warning(
            "%s left out of %s: no such key; keys are spelled in snake_case, and fields of the API "
            "that have no key here go into provider_data",
            ", ".join(unknown),
            where,
        )


def _warn_of_none(stated: _Stated) -> None:
    unsaid = [
        key
        for members in (stated.top, *stated.audio.values())
        for key, value in members.items()
        if value is None and key not in _NULLABLE
    ]
    if unsaid:
        logger.warning(
            "None under %s says nothing, so an update with it leaves the session as it is there; "
            "what the API takes null for goes into provider_data under the API's name",
            ", ".join(unsaid),
        )


def _prompt_payload(prompt: object) -> Json:
    written = plain_object(prompt, field="prompt")
    return {wire: written[key] for key, wire in _PROMPT_FIELDS.items() if key in written}


_ON_TOP: Final[Mapping[str, Callable[[object], object]]] = {
    "prompt": _prompt_payload,
    "tools": tools_payload,
}
"""What the API has in another form, and what `provider_data` does not go over."""
