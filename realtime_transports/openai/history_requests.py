"""Changing the server's conversation so that it becomes another history.

The API can delete an item and create one, after a given one (`previous_item_id`), at the front
(`"root"`) or, when nothing is said, at the end. It cannot change one: that is deleting and creating
it again. What cannot be created is refused before anything is sent.

A created item names the item it follows only where something that stays comes after it. An item
whose deletion is under way is no place to follow; one that is being created again is. Requests are
therefore remembered, in the order they were sent, until the server confirms or refuses them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from realtime_core.errors import UserError, ValidationError
from realtime_core.history import HistoryDiff, ItemLike, diff_history, item_fields

__all__ = ["HistoryRequests"]

logger = logging.getLogger(__name__)

JsonObject = dict[str, Any]
_Kind: TypeAlias = Literal["create", "delete"]

_ROOT: Final = "root"
_MCP_TYPES: Final = frozenset({"mcp_call", "mcp_tool_call", "mcp_approval_request"})


class _Request(NamedTuple):
    kind: _Kind
    item_id: str


class HistoryRequests:
    """Makes the requests that turn one history into another, and remembers what is under way."""

    def __init__(self) -> None:
        self._pending: dict[str, _Request] = {}
        self._event_ids: dict[_Request, dict[str, None]] = {}
        self._event_ids_given = 0

    def reset(self, old: Sequence[ItemLike], new: Sequence[ItemLike]) -> list[JsonObject]:
        """The client events that turn `old` into `new`, in the order to send them.

        Raises:
            UserError: An item would have to be created that the server does not take: an MCP item,
                or audio of the model.
            ValidationError: A mapping among the items lacks a field.
        """
        _check_fields(old, "old")
        _check_fields(new, "new")
        diff = diff_history(old, new)
        _refuse_mcp_items(old, diff)
        removed = [*diff.removals, *diff.updates]
        # A dict: each id once, in the order of the first.
        deletions = [self._delete(item_id) for item_id in dict.fromkeys(map(_id, removed))]
        created_ids = {_id(item) for item in (*diff.additions, *diff.updates)}
        return [*deletions, *self._creations(new, created_ids)]

    def settle(self, kind: _Kind, item_id: str) -> None:
        """The server did it: the oldest such request is no longer under way."""
        event_ids = self._event_ids.get(_Request(kind, item_id))
        if event_ids:
            self.forget(next(iter(event_ids)))

    def forget(self, event_id: object) -> None:
        """The request with this event id was refused, or could not be sent."""
        request = self._pending.pop(event_id, None) if isinstance(event_id, str) else None
        if request is None:
            return
        event_ids = self._event_ids[request]
        del event_ids[str(event_id)]
        if not event_ids:
            del self._event_ids[request]

    def clear(self) -> None:
        """Forget what was under way: the link is gone. Event ids are not given twice."""
        self._pending.clear()
        self._event_ids.clear()

    def _creations(self, new: Sequence[ItemLike], created_ids: set[str]) -> Iterator[JsonObject]:
        items = [item_fields(item) for item in new]
        presence = {item_id: kind == "create" for kind, item_id in self._pending.values()}
        stays = [
            item["item_id"] not in created_ids and presence.get(item["item_id"], True)
            for item in items
        ]
        last_that_stays = max((i for i, does_stay in enumerate(stays) if does_stay), default=-1)
        previous = _ROOT
        for index, item in enumerate(items):
            if stays[index]:
                previous = item["item_id"]
            elif item["item_id"] in created_ids and _can_be_created(item):
                place = {"previous_item_id": previous} if index < last_that_stays else {}
                yield self._create(item, place)
                previous = item["item_id"]

    def _delete(self, item_id: str) -> JsonObject:
        event_id = self._note("delete", item_id)
        return {"type": "conversation.item.delete", "item_id": item_id, "event_id": event_id}

    def _create(self, item: JsonObject, place: JsonObject) -> JsonObject:
        entry = {
            "type": "message",
            "id": item["item_id"],
            "role": item["role"],
            "content": item["content"],
        }
        if item["role"] != "system" and item.get("status"):
            entry["status"] = item["status"]
        event_id = self._note("create", item["item_id"])
        return {
            "type": "conversation.item.create",
            **place,
            "item": entry,
            "event_id": event_id,
        }

    def _note(self, kind: _Kind, item_id: str) -> str:
        self._event_ids_given += 1
        event_id = f"realtime_{kind}_{self._event_ids_given}"
        request = _Request(kind, item_id)
        self._pending[event_id] = request
        self._event_ids.setdefault(request, {})[event_id] = None
        return event_id


def _check_fields(items: Sequence[ItemLike], name: str) -> None:
    for index, item in enumerate(items):
        if not isinstance(item, Mapping):
            continue
        needed = ("item_id", "type", "role", "content")
        for field in needed if item.get("type") == "message" else needed[:2]:
            if item.get(field) is None:
                raise ValidationError(f"{name} history: item {index} has no {field}")


def _refuse_mcp_items(old: Sequence[ItemLike], diff: HistoryDiff[ItemLike]) -> None:
    old_types = {_id(item): _type(item) for item in old if _type(item) in _MCP_TYPES}
    for item in (*diff.additions, *diff.updates):
        item_id, old_type = _id(item), old_types.get(_id(item))
        if old_type is not None:
            detail = (
                f"itemId {item_id} replaces an existing '{old_type}' item "
                f"with a '{_type(item)}' item"
            )
        elif _type(item) in _MCP_TYPES:
            detail = f"a '{_type(item)}' item (itemId: {item_id}) would be added or updated"
        else:
            continue
        # Worded as OpenAI Agents JS words it: programs that were ported look for it.
        raise UserError(
            f"MCP items cannot be added or updated via updateHistory(). Found {detail}. Leave "
            "existing MCP items unchanged, or remove them from history entirely, before calling "
            "updateHistory()."
        )


def _can_be_created(item: JsonObject) -> bool:
    if item["type"] == "function_call":
        logger.warning(
            "function call %s is not created: the server makes function calls itself",
            item["item_id"],
        )
    return bool(item["type"] == "message")


def _id(item: ItemLike) -> str:
    return str(item["item_id"] if isinstance(item, Mapping) else item.item_id)


def _type(item: ItemLike) -> object:
    return item.get("type") if isinstance(item, Mapping) else item.type
