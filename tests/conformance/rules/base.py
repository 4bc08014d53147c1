"""What a rule is, and what rules are written with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.conformance.case import Scene
from tests.conformance.compare import ANY_ERROR
from tests.conformance.trace import Emitted, Failure, Got, Trace
from tests.conformance.values import ErrorShape

__all__ = [
    "Rule",
    "check_rule",
    "disconnect",
    "error_event",
    "fail_connect",
    "is_configuring",
    "said_disconnected",
    "server_steps",
    "tell",
    "told",
]

Rewrite = Callable[[Scene, Trace], None]
"""Changes the expectation in place, where the behaviour shows."""


@dataclass(frozen=True)
class Rule:
    """A deliberate difference."""

    quirk: str
    """The oddity's id in QUIRKS.json."""
    instead: str
    """What happens here instead."""
    rewrite: Rewrite


def check_rule(rule: Rule, quirks: Mapping[str, Any]) -> None:
    """Refuse a rule that nothing justifies.

    Raises:
        ValueError: The oddity is unknown, or one that must be kept.
    """
    if rule.quirk not in quirks:
        raise ValueError(f"a rule names {rule.quirk!r}, which is no known quirk")
    if quirks[rule.quirk]["advice"] == "keep":
        raise ValueError(f"a rule differs in {rule.quirk!r}, which must be kept")


def server_steps(scene: Scene) -> Iterator[tuple[int, dict[str, Any]]]:
    """The server's events with their steps."""
    for index, step in enumerate(scene.steps):
        if isinstance(step.get("server"), dict):
            yield index, step["server"]


def told(expected: Trace, step: int) -> list[Emitted]:
    """The events of a step."""
    return [emitted for emitted in expected.emitted if emitted.step == step]


def tell(expected: Trace, step: int, *events: tuple[str, list[Any]]) -> None:
    """Add events at the end of a step."""
    at = sum(emitted.step <= step for emitted in expected.emitted)
    expected.emitted[at:at] = [Emitted(step, event, args) for event, args in events]


def error_event(error_class: str) -> tuple[str, list[Any]]:
    """An `error` event with an exception of such a class."""
    return "error", [{"type": "error", "error": ErrorShape(error_class, ANY_ERROR)}]


DISCONNECTED: tuple[tuple[str, list[Any]], ...] = (
    ("connection_change", ["disconnected"]),
    ("disconnected", []),
)


def is_configuring(scene: Scene, expected: Trace, step: int) -> bool:
    """Whether the session's configuration is sent and not confirmed when a step begins."""
    if expected.status_before(step) != "connecting":
        return False
    began = max(
        e.step
        for e in expected.emitted
        if e.type == "connection_change" and e.args == ["connecting"] and e.step < step
    )
    return any(
        s.event.get("type") == "session.update" and began <= s.step < step for s in expected.sent
    )


def fail_connect(expected: Trace, step: int, error_class: str) -> None:
    """Let the attempts to connect that are under way in a step fail in it."""
    for promise in expected.promises:
        is_open = promise.settled is None or promise.settled >= step
        if promise.call != "connect" or promise.step > step or not is_open:
            continue
        promise.settled, promise.outcome = step, "error"
        expected.failures = [
            f for f in expected.failures if (f.call, f.call_step) != ("connect", promise.step)
        ]
        error = ErrorShape(error_class, ANY_ERROR)
        expected.failures.append(Failure(step, "reject", error, "connect", promise.step))


def disconnect(scene: Scene, expected: Trace, step: int) -> None:
    """Let everything after a step be as it is without a connection.

    That is known until the program or the network does something that depends on it.
    """
    expected.emitted = [e for e in expected.emitted if e.step <= step]
    for got in expected.gets:
        if got.step > step:
            said_disconnected(got)
    for index in range(step + 1, len(scene.steps)):
        if scene.steps[index].keys() & {"get", "advanceMs", "pcState"}:
            continue
        expected.forget_from(index)
        return


def said_disconnected(got: Got) -> None:
    """Let a property say that there is no connection."""
    if got.name == "status":
        got.value = "disconnected"
    elif got.name == "callId":
        got.value = None
    elif got.name == "connectionState":
        got.value = {
            "status": "disconnected",
            "callId": None,
            "hasPeerConnection": False,
            "hasLink": False,
        }
