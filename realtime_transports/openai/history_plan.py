"""Which requests turn the server's conversation from one history into another.

The API can delete an item and create one, after a given one (`previous_item_id`), at the front
(`"root"`) or, when nothing is said, at the end. A created item names the item it follows only where
something that stays comes after it. What cannot be created is refused before anything is sent.

A function call with its output is two items on the server. An item that both histories hold stays
untouched: should the server have deleted it meanwhile, it is not brought back, and as it is gone,
or about to go, no other item is told to follow it. The same holds for items of a connection before,
which this server never had; nor are these deleted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias

from realtime_core.creation import ItemLike, item_fields, why_not_creatable
from realtime_core.errors import UserError, ValidationError
from realtime_core.history import HistoryDiff, diff_history
from realtime_core.history_diff import is_same_item
from realtime_core.items import FunctionCallItem

__all__ = ["Kind", "ServerView", "Step", "item_id_of", "plan_reset", "with_call_ids"]

JsonObject = dict[str, Any]
Kind: TypeAlias = Literal["create", "delete"]

_ROOT: Final = "root"
_MCP_TYPES: Final = frozenset({"mcp_call", "mcp_tool_call", "mcp_approval_request"})


class ServerView(Protocol):
    """What is known of the server's conversation beyond the caller's histories."""

    def is_present(self, item_id: str) -> bool:
        """Whether nothing says that the item is gone or about to go."""

    def is_former(self, item_id: str) -> bool:
        """Whether the item is of a connection before, so that this server never had it."""

    def hidden_after(self, item_id: str) -> list[str]:
        """The items right behind one that no history shows."""

    def call_id_of(self, item_id: str) -> str | None:
        """What the output of a function call names; None where that is not known."""

    def output_id_of(self, item_id: str) -> str | None:
        """The item with the output of a function call; None where none is known."""


@dataclass(frozen=True, slots=True)
class Step:
    """A request, and what it is for."""

    kind: Kind
    item: ItemLike
    """The history's item."""
    wire_id: str
    """The server's item: the history's own, or the output of that function call."""
    event: JsonObject
    """The client event, without an id."""
    after: str | None = None
    """Of a creation: the history's item that it follows; empty for the front, None for the end."""


def plan_reset(
    old: Sequence[ItemLike],
    new: Sequence[ItemLike],
    view: ServerView,
    *,
    audio_as_transcript: bool = False,
) -> list[Step]:
    """The steps that turn `old` into `new`, in the order to take them.

    Raises:
        UserError: The server cannot be brought to `new`; it names the item.
        ValidationError: An item lacks a field, or `new` has an id twice.
    """
    _check_fields(old, "old")
    _check_fields(new, "new")
    _refuse_duplicates(new)
    old, new = with_call_ids(old, view), with_call_ids(new, view)
    absent = _absent_in_both(old, new, view)
    old, new = ([i for i in items if item_id_of(i) not in absent] for items in (old, new))
    old = [item for item in old if not view.is_former(item_id_of(item))]
    diff = diff_history(old, new, audio_as_transcript=audio_as_transcript)
    _refuse_mcp_items(old, diff)
    created = {item_id_of(i): i for i in (*diff.additions, *diff.updates, *diff.moves)}
    _refuse_what_cannot_be_created(created, diff)
    # A dict: each id once, in the order of the first.
    deleted = {item_id_of(i): i for i in (*diff.removals, *diff.updates, *diff.moves)}
    deletions = [step for item in deleted.values() for step in _deletions(item, view)]
    leaving = {step.wire_id for step in deletions}
    return [*deletions, *_creations(new, created, leaving, view)]


def with_call_ids(items: Sequence[ItemLike], view: ServerView) -> list[ItemLike]:
    """The items; function calls with their `call_id`, where that is known."""
    return [_with_call_id(item, view) for item in items]


def item_id_of(item: ItemLike) -> str:
    """The item's id."""
    return str(item["item_id"] if isinstance(item, Mapping) else item.item_id)


def _absent_in_both(old: Sequence[ItemLike], new: Sequence[ItemLike], view: ServerView) -> set[str]:
    """Items that would stay if they were on the server, or were not about to go."""
    known = {item_id_of(item): item for item in old}
    return {
        item_id
        for item in new
        if (item_id := item_id_of(item)) in known
        and not view.is_present(item_id)
        and is_same_item(known[item_id], item)
    }


