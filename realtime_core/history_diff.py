"""What leads from one history to another, with as little deleted as can be.

A server can delete an item and create one at a place; it can neither change nor move one. So an
item stays only if it is the same in both histories and keeps its place among those that stay: a
longest increasing subsequence of the places in the old history, read in the new order. Items that
could not be created again are the first to stay, for deleting them would lose them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Generic, TypeVar, cast

from realtime_core.creation import ItemLike, audio_as_text, item_fields, why_not_creatable
from realtime_core.errors import UserError

__all__ = ["HistoryDiff", "diff_history", "is_same_item"]

_ItemT = TypeVar("_ItemT", bound=ItemLike)


@dataclass(frozen=True, slots=True)
class HistoryDiff(Generic[_ItemT]):
    """What leads from one history to another.

    Delete the removals, updates and moves; then create the additions, updates and moves, each at
    its place in the new history. All others stay.
    """

    removals: list[_ItemT]
    """Items of the old history that the new one lacks, in the old order."""
    additions: list[_ItemT]
    """Items of the new history that the old one lacks, in the new order."""
    updates: list[_ItemT]
    """Items that both have and whose fields differ, as they are to be, in the new order."""
    moves: list[_ItemT] = field(default_factory=list)
    """Items that are the same in both and change places, in the new order: as few as can be."""


def diff_history(
    old: Sequence[_ItemT], new: Sequence[_ItemT], *, audio_as_transcript: bool = False
) -> HistoryDiff[_ItemT]:
    """What to remove, add, update and move so that `old` becomes `new`, in O(n log n).

    Items are the same when their ids are. Neither `previous_item_id` nor up to where audio was
    heard counts as a difference.

    Args:
        old: The history as it is.
        new: The history as it is to be.
        audio_as_transcript: Whether speech that cannot be created becomes text in `additions`,
            `updates` and `moves`, where there is a transcript.

    Raises:
        UserError: An item would have to be created that holds audio of the model, which the
            server cannot take.
    """
    old_ids, new_ids = [_id(item) for item in old], [_id(item) for item in new]
    old_places = {item_id: place for place, item_id in enumerate(old_ids)}
    kept_ids = set(new_ids)
    removals = [item for item, item_id in zip(old, old_ids, strict=True) if item_id not in kept_ids]
    additions: list[_ItemT] = []
    updates: list[_ItemT] = []
    same: dict[str, tuple[int, _ItemT]] = {}
    for item, item_id in zip(new, new_ids, strict=True):
        place = old_places.get(item_id)
        if place is None:
            additions.append(item)
        elif not is_same_item(old[place], item):
            updates.append(item)
        else:
            same.setdefault(item_id, (place, item))
    created = [additions, updates, _to_move(list(same.values()))]
    if audio_as_transcript:
        # The bound of the type variable: a mapping gives a mapping, an item an item of its kind.
        created = [[cast("_ItemT", audio_as_text(item)) for item in group] for group in created]
    _refuse_output_audio(item for group in created for item in group)
    return HistoryDiff(removals, *created)


def _id(item: ItemLike) -> str:
    return str(item.get("item_id") if isinstance(item, Mapping) else item.item_id)


def _refuse_output_audio(items: Iterable[ItemLike]) -> None:
    for item in items:
        fields = item if isinstance(item, Mapping) else item.__dict__
        if fields.get("type") != "message" or fields.get("role") != "assistant":
            continue
        content = item_fields(item).get("content") or ()
        if any(part.get("type") == "output_audio" for part in content):
            raise UserError(why_not_creatable(item) or "")


# Which items are the same


def is_same_item(known: ItemLike, item: ItemLike) -> bool:
    """Whether two items of one id need no update."""
    if known is item:
        return True
    if isinstance(known, Mapping) or isinstance(item, Mapping):
        return known == item or _comparable(known, item) == _comparable(item, known)
    if type(known) is not type(item):
        return False
    # Not by `==` of the models: this runs for each item of both histories.
    mine, other = known.__dict__, item.__dict__
    for name, value in mine.items():
        theirs = other[name]
        if value is theirs:
            continue
        if name == "content":
            if not _are_same_parts(value, theirs):
                return False
        elif value != theirs and not _is_no_difference(name, value, theirs):
            return False
    return True


def _is_no_difference(name: str, known: object, value: object) -> bool:
    """Whether a field says nothing about what the item is."""
    # An item's place is its place in the list. Events do not tell a call's id.
    return name == "previous_item_id" or (name == "call_id" and None in (known, value))


def _are_same_parts(known: Sequence[Any], parts: Sequence[Any]) -> bool:
    if len(known) != len(parts):
        return False
    for before, part in zip(known, parts, strict=True):
        if before is part:
            continue
        if type(before) is not type(part):
            return False
        mine, other = before.__dict__, part.__dict__
        if mine != other and _said(mine) != _said(other):
            return False
    return True


def _said(part: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name != "audio_end_ms"}


def _comparable(item: ItemLike, other: ItemLike) -> dict[str, Any]:
    """The fields to compare; None and left out are one thing where a model is compared."""
    are_mappings = isinstance(item, Mapping) and isinstance(other, Mapping)

    def keep(fields: Mapping[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in _said(fields).items() if are_mappings or v is not None}

    fields = item_fields(item)
    fields.pop("previous_item_id", None)
    if None in (fields.get("call_id"), item_fields(other).get("call_id")):
        fields.pop("call_id", None)
    if isinstance(content := fields.get("content"), list):
        fields["content"] = [keep(p) if isinstance(p, Mapping) else p for p in content]
    return keep(fields)


# Which items stay


def _to_move(same: list[tuple[int, _ItemT]]) -> list[_ItemT]:
    """Those of the items that cannot all stay, given each with its place in the old history."""
    places = [place for place, _ in same]
    if all(before < after for before, after in pairwise(places)):
        return []
    lasting = [i for i, (_, item) in enumerate(same) if why_not_creatable(item) is not None]
    first = [lasting[i] for i in _longest_increasing([places[i] for i in lasting])]
    stay = _longest_with(places, first)
    return [item for i, (_, item) in enumerate(same) if i not in stay]


def _longest_with(places: list[int], first: list[int]) -> set[int]:
    """Indices of a longest increasing subsequence among those that contain all of `first`."""
    fitting: list[int] = []
    begin, low = 0, -1
    for end in [*first, len(places)]:
        high = places[end] if end < len(places) else max(places) + 1
        fitting += [i for i in range(begin, end) if low < places[i] < high]
        if end < len(places):
            fitting.append(end)
        begin, low = end + 1, high
    return {fitting[i] for i in _longest_increasing([places[i] for i in fitting])}


def _longest_increasing(values: Sequence[int]) -> list[int]:
    """Indices of a longest increasing subsequence, by patience sorting."""
    tails: list[int] = []
    tail_indices: list[int] = []
    before: list[int] = []
    for index, value in enumerate(values):
        pile = bisect_left(tails, value)
        before.append(tail_indices[pile - 1] if pile else -1)
        tails[pile : pile + 1] = [value]
        tail_indices[pile : pile + 1] = [index]
    chosen = []
    index = tail_indices[-1] if tail_indices else -1
    while index >= 0:
        chosen.append(index)
        index = before[index]
    return chosen[::-1]
