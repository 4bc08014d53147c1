"""The contract towards middlewares: they may change, drop, multiply and fail."""

from __future__ import annotations

from typing import Any

from realtime_core.errors import ConnectError, PluginError
from realtime_core.middleware import EventMiddleware, Passed
from realtime_core.testing.demand import require
from realtime_core.testing.doubles import Dropping, Failing
from realtime_core.testing.harness import TransportHarness
from realtime_core.testing.suite import Suite
from realtime_core.testing.trial import Trial

__all__ = ["MiddlewareUseContract"]

SEE = EventMiddleware


class MiddlewareUseContract(Suite):
    """A part of `TransportContract`."""

    async def test_middlewares_see_everything_in_both_directions(
        self, harness: TransportHarness
    ) -> None:
        seen: list[tuple[str, str]] = []

        class Watching(EventMiddleware):
            def outgoing(self, event: dict[str, Any]) -> Passed:
                seen.append((">", event["type"]))
                return event

            def incoming(self, event: dict[str, Any]) -> Passed:
                seen.append(("<", event["type"]))
                return event

            def link_opened(self, model: str) -> None:
                seen.append(("link", f"opened for {model}"))

            def link_closed(self) -> None:
                seen.append(("link", "closed"))

        async with Trial(harness, middlewares=[Watching()]) as trial:
            await trial.connect(model="contract-model")
            trial.transport.send_message("Hello", trigger_response=False)
            trial.send(*trial.script.spoken("resp_1", "item_1", "Hello"))
            await trial.told_all()
            sent = [event["type"] for event in trial.far_end.events]
            told = [event["type"] for event in trial.of("*")]
        require(
            [kind for way, kind in seen if way == ">"] == sent,
            "every event that is sent passes `outgoing`, the configuration too",
            seen=seen,
            see=EventMiddleware.outgoing,
        )
        require(
            [kind for way, kind in seen if way == "<"] == told,
            "every event that comes passes `incoming`, before the transport looks at it",
            seen=seen,
            see=EventMiddleware.incoming,
        )
        link = [text for way, text in seen if way == "link"]
        require(
            link == ["opened for contract-model", "closed"] and seen[0][0] == "link",
            "`link_opened` comes before the configuration, `link_closed` once for each",
            seen=seen,
            see=EventMiddleware.link_opened,
        )

    async def test_a_changed_event_is_sent_and_told_as_changed(
        self, harness: TransportHarness
    ) -> None:
        class Changing(EventMiddleware):
            def outgoing(self, event: dict[str, Any]) -> Passed:
                event["changed"] = "on its way out"
                event.get("deep", {"list": []})["list"].append("changed")
                return event

            def incoming(self, event: dict[str, Any]) -> Passed:
                return {**event, "changed": "on its way in"}

        async with Trial(harness, middlewares=[Changing()]) as trial:
            await trial.connect()
            mine: dict[str, Any] = {"type": "contract.event", "deep": {"list": []}}
            trial.transport.send_event(mine)
            await trial.sent_all()
            require(
                trial.sent_of("contract.event")[0].get("changed") == "on its way out",
                "the server gets what the middleware returned",
                seen=trial.sent_of("contract.event"),
                see=EventMiddleware.outgoing,
            )
            require(
                mine == {"type": "contract.event", "deep": {"list": []}},
                "a middleware gets a copy: the program's own event stays as it was",
                seen=mine,
                see=SEE,
            )
            trial.send(trial.script.event("contract.unknown"))
            await trial.told_all()
            require(
                all(event["changed"] == "on its way in" for event in trial.of("*")),
                "the program is told what the middleware returned",
                seen=trial.of("*"),
                see=EventMiddleware.incoming,
            )

    async def test_several_events_may_go_on_in_the_place_of_one(
        self, harness: TransportHarness
    ) -> None:
        class Doubling(EventMiddleware):
            def outgoing(self, event: dict[str, Any]) -> Passed:
                if event["type"] != "contract.event":
                    return event
                return [{**event, "number": 1}, {**event, "number": 2}]

            def incoming(self, event: dict[str, Any]) -> Passed:
                return self.outgoing(event)

        async with Trial(harness, middlewares=[Doubling()]) as trial:
            await trial.connect()
            trial.transport.send_event({"type": "contract.event"})
            trial.send(trial.script.event("contract.event"))
            await trial.sent_all()
            await trial.told_all()
            sent = [event["number"] for event in trial.sent_of("contract.event")]
            told = [e["number"] for e in trial.of("*") if e["type"] == "contract.event"]
            require(
                sent == told == [1, 2],
                "a list goes on in the event's place, in its order",
                seen=f"sent {sent}, told {told}",
                see=SEE,
            )

    async def test_a_dropped_event_is_neither_sent_nor_told(
        self, harness: TransportHarness
    ) -> None:
        dropping = Dropping(outgoing=("contract.out",), incoming=("contract.in",))
        async with Trial(harness, middlewares=[dropping]) as trial:
            await trial.connect()
            trial.transport.send_event({"type": "contract.out"})
            trial.send(trial.script.event("contract.in"))
            await trial.sent_all()
            await trial.told_all()
            seen = trial.sent, [e["type"] for e in trial.of("*") if e["type"] == "contract.in"]
            require(
                seen == ([], []),
                "None drops an event, without an error",
                seen=seen,
                see=SEE,
            )

    async def test_a_raising_middleware_is_reported_and_the_event_goes_on_as_it_was(
        self, harness: TransportHarness
    ) -> None:
        failing = Failing("contract.event")
        async with Trial(harness, may_fail=True, middlewares=[failing]) as trial:
            await trial.connect()
            trial.transport.send_event({"type": "contract.event", "whole": True})
            incoming = trial.script.event("contract.event", whole=True)
            trial.send(incoming)
            await trial.sent_all()
            await trial.told_all()
            sent = trial.sent_of("contract.event")
            require(
                [event.get("whole") for event in sent] == [True] and incoming in trial.of("*"),
                "the event goes on as it was, though the middleware had begun to change it",
                seen=(sent, trial.of("*")),
                see=SEE,
            )
            named = [getattr(error, "plugin", None) for error in trial.errors(PluginError)]
            require(
                named == ["Failing"] * 2 and trial.transport.status == "connected",
                "a middleware that raises is told as `error`, a PluginError with its name",
                seen=trial.errors(),
                see=PluginError,
            )

    async def test_a_dropped_configuration_ends_in_a_connection_or_an_error(
        self, harness: TransportHarness
    ) -> None:
        dropping = Dropping(outgoing=("session.update",))
        async with Trial(harness, may_fail=True, middlewares=[dropping]) as trial:
            outcome: object = "connected"
            try:
                await trial.connect()
            except ConnectError as exc:
                outcome = exc
            status = "connected" if outcome == "connected" else "disconnected"
            require(
                trial.transport.status == status,
                "connect() never waits for ever: where no one can confirm a configuration that a "
                "middleware dropped, it raises ConnectError",
                seen=(outcome, trial.transport.status),
                see=SEE,
            )

    async def test_a_dropped_change_of_configuration_does_no_harm(
        self, harness: TransportHarness
    ) -> None:
        dropping = Dropping(outgoing=("session.update",))
        dropping.active = False
        async with Trial(harness, middlewares=[dropping]) as trial:
            await trial.connect()
            await trial.sent_all()
            dropping.active = True
            before = len(trial.sent_of("session.update"))
            trial.transport.update_session_config({"instructions": "Other"})
            trial.transport.send_message("and on")
            sent = await trial.sent_all()
            require(
                len(trial.sent_of("session.update")) == before and len(sent) == 2,
                "what was dropped is not sent, and the rest is",
                seen=sent,
                see=SEE,
            )

    async def test_a_dropped_request_does_not_block_the_next(
        self, harness: TransportHarness
    ) -> None:
        dropping = Dropping(outgoing=("response.create",))
        async with Trial(harness, middlewares=[dropping]) as trial:
            await trial.connect()
            trial.transport.request_response()
            trial.transport.request_response({"metadata": {"number": "2"}})
            dropping.active = False
            trial.transport.request_response({"metadata": {"number": "3"}})
            await trial.sent_all()
            asked = [event["response"] for event in trial.sent_of("response.create")]
            require(
                asked == [{"metadata": {"number": "3"}}],
                "a response.create that a middleware dropped was not asked for: the next one does "
                "not wait for its answer",
                seen=asked,
                see=SEE,
            )
