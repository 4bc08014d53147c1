"""The suite that every event middleware passes."""

from __future__ import annotations

import copy
import inspect
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from realtime_core.audio import frame_from_mono
from realtime_core.errors import ConnectionLostError, PluginError
from realtime_core.events import Emit, ErrorEvent
from realtime_core.middleware import EngineStep, EventMiddleware
from realtime_core.middleware_chain import MiddlewareChain
from realtime_core.testing.conversation import Event, Script, part_labels
from realtime_core.testing.demand import broken, require
from realtime_core.testing.doubles import loud
from realtime_core.testing.leaks import LeakWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["EventMiddlewareContract", "MiddlewareCase"]

MODEL = "contract-model"


@dataclass(frozen=True)
class MiddlewareCase:
    """What the suite needs to know of a middleware."""

    make: Callable[[], EventMiddleware]
    """Makes one, for one transport."""
    changes: frozenset[str] = field(default_factory=frozenset)
    """Types of events that it changes, multiplies or drops; the others pass as they are."""


class EventMiddlewareContract:
    """What a transport may rely on, whatever the middleware.

    Subclass it and override one fixture::

        class TestMine(EventMiddlewareContract):
            @pytest.fixture
            def case(self):
                return MiddlewareCase(make=MyMiddleware)
    """

    @pytest.fixture
    def case(self) -> MiddlewareCase:
        """Override this one."""
        raise NotImplementedError(f"{type(self).__name__} must override the fixture `case`")

    def test_it_never_raises_whatever_comes(self, case: MiddlewareCase) -> None:
        middleware = case.make()
        steps: list[tuple[str, Callable[[], object]]] = [("link_opened", _open(middleware))]
        for event in [*conversation(), *strange_events()]:
            kind = str(event.get("type"))
            steps.append((f"incoming {kind}", _calling(middleware.incoming, event)))
            steps.append((f"outgoing {kind}", _calling(middleware.outgoing, event)))
        steps.append(("link_closed", middleware.link_closed))
        for name, step in steps:
            try:
                step()
            except Exception as exc:
                broken(
                    "a middleware raises for no event, whatever its type or form: servers change",
                    seen=f"{name}: {type(exc).__name__}: {exc}",
                    see=EventMiddleware,
                )

    def test_it_returns_events_or_none(self, case: MiddlewareCase) -> None:
        with session(case) as middleware:
            for event in conversation():
                for way in (middleware.incoming, middleware.outgoing):
                    passed = way(copy.deepcopy(event))
                    require(
                        not inspect.isawaitable(passed),
                        "`incoming` and `outgoing` are plain functions",
                        seen=passed,
                        see=way,
                    )
                    made = _listed(passed)
                    require(
                        all(isinstance(e, dict) and isinstance(e.get("type"), str) for e in made),
                        "what is returned is an event, a list of events, or None",
                        seen=passed,
                        see=way,
                    )
                    require(
                        all(_is_json(each) for each in made),
                        "an event has a JSON form: it may be sent",
                        seen=passed,
                        see=way,
                    )

    def test_what_it_has_nothing_to_do_with_passes_unchanged(self, case: MiddlewareCase) -> None:
        with session(case) as middleware:
            for event in [*conversation(), *strange_events()]:
                if event.get("type") in case.changes:
                    continue
                for way in (middleware.incoming, middleware.outgoing):
                    passed = _listed(way(copy.deepcopy(event)))
                    require(
                        passed == [event],
                        "an event passes as it is unless the middleware is there to change it; "
                        "say in the case's `changes` which types that is",
                        seen=f"{event} became {passed}",
                        see=EventMiddleware,
                    )

    def test_it_is_told_of_links_in_any_number(self, case: MiddlewareCase) -> None:
        middleware = case.make()
        for _ in range(3):
            middleware.link_opened(MODEL)
            middleware.incoming(Script().event("contract.unknown"))
            middleware.link_closed()
        # A link that did not come about: an error, and neither of the two.
        middleware.error_reported(ConnectionLostError("never there"))

    def test_errors_are_taken_at_any_time(self, case: MiddlewareCase) -> None:
        middleware = case.make()
        errors = [ConnectionLostError("gone"), PluginError("broken", plugin="x"), ValueError()]
        steps = [_open(middleware), middleware.link_closed]
        for step in steps:
            for error in errors:  # before, while and after there is a link
                middleware.error_reported(error)
            step()
        for error in errors:
            middleware.error_reported(error)

    def test_it_is_quiet(self, case: MiddlewareCase) -> None:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), session(case) as middleware:
            for event in conversation():
                middleware.incoming(event)
        require(
            not out.getvalue() + err.getvalue(),
            "libraries never print; they log, and the command line shows",
            seen=out.getvalue() + err.getvalue(),
            see=EventMiddleware,
        )

    def test_it_has_a_name_for_errors(self, case: MiddlewareCase) -> None:
        name = case.make().name
        require(
            isinstance(name, str) and bool(name.strip()),
            "`name` is what it is called in errors",
            seen=name,
            see=EventMiddleware.name,
        )

    def test_its_tap_looks_and_changes_nothing(self, case: MiddlewareCase) -> None:
        with session(case) as middleware:
            tap = middleware.tap
            if tap is None:
                pytest.skip("it does not look at audio")
            frame = frame_from_mono(loud(0.02), 24_000)
            before = frame.samples.copy()
            for number in range(5):
                tap.sent(frame, number * 0.02)
                tap.heard(frame, number * 0.02)
            require(
                (frame.samples == before).all(),
                "a tap sees the audio and leaves it as it is",
                seen="other samples than before",
                see="realtime_core.audio.AudioTap",
            )
        tap.sent(frame, 1.0)  # the last frame may come when the link is gone

    def test_its_watch_takes_every_step(self, case: MiddlewareCase) -> None:
        middleware = case.make()
        watch = middleware.watch
        if watch is None:
            pytest.skip("it does not watch the engine")
        watch.attached("openai:ClientProtocol")
        watch.entered(EngineStep("model=", (MODEL,)))
        middleware.link_opened(MODEL)
        for event in conversation():
            watch.entered(EngineStep("receive", (event,), {}, ("sends", "emits")))
            watch.told([Emit("*", (event,))])
        watch.decided([{"type": "response.create", "event_id": "one"}])
        watch.told([Emit("error", (ErrorEvent(ConnectionLostError("gone")),)), Emit("audio_done")])
        watch.entered(EngineStep("link_closed"))
        middleware.link_closed()

    def test_it_works_in_a_row_with_others_and_without_being_reported(
        self, case: MiddlewareCase
    ) -> None:
        class Clearing(EventMiddleware):
            def incoming(self, event: dict[str, Any]) -> None:
                event.clear()

        failures: list[Exception] = []
        for others in ([case.make()], [Clearing(), case.make()], [case.make(), Clearing()]):
            chain = MiddlewareChain(others, failures.append)
            chain.link_opened(MODEL)
            for event in conversation():
                before = copy.deepcopy(event)
                chain.incoming(event)
                chain.outgoing(event)
                require(
                    event == before,
                    "the event outside of the chain stays as it was",
                    seen=event,
                    see=MiddlewareChain,
                )
            chain.link_closed()
        require(
            not failures,
            "a middleware that keeps the contract is never reported",
            seen=failures,
            see=MiddlewareChain,
        )

    def test_the_end_of_the_link_releases_everything(self, case: MiddlewareCase) -> None:
        watch = LeakWatch()
        with session(case) as middleware:
            for event in conversation():
                middleware.incoming(event)
        left = watch.find()
        require(
            not left,
            "after `link_closed` no thread and no socket is left",
            seen=left,
            see=EventMiddleware.link_closed,
        )


