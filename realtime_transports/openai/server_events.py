"""The server events that this client knows, and the form it relies on.

A known event that has its form is told under its own type, as it came, and gives rise to the
transport's own events. Any other - a new type, or a known type whose form has drifted - is told as
``"*"`` alone: a program sees it, nothing is derived from it, and the connection goes on.

The shapes below state what is relied on, no more; `openai.types.realtime` documents the events in
full. A field of another form than stated makes the event unknown, a field not stated may be
anything. Events come by the hundred each second, so a form is looked at and nothing is copied.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import NoneType
from typing import Any, TypeAlias

__all__ = ["has_known_form"]

JsonObject: TypeAlias = dict[str, Any]


def has_known_form(event: JsonObject) -> bool:
    """Whether a server event is known and has the form that is relied on.

    Args:
        event: As `wire.parse` gives it, or as a middleware has left it.
    """
    shape = _SHAPES.get(event["type"])
    return shape is not None and _fits(event, shape)


@dataclass(frozen=True, slots=True)
class _Field:
    """What a field may be."""

    types: frozenset[type]
    words: frozenset[str] | None = None
    """The strings it may be; None means any."""
    parts: tuple[_Shape, ...] | None = None
    """An object, or each entry of a list, fits one of these; none of them: the entries of a list
    are strings; None means anything."""
    is_required: bool = True

    @property
    def plain_types(self) -> frozenset[type]:
        """The types of which it may be anything."""
        plain = self.types
        if self.words is not None:
            plain -= {str}
        if self.parts is not None:
            plain -= {dict, list}
        return plain

    def takes(self, value: object) -> bool:
        """Whether it may be this."""
        if type(value) not in self.types and not _is_kind_of(value, self.types):
            return False
        if isinstance(value, str):
            return self.words is None or value in self.words
        if isinstance(value, dict):
            return self.parts is None or _fits_one(value, self.parts)
        if isinstance(value, list):
            return self.parts is None or all(map(self._takes_entry, value))
        return True

    def _takes_entry(self, entry: object) -> bool:
        if isinstance(entry, dict):
            return _fits_one(entry, self.parts or ())
        return not self.parts and isinstance(entry, str)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What an object must be like."""

    required: tuple[str, ...]
    fields: dict[str, _Field]
    plain_types: dict[str, frozenset[type]]
    """Those of each field: most values are of one of them, and so need no closer look."""
    words: dict[str, frozenset[str]]
    """Those of each field that has some."""


def _fits(value: JsonObject, shape: _Shape) -> bool:
    for name in shape.required:
        if name not in value:
            return False
    plain_types = shape.plain_types
    for name, field in value.items():
        plain = plain_types.get(name)
        if plain is None or type(field) in plain:
            continue
        if type(field) is str and field in shape.words.get(name, ()):
            continue
        if not shape.fields[name].takes(field):
            return False
    return True


def _fits_one(value: JsonObject, shapes: tuple[_Shape, ...]) -> bool:
    for shape in shapes:  # noqa: SIM110  `any` takes twice as long
        if _fits(value, shape):
            return True
    return False


def _is_kind_of(value: object, types: Iterable[type]) -> bool:
    """Whether it is of a derived type, as middlewares may put there; a bool is no number."""
    return not isinstance(value, bool) and isinstance(value, tuple(types))


# How shapes are written


def _shape(*bases: _Shape, **fields: _Field) -> _Shape:
    """A shape with the fields of others and further ones."""
    known = dict(ChainMap(fields, *(base.fields for base in bases)))
    return _Shape(
        required=tuple(name for name, field in known.items() if field.is_required),
        fields=known,
        plain_types={name: field.plain_types for name, field in known.items()},
        words={name: field.words for name, field in known.items() if field.words is not None},
    )


def _words(*words: str) -> _Field:
    return _Field(frozenset({str}), words=frozenset(words))


def _object(*shapes: _Shape) -> _Field:
    return _Field(frozenset({dict}), parts=shapes or None)


def _list(*shapes: _Shape) -> _Field:
    return _Field(frozenset({list}), parts=shapes or None)


def _list_of_texts() -> _Field:
    return _Field(frozenset({list}), parts=())


