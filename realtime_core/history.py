"""The history of a conversation is a value: a tuple of items, replaced and never changed.

The rules of `update_history` in prose. An item that is known takes the new item's fields and keeps
its place. A new item goes to the front when its `previous_item_id` is None, after the item that
`previous_item_id` names, and to the end when that item is unknown or nothing was said. Audio is
dropped unless asked for: it is what a history would otherwise consist of. A transcript of the
model outlives an update without one, which is what the server sends after an interruption.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from realtime_core.errors import UserError
from realtime_core.items import (
    AssistantMessageItem,
    InputAudioContent,
    OutputAudioContent,
    OutputTextContent,
    RealtimeItem,
    UserMessageItem,
)

__all__ = [
    "HistoryDiff",
    "ItemLike",
    "diff_history",
    "item_fields",
    "last_text_from_audio_output_message",
    "remove_audio_from_content",
    "update_history",
]

TRANSCRIPTION_COMPLETED = "conversation.item.input_audio_transcription.completed"

ItemLike = RealtimeItem | Mapping[str, Any]
"""An item, or a mapping with an item's fields."""

_ItemT = TypeVar("_ItemT", bound=ItemLike)


@dataclass(frozen=True, slots=True)
class HistoryDiff(Generic[_ItemT]):
    """What leads from one history to another."""

    removals: list[_ItemT]
    """Items of the old history that the new one lacks, in the old order."""
    additions: list[_ItemT]
    """Items of the new history that the old one lacks, in the new order."""
    updates: list[_ItemT]
    """Items that both have and whose fields differ, as they are to be, in the new order."""


def item_fields(item: ItemLike) -> dict[str, Any]:
    """The fields of an item that are set, as a plain dict."""
    if isinstance(item, Mapping):
        return dict(item)
    return item.model_dump(exclude_unset=True)


def diff_history(old: Sequence[_ItemT], new: Sequence[_ItemT]) -> HistoryDiff[_ItemT]:
    """What to remove, add and update so that `old` becomes `new`. Linear in their lengths.

    Items are the same when their ids are. `previous_item_id` does not count as a difference: an
    item's place is its place in the list.

    Raises:
        UserError: An item would have to be created that holds audio of the model, which the
            server cannot take.
    """
    old_fields = {str(_id(item)): _compared_fields(item) for item in old}
    new_ids = {str(_id(item)) for item in new}
    removals = [item for item in old if str(_id(item)) not in new_ids]
    additions = [item for item in new if str(_id(item)) not in old_fields]
    updates = [
        item
        for item in new
        if str(_id(item)) in old_fields and old_fields[str(_id(item))] != _compared_fields(item)
    ]
    _refuse_output_audio([*additions, *updates])
    return HistoryDiff(removals, additions, updates)


def update_history(
    history: Sequence[RealtimeItem],
    update: RealtimeItem | Mapping[str, Any],
    *,
    keep_audio: bool = False,
) -> tuple[RealtimeItem, ...]:
    """The history after an item came or changed.

    Args:
        history: The history so far.
        update: The item, or the server's event that a transcription of the user's speech is
            complete; any other mapping changes nothing.
        keep_audio: Whether items keep their audio.
    """
    if isinstance(update, Mapping):
        return _with_transcript(history, update)
    item = update if keep_audio else _without_audio(update)
    index = _index_of(history, item.item_id)
    if index is not None:
        return _replaced(history, index, item, keep_audio=keep_audio)
    place = _place_of_new(history, item)
    return (*history[:place], item, *history[place:])


def remove_audio_from_content(item: RealtimeItem) -> RealtimeItem:
    """The item with the audio of all its parts set to None."""
    return _without_audio(item)


def last_text_from_audio_output_message(item: object) -> str | None:
    """The text of the last part of a message of the model: what it wrote, or said.

    Args:
        item: Anything; whatever is no such message has no text.
    """
    if isinstance(item, Mapping):
        content = item.get("content") if item.get("type") == "message" else None
        last = content[-1] if isinstance(content, Sequence) and content else None
        return _text_of_mapping(last)
    content = getattr(item, "content", ())
    match content[-1] if content else None:
        case OutputTextContent(text=text):
            return text
        case OutputAudioContent(transcript=transcript):
            return transcript
        case _:
            return None


