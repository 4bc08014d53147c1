"""The server events that this client knows, and the form it relies on.

A known event that has its form is told under its own type and gives rise to the transport's own
events. Any other - a new type, or a known type whose form has drifted - is told as ``"*"`` alone:
a program sees it, nothing is derived from it, and the connection goes on.

The shapes below state what is relied on, no more; `openai.types.realtime` documents the events in
full. A field of another form than stated makes the event unknown, a field not stated is left out.
"""

from __future__ import annotations

import functools
from typing import Any, Literal, NotRequired, TypeAlias

from pydantic import ConfigDict, InstanceOf, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from realtime_core.items import ItemStatus

__all__ = ["known_fields"]

JsonObject: TypeAlias = dict[str, Any]
Text: TypeAlias = InstanceOf[str]
"""Not `str`: see `realtime_core.items`."""
Number: TypeAlias = int | float

_STATED = ConfigDict(strict=True, extra="ignore")
_ALL = ConfigDict(strict=True, extra="allow")


def known_fields(event: JsonObject) -> JsonObject | None:
    """The fields of a server event that are known, in a new dict; None if the event is not."""
    if event["type"] not in _SHAPES:
        return None
    try:
        return dict(_adapter(event["type"]).validate_python(event))
    except ValidationError:
        return None


@functools.cache
def _adapter(event_type: str) -> TypeAdapter[Any]:
    # Made when the first such event comes: all of them together would slow the import.
    return TypeAdapter(_SHAPES[event_type])


@with_config(_STATED)
class _Event(TypedDict):
    type: Text
    event_id: Text


@with_config(_STATED)
class _EventWithoutId(TypedDict):
    type: Text
    event_id: NotRequired[Text]


class _Error(_EventWithoutId):
    error: NotRequired[Any]


class _Session(_Event):
    session: Any


@with_config(_STATED)
class _ConversationObject(TypedDict):
    id: NotRequired[Text]
    object: NotRequired[Literal["realtime.conversation"]]


class _Conversation(_Event):
    conversation: _ConversationObject


@with_config(_STATED)
class _Content(TypedDict):
    id: NotRequired[Text]
    type: Literal[
        "input_text",
        "input_audio",
        "input_image",
        "item_reference",
        "output_text",
        "audio",
        "output_audio",
    ]
    audio: NotRequired[Text | None]
    text: NotRequired[Text | None]
    transcript: NotRequired[Text | None]
    image_url: NotRequired[Text | None]
    detail: NotRequired[Text | None]


@with_config(_ALL)
class _McpTool(TypedDict):
    name: Text
    description: NotRequired[Text | None]
    input_schema: NotRequired[JsonObject]


@with_config(_ALL)
class _ConversationItem(TypedDict):
    id: NotRequired[Text]
    type: NotRequired[
        Literal[
            "message",
            "function_call",
            "function_call_output",
            "mcp_list_tools",
            "mcp_tool_call",
            "mcp_call",
            "mcp_approval_request",
            "mcp_approval_response",
        ]
    ]
    status: NotRequired[ItemStatus]
    role: NotRequired[Literal["user", "assistant", "system"]]
    content: NotRequired[list[_Content]]
    name: NotRequired[Text]
    call_id: NotRequired[Text]
    arguments: NotRequired[Text]
    output: NotRequired[Text | None]
    server_label: NotRequired[Text]
    tools: NotRequired[list[_McpTool]]
    approval_request_id: NotRequired[Text | None]
    approve: NotRequired[bool | None]
    reason: NotRequired[Text | None]


class _PlacedItem(_Event):
    item: _ConversationItem
    previous_item_id: NotRequired[Text | None]


class _RetrievedItem(_Event):
    item: _ConversationItem


class _OutputItem(_Event):
    item: _ConversationItem
    output_index: Number
    response_id: NotRequired[Text]


class _ItemId(_Event):
    item_id: Text


class _MaybeItemId(_EventWithoutId):
    item_id: NotRequired[Text]


class _Truncated(_ItemId):
    audio_end_ms: Number
    content_index: Number


@with_config(_STATED)
class _TokenDetails(TypedDict):
    text_tokens: Number
    audio_tokens: Number


@with_config(_STATED)
class _TokenUsage(TypedDict):
    type: Literal["tokens"]
    total_tokens: Number
    input_tokens: Number
    input_token_details: _TokenDetails
    output_tokens: Number


@with_config(_STATED)
class _DurationUsage(TypedDict):
    type: Literal["duration"]
    seconds: Number


class _TranscriptionCompleted(_ItemId):
    content_index: Number
    transcript: Text
    logprobs: NotRequired[list[Any] | None]
    usage: NotRequired[_TokenUsage | _DurationUsage]


class _TranscriptionDelta(_ItemId):
    content_index: NotRequired[Number]
    delta: NotRequired[Text]
    logprobs: NotRequired[list[Any] | None]


@with_config(_STATED)
class _TranscriptionError(TypedDict):
    code: NotRequired[Text | None]
    message: NotRequired[Text | None]
    param: NotRequired[Text | None]
    type: NotRequired[Text | None]


class _TranscriptionFailed(_ItemId):
    content_index: Number
    error: _TranscriptionError


