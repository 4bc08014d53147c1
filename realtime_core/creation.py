"""Which items a client can put into a server's conversation, and in which form.

The Realtime API takes messages, function calls and their outputs. It does not take what only the
server can make: speech of the model, calls of MCP tools. Speech of the user it takes with its
audio alone, which a history does not keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from realtime_core.items import (
    AssistantMessageItem,
    InputTextContent,
    OutputTextContent,
    RealtimeItem,
    SystemMessageItem,
    UserMessageItem,
)

__all__ = ["ItemLike", "audio_as_text", "item_fields", "why_not_creatable"]

ItemLike: TypeAlias = RealtimeItem | Mapping[str, Any]
"""An item, or a mapping with an item's fields."""

_TEXT_INSTEAD = {"output_audio": "output_text", "input_audio": "input_text"}

_TEXTS = frozenset({InputTextContent, OutputTextContent})

_FIELDS_NEEDED = {
    "message": ("role", "content"),
    "function_call": ("name", "arguments", "call_id"),
}


def item_fields(item: ItemLike) -> dict[str, Any]:
    """The fields of an item that are set, as a plain dict."""
    if isinstance(item, Mapping):
        return dict(item)
    return item.model_dump(exclude_unset=True)


def why_not_creatable(item: ItemLike) -> str | None:
    """Why a client cannot create an item, naming it; None if it can."""
    if _is_surely_creatable(item):
        return None
    fields = item_fields(item)
    item_id, kind = fields.get("item_id"), fields.get("type")
    if kind not in _FIELDS_NEEDED:
        return f"history item {item_id} is of type {kind!r}, which a client cannot create"
    missing = [name for name in _FIELDS_NEEDED[kind] if fields.get(name) is None]
    if missing:
        return (
            f"{kind} history item {item_id} has no {missing[0]}, without which it cannot be "
            "created; give it one or remove the item"
        )
    if kind == "message":
        return next(filter(None, (_why_not(part, fields) for part in fields["content"])), None)
    return None


def _is_surely_creatable(item: ItemLike) -> bool:
    """What most items are; said at once, as a history may have thousands."""
    return isinstance(item, SystemMessageItem | UserMessageItem | AssistantMessageItem) and all(
        type(part) in _TEXTS for part in item.content
    )


def audio_as_text(item: ItemLike) -> ItemLike:
    """The item with what was said as text, where the audio cannot be created and a text exists.

    The text is all that was said, also where the user heard less of it (`audio_end_ms`).
    """
    if isinstance(item, Mapping):
        if item.get("type") != "message" or not isinstance(item.get("content"), list):
            return item
        return {**item, "content": [_part_as_text(part, item) for part in item["content"]]}
    if not isinstance(item, UserMessageItem | AssistantMessageItem):
        return item
    fields = item_fields(item)
    texts: dict[str, Any] = {"input_text": InputTextContent, "output_text": OutputTextContent}
    content = []
    for part, before in zip(item.content, fields["content"], strict=True):
        after = _part_as_text(before, fields)
        content.append(part if after is before else texts[after["type"]](text=after["text"]))
    return item.model_copy(update={"content": content})


def _why_not(part: object, fields: Mapping[str, Any]) -> str | None:
    if not isinstance(part, Mapping) or not _is_lost_audio(part, fields):
        return None
    if part["type"] == "output_audio":
        # Worded as OpenAI Agents JS words it: programs that were ported look for it.
        return (
            f"Assistant output_audio history item {fields['item_id']} cannot be replayed "
            "through OpenAI Realtime. Convert its transcript to output_text content or remove "
            "the item before calling updateHistory()."
        )
    return (
        f"user input_audio history item {fields['item_id']} cannot be created again, as its audio "
        "is not kept; convert its transcript to input_text content (audio_as_transcript does "
        "where there is one) or remove the item"
    )


def _is_lost_audio(part: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    if part.get("type") == "output_audio":
        return fields.get("role") == "assistant"
    return part.get("type") == "input_audio" and not part.get("audio")


def _part_as_text(part: Any, fields: Mapping[str, Any]) -> Any:
    if not isinstance(part, Mapping) or not _is_lost_audio(part, fields):
        return part
    transcript = part.get("transcript")
    if not isinstance(transcript, str) or not transcript:
        return part
    return {"type": _TEXT_INSTEAD[part["type"]], "text": transcript}
