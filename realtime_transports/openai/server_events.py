"""The server events that this client knows, and the form it relies on.

A known event that has its form is told under its own type, as it came, and gives rise to the
transport's own events. Any other - a new type, or a known type whose form has drifted - is told as
``"*"`` alone: a program sees it, nothing is derived from it, and the connection goes on.

The shapes below state what is relied on, no more; `openai.types.realtime` documents the events in
full. A field of another form than stated makes the event unknown, a field not stated may be
anything. Events come by the hundred each second, so the looking is pydantic-core's, without models.
"""

from __future__ import annotations

from typing import Any, TypeAlias, cast

from pydantic_core import SchemaValidator
from pydantic_core.core_schema import (
    CoreSchema,
    TypedDictField,
    TypedDictSchema,
    any_schema,
    bool_schema,
    float_schema,
    int_schema,
    is_instance_schema,
    list_schema,
    literal_schema,
    nullable_schema,
    typed_dict_field,
    typed_dict_schema,
    union_schema,
)

__all__ = ["has_known_form"]

JsonObject: TypeAlias = dict[str, Any]


def has_known_form(event: JsonObject) -> bool:
    """Whether a server event is known and has the form that is relied on.

    Args:
        event: As `wire.parse` gives it, or as a middleware has left it.
    """
    fits = _FITS.get(event["type"])
    return fits is not None and fits(event)


# How shapes are written


def _shape(*bases: TypedDictSchema, **fields: TypedDictField | CoreSchema) -> TypedDictSchema:
    """An object with the fields of others and further ones; those are required unless they say."""
    known: dict[str, TypedDictField] = {}
    for base in bases:
        known |= base["fields"]
    for name, field in fields.items():
        is_field = field["type"] == "typed-dict-field"
        known[name] = cast("TypedDictField", field) if is_field else typed_dict_field(field)
    return typed_dict_schema(known, strict=True)


def _one_of(*schemas: CoreSchema) -> CoreSchema:
    return union_schema(list(schemas), mode="left_to_right")


def _words(*words: str) -> CoreSchema:
    return literal_schema(list(words))


def _list(entry: CoreSchema) -> CoreSchema:
    return list_schema(entry, strict=True)


def _optional(schema: CoreSchema) -> TypedDictField:
    return typed_dict_field(schema, required=False)


def _maybe(schema: CoreSchema) -> TypedDictField:
    """It may be missing, or null."""
    return _optional(nullable_schema(schema))


# Not `str_schema`, which refuses half of a surrogate pair.
_TEXT = is_instance_schema(str)
_BOOL = bool_schema(strict=True)
_NUMBER = _one_of(int_schema(strict=True), float_schema(strict=True))
_ANYTHING = any_schema()
_ANY_OBJECT = is_instance_schema(dict)
_ANY_LIST = is_instance_schema(list)

# What is in events

_CONTENT = _shape(
    id=_optional(_TEXT),
    type=_words(
        "input_text",
        "input_audio",
        "input_image",
        "item_reference",
        "output_text",
        "audio",
        "output_audio",
    ),
    audio=_maybe(_TEXT),
    text=_maybe(_TEXT),
    transcript=_maybe(_TEXT),
    image_url=_maybe(_TEXT),
    detail=_maybe(_TEXT),
)
_TOOL = _shape(name=_TEXT, description=_maybe(_TEXT), input_schema=_optional(_ANY_OBJECT))
_ITEM = _shape(
    id=_maybe(_TEXT),
    type=_optional(
        _words(
            "message",
            "function_call",
            "function_call_output",
            "mcp_list_tools",
            "mcp_tool_call",
            "mcp_call",
            "mcp_approval_request",
            "mcp_approval_response",
        )
    ),
    status=_maybe(_words("in_progress", "completed", "incomplete")),
    role=_optional(_words("user", "assistant", "system")),
    content=_optional(_list(_CONTENT)),
    name=_optional(_TEXT),
    call_id=_maybe(_TEXT),
    arguments=_optional(_TEXT),
    output=_maybe(_TEXT),
    server_label=_optional(_TEXT),
    tools=_optional(_list(_TOOL)),
    approval_request_id=_maybe(_TEXT),
    approve=_maybe(_BOOL),
    reason=_maybe(_TEXT),
)
_PART = _shape(
    type=_maybe(_words("text", "audio", "output_text", "output_audio")),
    audio=_maybe(_TEXT),
    text=_maybe(_TEXT),
    transcript=_maybe(_TEXT),
)
_USAGE = _shape(
    input_tokens=_maybe(_NUMBER),
    input_token_details=_maybe(_ANY_OBJECT),
    output_tokens=_maybe(_NUMBER),
    output_token_details=_maybe(_ANY_OBJECT),
)
_AUDIO = _shape(output=_maybe(_shape(voice=_maybe(_TEXT))))
_RESPONSE_OBJECT = _shape(
    id=_maybe(_TEXT),
    object=_maybe(_words("realtime.response")),
    conversation_id=_maybe(_TEXT),
    status=_maybe(_words("completed", "incomplete", "failed", "cancelled", "in_progress")),
    status_details=_maybe(_ANY_OBJECT),
    output=_maybe(_ANY_LIST),
    output_modalities=_maybe(_list(_TEXT)),
    max_output_tokens=_maybe(_one_of(_words("inf"), _NUMBER)),
    metadata=_maybe(_ANY_OBJECT),
    audio=_maybe(_AUDIO),
    usage=_maybe(_USAGE),
)
_TOKENS = _shape(
    type=_words("tokens"),
    total_tokens=_NUMBER,
    input_tokens=_NUMBER,
    input_token_details=_maybe(_shape(text_tokens=_maybe(_NUMBER), audio_tokens=_maybe(_NUMBER))),
    output_tokens=_NUMBER,
)
_DURATION = _shape(type=_words("duration"), seconds=_NUMBER)
_LIMIT = _shape(
    name=_maybe(_TEXT),
    limit=_maybe(_NUMBER),
    remaining=_maybe(_NUMBER),
    reset_seconds=_maybe(_NUMBER),
)
_FAILURE = _shape(
    code=_maybe(_TEXT), message=_maybe(_TEXT), param=_maybe(_TEXT), type=_maybe(_TEXT)
)
_CONVERSATION = _shape(id=_maybe(_TEXT), object=_maybe(_words("realtime.conversation")))