class _Committed(_ItemId):
    previous_item_id: NotRequired[Text | None]


class _SpeechStarted(_ItemId):
    audio_start_ms: Number


class _SpeechStopped(_ItemId):
    audio_end_ms: Number


@with_config(_ALL)
class _OutputAudioBuffer(TypedDict):
    type: Text
    event_id: Text


@with_config(_STATED)
class _RateLimit(TypedDict):
    name: NotRequired[Text]
    limit: NotRequired[Number]
    remaining: NotRequired[Number]
    reset_seconds: NotRequired[Number]


class _RateLimits(_Event):
    rate_limits: list[_RateLimit]


@with_config(_STATED)
class _AudioOutput(TypedDict):
    format: NotRequired[Any]
    voice: NotRequired[Text | None]


@with_config(_STATED)
class _Audio(TypedDict):
    output: NotRequired[_AudioOutput | None]


@with_config(_STATED)
class _Usage(TypedDict):
    input_tokens: NotRequired[Number]
    input_token_details: NotRequired[JsonObject | None]
    output_tokens: NotRequired[Number]
    output_token_details: NotRequired[JsonObject | None]


@with_config(_STATED)
class _ResponseObject(TypedDict):
    id: NotRequired[Text | None]
    object: NotRequired[Literal["realtime.response"] | None]
    conversation_id: NotRequired[Text | None]
    status: NotRequired[
        Literal["completed", "incomplete", "failed", "cancelled", "in_progress"] | None
    ]
    status_details: NotRequired[JsonObject | None]
    output: NotRequired[list[Any] | None]
    output_modalities: NotRequired[list[Text] | None]
    max_output_tokens: NotRequired[Number | Literal["inf"] | None]
    metadata: NotRequired[JsonObject | None]
    audio: NotRequired[_Audio | None]
    usage: NotRequired[_Usage | None]


class _Response(_Event):
    response: _ResponseObject


class _InResponse(_ItemId):
    output_index: Number
    response_id: Text


class _InPart(_InResponse):
    content_index: Number


class _PartDelta(_InPart):
    delta: Text


class _PartText(_InPart):
    text: Text


class _PartTranscript(_InPart):
    transcript: Text


@with_config(_STATED)
class _PartObject(TypedDict):
    type: NotRequired[Literal["text", "audio", "output_text", "output_audio"]]
    audio: NotRequired[Text | None]
    text: NotRequired[Text | None]
    transcript: NotRequired[Text | None]


class _ContentPart(_InPart):
    part: _PartObject


class _FunctionArgumentsDelta(_InResponse):
    call_id: Text
    delta: Text


class _FunctionArguments(_InResponse):
    call_id: Text
    arguments: Text


class _McpArgumentsDelta(_InResponse):
    delta: Text
    obfuscation: NotRequired[Text | None]


class _McpArguments(_InResponse):
    arguments: Text


class _McpCallProgress(_ItemId):
    output_index: Number


_SHAPES: dict[str, type[Any]] = {
    "error": _Error,
    "session.created": _Session,
    "session.updated": _Session,
    "conversation.created": _Conversation,
    "conversation.item.added": _PlacedItem,
    "conversation.item.done": _PlacedItem,
    "conversation.item.retrieved": _RetrievedItem,
    "conversation.item.deleted": _ItemId,
    "conversation.item.truncated": _Truncated,
    "conversation.item.input_audio_transcription.completed": _TranscriptionCompleted,
    "conversation.item.input_audio_transcription.delta": _TranscriptionDelta,
    "conversation.item.input_audio_transcription.failed": _TranscriptionFailed,
    "input_audio_buffer.cleared": _Event,
    "input_audio_buffer.committed": _Committed,
    "input_audio_buffer.speech_started": _SpeechStarted,
    "input_audio_buffer.speech_stopped": _SpeechStopped,
    "output_audio_buffer.started": _OutputAudioBuffer,
    "output_audio_buffer.stopped": _OutputAudioBuffer,
    "output_audio_buffer.cleared": _Event,
    "rate_limits.updated": _RateLimits,
    "response.created": _Response,
    "response.done": _Response,
    "response.output_item.added": _OutputItem,
    "response.output_item.done": _OutputItem,
    "response.content_part.added": _ContentPart,
    "response.content_part.done": _ContentPart,
    "response.output_text.delta": _PartDelta,
    "response.output_text.done": _PartText,
    "response.output_audio.delta": _PartDelta,
    "response.output_audio.done": _InPart,
    "response.output_audio_transcript.delta": _PartDelta,
    "response.output_audio_transcript.done": _PartTranscript,
    "response.function_call_arguments.delta": _FunctionArgumentsDelta,
    "response.function_call_arguments.done": _FunctionArguments,
    "response.mcp_call_arguments.delta": _McpArgumentsDelta,
    "response.mcp_call_arguments.done": _McpArguments,
    "response.mcp_call.in_progress": _McpCallProgress,
    "response.mcp_call.completed": _McpCallProgress,
    "mcp_list_tools.in_progress": _MaybeItemId,
    "mcp_list_tools.completed": _MaybeItemId,
    "mcp_list_tools.failed": _MaybeItemId,
}
