"""What the local server does wrong on request: the texts, and what clients see."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import numpy as np
import pytest
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from realtime_core.errors import TransportError, ValidationError
from realtime_core.testing.link import LinkConditions
from realtime_core.testing.udp_relay import UdpRelay
from realtime_transports.local_server import door, routes
from realtime_transports.local_server.event_faults import (
    Deliver,
    Disconnect,
    EventFaults,
    Send,
    SendOversize,
    SendText,
)
from realtime_transports.local_server.faults import Faults, parse_faults
from tests.end_to_end.server_clients import BEARER, bearer, connected, new_key, post, serving
from tests.end_to_end.stock_client import StockCaller

MANUAL = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
ERROR = TypeAdapter(RealtimeServerEvent)

# Texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latency=200ms", {"latency_s": 0.2}),
        ("latency=1.5s", {"latency_s": 1.5}),
        ("drop-ack=session.updated", {"drop_acks": ({"type": "session.updated"},)}),
        ("drop-ack=session.updated:2", {"drop_acks": ({"type": "session.updated", "times": 2},)}),
        (
            "error=response.create:rate_limit_exceeded",
            {"errors": ({"type": "response.create", "code": "rate_limit_exceeded"},)},
        ),
        (
            "error=response.create:server_error:1",
            {"errors": ({"type": "response.create", "code": "server_error", "times": 1},)},
        ),
        ("race=response", {"races": 1}),
        ("race=response:3", {"races": 3}),
        ("race=response:always", {"races": None}),
        ("oversize", {"oversize": {}}),
        ("oversize=300k", {"oversize": {"size_bytes": 300 * 1024}}),
        (
            "oversize=2M@response.created",
            {"oversize": {"size_bytes": 2 * 1024**2, "after": "response.created"}},
        ),
        ("oversize@response.created", {"oversize": {"after": "response.created"}}),
        ("malformed", {"malformed": {}}),
        ("malformed@session.updated", {"malformed": {"after": "session.updated"}}),
        ("disconnect@5s", {"disconnect": {"after_s": 5}}),
        ("disconnect@20", {"disconnect": {"after_events": 20}}),
        ("disconnect@response.created", {"disconnect": {"after_type": "response.created"}}),
        ("disconnect=5s", {"disconnect": {"after_s": 5}}),
        ("expired-key", {"expired_key": True}),
        ("http=503", {"http": {"status": 503}}),
        ("http=429:2", {"http": {"status": 429, "times": 2}}),
        ("loss=10%", {"loss": 0.1}),
        ("loss=0.1", {"loss": 0.1}),
        ("jitter=50ms", {"jitter_s": 0.05}),
        ("delay=100ms", {"delay_s": 0.1}),
        ("reorder=1%", {"reorder": 0.01}),
        ("duplicate=100%", {"duplicate": 1.0}),
        ("rate=64k", {"rate_bps": 64_000}),
        ("rate=1Mbit/s", {"rate_bps": 1e6}),
    ],
)
def test_a_text_says_a_fault(text: str, expected: dict[str, Any]) -> None:
    assert parse_faults([text]) == Faults.model_validate(expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("latncy=1s", "did you mean 'latency'"),
        ("", "there are: latency"),
        ("latency", "200ms or 1.5s"),
        ("latency=200", "200ms or 1.5s"),
        ("latency=90s", "less than or equal to 60"),
        ("drop-ack", "drop-ack=session.updated"),
        ("drop-ack=session.updated:0", "greater than or equal to 1"),
        ("error=response.create", "error=response.create:rate_limit_exceeded"),
        ("race=turn", "race=response"),
        ("oversize=big", "300k or 2M"),
        ("oversize=1000M", "less than or equal"),
        ("malformed=yes", "malformed@"),
        ("disconnect", "disconnect@5s"),
        ("disconnect@5x", "disconnect@5s"),
        ("disconnect@0", "greater than or equal to 1"),
        ("expired-key=yes", "takes no value"),
        ("http=ok", "http=503"),
        ("http=200", "greater than or equal to 400"),
        ("loss=110%", "less than or equal to 1"),
        ("loss=-1%", "10% or 0.1"),
        ("rate=0", "greater than 0"),
    ],
)
def test_a_text_that_says_none_is_repeated_with_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(ValidationError) as raised:
        parse_faults([text])
    assert str(raised.value).startswith(f"fault {text!r}: ")
    assert words in str(raised.value)


def test_a_fault_given_twice_is_told_and_lists_grow() -> None:
    with pytest.raises(ValidationError, match="'latency=2s': it is given twice"):
        parse_faults(["latency=1s", "latency=2s"])
    both = parse_faults(["drop-ack=a", "drop-ack=b"])
    assert [each.type for each in both.drop_acks] == ["a", "b"]


def test_faults_may_be_given_in_any_of_their_forms() -> None:
    model = Faults(latency_s=1)
    assert Faults.of(model) is model
    assert Faults.of("latency=1s") == Faults.of(["latency=1s"]) == model
    assert Faults.of(None) == Faults.of([]) == Faults()


def test_a_disconnect_has_one_moment() -> None:
    with pytest.raises(ValueError, match="give one of"):
        Faults.model_validate({"disconnect": {"after_s": 1, "after_events": 1}})
    with pytest.raises(ValueError, match="give one of"):
        Faults.model_validate({"disconnect": {}})


def test_no_media_fault_needs_no_relay() -> None:
    assert Faults.of("latency=1s").link_conditions is None
    assert Faults.of("loss=10%").link_conditions == LinkConditions(loss=0.1)


# Deciding


def test_without_faults_everything_passes_as_it_is() -> None:
    acts = EventFaults(Faults())
    event = {"type": "response.create"}
    assert acts.incoming(event) == [Deliver(event)]
    assert acts.outgoing(event) == [Send(event)]


def test_acks_are_dropped_as_often_as_was_asked_in_each_session() -> None:
    faults = Faults.of("drop-ack=session.updated:2")
    ack = {"type": "session.updated"}
    for acts in (EventFaults(faults), EventFaults(faults)):
        assert [acts.outgoing(ack) for _ in range(3)] == [[], [], [Send(ack)]]
        assert acts.outgoing({"type": "other"}) == [Send({"type": "other"})]


def test_an_error_answers_in_the_place_of_the_protocol() -> None:
    acts = EventFaults(Faults.of("error=response.create:rate_limit_exceeded:1"))
    event = {"type": "response.create", "event_id": "mine"}
    (answer,) = acts.incoming(event)
    assert isinstance(answer, Send)
    assert answer.event["error"]["code"] == "rate_limit_exceeded"
    assert answer.event["error"]["event_id"] == "mine"
    assert ERROR.validate_python(answer.event).type == "error"
    assert acts.incoming(event) == [Deliver(event)]


def test_a_race_begins_an_answer_just_before_the_client_asks() -> None:
    acts = EventFaults(Faults.of("race=response"))
    event = {"type": "response.create", "event_id": "mine"}
    assert acts.incoming(event) == [Deliver({"type": "response.create"}), Deliver(event)]
    assert acts.incoming(event) == [Deliver(event)]


def test_what_is_put_in_comes_once_after_the_event_that_was_named() -> None:
    acts = EventFaults(Faults.of(["malformed", "oversize=5k@response.created"]))
    created, response = {"type": "session.created"}, {"type": "response.created"}
    send, malformed = acts.outgoing(created)
    assert send == Send(created)
    assert isinstance(malformed, SendText)
    with pytest.raises(json.JSONDecodeError):
        json.loads(malformed.text)
    send, oversize = acts.outgoing(response)
    assert isinstance(oversize, SendOversize)
    event = oversize.event(oversize.size_bytes)
    assert len(json.dumps(event)) == 5 * 1024
    assert ERROR.validate_python(event).type == "conversation.item.retrieved"
    assert acts.outgoing(created) == [Send(created)]
    assert acts.outgoing(response) == [Send(response)]


def test_a_disconnect_comes_after_so_many_events_that_left() -> None:
    acts = EventFaults(Faults.of(["disconnect@2", "drop-ack=dropped"]))
    event = {"type": "any"}
    assert acts.outgoing(event) == [Send(event)]
    assert acts.outgoing({"type": "dropped"}) == []
    assert acts.outgoing(event) == [Send(event), Disconnect()]
    assert acts.outgoing(event) == [Send(event)]


# As clients see them


async def test_a_late_server_keeps_the_order() -> None:
    loop = asyncio.get_running_loop()
    async with serving(faults="latency=150ms") as server, connected(server) as client:
        began_s = loop.time()
        await client.wait("session.created")
        assert loop.time() - began_s >= 0.14
        asked_s = loop.time()
        await client.ask("hello")
        assert loop.time() - asked_s >= 0.15
        types = client.types()
    assert types.index("response.created") < types.index("response.output_text.delta")
    assert types[-1] == "response.done"


async def test_a_dropped_ack_does_not_come_and_what_it_acknowledges_has_happened() -> None:
    async with serving(faults="drop-ack=session.updated:1") as server:
        async with connected(server) as client:
            for instructions in ("first", "second"):
                session = {"type": "realtime", "instructions": instructions}
                await client.send("session.update", session=session)
            updated = await client.wait("session.updated")
            assert updated["session"]["instructions"] == "second"
        (session,) = server.sessions
        assert len(session.of_type("session.update")) == 2
        assert len(session.of_type("session.updated")) == 1


async def test_a_failing_request_is_answered_by_its_error_and_the_next_one_works() -> None:
    faults = "error=response.create:rate_limit_exceeded:1"
    async with serving(faults=faults) as server, connected(server) as client:
        await client.send("response.create", event_id="mine")
        error = await client.wait("error")
        assert error["error"]["code"] == "rate_limit_exceeded"
        assert error["error"]["event_id"] == "mine"
        assert (await client.ask("again"))["status"] == "completed"


async def test_a_race_refuses_the_client_s_response_while_the_server_s_own_runs() -> None:
    async with serving(faults="race=response") as server, connected(server) as client:
        await client.write("hello")
        await client.send("response.create", event_id="mine")
        error = await client.wait("error")
        assert error["error"]["code"] == "conversation_already_has_active_response"
        assert error["error"]["event_id"] == "mine"
        assert "response.created" in client.types()
        done = (await client.wait("response.done"))["response"]
        assert done["status"] == "completed"
        assert (await client.ask("again"))["status"] == "completed"


async def test_a_malformed_message_comes_between_good_ones() -> None:
    async with serving(faults="malformed") as server, connected(server) as client:
        await client.wait("session.created")
        with pytest.raises(json.JSONDecodeError):
            await client.wait("never")
        assert (await client.ask("and on"))["status"] == "completed"


async def test_an_oversize_event_has_the_size_that_was_asked_for() -> None:
    async with serving(faults="oversize=100k") as server, connected(server) as client:
        big = await client.wait("conversation.item.retrieved")
        assert len(json.dumps(big)) == 100 * 1024
        assert (await client.ask("and on"))["status"] == "completed"


async def test_over_webrtc_an_oversize_event_is_the_largest_that_the_caller_takes() -> None:
    async with serving(faults="oversize") as server, StockCaller() as caller:
        await caller.call(server.url, MANUAL)
        big = await caller.wait("conversation.item.retrieved")
        assert len(json.dumps(big)) in door.LARGEST_SIZES


@pytest.mark.parametrize(
    "fault", ["disconnect@100ms", "disconnect@1", "disconnect@session.created"]
)
async def test_a_disconnect_ends_a_socket_without_a_word(fault: str) -> None:
    async with serving(faults=fault) as server:
        async with connected(server) as client:
            message = await client.wait_closed()
        assert client.types() == ["session.created"] or "@1" in fault
        assert client.socket.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE, message
        assert [session.ended for session in server.sessions] == ["a fault: disconnected"]


async def test_a_disconnect_ends_a_call() -> None:
    async with serving(faults="disconnect@response.created") as server, StockCaller() as caller:
        await caller.call(server.url, MANUAL)
        closed = asyncio.Event()
        caller.pc.on(
            "connectionstatechange",
            lambda: closed.set() if caller.pc.connectionState == "closed" else None,
        )
        caller.send("response.create")
        async with asyncio.timeout(20):
            await closed.wait()
        assert [session.ended for session in server.sessions] == ["a fault: disconnected"]
        assert "response.done" not in caller.types()


async def test_keys_may_always_have_expired() -> None:
    async with serving(faults="expired-key") as server:
        key = await new_key(server)
        status, body = await post(server, "client_secrets", headers=bearer(key))
        assert (status, body["error"]["code"]) == (401, "expired_key")
        async with connected(server, headers=BEARER) as client:
            await client.wait("session.created")


@pytest.mark.parametrize("status", [401, 403, 404, 418, 429, 500, 503, 599])
async def test_requests_fail_with_the_status_that_was_asked_for(status: int) -> None:
    async with serving(faults=f"http={status}:2") as server:
        answered, body = await post(server, "client_secrets")
        assert answered == status
        assert set(body["error"]) == {"message", "type", "param", "code"}
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            async with connected(server):
                pass
        assert raised.value.status == status
        assert (await post(server, "client_secrets"))[0] == 200


async def test_what_fails_only_at_first_fails_again_for_the_next_test() -> None:
    async with serving(faults=["http=503:1"]) as server:
        statuses = []
        for _ in range(2):
            statuses += [(await post(server, "client_secrets"))[0] for _ in range(2)]
            await server.forget_sessions()
    assert statuses == [503, 200, 503, 200]


async def test_the_same_packets_are_lost_for_the_next_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds = []

    class SeedKeeping(UdpRelay):
        def __init__(self, conditions: LinkConditions, *, seed: str) -> None:
            super().__init__(conditions, seed=seed)
            seeds.append(seed)

    monkeypatch.setattr(routes, "UdpRelay", SeedKeeping)
    async with serving(faults=["loss=1%"], seed=7) as server:
        for _ in range(2):
            for _ in range(2):
                async with StockCaller() as caller:
                    await caller.call(server.url)
            await server.forget_sessions()
    assert seeds == ["7:1", "7:2", "7:1", "7:2"]


class DeadLink:
    """Takes nothing but the end."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def send_event(self, event: dict[str, Any]) -> None:
        raise TransportError(f"no {event['type']}")

    def end_session(self, reason: str) -> None:
        self.ended.append(reason)