# The events

_WITHOUT_ID = _shape(event_id=_optional(_TEXT))
_EVENT = _shape(event_id=_TEXT)
_SESSION = _shape(_EVENT, session=_ANYTHING)
_WITH_ITEM = _shape(_EVENT, item=_ITEM)
_PLACED_ITEM = _shape(_WITH_ITEM, previous_item_id=_maybe(_TEXT))
_OUTPUT_ITEM = _shape(_WITH_ITEM, output_index=_NUMBER, response_id=_optional(_TEXT))
_ITEM_ID = _shape(_EVENT, item_id=_TEXT)
_MAYBE_ITEM_ID = _shape(_WITHOUT_ID, item_id=_optional(_TEXT))
_RESPONSE = _shape(_EVENT, response=_RESPONSE_OBJECT)
_MCP_CALL = _shape(_ITEM_ID, output_index=_NUMBER)
_IN_RESPONSE = _shape(_ITEM_ID, output_index=_NUMBER, response_id=_TEXT)
_IN_PART = _shape(_IN_RESPONSE, content_index=_NUMBER)
_PART_DELTA = _shape(_IN_PART, delta=_TEXT)
_CONTENT_PART = _shape(_IN_PART, part=_PART)

_SHAPES: dict[str, TypedDictSchema] = {
    "error": _WITHOUT_ID,
    "session.created": _SESSION,
    "session.updated": _SESSION,
    "conversation.created": _shape(_EVENT, conversation=_CONVERSATION),
    "conversation.item.added": _PLACED_ITEM,
    "conversation.item.done": _PLACED_ITEM,
    "conversation.item.retrieved": _WITH_ITEM,
    "conversation.item.deleted": _ITEM_ID,
    "conversation.item.truncated": _shape(_ITEM_ID, audio_end_ms=_NUMBER, content_index=_NUMBER),
    "conversation.item.input_audio_transcription.completed": _shape(
        _ITEM_ID,
        content_index=_NUMBER,
        transcript=_TEXT,
        logprobs=_maybe(_ANY_LIST),
        usage=_optional(_one_of(_TOKENS, _DURATION)),
    ),
    "conversation.item.input_audio_transcription.delta": _shape(
        _ITEM_ID,
        content_index=_maybe(_NUMBER),
        delta=_maybe(_TEXT),
        logprobs=_maybe(_ANY_LIST),
    ),
    "conversation.item.input_audio_transcription.segment": _shape(_ITEM_ID, text=_TEXT),
    "conversation.item.input_audio_transcription.failed": _shape(
        _ITEM_ID, content_index=_NUMBER, error=_FAILURE
    ),
    "input_audio_buffer.cleared": _EVENT,
    # The API gives this one no event_id.
    "input_audio_buffer.dtmf_event_received": _shape(_WITHOUT_ID, event=_TEXT),
    "input_audio_buffer.committed": _shape(_ITEM_ID, previous_item_id=_maybe(_TEXT)),
    "input_audio_buffer.speech_started": _shape(_ITEM_ID, audio_start_ms=_NUMBER),
    "input_audio_buffer.speech_stopped": _shape(_ITEM_ID, audio_end_ms=_NUMBER),
    "output_audio_buffer.started": _EVENT,
    "output_audio_buffer.stopped": _EVENT,
    "output_audio_buffer.cleared": _EVENT,
    "rate_limits.updated": _shape(_EVENT, rate_limits=_list(_LIMIT)),
    "response.created": _RESPONSE,
    "response.done": _RESPONSE,
    "response.output_item.added": _OUTPUT_ITEM,
    "response.output_item.done": _OUTPUT_ITEM,
    "response.content_part.added": _CONTENT_PART,
    "response.content_part.done": _CONTENT_PART,
    "response.output_text.delta": _PART_DELTA,
    "response.output_text.done": _shape(_IN_PART, text=_TEXT),
    "response.output_audio.delta": _PART_DELTA,
    "response.output_audio.done": _IN_PART,
    "response.output_audio_transcript.delta": _PART_DELTA,
    "response.output_audio_transcript.done": _shape(_IN_PART, transcript=_TEXT),
    "response.function_call_arguments.delta": _shape(_IN_RESPONSE, call_id=_TEXT, delta=_TEXT),
    "response.function_call_arguments.done": _shape(_IN_RESPONSE, call_id=_TEXT, arguments=_TEXT),
    "response.mcp_call_arguments.delta": _shape(
        _IN_RESPONSE, delta=_TEXT, obfuscation=_maybe(_TEXT)
    ),
    "response.mcp_call_arguments.done": _shape(_IN_RESPONSE, arguments=_TEXT),
    "response.mcp_call.in_progress": _MCP_CALL,
    "response.mcp_call.completed": _MCP_CALL,
    "response.mcp_call.failed": _MCP_CALL,
    "mcp_list_tools.in_progress": _MAYBE_ITEM_ID,
    "mcp_list_tools.completed": _MAYBE_ITEM_ID,
    "mcp_list_tools.failed": _MAYBE_ITEM_ID,
}

_FITS = {name: SchemaValidator(shape).isinstance_python for name, shape in _SHAPES.items()}
