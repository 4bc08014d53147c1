"""The order of a conversation's items: one comes, goes or moves anywhere at the same cost."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["ItemOrder"]


class _Place:
    __slots__ = ("after", "before", "item_id")

    def __init__(self, item_id: str) -> None:
        self.item_id = item_id
        self.before = self.after = self


class ItemOrder:
    """A linked list of ids. An empty id stands for what comes before the first."""

    FRONT = ""

    def __init__(self) -> None:
        self._front = _Place(self.FRONT)
        self._places = {self.FRONT: self._front}

    def __iter__(self) -> Iterator[str]:
        """The ids, in order."""
        place = self._front.after
        while place is not self._front:
            yield place.item_id
            place = place.after

    def __contains__(self, item_id: object) -> bool:
        """Whether the item is there; the front always is."""
        return item_id in self._places

    @property
    def last(self) -> str:
        """The last item; the front if there is none."""
        return self._front.before.item_id

    def before(self, item_id: str) -> str:
        """What comes before an item."""
        return self._places[item_id].before.item_id

    def after(self, item_id: str) -> str:
        """What comes after an item; the front if nothing does."""
        return self._places[item_id].after.item_id

    def put(self, item_id: str, after: str) -> None:
        """Put an item, new or known, behind another one."""
        if item_id in self._places:
            self.remove(item_id)
        place = self._places[item_id] = _Place(item_id)
        before = self._places[after]
        place.before, place.after = before, before.after
        before.after.before = place
        before.after = place

    def remove(self, item_id: str) -> None:
        """Take an item out."""
        place = self._places.pop(item_id)
        place.before.after, place.after.before = place.after, place.before