def _deletions(item: ItemLike, view: ServerView) -> Iterator[Step]:
    item_id = item_id_of(item)
    output_id = view.output_id_of(item_id) if _type(item) == "function_call" else None
    for wire_id in filter(None, (output_id, item_id)):
        event = {"type": "conversation.item.delete", "item_id": wire_id}
        yield Step("delete", item, wire_id, event)


def _creations(
    new: Sequence[ItemLike], created: Mapping[str, ItemLike], leaving: set[str], view: ServerView
) -> Iterator[Step]:
    ids = [item_id_of(item) for item in new]
    stays = [item_id not in created for item_id in ids]
    last_that_stays = max((i for i, does_stay in enumerate(stays) if does_stay), default=-1)
    previous, after = _ROOT, ""
    for index, item_id in enumerate(ids):
        if stays[index]:
            hidden = view.hidden_after(item_id)
            previous = next(
                (i for i in reversed(hidden) if i not in leaving and view.is_present(i)), item_id
            )
        else:
            for entry in _entries(created[item_id]):
                is_placed = index < last_that_stays
                place = {"previous_item_id": previous} if is_placed else {}
                event = {"type": "conversation.item.create", **place, "item": entry}
                follows = after if is_placed else None
                yield Step("create", created[item_id], entry["id"], event, follows)
                previous = entry["id"]
        after = item_id


def _entries(item: ItemLike) -> Iterator[JsonObject]:
    """The items that are created on the server for one of the history."""
    fields = item_fields(item)
    if fields["type"] == "function_call":
        named = {"call_id": fields["call_id"]}
        call = {"name": fields["name"], "arguments": fields["arguments"]}
        yield {"type": "function_call", "id": fields["item_id"], **named, **call}
        if fields.get("output") is not None:
            output_id = _output_id(fields["item_id"])
            output = {"output": fields["output"]}
            yield {"type": "function_call_output", "id": output_id, **named, **output}
        return
    status = fields.get("status") if fields["role"] != "system" else None
    yield {
        "type": "message",
        "id": fields["item_id"],
        "role": fields["role"],
        "content": fields["content"],
        **({"status": status} if status else {}),
    }


def _output_id(item_id: str) -> str:
    """An id for the output of a call, so that others can be told to follow it.

    It is the same each time, as it takes the place of the same item. The API takes 32 characters.
    """
    digest = hashlib.blake2s(item_id.encode("utf-8", "surrogatepass"), digest_size=12)
    return f"fco_{digest.hexdigest()}"


def _with_call_id(item: ItemLike, view: ServerView) -> ItemLike:
    if _type(item) != "function_call":
        return item
    if isinstance(item, Mapping):
        call_id = item.get("call_id") or view.call_id_of(item_id_of(item))
        return {**item, "call_id": call_id} if call_id else item
    if not isinstance(item, FunctionCallItem) or item.call_id:
        return item
    call_id = view.call_id_of(item.item_id)
    return item.model_copy(update={"call_id": call_id}) if call_id else item


def _check_fields(items: Sequence[ItemLike], name: str) -> None:
    for index, item in enumerate(items):
        if not isinstance(item, Mapping):
            continue
        needed = ("item_id", "type", "role", "content")
        for field in needed if item.get("type") == "message" else needed[:2]:
            if item.get(field) is None:
                raise ValidationError(f"{name} history: item {index} has no {field}")


def _refuse_duplicates(new: Sequence[ItemLike]) -> None:
    seen: set[str] = set()
    for item in new:
        item_id = item_id_of(item)
        if item_id in seen:
            raise ValidationError(f"new history: two items have the item_id {item_id!r}")
        seen.add(item_id)


def _refuse_what_cannot_be_created(
    created: Mapping[str, ItemLike], diff: HistoryDiff[ItemLike]
) -> None:
    moved = {item_id_of(item) for item in diff.moves}
    for item_id, item in created.items():
        problem = why_not_creatable(item)
        if problem is not None:
            moving = "; it cannot change its place, which takes creating it" * (item_id in moved)
            raise UserError(problem + moving)


def _refuse_mcp_items(old: Sequence[ItemLike], diff: HistoryDiff[ItemLike]) -> None:
    old_types = {item_id_of(item): _type(item) for item in old if _type(item) in _MCP_TYPES}
    for item in (*diff.additions, *diff.updates):
        item_id, old_type = item_id_of(item), old_types.get(item_id_of(item))
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


def _type(item: ItemLike) -> object:
    return item.get("type") if isinstance(item, Mapping) else item.type
