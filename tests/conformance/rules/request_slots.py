"""What the reference makes of requests for responses in a case, step by step.

Recordings show what was sent, not why. This follows the reference's own bookkeeping - one request
in flight, the others waiting, one flag for a response that runs - so that rules can say where it
goes wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.case import Scene
from tests.conformance.rules.base import told
from tests.conformance.trace import Sent, Trace

__all__ = ["Moment", "Request", "error_of", "moments", "requests_of"]

Event = Mapping[str, Any]

_MARKS = {
    "markResponseCreated": "response.created",
    "markResponseDone": "response.done",
    "handleResponseCreateError": "error",
    "beginCancelResponse": "interrupt",
    "releaseWaiters": "closed",
}


@dataclass
class Request:
    """A `response.create` that has left."""

    event_id: Any
    stands_for: int = 1
    left_at_ms: float = 0
    is_interrupted: bool = False


@dataclass
class Moment:
    """What stands when a step begins, and what happens in it."""

    step: int
    kind: str
    """A server event's type, ``interrupt``, ``closed``, or empty."""
    event: Event
    now_ms: float
    """When the step is over."""
    in_flight: Request | None = None
    accepted: list[Request] = field(default_factory=list)
    waiting: list[bool] = field(default_factory=list)
    """For each request that waits, whether it is manual."""
    is_running: bool = False
    response_id: Any = None
    is_cancelled: bool = False

    @property
    def linked(self) -> Any:
        """The `event_id` that this step's error names, if it names one."""
        return error_of(self.event).get("event_id") or None


def moments(scene: Scene, expected: Trace) -> Iterator[Moment]:
    """Each step, with what stands before it."""
    now = Moment(0, "", {}, 0)
    for index, step in enumerate(scene.steps):
        now.step, (now.kind, now.event) = index, _happens(scene, expected, index)
        now.now_ms += step.get("advanceMs", 0)
        now.waiting += [is_manual for is_manual, is_beside in requests_of(scene, step)]
        yield now
        if scene.transport == "sequencer" and now.kind == "interrupt" and now.is_running:
            now.is_cancelled = True
        _go_on(now, [s for s in expected.sent if s.step == index])


def requests_of(scene: Scene, step: Mapping[str, Any]) -> list[tuple[bool, bool]]:
    """The requests that a step makes: whether each is manual, and beside the conversation."""
    call, args = step.get("call"), [*step.get("args", []), {}, {}, {}]
    if call == "requestResponseCreate":
        options = args[1] if isinstance(args[1], dict) else {}
        return [(bool(options.get("manual")), _is_beside(args[0].get("response")))]
    if call == "requestResponse":
        is_manual = bool(step.get("args")) and args[0] not in (None, {"$undefined": True})
        return [(is_manual, _is_beside(args[0]))]
    if call == "sendEvent" and args[0].get("type") == "response.create":
        return [(True, _is_beside(args[0].get("response")))]
    triggers = {"sendMessage": 2, "addImage": 1}
    if call in triggers:
        options = args[triggers[call]]
        is_asked = not isinstance(options, dict) or options.get("triggerResponse") is not False
        return [(False, False)] if is_asked else []
    if call == "sendFunctionCallOutput":
        return [] if args[2] is False else [(False, False)]
    return []


def _happens(scene: Scene, expected: Trace, index: int) -> tuple[str, Event]:
    step = scene.steps[index]
    call, args = step.get("call"), step.get("args") or [{}]
    if scene.transport == "sequencer":
        return _MARKS.get(str(call), ""), args[0] if isinstance(args[0], dict) else {}
    if any(e.type == "disconnected" for e in told(expected, index)):
        return "closed", {}
    if call == "interrupt" and args != [False]:
        return "interrupt", {}
    event = step.get("server")
    if not isinstance(event, dict):
        return "", {}
    # Only what the reference could read changes its state.
    is_read = any(e.type == event.get("type") for e in told(expected, index))
    return (str(event.get("type")), event) if is_read else ("", {})


def _go_on(now: Moment, sent: list[Sent]) -> None:
    match now.kind:
        case "response.created" | "response.done":
            if now.in_flight:
                now.accepted.append(now.in_flight)
            now.in_flight = None
            now.is_running = now.kind == "response.created"
            now.is_cancelled = False
            response = now.event.get("response")
            now.response_id = response.get("id") if isinstance(response, dict) else None
        case "error" if now.in_flight and _is_refusal(now.event, now.in_flight):
            now.waiting[:0] = [False] * (now.in_flight.stands_for - 1)
            now.in_flight = None
        case "interrupt" if now.in_flight:
            now.in_flight.is_interrupted = True
        case "closed":
            now.in_flight, now.is_running, now.is_cancelled = None, False, False
            now.accepted.clear()
            now.waiting.clear()
    for each in sent:
        if each.event.get("type") == "response.create":
            now.in_flight = Request(each.event.get("event_id"), _taken(now.waiting), now.now_ms)
        elif each.event.get("type") == "response.cancel" and now.is_running:
            now.is_cancelled = True


def _taken(waiting: list[bool]) -> int:
    """Take the next that leaves, with those that it stands for."""
    if not waiting or waiting.pop(0):
        return 1
    count = 1
    while waiting and not waiting[0]:
        waiting.pop(0)
        count += 1
    return count


def _is_refusal(event: Event, request: Request) -> bool:
    """Whether the reference takes an error for the refusal of what is in flight."""
    error = error_of(event)
    if error.get("event_id"):
        return bool(error["event_id"] == request.event_id)
    return "response_create" in str(error.get("code")) or "response.create" in str(
        error.get("message")
    )


def error_of(event: Event) -> Mapping[str, Any]:
    """What an `error` event says."""
    error = event.get("error")
    return error if isinstance(error, dict) else {}


def _is_beside(response: object) -> bool:
    return isinstance(response, dict) and response.get("conversation") == "none"
