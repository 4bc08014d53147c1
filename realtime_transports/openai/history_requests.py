"""Resets of the history: what is under way, what came of it, and taking back what came half.

Each request of a reset is answered: the server says that an item was deleted or added, or its
error names the request. When all are answered, the reset is applied, or it has failed. Then it is
undone: the server is brought from where it is now to what the old history was, as far as items can
be created again, and when that is answered too, the failure is told with what was done and what
could not be undone.

An item of a connection before is not on the server. One that the new history lacks leaves the
history that is shown when the reset is applied; one that changes is created.

It is not undone where that would do harm or cannot be known: where a request was not answered in
time, where another reset has begun since, and where the link is gone. A deletion that is refused
while its item is known to be gone has what it wanted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from realtime_core.creation import ItemLike, why_not_creatable
from realtime_core.errors import HistoryResetError, ProtocolError, RealtimeError, TransportError
from realtime_core.handles import HistoryResetHandle, HistoryStep
from realtime_core.history_diff import is_same_item
from realtime_transports.openai.history_plan import (
    Kind,
    Step,
    item_id_of,
    plan_reset,
    with_call_ids,
)
from realtime_transports.openai.history_store import HistoryStore
from realtime_transports.openai.item_order import ItemOrder

__all__ = ["ANSWER_DEADLINE_S", "HistoryRequests"]

JsonObject = dict[str, Any]

ANSWER_DEADLINE_S = 15.0
"""How long the server may take to answer all requests of a reset."""


@dataclass(eq=False)
class _Reset:
    old: Sequence[ItemLike]
    deadline: float
    handle: HistoryResetHandle = field(default_factory=HistoryResetHandle)
    steps: dict[str, Step] = field(default_factory=dict)
    """By event id, in the order of sending."""
    waiting: set[str] = field(default_factory=set)
    errors: dict[str, Exception] = field(default_factory=dict)
    origin: _Reset | None = None
    """The reset that this one undoes."""
    is_told: bool = False
    """Whether the program has heard of the failure, by the server's error or by its own call."""
    unanswered: set[str] = field(default_factory=set)
    """Event ids of requests given up, so that nobody knows what the server holds."""
    lost: list[str] = field(default_factory=list)
    """Items that are not as they were, after undoing."""
    former: frozenset[str] = frozenset()
    """Items of the old history that are of a connection before."""
    leaving: frozenset[str] = frozenset()
    """Those of them that the new history lacks."""


