"""Middlewares see, change and drop wire events; a broken one is named and stops nothing."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core.errors import PluginError
from realtime_core.middleware import EventMiddleware, MiddlewareChain

EVENT = {"type": "session.update", "session": {"tools": [{"name": "look_up"}]}}


class Mark(EventMiddleware):
    """Writes its mark on events, in the order in which they pass."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def incoming(self, event: dict[str, Any]) -> dict[str, Any]:
        return {**event, "marks": [*event.get("marks", ()), self.mark]}

    outgoing = incoming


class Answer(EventMiddleware):
    """Returns what it is told to, whatever comes."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def incoming(self, event: dict[str, Any]) -> Any:
        return self.answer

    outgoing = incoming


class MessUpAndRaise(EventMiddleware):
    """Changes the event it got before it fails."""

    @property
    def name(self) -> str:
        return "mess"

    def incoming(self, event: dict[str, Any]) -> dict[str, Any]:
        event["session"]["tools"].clear()
        raise ValueError("no such colour")

    outgoing = incoming


class Coroutine(EventMiddleware):
    """Is written as if it might wait."""

    async def incoming(self, event: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        return event


def chain_of(*middlewares: EventMiddleware) -> tuple[MiddlewareChain, list[Exception]]:
    errors: list[Exception] = []
    return MiddlewareChain(middlewares, errors.append), errors


def test_the_base_passes_everything_on():
    chain, errors = chain_of(EventMiddleware())
    assert chain.incoming(EVENT) == chain.outgoing(EVENT) == EVENT
    assert errors == []


def test_an_empty_chain_passes_the_very_event_on():
    chain, _ = chain_of()
    assert chain.incoming(EVENT) is EVENT
    assert chain.outgoing(EVENT) is EVENT


def test_outgoing_events_pass_from_first_to_last_and_incoming_from_last_to_first():
    chain, _ = chain_of(Mark("program"), Mark("middle"), Mark("wire"))
    assert chain.outgoing({"type": "a"}) == {"type": "a", "marks": ["program", "middle", "wire"]}
    assert chain.incoming({"type": "a"}) == {"type": "a", "marks": ["wire", "middle", "program"]}


def test_a_dropped_event_reaches_nobody_further():
    seen = []

    class See(EventMiddleware):
        def incoming(self, event: dict[str, Any]) -> dict[str, Any]:
            seen.append("incoming")
            return event

        def outgoing(self, event: dict[str, Any]) -> dict[str, Any]:
            seen.append("outgoing")
            return event

    chain, errors = chain_of(See(), Answer(None), See())
    assert chain.incoming(EVENT) is None
    assert chain.outgoing(EVENT) is None
    assert seen == ["incoming", "outgoing"]
    assert errors == []


def test_an_event_can_be_replaced_by_another():
    chain, _ = chain_of(Answer({"type": "other"}), Mark("next"))
    assert chain.outgoing(EVENT) == {"type": "other", "marks": ["next"]}


def test_a_middleware_that_changes_its_event_in_place_leaves_the_senders_alone():
    class Clear(EventMiddleware):
        def outgoing(self, event: dict[str, Any]) -> dict[str, Any]:
            event["session"]["tools"].clear()
            return event

    chain, _ = chain_of(Clear())
    event = {"type": "session.update", "session": {"tools": [{"name": "look_up"}]}}
    assert chain.outgoing(event) == {"type": "session.update", "session": {"tools": []}}
    assert event == EVENT


@pytest.mark.parametrize("direction", ["incoming", "outgoing"])
def test_a_raising_middleware_is_named_and_the_event_goes_on_as_it_was(direction: str):
    chain, errors = chain_of(Mark("one"), MessUpAndRaise(), Mark("two"))
    passed = getattr(chain, direction)(EVENT)
    assert passed["session"] == EVENT["session"]
    assert sorted(passed["marks"]) == ["one", "two"]
    [error] = errors
    assert isinstance(error, PluginError)
    assert error.plugin == "mess"
    assert str(error) == "middleware mess failed with ValueError: no such colour"
    assert isinstance(error.__cause__, ValueError)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (True, "it returned bool instead of an event"),
        ([EVENT], "it returned list instead of an event"),
        ({}, "it returned an event without a type"),
        ({"type": 7}, "it returned an event without a type"),
    ],
)
def test_a_middleware_that_returns_no_event_is_named_and_the_event_goes_on(
    answer: Any, reason: str
):
    chain, errors = chain_of(Answer(answer))
    assert chain.incoming(EVENT) == EVENT
    assert chain.outgoing(EVENT) == EVENT
    assert [str(error) for error in errors] == [
        f"middleware Answer failed with TypeError: {reason}"
    ] * 2


def test_a_coroutine_function_is_refused_and_its_coroutine_not_left_unawaited():
    chain, errors = chain_of(Coroutine())
    assert chain.incoming(EVENT) == EVENT
    assert "middlewares are plain functions" in str(errors[0])