class session:  # noqa: N801 - used like a function
    """A middleware while its link is open."""

    def __init__(self, case: MiddlewareCase) -> None:
        self._middleware = case.make()

    def __enter__(self) -> EventMiddleware:
        """Open the link."""
        self._middleware.link_opened(MODEL)
        return self._middleware

    def __exit__(self, *_exc: object) -> None:
        """Close it."""
        self._middleware.link_closed()


def conversation() -> Iterator[Event]:
    """Events of a conversation, of both directions, well formed."""
    script = Script()
    labels = part_labels("resp_1", "item_2")
    yield {"type": "session.update", "session": {"type": "realtime", "instructions": "Be brief"}}
    yield script.event("session.created", session={"id": "sess_1", "type": "realtime"})
    yield {"type": "input_audio_buffer.append", "audio": "AAAA"}
    yield script.event("input_audio_buffer.speech_started", item_id="item_1", audio_start_ms=20)
    yield from script.user_item("item_1", "My number is 555 0100", previous=None)
    yield {"type": "response.create", "event_id": "mine"}
    yield script.event("response.output_audio.delta", delta="AAAA", **labels)
    yield from script.spoken("resp_1", "item_2", "Hel", "lo")
    yield from script.written("resp_2", "item_3", "Good", "bye")
    yield from script.calling("resp_3", "item_4", "look_up", '{"q": "number"}')
    yield script.event("output_audio_buffer.started", response_id="resp_1")
    yield script.event("output_audio_buffer.cleared", response_id="resp_1")
    yield {"type": "response.cancel"}
    yield script.error("something went wrong", code=None, event_id="mine")
    yield script.event("rate_limits.updated", rate_limits=[])


def strange_events() -> Iterator[Event]:
    """Events that no server of today sends."""
    yield {"type": "contract.unknown", "deep": {"list": [{"a": None}, [[]]]}}
    for kind in (
        "session.update",
        "session.updated",
        "response.created",
        "response.done",
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
        "response.function_call_arguments.done",
        "conversation.item.added",
        "conversation.item.create",
        "input_audio_buffer.append",
        "error",
    ):
        yield {"type": kind}
        yield {"type": kind, **dict.fromkeys(("session", "response", "item", "error"), None)}
        yield {"type": kind, **dict.fromkeys(("delta", "audio", "response", "item", "error"), 17)}
        yield {"type": kind, "response": {"id": [], "output": {}}, "item": {"content": "text"}}
        yield {"type": kind, "response": {"output": [None, 5, {"content": [None]}], "usage": []}}
        yield {"type": kind, "item": {"content": [None, 5, {"type": []}]}, "session": []}


def _open(middleware: EventMiddleware) -> Callable[[], object]:
    return lambda: middleware.link_opened(MODEL)


def _calling(way: Callable[[Event], object], event: Event) -> Callable[[], object]:
    return lambda: way(copy.deepcopy(event))


def _listed(passed: object) -> list[Any]:
    if passed is None:
        return []
    return passed if isinstance(passed, list) else [passed]


def _is_json(event: object) -> bool:
    try:
        json.dumps(event)
    except (TypeError, ValueError):
        return False
    return True
