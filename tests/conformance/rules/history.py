"""Resets of the history, judged by what they lead to.

Whether a reset is right is found out by taking its requests to a list: no anchor may be missing,
and the list must end as the new history. Where what was recorded fails at that, ours is judged in
the same way instead, from there on, since the requests' numbers differ from then on.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.case import Scene
from tests.conformance.compare import ANY_ERROR
from tests.conformance.rules.base import Rule, server_steps, tell
from tests.conformance.trace import Failure, Trace
from tests.conformance.values import ErrorShape, decode, id_number

__all__ = ["RULES"]

JsonObject = dict[str, Any]

AUDIO = ("input_audio", "output_audio")


@dataclass
class Reset:
    """A call of resetHistory."""

    step: int
    old: list[JsonObject]
    new: list[JsonObject]
    call_ids: dict[str, str]
    """What function calls are known under, by item."""

    def known(self) -> dict[str, JsonObject]:
        """The old items; of those with one id the last."""
        return {item["itemId"]: item for item in self.old}

    def is_same(self, item: JsonObject) -> bool:
        """Whether an item of the new history is the same in the old one."""
        known = self.known().get(item["itemId"])
        return known is not None and _fields(known) == _fields(item)

    def created(self) -> list[JsonObject]:
        """The items that must be created as nothing that is the same is there."""
        return [item for item in self.new if not self.is_same(item)]

    def staying(self, requests: Requests | None) -> list[JsonObject]:
        """The items that are the same in both, without those that the server has not any more."""
        return [
            item
            for item in self.new
            if self.is_same(item) and not (requests and requests.is_absent(item["itemId"]))
        ]

    def lasting(self, requests: Requests | None) -> list[str]:
        """Items that stay and could not be created again."""
        return [i["itemId"] for i in self.staying(requests) if not self.is_creatable(i)]

    def is_creatable(self, item: JsonObject) -> bool:
        """Whether the API takes such an item."""
        if item.get("type") == "function_call":
            return bool(item.get("callId") or item["itemId"] in self.call_ids)
        return item.get("type") == "message" and not any(map(_is_lost, item.get("content", ())))

    def must_reorder_what_lasts(self, requests: Requests | None) -> bool:
        """Whether items that could not be created again would have to change places."""
        lasting = self.lasting(requests)
        return [i for i in self.known() if i in lasting] != lasting

    def is_refused(self, requests: Requests | None) -> bool:
        """Whether the server cannot be brought to the new history."""
        ids = [item["itemId"] for item in self.new]
        return (
            len(set(ids)) < len(ids)
            or not all(map(self.is_creatable, self.created()))
            or self.must_reorder_what_lasts(requests)
        )


def _fields(item: JsonObject) -> str:
    compared = {key: value for key, value in item.items() if key != "previousItemId"}
    return json.dumps(compared, sort_keys=True, default=repr)


def _is_lost(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in AUDIO and not part.get("audio")


def _resets(scene: Scene, expected: Trace) -> Iterator[Reset]:
    """The resets that reach the connection and whose items are items."""
    call_ids: dict[str, str] = {}
    for index, step in enumerate(scene.steps):
        item = step["server"].get("item") if isinstance(step.get("server"), dict) else None
        if isinstance(item, dict) and isinstance(item.get("call_id"), str):
            call_ids[str(item.get("id"))] = item["call_id"]
        if step.get("call") != "resetHistory" or expected.status_before(index) != "connected":
            continue
        failed = [f for f in expected.failures if f.step == index and f.call == "resetHistory"]
        old, new = (decode(history) for history in step["args"][:2])
        is_list = isinstance(old, list) and isinstance(new, list)
        if not failed and is_list and all(map(_is_item, [*old, *new])):
            yield Reset(index, old, new, dict(call_ids))


def _is_item(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("itemId"), str)


@dataclass
class Requests:
    """What was asked of the server up to a step, and what it answered."""

    gone: set[str] = field(default_factory=set)
    pending: dict[tuple[str, int], str] = field(default_factory=dict)

    def is_absent(self, item_id: str) -> bool:
        """Whether an item is deleted, or about to be."""
        kinds = [kind for (kind, _), about in self.pending.items() if about == item_id]
        return kinds[-1] == "delete" if kinds else item_id in self.gone

    def send(self, event: JsonObject) -> None:
        """A request leaves."""
        number = id_number(event.get("event_id"))
        if number is not None and number[0] in ("create", "delete"):
            self.pending[number] = event.get("item_id") or event["item"]["id"]

    def receive(self, event: JsonObject) -> None:
        """The server says something."""
        item = event.get("item")
        if event.get("type") == "conversation.item.deleted":
            self._answer("delete", event.get("item_id"))
            self.gone.add(str(event.get("item_id")))
        elif event.get("type") == "conversation.item.added" and isinstance(item, dict):
            self._answer("create", item.get("id"))
            self.gone.discard(str(item.get("id")))
        elif event.get("type") == "error" and isinstance(event.get("error"), dict):
            number = id_number(event["error"].get("event_id"))
            if number is not None:
                self.pending.pop(number, None)

    def _answer(self, kind: str, item_id: Any) -> None:
        oldest = next(
            (k for k, about in self.pending.items() if (k[0], about) == (kind, item_id)), None
        )
        if oldest is not None:
            del self.pending[oldest]


def _requests_before(scene: Scene, trace: Trace, step: int) -> Requests:
    requests = Requests()
    for index in range(step):
        if trace.status_before(index) != "connected":
            requests = Requests()
        event = scene.steps[index].get("server")
        if isinstance(event, dict):
            requests.receive(event)
        for sent in trace.sent:
            if sent.step == index:
                requests.send(sent.event)
    return requests


def _sent_in(trace: Trace, step: int) -> list[JsonObject]:
    return [s.event for s in trace.sent if s.step == step and _is_numbered(s.event)]


def _is_numbered(event: Any) -> bool:
    number = id_number(event.get("event_id")) if isinstance(event, dict) else None
    return number is not None and number[0] in ("create", "delete")


def _has_stale_anchor(reset: Reset, events: list[JsonObject], requests: Requests) -> bool:
    created = {event["item"]["id"] for event in events if "item" in event}
    anchors = [event.get("previous_item_id", "root") for event in events]
    return any(a != "root" and a not in created and requests.is_absent(a) for a in anchors)


def _leads_to(reset: Reset, events: list[JsonObject], requests: Requests) -> list[str] | None:
    """The order of items after the requests; None where one cannot be done."""
    ids = [item_id for item_id in reset.known() if not requests.is_absent(item_id)]
    for event in events:
        if "item_id" in event:
            if event["item_id"] in ids:
                ids.remove(event["item_id"])
            continue
        previous = event.get("previous_item_id")
        if previous not in (None, "root", *ids):
            return None
        place = (
            len(ids) if previous is None else 0 if previous == "root" else ids.index(previous) + 1
        )
        ids.insert(place, event["item"]["id"])
    return ids


def _wanted(reset: Reset, requests: Requests) -> list[str]:
    """The new history, without what both have and the server has not."""
    return [
        item["itemId"]
        for item in reset.new
        if not (reset.is_same(item) and requests.is_absent(item["itemId"]))
    ]


def _is_right(reset: Reset, scene: Scene, actual: Trace) -> bool:
    events = _sent_in(actual, reset.step)
    requests = _requests_before(scene, actual, reset.step)
    if reset.is_refused(requests):
        return not events
    outputs = {
        e["item"]["id"] for e in events if e.get("item", {}).get("type") == "function_call_output"
    }
    order = _leads_to(reset, events, requests)
    deleted = [event["item_id"] for event in events if "item_id" in event]
    return (
        order is not None
        and [item_id for item_id in order if item_id not in outputs] == _wanted(reset, requests)
        and len(deleted) == len(set(deleted))
        and len(deleted) == _fewest_deletions(reset, requests)
    )


def _fewest_deletions(reset: Reset, requests: Requests) -> int:
    """The old items less the most that can stay, by comparing each with all before it."""
    places = {item_id: place for place, item_id in enumerate(reset.known())}
    same = [item["itemId"] for item in reset.staying(requests)]
    lasting = reset.lasting(requests)
    may_stay = [
        item_id
        for index, item_id in enumerate(same)
        if all(
            (places[item_id] > places[other]) == (index > same.index(other))
            for other in lasting
            if other != item_id
        )
    ]
    longest: list[int] = []
    for index, item_id in enumerate(may_stay):
        before = [longest[i] for i in range(index) if places[may_stay[i]] < places[item_id]]
        longest.append(max(before, default=0) + 1)
    absent = len(reset.staying(None)) - len(same)
    return len(places) - absent - max(longest, default=0)


# What the recorded resets do that is not done here

Shows = Callable[[Reset, Scene, Trace], bool]


def _asks_for(kind: str) -> Callable[[Reset], Iterator[JsonObject]]:
    return lambda reset: (item for item in reset.created() if item.get("type") == kind)


def _creates_silence(reset: Reset, _scene: Scene, _expected: Trace) -> bool:
    items = _asks_for("message")(reset)
    return any(
        item.get("role") == "user" and any(map(_is_lost, item.get("content", ()))) for item in items
    )


def _leaves_calls_out(reset: Reset, _scene: Scene, _expected: Trace) -> bool:
    return any(item["itemId"] not in reset.known() for item in _asks_for("function_call")(reset))


def _loses_calls(reset: Reset, _scene: Scene, _expected: Trace) -> bool:
    return any(item["itemId"] in reset.known() for item in _asks_for("function_call")(reset))


def _leaves_unknown_types_out(reset: Reset, _scene: Scene, _expected: Trace) -> bool:
    known = ("message", "function_call", "mcp_call", "mcp_tool_call", "mcp_approval_request")
    return any(item.get("type") not in known for item in reset.created())


def _creates_twice(reset: Reset, _scene: Scene, _expected: Trace) -> bool:
    ids = [item["itemId"] for item in reset.new]
    return len(set(ids)) < len(ids)


def _follows_what_is_gone(reset: Reset, scene: Scene, expected: Trace) -> bool:
    requests = _requests_before(scene, expected, reset.step)
    return _has_stale_anchor(reset, _sent_in(expected, reset.step), requests)


def _ends_in_another_order(reset: Reset, scene: Scene, expected: Trace) -> bool:
    requests = _requests_before(scene, expected, reset.step)
    if reset.must_reorder_what_lasts(requests):
        return True
    events = _sent_in(expected, reset.step)
    order = _leads_to(reset, events, requests)
    if order is None:
        return False
    there = set(order)
    return order != [item_id for item_id in _wanted(reset, requests) if item_id in there]


def _rewrite_where(shows: Shows) -> Callable[[Scene, Trace], None]:
    def rewrite(scene: Scene, expected: Trace) -> None:
        began = False
        for reset in list(_resets(scene, expected)):
            began = began or shows(reset, scene, expected)
            if not began:
                continue
            _judge_from(scene, expected, reset.step)
            requests = _requests_before(scene, expected, reset.step)
            if reset.is_refused(requests) != reset.is_refused(None):
                # What is on its way to the server is not known from what was recorded.
                expected.forget_from(reset.step)
                return
            if reset.is_refused(requests):
                error = ErrorShape("UserError", ANY_ERROR)
                expected.failures.append(Failure(reset.step, "call", error, "resetHistory"))

    return rewrite


def _judge_from(scene: Scene, expected: Trace, step: int) -> None:
    """Compare what resets lead to from a step on, not what they send."""
    if expected.resets_free_from is not None and expected.resets_free_from <= step:
        return
    expected.resets_free_from = step
    resets = [reset for reset in _resets(scene, expected) if reset.step >= step]

    def are_right(actual: Trace) -> bool:
        until = expected.until if expected.until is not None else len(scene.steps)
        return all(_is_right(reset, scene, actual) for reset in resets if reset.step < until)

    expected.requirements.append(("each reset leads to the new history, or is refused", are_right))


# Resets that fail half way


def _takes_back(scene: Scene, expected: Trace) -> None:
    """Where the last answer to the latest reset comes, and one was an error."""
    for reset, later in itertools.pairwise([*_resets(scene, expected), None]):
        assert reset is not None
        end = later.step if later is not None else len(scene.steps)
        if expected.resets_free_from is not None and expected.resets_free_from <= reset.step:
            return
        at = _failed_half_way(reset, scene, expected, end)
        if at is not None:
            # What is taken back depends on what can be created, and comes with new numbers.
            expected.forget_from(at)
            return


def _failed_half_way(reset: Reset, scene: Scene, expected: Trace, end: int) -> int | None:
    waiting = {id_number(e["event_id"]): e for e in _sent_in(expected, reset.step)}
    count, refused = len(waiting), 0
    lacks_sends = any(f.step == reset.step and f.call == "resetHistory" for f in expected.failures)
    for index, event in server_steps(scene):
        if not reset.step < index < end or expected.status_before(index) != "connected":
            continue
        error = event.get("error")
        number = id_number(error.get("event_id")) if isinstance(error, dict) else None
        item = event.get("item")
        match event.get("type"):
            case "error" if number in waiting:
                del waiting[number]
                refused += 1
            case "conversation.item.deleted":
                _take(waiting, "delete", event.get("item_id"))
            case "conversation.item.added" if isinstance(item, dict):
                _take(waiting, "create", item.get("id"))
        if not waiting and count:
            return index if (refused or lacks_sends) and refused < count else None
    return None


def _take(waiting: dict[Any, JsonObject], kind: str, item_id: Any) -> None:
    for number, event in waiting.items():
        about = event.get("item_id") or event.get("item", {}).get("id")
        if (number[0], about) == (kind, item_id):
            del waiting[number]
            return


# Outputs of functions that others send


def _outputs_are_told(scene: Scene, expected: Trace) -> None:
    calls: dict[str, JsonObject] = {}
    for index, step in enumerate(scene.steps):
        for emitted in [e for e in expected.emitted if e.step == index]:
            payload = emitted.args[0] if emitted.args else None
            if emitted.type == "function_call" and isinstance(payload, dict):
                call = {"type": "function_call", "item_id": payload.get("id"), "output": None}
                about = {key: payload.get(key) for key in ("name", "arguments")}
                calls[str(payload.get("call_id"))] = {**call, **about}
            elif emitted.type == "item_update" and isinstance(payload, dict):
                for call in calls.values():
                    if call["item_id"] == payload.get("item_id"):
                        call["output"] = payload.get("output")
        event = step.get("server")
        item = event.get("item") if isinstance(event, dict) else None
        if not isinstance(item, dict) or item.get("type") != "function_call_output":
            continue
        told = calls.get(str(item.get("call_id")))
        is_read = any(e.step == index and e.type == event["type"] for e in expected.emitted)
        if (
            told is None
            or not is_read
            or told["output"] == item.get("output")
            or not item.get("id")
        ):
            continue
        told["output"] = item.get("output")
        if event["type"] in ("conversation.item.added", "conversation.item.done"):
            tell(expected, index, ("item_update", [{**told, "status": "completed"}]))


RULES = [
    Rule(
        "user-audio-replayed-with-null-audio",
        "speech of the user without its audio is refused, naming the item",
        _rewrite_where(_creates_silence),
    ),
    Rule(
        "function-call-ignored",
        "function calls are created with their outputs, or refused where their call_id is unknown",
        _rewrite_where(_leaves_calls_out),
    ),
    Rule(
        "function-call-deleted-not-recreated",
        "a function call that changes is created again, or refused before it is deleted",
        _rewrite_where(_loses_calls),
    ),
    Rule(
        "unknown-type-ignored",
        "items of unknown types are refused, naming the item",
        _rewrite_where(_leaves_unknown_types_out),
    ),
    Rule(
        "duplicates",
        "a new history that has an id twice is refused",
        _rewrite_where(_creates_twice),
    ),
    Rule(
        "stale-anchor-after-delete-ack",
        "no item is told to follow one that the server has deleted",
        _rewrite_where(_follows_what_is_gone),
    ),
    Rule(
        "reorder-ignored",
        "items that change places are deleted and created again, as few as can be",
        _rewrite_where(_ends_in_another_order),
    ),
    Rule(
        "partial-reset-no-rollback",
        "a reset that fails half way is undone",
        _takes_back,
    ),
    Rule(
        "function-call-output-not-emitted",
        "an output that somebody else sent completes the call, which is told",
        _outputs_are_told,
    ),
]