async def test_what_is_late_and_cannot_be_sent_does_not_keep_a_session_from_ending() -> None:
    link: Any = DeadLink()
    opened = door.Door(parse_faults(["latency=60s"]))
    opened.attach(None, link)  # type: ignore[arg-type]
    opened.send_event({"type": "x"})
    opened.end_session("it is over")
    assert link.ended == ["it is over"]


class Waiting:
    """A session that nothing reaches."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


async def test_an_error_on_command_that_cannot_be_sent_does_not_end_the_link(
    caplog: pytest.LogCaptureFixture,
) -> None:
    link: Any = DeadLink()
    opened = door.Door(parse_faults(["error=response.create:rate_limit_exceeded"]))
    opened.attach(Waiting(), link)  # type: ignore[arg-type]
    opened.receive_message('{"type": "response.create"}')
    assert "no error" in caplog.text


async def test_preflights_do_not_fail_so_that_pages_can_read_the_error() -> None:
    async with serving(faults="http=503") as server, aiohttp.ClientSession() as http:
        headers = {"Origin": "http://localhost", "Access-Control-Request-Method": "POST"}
        async with http.options(f"{server.url}/realtime/calls", headers=headers) as answer:
            assert answer.status == 204
        async with http.post(f"{server.url}/realtime/calls", headers=headers) as answer:
            assert answer.status == 503
            assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost"


async def test_media_packets_are_lost_and_events_are_not() -> None:
    async with serving(faults=["loss=30%"], seed=1) as server, StockCaller() as caller:
        await caller.call(server.url, MANUAL)
        await caller.say(np.full(48_000, 1_000, np.int16))
        for _ in range(5):
            caller.send("session.update", session={"type": "realtime"})
        await caller.wait("session.updated", 5)
        (held,) = server._routes._calls.values()
        assert held.relay is not None
        stats = held.relay.to_answerer.stats
        assert 0.1 < stats.lost / stats.received < 0.4
    assert held.relay._gates == []


async def test_a_call_through_a_bad_network_is_answered() -> None:
    faults = ["delay=20ms", "jitter=20ms", "duplicate=5%", "reorder=2%", "rate=1M"]
    async with serving(faults=faults, seed=1) as server, StockCaller() as caller:
        await caller.call(server.url, MANUAL)
        await caller.say(np.full(24_000, 1_000, np.int16))
        caller.send("input_audio_buffer.commit")
        caller.send("response.create")
        await caller.wait("output_audio_buffer.stopped")
        assert np.abs(caller.heard.astype(int)).max() > 300
