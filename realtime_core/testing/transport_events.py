"""The contract of what is told: everything, in order, whatever the listeners do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from realtime_core.emitter import Emitter
from realtime_core.errors import PluginError
from realtime_core.events import TRANSPORT_EVENTS
from realtime_core.testing.conversation import Event
from realtime_core.testing.demand import require
from realtime_core.testing.harness import TransportHarness
from realtime_core.testing.suite import Suite
from realtime_core.testing.trial import SERVER_TYPES, Trial, first_index
from realtime_core.transport import RealtimeTransportLayer

__all__ = ["EventContract"]

MANY = 500

SEE = RealtimeTransportLayer


class EventContract(Suite):
    """A part of `TransportContract`."""

    async def test_a_spoken_turn_is_told_in_its_order(self, harness: TransportHarness) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            events = trial.script.spoken("resp_1", "item_1", "Hel", "lo")
            trial.send(*events)
            await trial.wait_for("turn_done")
            check_raw_in_order(trial, events)
            check_typed_follow_raw(trial)
            deltas = [event.delta for event in trial.of("audio_transcript_delta")]
            require(
                deltas == ["Hel", "lo"],
                "each delta of the transcript is told once, in order",
                seen=deltas,
                see="realtime_core.events.TranscriptDelta",
            )
            check_order(
                trial,
                ["turn_started", "item_update", "audio_transcript_delta", "audio_done"],
                ["audio_done", "usage_update", "turn_done"],
            )
            done = trial.of("turn_done")[0]
            require(
                (done.response.id, done.response.usage.total_tokens) == ("resp_1", 12),
                "`turn_done` has the response's id and what it cost",
                seen=done,
                see="realtime_core.events.TurnDone",
            )

    async def test_a_written_turn_is_told_in_its_order(self, harness: TransportHarness) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            events = trial.script.written("resp_1", "item_1", "a", "b", "c")
            trial.send(*events)
            await trial.wait_for("turn_done")
            check_raw_in_order(trial, events)
            deltas = [(e.delta, e.item_id, e.response_id) for e in trial.of("output_text_delta")]
            require(
                deltas == [(letter, "item_1", "resp_1") for letter in "abc"],
                "each delta of the text is told once, in order, with item and response",
                seen=deltas,
                see="realtime_core.events.TextDelta",
            )
            check_order(trial, ["turn_started", "output_text_delta", "turn_done"])

    async def test_a_function_call_is_told_once_and_whole(self, harness: TransportHarness) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            trial.send(*trial.script.calling("resp_1", "item_1", "look_up", '{"q": 1}'))
            await trial.wait_for("turn_done")
            seen = [(c.name, c.arguments, c.call_id) for c in trial.of("function_call")]
            require(
                seen == [("look_up", '{"q": 1}', "call_of_item_1")],
                "a function call is told once, with name, arguments and call_id",
                seen=seen,
                see="realtime_core.events.FunctionCall",
            )

    async def test_listeners_find_the_state_changed(self, harness: TransportHarness) -> None:
        async with Trial(harness) as trial:
            seen: list[tuple[str, ...]] = []
            transport = trial.transport
            transport.on(
                "item_update",
                lambda _item: seen.append(tuple(i.item_id for i in transport.history)),
            )
            await trial.connect()
            trial.send(*trial.script.user_item("item_1", "Hello", previous=None))
            await trial.told_all()
            require(
                seen and all(ids == ("item_1",) for ids in seen),
                "listeners run after the state has changed: `history` has the item already",
                seen=seen,
                see=SEE,
            )

    async def test_unknown_events_pass(self, harness: TransportHarness) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            strange = trial.script.event("contract.unknown", deep={"list": [1, None, "ä"]})
            drifted = trial.script.event("response.output_text.delta", delta=17)
            trial.send(strange, drifted)
            await trial.told_all()
            require(
                [event for event in trial.of("*") if event in (strange, drifted)]
                == [strange, drifted],
                "events of unknown type or form are told as '*', as they came",
                seen=trial.of("*"),
                see=SEE,
            )
            check_still_works(trial, "an unknown event does no harm")

    async def test_a_message_that_is_no_event_does_no_harm(self, harness: TransportHarness) -> None:
        async with Trial(harness, may_fail=True) as trial:
            await trial.connect()
            for text in ("", "{", "[]", "17", '{"no": "type"}', '{"type": 5}'):
                trial.far_end.send_text(text)
            await trial.told_all()
            check_still_works(trial, "what cannot be understood is ignored or told as `error`")

    async def test_an_error_of_the_server_is_told_and_the_connection_stays(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness, may_fail=True) as trial:
            await trial.connect()
            trial.send(trial.script.error("no such voice", code="invalid_value"))
            await trial.told_all()
            told = [event.error for event in trial.of("error")]
            messages = [e["error"]["message"] for e in told if isinstance(e, Mapping)]
            require(
                messages == ["no such voice"],
                "an `error` event of the server is told as `error`, as the server sent it",
                seen=told,
                see="realtime_core.events.ErrorEvent",
            )
            check_still_works(trial, "and the connection stays")

    async def test_a_raising_listener_is_reported_and_the_others_run(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness, may_fail=True) as trial:

            def fails(_event: object) -> None:
                raise RuntimeError("a listener's own")

            async def fails_later(_event: object) -> None:
                raise RuntimeError("a coroutine listener's own")

            trial.transport.on("turn_started", fails)
            trial.transport.on("turn_started", fails_later)
            others: list[Any] = []
            trial.transport.on("turn_started", others.append)
            await trial.connect()
            trial.send(*trial.script.spoken("resp_1", "item_1", "Hello"))
            await trial.wait(lambda: len(trial.errors(PluginError)) == 2)
            await trial.wait_for("turn_done")
            require(
                len(others) == 1 and all("fails" in str(error) for error in trial.errors()),
                "a listener that raises is named in an `error`, and the others run",
                seen=(others, trial.errors()),
                see=Emitter.emit,
            )
            check_still_works(trial, "and the connection stays")

    async def test_what_a_listener_causes_is_told_afterwards(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness) as trial:
            transport, seen = trial.transport, list[str]()
            transport.on("turn_started", lambda _event: transport.emit("caused"))
            transport.on("turn_started", lambda _event: seen.append("second listener"))
            transport.on("caused", lambda: seen.append("caused"))
            await trial.connect()
            trial.send(trial.script.created("resp_1"))
            await trial.told_all()
            require(
                seen == ["second listener", "caused"],
                "what happens while an event is told waits until all its listeners have run",
                seen=seen,
                see=Emitter,
            )

    async def test_a_slow_listener_holds_nothing_up(self, harness: TransportHarness) -> None:
        async with Trial(harness) as trial:
            may_end = asyncio.Event()

            async def slow(_event: object) -> None:
                await may_end.wait()

            trial.transport.on("*", slow)
            await trial.connect()
            trial.send(*trial.script.spoken("resp_1", "item_1", "Hello"))
            await trial.wait_for("turn_done")
            trial.transport.send_message("and on")
            await trial.sent_all()
            may_end.set()

    async def test_a_slow_consumer_of_events_gets_all_of_them_in_order(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            consumer = trial.transport.events()
            first = asyncio.ensure_future(anext(consumer))
            await asyncio.sleep(0)
            events = [trial.script.event("contract.many", number=i) for i in range(MANY)]
            trial.send(*events)
            await trial.told_all()
            trial.transport.close()
            told = [await first, *[emit async for emit in consumer]]
            numbers = [e.args[0].get("number") for e in told if e.type == "*"]
            require(
                [n for n in numbers if n is not None][:MANY] == [*range(MANY)],
                "events() gives a consumer that is behind every event, in order",
                seen=numbers[:20],
                see=Emitter.events,
            )
            require(
                told[-1].type == "disconnected",
                "events() ends with `disconnected`",
                seen=told[-1],
                see=Emitter.events,
            )


def check_raw_in_order(trial: Trial, events: list[Event]) -> None:
    """Every event came as ``*``, in the order in which the server sent them."""
    ids = [event["event_id"] for event in events]
    told = [each for each in trial.raw_ids if each in ids]
    require(
        told == ids,
        "every server event is told as '*', once, in the order of the server",
        seen=told,
        see=SEE,
    )


def check_typed_follow_raw(trial: Trial) -> None:
    """An event's own type comes after its ``*`` and before the next ``*``."""
    current: Any = None
    for told in trial.told:
        if told.name == "*":
            current = told.args[0]
        elif told.name in SERVER_TYPES and told.name not in TRANSPORT_EVENTS:
            require(
                current is not None and told.args[0].get("event_id") == current["event_id"],
                "a server event is told under its own type right after its '*', before the next",
                seen=f"{told.name} after '*' of {current and current['type']}",
                see=SEE,
            )


def check_order(trial: Trial, *orders: list[str]) -> None:
    """The first of each of these events come in these orders."""
    for order in orders:
        places = [first_index(trial.names, name) for name in order]
        require(
            places == sorted(set(places)) and places[-1] < len(trial.names),
            f"a turn is told in the order {', '.join(order)}",
            seen=[name for name in trial.names if name in order],
            see="realtime_core.events.TRANSPORT_EVENTS",
        )


def check_still_works(trial: Trial, demand: str) -> None:
    """The connection is as it was."""
    require(
        trial.transport.status == "connected" and "disconnected" not in trial.names,
        demand,
        seen=trial.names,
        see=SEE,
    )
