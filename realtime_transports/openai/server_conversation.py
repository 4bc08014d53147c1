"""The conversation's items, in order, with their audio."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from realtime_core.errors import ProtocolError
from realtime_transports.openai.server_outputs import ClientEventError, JsonObject
from realtime_transports.openai.wire import decode_audio, encode_audio

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["RATE_HZ", "Conversation", "StoredItem", "parse_item", "pcm_from_base64"]

RATE_HZ = 24_000

CONTENT_TYPES = {
    "user": ("input_text", "input_audio", "input_image"),
    "system": ("input_text",),
    "assistant": ("output_text", "output_audio"),
}

ITEM_FIELDS: dict[str, dict[str, type]] = {
    "message": {"role": str, "content": list},
    "function_call": {"name": str, "arguments": str},
    "function_call_output": {"call_id": str, "output": str},
    "mcp_approval_response": {"approval_request_id": str, "approve": bool},
}
"""What clients may create, with the fields each kind must have."""


@dataclass
class StoredItem:
    """An item and the audio of its content."""

    item: JsonObject
    """As events show it: without audio."""
    audio: dict[int, Pcm16] = field(default_factory=dict)
    """Audio by index of the content part: int16, mono, 24 kHz."""

    @property
    def id(self) -> str:
        """The item's id."""
        return str(self.item["id"])

    def to_dict(self) -> JsonObject:
        """A copy of the item as events show it."""
        return copy.deepcopy(self.item)

    def to_dict_with_audio(self) -> JsonObject:
        """A copy of the item with its audio in base64."""
        item = self.to_dict()
        for index, samples in self.audio.items():
            item["content"][index]["audio"] = encode_audio(samples.tobytes())
        return item

    def audio_ms(self, content_index: int) -> int:
        """How long a content part plays."""
        return len(self.audio.get(content_index, ())) * 1000 // RATE_HZ

    def text(self) -> str:
        """What it says in text: a message's words or a tool's output."""
        if self.item["type"] == "function_call_output":
            return str(self.item["output"])
        words = (part.get("text") or part.get("transcript") for part in self._content())
        return "\n".join(word for word in words if word)

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

    def get(self, item_id: object) -> StoredItem | None:
        """The item of this id, if there is one."""
        return next((stored for stored in self._items if stored.id == item_id), None)

    def find(self, item_id: object, event_name: str) -> StoredItem:
        """The item of this id.

        Args:
            item_id: The `item_id` of a client event.
            event_name: ``retrieve``, ``truncate``, ``delete`` or ``create``; part of the code.

        Raises:
            ClientEventError: There is none.
        """
        stored = self.get(item_id)
        if stored is not None:
            return stored
        raise ClientEventError(
            f"Error: the item with id '{item_id}' does not exist.",
            code=f"item_{event_name}_invalid_item_id",
            param="previous_item_id" if event_name == "create" else "item_id",
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
        return self._items.index(self.find(previous_item_id, "create")) + 1


def parse_item(raw: object, make_id: Callable[[str], str], param: str = "item") -> StoredItem:
    """The item that a client sent, checked.

    Args:
        raw: The item.
        make_id: Makes an id if the item has none.
        param: Its path in the event.

    Raises:
        ClientEventError: It is none that a client may create.
    """
    if not isinstance(raw, dict):
        raise _invalid(param, "expected an object")
    kind = raw.get("type")
    if not isinstance(kind, str) or kind not in ITEM_FIELDS:
        raise _invalid(f"{param}.type", f"supported are {', '.join(ITEM_FIELDS)}, not {kind!r}")
    for name, wanted in ITEM_FIELDS[kind].items():
        if not isinstance(raw.get(name), wanted):
            raise _invalid(f"{param}.{name}", f"expected a value of type {wanted.__name__}")
    item_id = raw.get("id") or make_id("item")
    if not isinstance(item_id, str):
        raise _invalid(f"{param}.id", "expected a string")
    item = copy.deepcopy(raw)
    item.update(id=item_id, object="realtime.item", status=raw.get("status") or "completed")
    if kind == "function_call" and not item.get("call_id"):
        item["call_id"] = make_id("call")
    stored = StoredItem(item)
    if kind == "message":
        _take_content(stored, param)
    return stored


def pcm_from_base64(text: object, param: str) -> Pcm16:
    """Audio of a client event.

    Returns:
        int16, mono, 24 kHz.

    Raises:
        ClientEventError: It is no base64 or no whole samples.
    """
    if not isinstance(text, str):
        raise _invalid(param, "expected base64-encoded audio")
    try:
        data = decode_audio(text)
    except ProtocolError as exc:
        raise _invalid(param, "expected base64-encoded audio") from exc
    if len(data) % 2:
        raise _invalid(param, "expected samples of two bytes each")
    return np.frombuffer(data, "<i2").astype(np.int16)


def _take_content(stored: StoredItem, param: str) -> None:
    """Check a message's content and put its audio aside."""
    role = stored.item["role"]
    if role not in CONTENT_TYPES:
        raise _invalid(f"{param}.role", f"supported are {', '.join(CONTENT_TYPES)}, not {role!r}")
    for index, part in enumerate(stored.item["content"]):
        path = f"{param}.content[{index}]"
        if not isinstance(part, dict) or part.get("type") not in CONTENT_TYPES[role]:
            supported = ", ".join(CONTENT_TYPES[role])
            raise _invalid(f"{path}.type", f"a {role} message may hold {supported}")
        if part["type"].endswith("_text") and not isinstance(part.get("text"), str):
            raise _invalid(f"{path}.text", "expected a string")
        if part.get("audio") is not None:
            stored.audio[index] = pcm_from_base64(part["audio"], f"{path}.audio")
        part.pop("audio", None)


def _invalid(param: str, problem: str) -> ClientEventError:
    return ClientEventError(f"Invalid '{param}': {problem}.", code="invalid_value", param=param)