class HistoryRequests:
    """Makes the requests that turn one history into another, and follows them up.

    After each call take what is to be sent and what is to be told.
    """

    def __init__(self, store: HistoryStore) -> None:
        """Begin with nothing under way.

        Args:
            store: What the server has told of its conversation.
        """
        self._store = store
        self._now = 0.0
        self._event_ids_given = 0
        self._under_way: list[_Reset] = []
        self._resets: dict[str, _Reset] = {}
        """Those by the event id of each request that is not answered."""
        self._requests: dict[tuple[Kind, str], dict[str, None]] = {}
        """Their event ids by what they are about."""
        self._last_kind: dict[str, dict[str, Kind]] = {}
        """What is under way for an item: kinds by event id."""
        self._latest: _Reset | None = None
        self._sends: list[JsonObject] = []
        self._failures: list[Exception] = []
        self._left: list[str] = []

    # What comes out

    def take_sends(self) -> list[JsonObject]:
        """The client events to send, in order."""
        sends, self._sends = self._sends, []
        return sends

    def take_failures(self) -> list[Exception]:
        """Failures that nobody waits for, to be told as `error`."""
        failures, self._failures = self._failures, []
        return failures

    def take_left(self) -> list[str]:
        """Items that have left the history without the server, to be told as `item_deleted`."""
        left, self._left = self._left, []
        return left

    @property
    def next_deadline(self) -> float | None:
        """When `expire` is to be called if nothing else happens."""
        if not self._under_way:  # asked for each event
            return None
        return min(reset.deadline for reset in self._under_way)

    # What goes in

    def reset(
        self,
        old: Sequence[ItemLike],
        new: Sequence[ItemLike],
        *,
        audio_as_transcript: bool = False,
    ) -> HistoryResetHandle:
        """Turn `old` into `new`.

        Raises:
            UserError: The server cannot be brought to `new`.
        """
        steps = plan_reset(old, new, self, audio_as_transcript=audio_as_transcript)
        former = frozenset(filter(self.is_former, map(item_id_of, old)))
        reset = self._latest = _Reset(
            [item for item in with_call_ids(old, self) if item_id_of(item) not in former],
            self._now + ANSWER_DEADLINE_S,
            former=former,
            leaving=former.difference(map(item_id_of, new)),
        )
        self._begin(reset, steps)
        return reset.handle

    def settle(self, kind: Kind, item_id: str) -> None:
        """The server did it: the oldest such request is answered."""
        if event_ids := self._requests.get((kind, item_id)):
            self._answered(next(iter(event_ids)), None)

    def refuse(self, error: Mapping[str, Any]) -> None:
        """The server sent an error, perhaps about a request."""
        event_id = error.get("event_id")
        if not isinstance(event_id, str) or event_id not in self._resets:
            return
        reset = self._resets[event_id]
        step = reset.steps[event_id]
        reset.is_told = True
        if step.kind == "delete" and self._store.is_gone(step.wire_id):
            self._answered(event_id, None)
        else:
            self._answered(event_id, ProtocolError(f"the server refused it: {_message(error)}"))

    def not_sent(self, event_id: str) -> None:
        """The request could not be sent, or was kept back."""
        self._answered(event_id, TransportError("the request was not sent"))

    def note_raised(self, event_id: object) -> None:
        """The program's call raises as this request could not be sent."""
        reset = self._resets.get(event_id) if isinstance(event_id, str) else None
        if reset is not None:
            reset.is_told = True

    def expire(self, now: float) -> bool:
        """Take note of the time, and give up what the server has not answered.

        Returns:
            Whether anything was given up.
        """
        self._now = now
        if not self._under_way:
            return False
        late = [reset for reset in self._under_way if reset.deadline <= now]
        for reset in late:
            reset.unanswered |= reset.waiting
            error = TransportError(f"the server did not answer within {ANSWER_DEADLINE_S:g} s")
            for event_id in list(reset.waiting):
                self._answered(event_id, error)
        return bool(late)

    def link_closed(self) -> None:
        """The link is gone, and with it what was under way. Event ids are not given twice."""
        resets, self._under_way = self._under_way, []
        self._resets.clear()
        self._requests.clear()
        self._last_kind.clear()
        self._sends.clear()
        self._latest = None
        for reset in resets:
            error = TransportError("the connection ended before the history was reset")
            (reset.origin or reset).handle.fail(error)

    # What is known of the server's conversation

    def is_present(self, item_id: str) -> bool:
        """Whether nothing says that the item is gone or about to go."""
        kinds = self._last_kind.get(item_id)
        if kinds:
            return kinds[next(reversed(kinds))] == "create"
        return not (self._store.is_gone(item_id) or self._store.is_former(item_id))

    def is_former(self, item_id: str) -> bool:
        """Whether the item is of a connection before, and is not asked for on this one."""
        return item_id not in self._last_kind and self._store.is_former(item_id)

    def hidden_after(self, item_id: str) -> list[str]:
        """The items right behind one that no history shows."""
        return self._store.hidden_after(item_id)

    def call_id_of(self, item_id: str) -> str | None:
        """What the output of a function call names."""
        return self._store.call_id_of(item_id)

    def output_id_of(self, item_id: str) -> str | None:
        """The item with the output of a function call."""
        return self._store.output_id_of(item_id)

    # Inside

    def _begin(self, reset: _Reset, steps: list[Step]) -> None:
        self._under_way.append(reset)
        for step in steps:
            self._event_ids_given += 1
            event_id = f"realtime_{step.kind}_{self._event_ids_given}"
            reset.steps[event_id] = step
            reset.waiting.add(event_id)
            self._resets[event_id] = reset
            self._requests.setdefault((step.kind, step.wire_id), {})[event_id] = None
            self._last_kind.setdefault(step.wire_id, {})[event_id] = step.kind
            self._sends.append({**step.event, "event_id": event_id})
        if not steps:
            self._finish(reset)

    def _answered(self, event_id: str, error: Exception | None) -> None:
        reset = self._resets.pop(event_id, None)
        if reset is None:
            return
        step = reset.steps[event_id]
        _discard(self._requests, (step.kind, step.wire_id), event_id)
        _discard(self._last_kind, step.wire_id, event_id)
        reset.waiting.discard(event_id)
        if error is not None:
            reset.errors[event_id] = error
        if not reset.waiting:
            self._finish(reset)

    def _finish(self, reset: _Reset) -> None:
        self._under_way.remove(reset)
        if reset.origin is not None:
            failed = [event_id for event_id in reset.errors if event_id not in reset.unanswered]
            unclear = _items_of(reset, reset.unanswered)
            self._fail(reset.origin, [*reset.lost, *_items_of(reset, failed)], unclear)
        elif not reset.errors:
            self._left += filter(self._store.forget_former, sorted(reset.leaving))
            reset.handle.settle(_told(reset))
        elif reset.unanswered or reset is not self._latest:
            self._fail(reset, _items_of(reset, _applied(reset)), _items_of(reset, reset.unanswered))
        else:
            self._undo(reset)

    def _undo(self, reset: _Reset) -> None:
        current = _current(reset)
        target, lost = _reachable(reset.old, current)
        lost += [i for i in _items_of(reset, _applied(reset)) if i in reset.former]
        undoing = _Reset(reset.old, self._now + ANSWER_DEADLINE_S, origin=reset, lost=lost)
        try:
            steps = plan_reset(current, target, self)
        except RealtimeError:  # the old history is no list that a server can hold
            self._fail(reset, _items_of(reset, _applied(reset)))
        else:
            self._begin(undoing, steps)

    def _fail(self, reset: _Reset, lost: Sequence[str], unclear: Sequence[str] = ()) -> None:
        # A dict: each id once, in the order of the first.
        changed = tuple(dict.fromkeys(item_id for item_id in lost if item_id not in unclear))
        error = HistoryResetError(_told(reset), changed, tuple(dict.fromkeys(unclear)))
        is_told = reset.is_told and not lost and not unclear
        if not reset.handle.fail(error) and not is_told:
            self._failures.append(error)


