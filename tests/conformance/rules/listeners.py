"""Listeners that raise, and errors that nobody hears."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.conformance.case import Scene
from tests.conformance.rules.base import Rule, error_event, server_steps
from tests.conformance.trace import Emitted, Failure, Trace
from tests.conformance.values import ErrorShape

__all__ = ["RULES"]

LAST_OF_ITS_MESSAGE = frozenset(
    {
        "turn_done",
        "audio_done",
        "item_update",
        "item_deleted",
        "mcp_tools_listed",
        "mcp_approval_request",
        "mcp_tool_call_completed",
        "function_call",
        "disconnected",
    }
)
"""Events after which nothing more comes of the message that brought them."""

THE_END = frozenset({"connection_change", "disconnected"})


def _messages(scene: Scene) -> set[str]:
    return {o["do"]["throw"] for o in scene.observers if "throw" in o.get("do", {})}


def _is_of_listener(scene: Scene, failure: Failure) -> bool:
    error = failure.error
    return isinstance(error, ErrorShape) and error.message in _messages(scene)


def _tells_of_listener(scene: Scene, emitted: Emitted) -> bool:
    """Whether the reference told what a listener raised, which it does when a link is lost."""
    error = emitted.args[0].get("error") if emitted.type == "error" else None
    return isinstance(error, ErrorShape) and error.message in _messages(scene)


def _throwing(scene: Scene, expected: Trace) -> list[Emitted]:
    """The events at which a listener raises."""
    found = []
    for observer in scene.observers:
        if "throw" in observer.get("do", {}):
            found += _heard_by(observer, expected)
    return found


def _heard_by(observer: Mapping[str, Any], expected: Trace) -> list[Emitted]:
    """The events at which an observer does something."""
    wanted = observer.get("when")
    matching = [
        e
        for e in expected.emitted
        if e.type == observer["on"] and (wanted is None or e.args == wanted)
    ]
    nth = observer.get("nth")
    return matching if nth is None else matching[nth - 1 : nth]


def _listeners_are_isolated(scene: Scene, expected: Trace) -> None:
    throwing = _throwing(scene, expected)
    if not throwing:
        return
    for failure in [f for f in expected.failures if _is_of_listener(scene, f)]:
        expected.failures.remove(failure)
    expected.emitted = [e for e in expected.emitted if not _tells_of_listener(scene, e)]
    for emitted in throwing:
        at = next(i for i, other in enumerate(expected.emitted) if other is emitted)
        kind, args = error_event("PluginError")
        expected.emitted.insert(at + 1, Emitted(emitted.step, kind, args))
        if emitted.type == "connection_change" and emitted.args == ["connecting"]:
            _forget_from(expected, emitted.step)
        elif scene.env == "browser" or "server" not in scene.steps[emitted.step]:
            continue
        elif emitted.type == "turn_done" or emitted.type not in LAST_OF_ITS_MESSAGE:
            _forget_from(expected, emitted.step)


def _forget_from(expected: Trace, step: int) -> None:
    """The reference stopped there; what it would have done is not recorded."""
    expected.forget_from(step)

    def is_reported(actual: Trace) -> bool:
        return any(e.type == "error" and e.step == step for e in actual.emitted)

    def goes_on(actual: Trace) -> bool:
        return all(f.where not in ("listener", "uncaught") for f in actual.failures)

    expected.requirements.append((f"the listener is reported as error in step {step}", is_reported))
    expected.requirements.append(("no exception of a listener comes out", goes_on))


def _unheard_errors_are_logged(scene: Scene, expected: Trace) -> None:
    unheard = [
        f
        for f in expected.failures
        if isinstance(f.error, ErrorShape) and f.error.message == "ERR_UNHANDLED_ERROR"
    ]
    for failure in unheard:
        expected.failures.remove(failure)
    skipped = {f.step for f in unheard if f.where == "listener"}
    for index, event in server_steps(scene):
        error = event.get("error")
        linked = error.get("event_id") if isinstance(error, dict) else None
        if index in skipped and linked in [s.event.get("event_id") for s in expected.sent]:
            _frees_the_slot(scene, expected, index)


def _frees_the_slot(scene: Scene, expected: Trace, step: int) -> None:
    """The reference did not see that the request was rejected, and waits for ever."""
    calls = ("requestResponse", "sendMessage")
    later = [i for i, s in enumerate(scene.steps) if i > step and s.get("call") in calls]
    if not later:
        return
    expected.forget_from(later[0])

    def is_sent(actual: Trace) -> bool:
        return any(
            s.event.get("type") == "response.create" and s.step == later[0] for s in actual.sent
        )

    expected.requirements.append((f"response.create is sent in step {later[0]}", is_sent))


def _nothing_follows_the_end(scene: Scene, expected: Trace) -> None:
    for observer in scene.observers:
        if observer.get("do", {}).get("call") != "close":
            continue
        for closing in _heard_by(observer, expected):
            if scene.steps[closing.step].keys() & {"server", "serverRaw", "serverBytes"}:
                at = next(i for i, other in enumerate(expected.emitted) if other is closing)
                expected.emitted[at + 1 :] = [
                    emitted
                    for emitted in expected.emitted[at + 1 :]
                    if emitted.step != closing.step or emitted.type in THE_END
                ]


RULES = [
    Rule(
        "listener-throw-wedges-sequencer",
        "a listener that raises is reported as `error`; the others and the transport go on",
        _listeners_are_isolated,
    ),
    Rule(
        "emits-after-close-in-listener",
        "nothing more of a message is told once a listener has closed the transport",
        _nothing_follows_the_end,
    ),
    Rule(
        "error-without-listener-throws",
        "an `error` that nobody hears is logged",
        _unheard_errors_are_logged,
    ),
]