def _text_of_mapping(part: object) -> str | None:
    if not isinstance(part, Mapping):
        return None
    key = {"output_text": "text", "output_audio": "transcript"}.get(str(part.get("type")))
    text = part.get(key) if key else None
    return text if isinstance(text, str) else None


def _id(item: ItemLike) -> object:
    return item.get("item_id") if isinstance(item, Mapping) else item.item_id


def _compared_fields(item: ItemLike) -> dict[str, Any]:
    fields = item_fields(item)
    fields.pop("previous_item_id", None)
    return fields


def _refuse_output_audio(items: Iterable[ItemLike]) -> None:
    for item in items:
        fields = item_fields(item)
        if fields.get("type") != "message" or fields.get("role") != "assistant":
            continue
        if any(part.get("type") == "output_audio" for part in fields.get("content", ())):
            # Worded as OpenAI Agents JS words it: programs that were ported look for it.
            raise UserError(
                f"Assistant output_audio history item {fields['item_id']} cannot be replayed "
                "through OpenAI Realtime. Convert its transcript to output_text content or remove "
                "the item before calling updateHistory()."
            )


def _with_transcript(
    history: Sequence[RealtimeItem], event: Mapping[str, Any]
) -> tuple[RealtimeItem, ...]:
    index = _index_of(history, event.get("item_id"))
    if event.get("type") != TRANSCRIPTION_COMPLETED or index is None:
        return tuple(history)
    item = history[index]
    if not isinstance(item, UserMessageItem):
        return tuple(history)
    content = [
        part.model_copy(update={"transcript": event.get("transcript")})
        if isinstance(part, InputAudioContent)
        else part
        for part in item.content
    ]
    heard = item.model_copy(update={"content": content, "status": "completed"})
    return (*history[:index], heard, *history[index + 1 :])


def _replaced(
    history: Sequence[RealtimeItem], index: int, item: RealtimeItem, *, keep_audio: bool
) -> tuple[RealtimeItem, ...]:
    item = _keep_transcripts(history[index], item)
    others = history if keep_audio else [_without_audio(other) for other in history]
    return (*others[:index], item, *others[index + 1 :])


def _place_of_new(history: Sequence[RealtimeItem], item: RealtimeItem) -> int:
    previous = getattr(item, "previous_item_id", None)
    if previous is None and "previous_item_id" in item.model_fields_set:
        return 0
    index = _index_of(history, previous) if previous else None
    return len(history) if index is None else index + 1


def _index_of(history: Sequence[RealtimeItem], item_id: object) -> int | None:
    # From the end: nearly every update is about one of the last items.
    for index in range(len(history) - 1, -1, -1):
        if history[index].item_id == item_id:
            return index
    return None


def _without_audio(item: RealtimeItem) -> RealtimeItem:
    if not isinstance(item, UserMessageItem | AssistantMessageItem):
        return item
    if not any(_may_hold_audio(part) for part in item.content):
        return item
    content = [
        part.model_copy(update={"audio": None}) if _may_hold_audio(part) else part
        for part in item.content
    ]
    return item.model_copy(update={"content": content})


def _may_hold_audio(part: object) -> bool:
    """Whether the part has audio, or leaves open whether it has."""
    if not isinstance(part, InputAudioContent | OutputAudioContent):
        return False
    return part.audio is not None or "audio" not in part.model_fields_set


def _keep_transcripts(known: RealtimeItem, item: RealtimeItem) -> RealtimeItem:
    if not isinstance(known, AssistantMessageItem) or not isinstance(item, AssistantMessageItem):
        return item
    content = list(item.content)
    for index, (before, part) in enumerate(zip(known.content, item.content, strict=False)):
        if not isinstance(before, OutputAudioContent) or not isinstance(part, OutputAudioContent):
            continue
        if before.transcript and not part.transcript:
            content[index] = part.model_copy(update={"transcript": before.transcript})
    return item.model_copy(update={"content": content})
