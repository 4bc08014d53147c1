"""The history of a conversation is a value: a tuple of items, replaced and never changed.

The rules of `update_history` in prose. An item that is known takes the new item's fields and keeps
its place. A new item goes to the front when its `previous_item_id` is None, after the item that
`previous_item_id` names, and to the end when that item is unknown or nothing was said. Audio is
dropped unless asked for: it is what a history would otherwise consist of. A transcript of the
model outlives an update without one, which is what the server sends after an interruption: it says
what the model said, and `audio_end_ms` up to where that was heard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from realtime_core.creation import ItemLike, item_fields
from realtime_core.history_diff import HistoryDiff, diff_history
from realtime_core.items import (
    AssistantMessageItem,
    InputAudioContent,
    InputImageContent,
    InputTextContent,
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
    "merged_item",
    "remove_audio_from_content",
    "transcribed_item",
    "truncated_item",
    "update_history",
]

_Part: TypeAlias = (
    InputTextContent
    | InputAudioContent
    | InputImageContent
    | OutputTextContent
    | OutputAudioContent
)

TRANSCRIPTION_COMPLETED = "conversation.item.input_audio_transcription.completed"


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
    item = update if keep_audio else remove_audio_from_content(update)
    index = _index_of(history, item.item_id)
    if index is not None:
        return _replaced(history, index, item, keep_audio=keep_audio)
    place = _place_of_new(history, item)
    return (*history[:place], item, *history[place:])


def remove_audio_from_content(item: RealtimeItem) -> RealtimeItem:
    """The item with the audio of all its parts set to None."""
    # By `type`, not by class: pydantic's `isinstance` is slow where the answer is no.
    if item.type != "message" or item.role == "system":
        return item
    if not any(map(_may_hold_audio, item.content)):
        return item
    content = [
        part.model_copy(update={"audio": None}) if _may_hold_audio(part) else part
        for part in item.content
    ]
    return item.model_copy(update={"content": content})


def merged_item(known: RealtimeItem, item: RealtimeItem) -> RealtimeItem:
    """An item as it comes, with what is known of it and was left out."""
    if isinstance(known, AssistantMessageItem) and isinstance(item, AssistantMessageItem):
        return _keep_what_was_said(known, item)
    return item


def transcribed_item(
    item: RealtimeItem, transcript: object, content_index: object = None
) -> RealtimeItem:
    """The user's speech with the transcript of a part; any other item as it is.

    Args:
        item: Any item.
        transcript: What was said.
        content_index: The part; None where that was not said, and so for each that is audio.
    """
    if not isinstance(item, UserMessageItem):
        return item
    content = [
        part.model_copy(update={"transcript": transcript})
        if content_index in (None, index) and isinstance(part, InputAudioContent)
        else part
        for index, part in enumerate(item.content)
    ]
    return item.model_copy(update={"content": content, "status": "completed"})


def truncated_item(item: RealtimeItem, content_index: int, audio_end_ms: float) -> RealtimeItem:
    """The model's speech, marked as heard up to a place; any other item as it is.

    The transcript stays: the server forgets it, as nobody can cut a text where the audio ends.
    """
    if not isinstance(item, AssistantMessageItem):
        return item
    content = [
        part.model_copy(update={"audio_end_ms": audio_end_ms})
        if index == content_index and isinstance(part, OutputAudioContent)
        else part
        for index, part in enumerate(item.content)
    ]
    return item.model_copy(update={"content": content})


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


def _with_transcript(
    history: Sequence[RealtimeItem], event: Mapping[str, Any]
) -> tuple[RealtimeItem, ...]:
    index = _index_of(history, event.get("item_id"))
    if event.get("type") != TRANSCRIPTION_COMPLETED or index is None:
        return tuple(history)
    transcript, part = event.get("transcript"), event.get("content_index")
    heard = transcribed_item(history[index], transcript, part)
    return (*history[:index], heard, *history[index + 1 :])


def _replaced(
    history: Sequence[RealtimeItem], index: int, item: RealtimeItem, *, keep_audio: bool
) -> tuple[RealtimeItem, ...]:
    item = merged_item(history[index], item)
    others = history if keep_audio else [remove_audio_from_content(other) for other in history]
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


def _may_hold_audio(part: _Part) -> bool:
    """Whether the part has audio, or leaves open whether it has."""
    if part.type not in ("input_audio", "output_audio"):
        return False
    return part.audio is not None or "audio" not in part.model_fields_set


def _keep_what_was_said(
    known: AssistantMessageItem, item: AssistantMessageItem
) -> AssistantMessageItem:
    content = list(item.content)
    is_changed = False
    for index, (before, part) in enumerate(zip(known.content, item.content, strict=False)):
        if before.type != "output_audio" or part.type != "output_audio":
            continue
        kept: dict[str, Any] = {}
        if before.transcript and not part.transcript:
            kept["transcript"] = before.transcript
        if before.audio_end_ms is not None and part.audio_end_ms is None:
            kept["audio_end_ms"] = before.audio_end_ms
        if kept:
            content[index] = part.model_copy(update=kept)
            is_changed = True
    return item.model_copy(update={"content": content}) if is_changed else item