def _discard(index: dict[Any, dict[str, Any]], key: object, event_id: str) -> None:
    event_ids = index[key]
    del event_ids[event_id]
    if not event_ids:
        del index[key]


def _applied(reset: _Reset) -> list[str]:
    return [event_id for event_id in reset.steps if event_id not in reset.errors]


def _items_of(reset: _Reset, event_ids: Collection[str]) -> list[str]:
    """The items that requests are about, in the order of these."""
    return [item_id_of(step.item) for e, step in reset.steps.items() if e in event_ids]


def _told(reset: _Reset) -> tuple[HistoryStep, ...]:
    return tuple(
        HistoryStep(step.kind, item_id_of(step.item), reset.errors.get(event_id))
        for event_id, step in reset.steps.items()
    )


def _message(error: Mapping[str, Any]) -> str:
    return str(error.get("message") or error.get("code") or "it did not say why")


def _current(reset: _Reset) -> list[ItemLike]:
    """What the server holds now of both histories, in its order."""
    order = ItemOrder()
    items: dict[str, ItemLike] = {item_id_of(item): item for item in reset.old}
    for item_id in items:
        order.put(item_id, order.last)
    for event_id in _applied(reset):
        step = reset.steps[event_id]
        item_id = item_id_of(step.item)
        if step.kind == "delete":
            if step.wire_id == item_id:
                order.remove(item_id)
                del items[item_id]
            continue
        if step.wire_id == item_id:
            is_placed = step.after is not None and step.after in order
            order.put(item_id, str(step.after) if is_placed else order.last)
        items[item_id] = step.item
    return [items[item_id] for item_id in order]


def _reachable(
    old: Sequence[ItemLike], current: Sequence[ItemLike]
) -> tuple[list[ItemLike], list[str]]:
    """The old history as far as the server can be brought back to it, and what it lacks then."""
    now = {item_id_of(item): item for item in current}
    target: dict[str, ItemLike] = {}
    lost: list[str] = []
    for item in old:
        item_id = item_id_of(item)
        known = now.get(item_id)
        is_same = known is not None and is_same_item(known, item)
        if is_same or why_not_creatable(item) is None:
            target[item_id] = item
        else:
            lost.append(item_id)
            if known is not None:
                target[item_id] = known
    return list(target.values()), lost