def _optional(field: _Field) -> _Field:
    return replace(field, is_required=False)


def _maybe(field: _Field) -> _Field:
    """It may be missing, or null."""
    return replace(field, types=field.types | {NoneType}, is_required=False)


_TEXT = _Field(frozenset({str}))
_NUMBER = _Field(frozenset({int, float}))
_BOOL = _Field(frozenset({bool}))
_ANYTHING = _Field(frozenset({NoneType, bool, int, float, str, list, dict}))

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
_TOOL = _shape(name=_TEXT, description=_maybe(_TEXT), input_schema=_optional(_object()))
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
    input_token_details=_maybe(_object()),
    output_tokens=_maybe(_NUMBER),
    output_token_details=_maybe(_object()),
)
_AUDIO = _shape(output=_maybe(_object(_shape(voice=_maybe(_TEXT)))))
_RESPONSE_OBJECT = _shape(
    id=_maybe(_TEXT),
    object=_maybe(_words("realtime.response")),
    conversation_id=_maybe(_TEXT),
    status=_maybe(_words("completed", "incomplete", "failed", "cancelled", "in_progress")),
    status_details=_maybe(_object()),
    output=_maybe(_list()),
    output_modalities=_maybe(_list_of_texts()),
    max_output_tokens=_maybe(_Field(frozenset({int, float, str}), words=frozenset({"inf"}))),
    metadata=_maybe(_object()),
    audio=_maybe(_object(_AUDIO)),
    usage=_maybe(_object(_USAGE)),
)
_TOKENS = _shape(
    type=_words("tokens"),
    total_tokens=_NUMBER,
    input_tokens=_NUMBER,
    input_token_details=_maybe(
        _object(_shape(text_tokens=_maybe(_NUMBER), audio_tokens=_maybe(_NUMBER)))
    ),
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
_WITH_ITEM = _shape(_EVENT, item=_object(_ITEM))
_PLACED_ITEM = _shape(_WITH_ITEM, previous_item_id=_maybe(_TEXT))
_OUTPUT_ITEM = _shape(_WITH_ITEM, output_index=_NUMBER, response_id=_optional(_TEXT))
_ITEM_ID = _shape(_EVENT, item_id=_TEXT)
_MAYBE_ITEM_ID = _shape(_WITHOUT_ID, item_id=_optional(_TEXT))
_RESPONSE = _shape(_EVENT, response=_object(_RESPONSE_OBJECT))
_MCP_CALL = _shape(_ITEM_ID, output_index=_NUMBER)
_IN_RESPONSE = _shape(_ITEM_ID, output_index=_NUMBER, response_id=_TEXT)
_IN_PART = _shape(_IN_RESPONSE, content_index=_NUMBER)
_PART_DELTA = _shape(_IN_PART, delta=_TEXT)
_CONTENT_PART = _shape(_IN_PART, part=_object(_PART))

_SHAPES: dict[str, _Shape] = {
    "error": _WITHOUT_ID,
    "session.created": _SESSION,
    "session.updated": _SESSION,
    "conversation.created": _shape(_EVENT, conversation=_object(_CONVERSATION)),
    "conversation.item.added": _PLACED_ITEM,
    "conversation.item.done": _PLACED_ITEM,
    "conversation.item.retrieved": _WITH_ITEM,
    "conversation.item.deleted": _ITEM_ID,
    "conversation.item.truncated": _shape(_ITEM_ID, audio_end_ms=_NUMBER, content_index=_NUMBER),
    "conversation.item.input_audio_transcription.completed": _shape(
        _ITEM_ID,
        content_index=_NUMBER,
        transcript=_TEXT,
        logprobs=_maybe(_list()),
        usage=_optional(_object(_TOKENS, _DURATION)),
    ),
    "conversation.item.input_audio_transcription.delta": _shape(
        _ITEM_ID,
        content_index=_maybe(_NUMBER),
        delta=_maybe(_TEXT),
        logprobs=_maybe(_list()),
    ),
    "conversation.item.input_audio_transcription.segment": _shape(_ITEM_ID, text=_TEXT),
    "conversation.item.input_audio_transcription.failed": _shape(
        _ITEM_ID, content_index=_NUMBER, error=_object(_FAILURE)
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
