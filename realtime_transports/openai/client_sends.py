"""Client events on their way out, and what is taken back where one does not leave.

What an event will do is noted when it is put here. Whether it leaves shows only later, when a shell
has taken it and the link or a middleware refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ClientSend", "ClientSends"]

JsonObject = dict[str, Any]


@dataclass(slots=True, eq=False)
class ClientSend:
    """A client event."""

    event: JsonObject
    undo: list[Callable[[], object]] = field(default_factory=list)
    """Takes back what was noted on the assumption that the event leaves."""
    undo_rest: list[Callable[[], object]] = field(default_factory=list)
    """Takes back what the same call wanted after it."""
    request_id: str | None = None
    """The `event_id` where it is a `response.create`."""


class ClientSends:
    """The events to send, in order, and those that were taken last."""

    def __init__(self) -> None:
        """Begin with none."""
        self._waiting: list[ClientSend] = []
        self._taken: list[ClientSend] = []

    def put(self, event: JsonObject, *undo: Callable[[], object]) -> ClientSend:
        """The latest event, and what takes back what was noted for it."""
        send = ClientSend(event, list(undo))
        self._waiting.append(send)
        return send

    def take(self) -> list[JsonObject]:
        """The events, in order. Until the next `take` each may be found not to have left."""
        self._taken, self._waiting = self._waiting, []
        return [send.event for send in self._taken]

    def fail(self, event: Mapping[str, Any]) -> list[ClientSend]:
        """An event could not be sent, so those behind it were dropped: take all of it back.

        Returns:
            What was lost, in order; nothing where the link's end has taken it back already.
        """
        index = self._index_of_taken(event)
        lost, self._taken = self._taken[index:], []
        # What was wanted after an event is withdrawn first: it was not asked for, so cannot fail.
        for send in reversed(lost):
            _call_all(send.undo_rest)
        for send in reversed(lost):
            _call_all(send.undo)
        return lost

    def drop(self, event: Mapping[str, Any]) -> ClientSend | None:
        """An event was kept back on purpose: take back what it would have done."""
        index = self._index_of_taken(event)
        if index == len(self._taken):
            return None
        _call_all(self._taken[index].undo)
        return self._taken[index]

    def clear(self) -> None:
        """Forget them: the link is gone."""
        self._waiting.clear()
        self._taken.clear()

    def _index_of_taken(self, event: Mapping[str, Any]) -> int:
        """Where it is; behind the last where the link's end has taken everything back already."""
        places = (i for i, send in enumerate(self._taken) if send.event is event)
        return next(places, len(self._taken))


def _call_all(actions: list[Callable[[], object]]) -> None:
    for action in actions:
        action()
