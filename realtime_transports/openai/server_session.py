"""The session's configuration as the server keeps it: defaults, checks, updates."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from typing import Any

from realtime_transports.openai.server_outputs import ClientEventError, JsonObject

__all__ = ["AUDIO_FORMATS", "DEFAULT_MODEL", "SessionConfig"]

DEFAULT_MODEL = "gpt-realtime-2.1"

SERVER_VAD_DEFAULTS: JsonObject = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}
SEMANTIC_VAD_DEFAULTS: JsonObject = {
    "type": "semantic_vad",
    "eagerness": "auto",
    "create_response": True,
    "interrupt_response": True,
}
TURN_DETECTION_DEFAULTS = {"server_vad": SERVER_VAD_DEFAULTS, "semantic_vad": SEMANTIC_VAD_DEFAULTS}

PCM_FORMAT: JsonObject = {"type": "audio/pcm", "rate": 24_000}
AUDIO_FORMATS = ("audio/pcm", "audio/pcmu", "audio/pcma")


def _default_session() -> JsonObject:
    return {
        "type": "realtime",
        "object": "realtime.session",
        "model": DEFAULT_MODEL,
        "output_modalities": ["audio"],
        "instructions": "",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "include": None,
        "audio": {
            "input": {
                "format": dict(PCM_FORMAT),
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": dict(SERVER_VAD_DEFAULTS),
            },
            "output": {"format": dict(PCM_FORMAT), "voice": "marin", "speed": 1.0},
        },
    }


class SessionConfig:
    """A session's configuration; every change is checked first and then made as a whole."""

    def __init__(
        self,
        session_id: str,
        *,
        audio_formats: Collection[str] = AUDIO_FORMATS,
        expires_at: int | None = None,
    ) -> None:
        """Begin with the API's defaults.

        Args:
            session_id: The session's id.
            audio_formats: Which can be spoken. Over WebRTC they mean nothing: there is Opus.
            expires_at: When the session ends, in seconds since 1970; None leaves it open.
        """
        self._values: JsonObject = {**_default_session(), "id": session_id}
        self._audio_formats = audio_formats
        if expires_at is not None:
            self._values["expires_at"] = expires_at

    def to_dict(self) -> JsonObject:
        """The configuration as `session.created` and `session.updated` show it."""
        return copy.deepcopy(self._values)

    @property
    def turn_detection(self) -> Mapping[str, Any] | None:
        """Its settings with all defaults; None when the client commits by itself."""
        settings: Mapping[str, Any] | None = self._values["audio"]["input"]["turn_detection"]
        return settings

    @property
    def wants_transcription(self) -> bool:
        """Whether the user's audio is to be transcribed."""
        return self._values["audio"]["input"]["transcription"] is not None

    @property
    def voice(self) -> str:
        """The voice of the answers."""
        return str(_name_of_voice(self._values["audio"]["output"]["voice"]))

    def update(self, changes: object, *, is_voice_fixed: bool = False) -> None:
        """Change what is given and leave the rest.

        Args:
            changes: The `session` of a session.update.
            is_voice_fixed: Whether audio was already spoken.

        Raises:
            ClientEventError: Something in it is wrong; nothing was changed.
        """
        checked = _checked_object(changes, "session", SESSION_CHECKS)
        self._require_known_formats(checked)
        new_voice = checked.get("audio", {}).get("output", {}).get("voice", self.voice)
        if is_voice_fixed and _name_of_voice(new_voice) != self.voice:
            raise ClientEventError(
                "Cannot update a conversation's voice if assistant audio is present.",
                code="cannot_update_voice",
                param="session.audio.output.voice",
            )
        if not checked.get("model", "given"):
            del checked["model"]  # an empty name, as Agents JS sends for no model, names none
        self._values = _merged(self._values, checked)

    def with_response_options(self, options: object) -> tuple[JsonObject, bool]:
        """The configuration that holds for one response.

        Args:
            options: The `response` of a response.create.

        Returns:
            The configuration, with `metadata` and `input` if given, and whether the response
            belongs to the conversation.

        Raises:
            ClientEventError: Something in it is wrong.
        """
        checked = _checked_object(options, "response", RESPONSE_CHECKS)
        is_in_conversation = checked.pop("conversation", "auto") != "none"
        return _merged(self.to_dict(), checked), is_in_conversation

    def _require_known_formats(self, checked: JsonObject) -> None:
        for part, settings in checked.get("audio", {}).items():
            kind = settings.get("format", PCM_FORMAT)["type"]
            if kind not in self._audio_formats:
                raise ClientEventError(
                    f"This server does not speak '{kind}' here, only "
                    f"{', '.join(self._audio_formats)}.",
                    code="unsupported_audio_format",
                    param=f"session.audio.{part}.format.type",
                )


Check = Callable[[object, str], Any]
"""Gets a value and its path; returns what is kept, or raises ClientEventError."""


def _wrong_type(param: str, wanted: str, value: object) -> ClientEventError:
    return ClientEventError(
        f"Invalid type for '{param}': expected {wanted}, but got {_json_type(value)} instead.",
        code="invalid_type",
        param=param,
    )


def _json_type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case list():
            return "an array"
        case _:
            return "an object"


def _checked_object(value: object, param: str, checks: Mapping[str, Check]) -> JsonObject:
    if not isinstance(value, dict):
        raise _wrong_type(param, "an object", value)
    checked = {}
    for name, member in value.items():
        path = f"{param}.{name}"
        if name not in checks:
            raise ClientEventError(
                f"Unknown parameter: '{path}'.", code="unknown_parameter", param=path
            )
        checked[name] = checks[name](member, path)
    return checked


def _anything(value: object, _param: str) -> object:
    return value


