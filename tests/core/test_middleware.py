"""Middlewares see, change and drop wire events; a broken one is named and stops nothing."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from realtime_core.audio import AudioFrame, frame_from_mono
from realtime_core.errors import PluginError
from realtime_core.events import Emit
from realtime_core.middleware import EngineStep, EventMiddleware
from realtime_core.middleware_chain import MiddlewareChain

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
    assert chain.incoming(EVENT) == chain.outgoing(EVENT) == [EVENT]
    assert errors == []


def test_an_empty_chain_passes_the_very_event_on():
    chain, _ = chain_of()
    assert chain.incoming(EVENT)[0] is EVENT
    assert chain.outgoing(EVENT)[0] is EVENT


def test_outgoing_events_pass_from_first_to_last_and_incoming_from_last_to_first():
    chain, _ = chain_of(Mark("program"), Mark("middle"), Mark("wire"))
    assert chain.outgoing({"type": "a"}) == [{"type": "a", "marks": ["program", "middle", "wire"]}]
    assert chain.incoming({"type": "a"}) == [{"type": "a", "marks": ["wire", "middle", "program"]}]


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
    assert chain.incoming(EVENT) == []
    assert chain.outgoing(EVENT) == []
    assert seen == ["incoming", "outgoing"]
    assert errors == []


def test_an_event_can_be_replaced_by_another():
    chain, _ = chain_of(Answer({"type": "other"}), Mark("next"))
    assert chain.outgoing(EVENT) == [{"type": "other", "marks": ["next"]}]


def test_several_events_can_take_the_place_of_one_and_each_goes_on_to_the_next_middleware():
    chain, errors = chain_of(Answer([{"type": "a"}, {"type": "b"}]), Mark("next"))
    assert chain.outgoing(EVENT) == [
        {"type": "a", "marks": ["next"]},
        {"type": "b", "marks": ["next"]},
    ]
    assert errors == []


def test_no_events_in_the_place_of_one_drop_it():
    chain, errors = chain_of(Answer([]))
    assert chain.incoming(EVENT) == []
    assert errors == []


def test_a_middleware_that_changes_its_event_in_place_leaves_the_senders_alone():
    class Clear(EventMiddleware):
        def outgoing(self, event: dict[str, Any]) -> dict[str, Any]:
            event["session"]["tools"].clear()
            return event

    chain, _ = chain_of(Clear())
    event = {"type": "session.update", "session": {"tools": [{"name": "look_up"}]}}
    assert chain.outgoing(event) == [{"type": "session.update", "session": {"tools": []}}]
    assert event == EVENT


def test_objects_of_classes_of_their_own_are_left_alone_too():
    class Change(EventMiddleware):
        def outgoing(self, event: dict[str, Any]) -> dict[str, Any]:
            event["session"]["tools"][0]["name"] = "changed"
            return event

    class Tools(list[Any]):
        pass

    chain, _ = chain_of(Change())
    tools = Tools([OrderedDict(name="look_up")])
    event = {"type": "session.update", "session": OrderedDict(tools=tools)}
    (passed,) = chain.outgoing(event)
    assert passed["session"] == {"tools": [{"name": "changed"}]}
    assert event["session"]["tools"] == [{"name": "look_up"}]


@pytest.mark.parametrize("direction", ["incoming", "outgoing"])
def test_a_raising_middleware_is_named_and_the_event_goes_on_as_it_was(direction: str):
    chain, errors = chain_of(Mark("one"), MessUpAndRaise(), Mark("two"))
    [passed] = getattr(chain, direction)(EVENT)
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
        ([True], "it returned bool instead of an event"),
        ({}, "it returned an event without a type"),
        ({"type": 7}, "it returned an event without a type"),
    ],
)
def test_a_middleware_that_returns_no_event_is_named_and_the_event_goes_on(
    answer: Any, reason: str
):
    chain, errors = chain_of(Answer(answer))
    assert chain.incoming(EVENT) == [EVENT]
    assert chain.outgoing(EVENT) == [EVENT]
    assert [str(error) for error in errors] == [
        f"middleware Answer failed with TypeError: {reason}"
    ] * 2


def test_a_coroutine_function_is_refused_and_its_coroutine_not_left_unawaited():
    chain, errors = chain_of(Coroutine())
    assert chain.incoming(EVENT) == [EVENT]
    assert "middlewares are plain functions" in str(errors[0])


# Notifications, taps and watches


class Sees:
    """A tap and a watch that notes all, and raises when told to."""

    def __init__(self, *, raises: bool = False) -> None:
        self.seen: list[tuple[str, Any]] = []
        self.raises = raises

    def __getattr__(self, name: str) -> Any:
        def note(*args: Any) -> None:
            self.seen.append((name, args[0]))
            if self.raises:
                raise ValueError(name)

        return note


class Brings(EventMiddleware):
    """Brings something that sees."""

    def __init__(self, part: Any) -> None:
        self.part = part

    @property
    def tap(self) -> Any:
        return self.part

    @property
    def watch(self) -> Any:
        return self.part


def a_frame() -> AudioFrame:
    return frame_from_mono(np.zeros(480, np.int16), 24_000)


def test_without_taps_of_middlewares_the_transports_own_is_used_as_it_is():
    chain, _ = chain_of(EventMiddleware())
    own = Sees()
    assert chain.with_tap(own) is own
    assert chain.with_tap(None) is None


def test_all_taps_see_the_audio_and_a_raising_one_is_named_once_and_left_out():
    own, bad, good = Sees(), Sees(raises=True), Sees()
    chain, errors = chain_of(Brings(bad), Brings(good))
    tap = chain.with_tap(own)
    frame = a_frame()
    for _ in range(2):
        tap.sent(frame, 1.0)
        tap.heard(frame, 1.0)
    assert own.seen == good.seen == [("sent", frame), ("heard", frame)] * 2
    assert bad.seen == [("sent", frame)]
    assert [str(error) for error in errors] == ["middleware Brings failed with ValueError: sent"]


def test_the_transports_own_tap_that_raises_is_reported_and_the_others_go_on():
    good = Sees()
    chain, errors = chain_of(Brings(good))
    tap = chain.with_tap(Sees(raises=True))
    tap.sent(a_frame(), 1.0)
    tap.sent(a_frame(), 1.0)
    assert len(good.seen) == 2
    assert [str(error) for error in errors] == ["tap Sees raised ValueError: sent"]


def test_a_watch_is_told_of_all_and_a_raising_one_hides_nothing_from_the_next():
    bad, good = Sees(raises=True), Sees()
    chain, errors = chain_of(Brings(bad), Brings(good))
    watch = chain.watch()
    watch.entered(EngineStep("receive"))
    watch.raised(ValueError())
    watch.decided([EVENT])
    watch.told([Emit("connected")])
    names = ["entered", "raised", "decided", "told"]
    assert [name for name, _ in good.seen] == names
    assert len(errors) == len(names)


def test_where_there_is_no_middleware_nothing_is_watched():
    chain, _ = chain_of()
    assert chain.watch() is None


def test_a_middleware_that_raises_at_a_notification_is_named():
    class Bad(EventMiddleware):
        def link_opened(self, model: str) -> None:
            raise ValueError(model)

        def link_closed(self) -> None:
            raise ValueError("closed")

    chain, errors = chain_of(Bad())
    chain.link_opened("m")
    chain.link_closed()
    assert [str(error) for error in errors] == [
        "middleware Bad failed with ValueError: m",
        "middleware Bad failed with ValueError: closed",
    ]


def test_a_middleware_that_raises_when_told_of_errors_does_not_go_round_for_ever():
    class Bad(EventMiddleware):
        def error_reported(self, error: Exception) -> None:
            raise error

    errors: list[Exception] = []

    def report(error: Exception) -> None:
        errors.append(error)
        chain.error_reported(error)

    chain = MiddlewareChain([Bad()], report)
    chain.error_reported(ValueError("first"))
    assert [str(error) for error in errors] == ["middleware Bad failed with ValueError: first"]


def test_a_slow_middleware_is_named_once(caplog):
    now = iter(range(100))
    slow = Mark("slow")
    chain = MiddlewareChain([slow], lambda error: None, clock=lambda: next(now) / 10)
    with caplog.at_level(logging.WARNING):
        chain.incoming(EVENT)
        chain.incoming(EVENT)
    assert [record.message for record in caplog.records] == [
        "middleware Mark kept the event loop for 100 ms; audio stutters meanwhile"
    ]


def test_a_middleware_whose_name_cannot_be_asked_for_is_named_by_its_class():
    class Nameless(EventMiddleware):
        @property
        def name(self) -> str:
            raise ValueError

        def incoming(self, event: dict[str, Any]) -> None:
            raise KeyError("x")

    chain, errors = chain_of(Nameless())
    assert chain.incoming(EVENT) == [EVENT]
    assert "middleware Nameless failed" in str(errors[0])


@pytest.mark.parametrize("part", ["tap", "watch"])
def test_a_middleware_that_cannot_say_what_it_brings_is_named_to_whoever_makes_the_transport(
    part: str,
):
    class Bad(EventMiddleware):
        @property
        def tap(self) -> Any:
            raise KeyError("tap")

        @property
        def watch(self) -> Any:
            raise KeyError("watch")

    chain, _ = chain_of(Bad())
    with pytest.raises(PluginError, match=f"middleware Bad failed with KeyError: '{part}'"):
        chain.watch() if part == "watch" else chain.with_tap(None)


def test_a_watch_that_refuses_its_transport_tells_whoever_makes_it():
    chain, _ = chain_of(Brings(Sees(raises=True)))
    with pytest.raises(PluginError, match="middleware Brings failed with ValueError: attached"):
        chain.watch().attached("engine")
