"""What a session and a response may be configured with: the API's fields, checked one by one.

Taken from `RealtimeSessionCreateRequest` and `RealtimeResponseCreateParams` in
`openai.types.realtime`. What passes is shown in session.updated as it is, so nothing passes that
those types do not have.
"""

from __future__ import annotations

from collections.abc import Mapping

from realtime_transports.openai.server_checks import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    OBJECT,
    STRING,
    Check,
    check_object,
    either,
    in_range,
    invalid,
    list_of,
    map_of,
    object_of,
    one_of,
    or_null,
    tagged,
    unknown_parameter,
)
from realtime_transports.openai.server_outputs import ClientEventError, JsonObject

__all__ = [
    "AUDIO_FORMATS",
    "PCM_FORMAT",
    "RESPONSE_CHECKS",
    "SERVER_VAD_DEFAULTS",
    "SESSION_CHECKS",
    "TURN_DETECTION_DEFAULTS",
]

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

MAX_METADATA_PAIRS = 16
MAX_METADATA_NAME = 64
MAX_METADATA_VALUE = 512


def _modalities(value: object, param: str) -> object:
    if value not in (["audio"], ["text"]):
        raise ClientEventError(
            f"Invalid modalities: {value}. Supported combinations are: ['text'] and ['audio'].",
            code="invalid_value",
            param=param,
        )
    return value


def _audio_format(value: object, param: str) -> object:
    checked = check_object(
        value, param, {"type": one_of(*AUDIO_FORMATS), "rate": or_null(_one_rate)}
    )
    kind = checked.get("type", "audio/pcm")
    return dict(PCM_FORMAT) if kind == "audio/pcm" else {"type": kind}


def _one_rate(value: object, param: str) -> object:
    if value != PCM_FORMAT["rate"]:
        raise invalid(param, f"only 24000 is supported, not {value!r}")
    return value


def _turn_detection(value: object, param: str) -> object:
    checked = check_object(value, param, _TURN_DETECTION, required=["type"])
    defaults = TURN_DETECTION_DEFAULTS[checked["type"]]
    for name in checked:
        if name not in defaults:
            raise unknown_parameter(f"{param}.{name}")
    given = {name: member for name, member in checked.items() if member is not None}
    return {**defaults, **given}


def _max_tokens(value: object, param: str) -> object:
    return value if value == "inf" else in_range(1, 4096, INTEGER)(value, param)


def _metadata(value: object, param: str) -> object:
    pairs: dict[str, str] = map_of(STRING)(value, param)
    if len(pairs) > MAX_METADATA_PAIRS:
        raise invalid(param, f"at most {MAX_METADATA_PAIRS} pairs are supported, not {len(pairs)}")
    for name, member in pairs.items():
        if len(name) > MAX_METADATA_NAME or len(member) > MAX_METADATA_VALUE:
            raise invalid(
                f"{param}.{name}",
                f"names have at most {MAX_METADATA_NAME} characters, "
                f"values at most {MAX_METADATA_VALUE}",
            )
    return pairs


_TEXT = or_null(STRING)
_SWITCH = or_null(BOOLEAN)

_TURN_DETECTION: Mapping[str, Check] = {
    "type": one_of(*TURN_DETECTION_DEFAULTS),
    "threshold": or_null(in_range(0, 1)),
    "prefix_padding_ms": or_null(in_range(0, 5_000, INTEGER)),
    "silence_duration_ms": or_null(in_range(0, 10_000, INTEGER)),
    "idle_timeout_ms": or_null(in_range(5_000, 30_000, INTEGER)),
    "eagerness": or_null(one_of("low", "medium", "high", "auto")),
    "create_response": _SWITCH,
    "interrupt_response": _SWITCH,
}

_TRANSCRIPTION = object_of(
    {
        "model": _TEXT,
        "language": _TEXT,
        "prompt": _TEXT,
        "delay": or_null(one_of("minimal", "low", "medium", "high", "xhigh")),
        "keywords": or_null(list_of(STRING)),
        "languages": or_null(list_of(STRING)),
    }
)
_NOISE_REDUCTION = object_of(
    {"type": or_null(one_of("near_field", "far_field")), "strength": or_null(NUMBER)}
)
_VOICE = either(dict, object_of({"id": STRING}, required=["id"]), STRING)

