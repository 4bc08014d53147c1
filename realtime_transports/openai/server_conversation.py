"""The conversation's items, in order, with their audio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from realtime_transports.openai.config_values import copied
from realtime_transports.openai.server_audio import RATE_HZ, pcm_to_base64
from realtime_transports.openai.server_outputs import ClientEventError, JsonObject

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["RATE_HZ", "Conversation", "StoredItem"]


@dataclass
class StoredItem:
    """An item and the audio of its content."""

    item: JsonObject
    """As events show it: without audio."""
    audio: dict[int, Pcm16] = field(default_factory=dict)
    """Audio by index of the content part: int16, mono, 24 kHz."""
    heard: str | None = None
    """What was understood of the audio, whether or not the client is told; None for nothing yet."""

    @property
    def id(self) -> str:
        """The item's id."""
        return str(self.item["id"])

    def to_dict(self) -> JsonObject:
        """A copy of the item as events show it."""
        return copied(self.item)

    def to_dict_with_audio(self, audio_format: Mapping[str, Any]) -> JsonObject:
        """A copy of the item with its audio in base64, in a format of the session's."""
        item = self.to_dict()
        for index, samples in self.audio.items():
            item["content"][index]["audio"] = pcm_to_base64(samples, audio_format)
        return item

    def audio_ms(self, content_index: int) -> int:
        """How long a content part plays."""
        return len(self.audio.get(content_index, ())) * 1000 // RATE_HZ

    def text(self) -> str:
        """What it says in text: a message's words or a tool's output."""
        if self.item["type"] == "function_call_output":
            return str(self.item["output"])
        words = [part.get("text") or part.get("transcript") for part in self._content()]
        return "\n".join(word for word in words if word) or self.heard or ""

    def spoken(self) -> Pcm16 | None:
        """All of its audio; None if it has none."""
        if not self.audio:
            return None
        return np.concatenate([self.audio[index] for index in sorted(self.audio)])

    def _content(self) -> Sequence[JsonObject]:
        content: Sequence[JsonObject] = self.item.get("content", ())
        return content


class Conversation:
    """Items in order."""

    def __init__(self) -> None:
        """Begin empty."""
        self._items: list[StoredItem] = []

    def __iter__(self) -> Iterator[StoredItem]:
        """From the oldest to the newest."""
        return iter(self._items)

    @property
    def last_id(self) -> str | None:
        """Id of the newest item."""
        return self._items[-1].id if self._items else None

    def call_ids(self) -> set[str]:
        """The ids of all calls of functions."""
        return {
            stored.item["call_id"]
            for stored in self._items
            if stored.item["type"] == "function_call"
        }

    def get(self, item_id: object) -> StoredItem | None:
        """The item of this id, if there is one."""
        return next((stored for stored in self._items if stored.id == item_id), None)

    def find(self, item_id: object, event_name: str, param: str = "item_id") -> StoredItem:
        """The item of this id.

        Args:
            item_id: The `item_id` of a client event.
            event_name: ``retrieve``, ``truncate``, ``delete`` or ``create``; part of the code.
            param: Where in the event the id was.

        Raises:
            ClientEventError: There is none.
        """
        stored = self.get(item_id)
        if stored is not None:
            return stored
        raise ClientEventError(
            f"Error: the item with id '{item_id}' does not exist.",
            code=f"item_{event_name}_invalid_item_id",
            param=param,
        )

    def insert(self, stored: StoredItem, previous_item_id: object = None) -> str | None:
        """Add an item.

        Args:
            stored: The item.
            previous_item_id: After which one; ``"root"`` puts it first, None last.

        Returns:
            Id of the item before it.

        Raises:
            ClientEventError: There is no item to put it after, or its id is taken.
        """
        if self.get(stored.id) is not None:
            raise ClientEventError(
                f"Error adding item: an item with id '{stored.id}' already exists.",
                code="item_create_duplicate_item_id",
                param="item.id",
            )
        place = self._place_after(previous_item_id)
        self._items.insert(place, stored)
        return self._items[place - 1].id if place else None

    def delete(self, item_id: object) -> None:
        """Remove an item.

        Raises:
            ClientEventError: There is none of this id.
        """
        self._items.remove(self.find(item_id, "delete"))

    def truncate(self, item_id: object, content_index: int, audio_end_ms: int) -> None:
        """Cut an assistant's audio, and forget its transcript, which nobody could cut.

        Raises:
            ClientEventError: There is no such audio, or it is shorter than that.
        """
        stored = self.find(item_id, "truncate")
        if stored.item.get("role") != "assistant":
            raise ClientEventError(
                "Only model output audio messages can be truncated.",
                code="invalid_value",
                param="item_id",
            )
        if content_index not in stored.audio:
            raise ClientEventError(
                f"Content part {content_index} of the item has no audio.",
                code="invalid_value",
                param="content_index",
            )
        if not 0 <= audio_end_ms <= stored.audio_ms(content_index):
            raise ClientEventError(
                f"Audio content of {stored.audio_ms(content_index)}ms is already shorter than "
                f"{audio_end_ms}ms.",
                code="invalid_value",
                param="audio_end_ms",
            )
        stored.audio[content_index] = stored.audio[content_index][: audio_end_ms * RATE_HZ // 1000]
        stored.item["content"][content_index].pop("transcript", None)

    def _place_after(self, previous_item_id: object) -> int:
        if previous_item_id is None:
            return len(self._items)
        if previous_item_id == "root":
            return 0
        return self._items.index(self.find(previous_item_id, "create", "previous_item_id")) + 1