def _of_type(wanted: str, *types: type) -> Check:
    def check(value: object, param: str) -> object:
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise _wrong_type(param, wanted, value)
        return value

    return check


def _one_of(*choices: str) -> Check:
    def check(value: object, param: str) -> object:
        if value not in choices:
            supported = ", ".join(f"'{choice}'" for choice in choices)
            raise ClientEventError(
                f"Invalid value: '{value}'. Supported values are: {supported}.",
                code="invalid_value",
                param=param,
            )
        return value

    return check


def _in_range(low: float, high: float) -> Check:
    check_number = _of_type("a number", int, float)

    def check(value: object, param: str) -> object:
        number = check_number(value, param)
        if not low <= number <= high:
            raise ClientEventError(
                f"Invalid '{param}': must be between {low:g} and {high:g}, not {number!r}.",
                code="invalid_value",
                param=param,
            )
        return number

    return check


def _or_null(check: Check) -> Check:
    return lambda value, param: None if value is None else check(value, param)


def _object_of(checks: Mapping[str, Check]) -> Check:
    return lambda value, param: _checked_object(value, param, checks)


def _modalities(value: object, param: str) -> object:
    if value not in (["audio"], ["text"]):
        raise ClientEventError(
            f"Invalid modalities: {value}. Supported combinations are: ['text'] and ['audio'].",
            code="invalid_value",
            param=param,
        )
    return value


def _audio_format(value: object, param: str) -> object:
    checked = _checked_object(
        value, param, {"type": _one_of(*AUDIO_FORMATS), "rate": _or_null(_one_rate)}
    )
    kind = checked.get("type", "audio/pcm")
    return dict(PCM_FORMAT) if kind == "audio/pcm" else {"type": kind}


def _one_rate(value: object, param: str) -> object:
    if value != PCM_FORMAT["rate"]:
        raise ClientEventError(
            f"Invalid '{param}': only 24000 is supported, not {value!r}.",
            code="invalid_value",
            param=param,
        )
    return value


def _turn_detection(value: object, param: str) -> object:
    checked = _checked_object(value, param, TURN_DETECTION_CHECKS)
    if "type" not in checked:
        raise ClientEventError(
            f"Missing required parameter: '{param}.type'.",
            code="missing_required_parameter",
            param=f"{param}.type",
        )
    defaults = TURN_DETECTION_DEFAULTS[checked["type"]]
    for name in checked:
        if name not in defaults:
            raise ClientEventError(
                f"Unknown parameter: '{param}.{name}'.",
                code="unknown_parameter",
                param=f"{param}.{name}",
            )
    given = {name: member for name, member in checked.items() if member is not None}
    return {**defaults, **given}


def _max_tokens(value: object, param: str) -> object:
    return value if value == "inf" else _in_range(1, 4096)(value, param)


def _voice(value: object, param: str) -> object:
    return _of_type("a string", str, dict)(value, param)


def _name_of_voice(voice: object) -> object:
    return voice.get("id") if isinstance(voice, dict) else voice


def _merged(old: JsonObject, changes: JsonObject) -> JsonObject:
    """`old` with `changes`; of objects, only `audio` and its two parts are merged."""
    merged = {**old, **changes}
    for name in ("audio", "input", "output"):
        if isinstance(changes.get(name), dict) and isinstance(old.get(name), dict):
            merged[name] = _merged(old[name], changes[name])
    return merged


_STRING = _of_type("a string", str)
_BOOLEAN = _of_type("a boolean", bool)
_ARRAY = _of_type("an array", list)
_OBJECT = _of_type("an object", dict)

TURN_DETECTION_CHECKS: Mapping[str, Check] = {
    "type": _one_of(*TURN_DETECTION_DEFAULTS),
    "threshold": _or_null(_in_range(0, 1)),
    "prefix_padding_ms": _or_null(_in_range(0, 5_000)),
    "silence_duration_ms": _or_null(_in_range(0, 10_000)),
    "idle_timeout_ms": _or_null(_in_range(5_000, 30_000)),
    "eagerness": _or_null(_one_of("low", "medium", "high", "auto")),
    "create_response": _or_null(_BOOLEAN),
    "interrupt_response": _or_null(_BOOLEAN),
}

AUDIO_OUTPUT_CHECKS: Mapping[str, Check] = {
    "format": _audio_format,
    "voice": _voice,
    "speed": _in_range(0.25, 1.5),
}

AUDIO_CHECKS: Mapping[str, Check] = {
    "input": _object_of(
        {
            "format": _audio_format,
            "transcription": _or_null(_OBJECT),
            "noise_reduction": _or_null(_OBJECT),
            "turn_detection": _or_null(_turn_detection),
        }
    ),
    "output": _object_of(AUDIO_OUTPUT_CHECKS),
}

SHARED_CHECKS: Mapping[str, Check] = {
    "output_modalities": _modalities,
    "instructions": _STRING,
    "tools": _ARRAY,
    "tool_choice": _of_type("a string or an object", str, dict),
    "parallel_tool_calls": _or_null(_BOOLEAN),
    "max_output_tokens": _max_tokens,
    "prompt": _or_null(_OBJECT),
    "reasoning": _or_null(_OBJECT),
}

SESSION_CHECKS: Mapping[str, Check] = {
    **SHARED_CHECKS,
    "type": _one_of("realtime"),
    "model": _STRING,
    "audio": _object_of(AUDIO_CHECKS),
    "tracing": _anything,
    "truncation": _anything,
    "include": _or_null(_ARRAY),
}

RESPONSE_CHECKS: Mapping[str, Check] = {
    **SHARED_CHECKS,
    "audio": _object_of({"output": _object_of(AUDIO_OUTPUT_CHECKS)}),
    "conversation": _one_of("auto", "none"),
    "metadata": _or_null(_OBJECT),
    "input": _ARRAY,
}
