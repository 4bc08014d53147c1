"""JavaScript's names and shapes in Python's spelling.

Only what the SDK itself names is translated. What belongs to the user or to the server (tool
parameters, provider data, metadata, prompt variables, server events) keeps its spelling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.conformance.values import UNDEFINED

__all__ = [
    "CALLS",
    "PROPERTIES",
    "SDK_EVENTS",
    "from_config",
    "from_item",
    "from_message",
    "from_payload",
    "from_tool_call",
]

CALLS = {
    "connect": "connect",
    "sendEvent": "send_event",
    "sendMessage": "send_message",
    "addImage": "add_image",
    "sendAudio": "send_audio",
    "requestResponse": "request_response",
    "updateSessionConfig": "update_session_config",
    "buildSessionPayload": "build_session_payload",
    "sendFunctionCallOutput": "send_function_call_output",
    "sendMcpResponse": "send_mcp_response",
    "resetHistory": "reset_history",
    "interrupt": "interrupt",
    "mute": "mute",
    "close": "close",
}

PROPERTIES = {
    "status": "status",
    "muted": "muted",
    "callId": "call_id",
    "currentModel": "current_model",
    "connectionState": "connection_state",
}

CONNECT_OPTIONS = {
    "apiKey": "api_key",
    "model": "model",
    "url": "url",
    "callId": "call_id",
    "initialSessionConfig": "initial_session_config",
}

SDK_EVENTS = frozenset(
    {
        "connection_change",
        "connected",
        "disconnected",
        "audio",
        "audio_done",
        "audio_interrupted",
        "audio_transcript_delta",
        "output_text_delta",
        "function_call",
        "item_update",
        "item_deleted",
        "usage_update",
        "turn_started",
        "turn_done",
        "mcp_tools_listed",
        "mcp_approval_request",
        "mcp_tool_call_completed",
        "error",
    }
)
"""Events whose payload the SDK makes; all others carry what the server sent."""

_ITEM = {
    "itemId": "item_id",
    "previousItemId": "previous_item_id",
    "serverLabel": "server_label",
}

_PAYLOAD = {
    **_ITEM,
    "callId": "call_id",
    "responseId": "response_id",
    "providerData": "provider_data",
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "totalTokens": "total_tokens",
    "inputTokensDetails": "input_tokens_details",
    "outputTokensDetails": "output_tokens_details",
}

_TOOL_CALL = {
    "callId": "call_id",
    "responseId": "response_id",
    "previousItemId": "previous_item_id",
}

# Of the configuration: key -> (Python's spelling, the table of what is inside).
_Table = dict[str, tuple[str, Any]]

_AUDIO: _Table = {
    "input": (
        "input",
        {
            "noiseReduction": ("noise_reduction", None),
            "turnDetection": ("turn_detection", None),
        },
    ),
}
_CONFIG: _Table = {
    "outputModalities": ("output_modalities", None),
    "audio": ("audio", _AUDIO),
    "toolChoice": ("tool_choice", None),
    "parallelToolCalls": ("parallel_tool_calls", None),
    "maxOutputTokens": ("max_output_tokens", None),
    "providerData": ("provider_data", None),
    "prompt": ("prompt", {"promptId": ("prompt_id", None)}),
    "inputAudioFormat": ("input_audio_format", None),
    "outputAudioFormat": ("output_audio_format", None),
    "inputAudioTranscription": ("input_audio_transcription", None),
    "turnDetection": ("turn_detection", None),
    "inputAudioNoiseReduction": ("input_audio_noise_reduction", None),
}


def _translate(value: Any, table: _Table) -> Any:
    if not isinstance(value, Mapping):
        return value
    # A key that is Python's spelling already is one that JavaScript does not know. What Python
    # does not know in its place is JavaScript's spelling.
    unknown = {python: js for js, (python, _) in table.items() if python != js}
    translated = {}
    for key, item in value.items():
        name, inside = table.get(key, (key, None))
        if key in unknown:
            name = unknown[key]
        translated[name] = _translate(item, inside) if inside is not None else item
    return translated


def from_config(config: Any) -> Any:
    """A session's configuration. Turn detection takes both spellings, in Python too."""
    return _translate(config, _CONFIG)


def _renamed(value: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): item for key, item in value.items()}


def from_item(item: Any) -> Any:
    """An item of the conversation."""
    return _renamed(item, _ITEM) if isinstance(item, Mapping) else item


def from_tool_call(call: Any) -> Any:
    """A function call, as the `function_call` event has it."""
    return _renamed(call, _TOOL_CALL) if isinstance(call, Mapping) else call


def from_message(message: Any) -> Any:
    """A message to send: text, or an item with its content."""
    if not isinstance(message, Mapping) or not isinstance(message.get("content"), list):
        return message
    content = [
        _renamed(part, {"providerData": "provider_data"}) if isinstance(part, Mapping) else part
        for part in message["content"]
    ]
    return {**message, "content": content}


def from_payload(event: str, payload: Any) -> Any:
    """A payload that the SDK made, without what is undefined or none.

    `previous_item_id` is kept where it is None: that says the item is the first.
    """
    if event not in SDK_EVENTS or not isinstance(payload, Mapping):
        return payload
    tidy = _tidy(_renamed(payload, _PAYLOAD))
    if event == "audio":  # that says here what it belongs to as well
        tidy = {key: item for key, item in tidy.items() if key not in ("item_id", "content_index")}
    if event == "turn_done" and isinstance(tidy.get("response"), Mapping):
        tidy["response"] = response = _tidy(tidy["response"])
        if isinstance(response.get("usage"), Mapping):
            response["usage"] = _tidy(_renamed(response["usage"], _PAYLOAD))
    if isinstance(tidy.get("content"), list):
        parts = tidy["content"]
        tidy["content"] = [_tidy(part) if isinstance(part, Mapping) else part for part in parts]
    return tidy


def _tidy(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: item
        for key, item in payload.items()
        if item is not UNDEFINED and (item is not None or key == "previous_item_id")
    }