_AUDIO_OUTPUT: Mapping[str, Check] = {
    "format": _audio_format,
    "voice": _VOICE,
    "speed": in_range(0.25, 1.5),
}
_AUDIO: Mapping[str, Check] = {
    "input": object_of(
        {
            "format": _audio_format,
            "transcription": or_null(_TRANSCRIPTION),
            "noise_reduction": or_null(_NOISE_REDUCTION),
            "turn_detection": or_null(_turn_detection),
        }
    ),
    "output": object_of(_AUDIO_OUTPUT),
}

_TOOL_FILTER = object_of({"read_only": _SWITCH, "tool_names": or_null(list_of(STRING))})
_FUNCTION_TOOL = object_of(
    {
        "type": STRING,
        "name": STRING,
        "description": _TEXT,
        "parameters": or_null(OBJECT),
    },
    required=["name"],
)
_MCP_TOOL = object_of(
    {
        "type": STRING,
        "server_label": STRING,
        "server_url": _TEXT,
        "connector_id": or_null(
            one_of(
                "connector_dropbox",
                "connector_gmail",
                "connector_googlecalendar",
                "connector_googledrive",
                "connector_microsoftteams",
                "connector_outlookcalendar",
                "connector_outlookemail",
                "connector_sharepoint",
            )
        ),
        "tunnel_id": _TEXT,
        "authorization": _TEXT,
        "headers": or_null(map_of(STRING)),
        "allowed_tools": or_null(either(list, list_of(STRING), _TOOL_FILTER)),
        "allowed_callers": or_null(list_of(one_of("direct", "programmatic"))),
        "require_approval": or_null(
            either(
                str,
                one_of("always", "never"),
                object_of({"always": or_null(_TOOL_FILTER), "never": or_null(_TOOL_FILTER)}),
            )
        ),
        "server_description": _TEXT,
        "defer_loading": _SWITCH,
    },
    required=["server_label"],
)
_TOOL_CHOICE = either(
    dict,
    tagged(
        {
            "function": object_of({"type": STRING, "name": STRING}, required=["name"]),
            "mcp": object_of(
                {"type": STRING, "server_label": STRING, "name": _TEXT}, required=["server_label"]
            ),
        }
    ),
    one_of("none", "auto", "required"),
)

_PROMPT_VARIABLE = either(
    dict,
    tagged(
        {"input_text": object_of({"type": STRING, "text": STRING}, required=["text"])},
    ),
    STRING,
)
_PROMPT = object_of(
    {"id": STRING, "version": _TEXT, "variables": or_null(map_of(_PROMPT_VARIABLE))},
    required=["id"],
)
_TRACING = either(
    str,
    one_of("auto"),
    or_null(object_of({"workflow_name": _TEXT, "group_id": _TEXT, "metadata": or_null(OBJECT)})),
)
_TRUNCATION = either(
    dict,
    object_of(
        {
            "type": one_of("retention_ratio"),
            "retention_ratio": in_range(0, 1),
            "token_limits": or_null(
                object_of({"post_instructions": or_null(in_range(1, 10**9, INTEGER))})
            ),
        },
        required=["type", "retention_ratio"],
    ),
    one_of("auto", "disabled"),
)

_SHARED_CHECKS: Mapping[str, Check] = {
    "output_modalities": _modalities,
    "instructions": STRING,
    "tools": list_of(tagged({"function": _FUNCTION_TOOL, "mcp": _MCP_TOOL})),
    "tool_choice": _TOOL_CHOICE,
    "parallel_tool_calls": _SWITCH,
    "max_output_tokens": _max_tokens,
    "prompt": or_null(_PROMPT),
    "reasoning": or_null(
        object_of({"effort": or_null(one_of("minimal", "low", "medium", "high", "xhigh"))})
    ),
}

SESSION_CHECKS: Mapping[str, Check] = {
    **_SHARED_CHECKS,
    "type": one_of("realtime"),
    "model": STRING,
    "audio": object_of(_AUDIO),
    "tracing": _TRACING,
    "truncation": _TRUNCATION,
    "include": or_null(list_of(one_of("item.input_audio_transcription.logprobs"))),
}
"""The `session` of a session.update."""

RESPONSE_CHECKS: Mapping[str, Check] = {
    **{name: or_null(check) for name, check in _SHARED_CHECKS.items()},
    "audio": or_null(
        object_of({"output": or_null(object_of({"format": _audio_format, "voice": _VOICE}))})
    ),
    "conversation": or_null(one_of("auto", "none")),
    "metadata": or_null(_metadata),
    "input": or_null(list_of(OBJECT)),
}
"""The `response` of a response.create; null stands for what is left out."""
