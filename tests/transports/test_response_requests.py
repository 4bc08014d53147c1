"""Requests for responses through the protocol and the shell: handles, failures, deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from realtime_audio_plugins.middlewares import RecordMiddleware
from realtime_core.errors import ResponseError, ResponseTimeoutError, TransportError
from realtime_core.events import Emit, ErrorEvent
from realtime_core.handles import ResponseHandle
from realtime_core.middleware import EventMiddleware
from realtime_core.record import read_record
from realtime_core.replay import Replay
from realtime_transports.openai.replay import make_engine
from realtime_transports.openai.sequencer import ANSWER_TIMEOUT_S, END_TIMEOUT_S
from tests.conformance.virtual_loop import VirtualLoop
from tests.transports.bare import BareTransport

ACTIVE = "conversation_already_has_active_response"


def server(event_type: str, **fields: Any) -> dict[str, Any]:
    return {"type": event_type, "event_id": "event_1", **fields}


def created(response_id: str = "resp_1", **fields: Any) -> dict[str, Any]:
    return server("response.created", response={"id": response_id, **fields})


def done(response_id: str = "resp_1", **fields: Any) -> dict[str, Any]:
    return server("response.done", response={"id": response_id, **fields})


def refusal(event_id: str | None, code: str = "invalid_value") -> dict[str, Any]:
    error = {"code": code, "message": "response.create: no", "event_id": event_id}
    return server("error", error=error)


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def errors(emits: list[Emit]) -> list[Any]:
    return [emit.args[0].error for emit in emits if emit.type == "error"]


@pytest.fixture
async def transport() -> BareTransport:
    transport = BareTransport()
    transport.open()
    transport.written.clear()
    return transport


# Handles


async def test_a_handle_tells_the_id_of_the_response_that_began(transport):
    handle = transport.request_response()
    assert isinstance(handle, ResponseHandle)
    transport.get(created("resp_7"))
    assert await handle.wait_created() == "resp_7"


async def test_a_refusal_is_raised_to_who_waits_and_told_once(transport):
    waiting = asyncio.create_task(transport.request_response({}).wait_created())
    await asyncio.sleep(0)
    transport.get(refusal(transport.written[-1]["event_id"]))
    with pytest.raises(ResponseError) as raised:
        await waiting
    assert raised.value.code == "invalid_value"
    assert [event for event, _ in transport.told].count("error") == 1


async def test_a_request_that_the_link_does_not_take_is_told_to_who_waits_and_not_as_error():
    transport = BareTransport(refuses=lambda event: event.get("response") == {"n": 2})
    transport.open()
    transport.request_response()
    waiting = asyncio.create_task(transport.request_response({"n": 2}).wait_created())
    await asyncio.sleep(0)
    transport.get(created())
    transport.get(done())
    with pytest.raises(TransportError, match="does not take"):
        await waiting
    assert "error" not in [event for event, _ in transport.told]


async def test_a_request_that_the_link_does_not_take_is_told_as_error_when_nobody_waits():
    transport = BareTransport(refuses=lambda event: event["type"] == "response.create")
    transport.open()
    handle = transport.request_response()
    for _ in range(2):  # who would wait at once begins meanwhile
        await asyncio.sleep(0)
    ((_, (event,)),) = [told for told in transport.told if told[0] == "error"]
    assert handle.error is event.error
    with pytest.raises(TransportError):
        await handle.wait_created()


async def test_the_end_of_the_connection_is_told_to_who_waits_alone(transport):
    ignored = transport.request_response({})
    waiting = asyncio.create_task(transport.request_response({}).wait_created())
    await asyncio.sleep(0)
    transport.close()
    with pytest.raises(TransportError, match="connection ended"):
        await waiting
    assert isinstance(ignored.error, TransportError)
    assert "error" not in [event for event, _ in transport.told]


async def test_a_request_that_a_middleware_keeps_back_fails_and_the_next_leaves():
    class KeepBack(EventMiddleware):
        def outgoing(self, event: dict[str, Any]) -> dict[str, Any] | None:
            return None if event.get("response") == {"n": 1} else event

    transport = BareTransport([KeepBack()])
    transport.open()
    handles = [transport.request_response({"n": n}) for n in (1, 2)]
    assert [event.get("response") for event in transport.written[1:]] == [{"n": 2}]
    with pytest.raises(TransportError, match="middleware"):
        await handles[0].wait_created()
    assert "error" not in [event for event, _ in transport.told]


def test_a_request_lost_behind_another_event_that_was_not_sent_is_told(protocol):
    handle = protocol.request_response({})
    protocol.take_sends()
    protocol.receive(created())
    handle = protocol.request_response({"n": 2})
    protocol.receive(done())
    protocol.send_event({"type": "input_audio_buffer.clear"})
    sends = protocol.take_sends()
    assert types(sends) == ["response.create", "input_audio_buffer.clear"]
    protocol.take_emits()
    protocol.send_failed(sends[0], TransportError("full"))
    assert errors(protocol.take_emits()) == [handle.error]


def test_the_answer_to_a_message_that_was_not_sent_is_not_told_besides(protocol):
    protocol.send_message("hi")
    protocol.take_emits()
    protocol.send_failed(protocol.take_sends()[0], TransportError("full"))
    assert protocol.take_emits() == []
    assert protocol.take_sends() == []
    assert protocol.next_deadline is None


# What the server says


def test_a_request_refused_for_a_response_that_the_server_began_leaves_again(protocol):
    protocol.request_response({"n": 1})
    (sent,) = protocol.take_sends()
    protocol.receive(created("by turn detection"))
    protocol.receive(refusal(sent["event_id"], ACTIVE))
    protocol.receive(done("by turn detection"))
    assert [event["response"] for event in protocol.take_sends()] == [{"n": 1}]


def test_a_response_beside_the_conversation_does_not_end_the_one_in_it(protocol):
    protocol.request_response()
    protocol.receive(created("in it", conversation_id="conv_1"))
    beside = protocol.request_response({"conversation": "none"})
    protocol.request_response({"n": 2})
    assert len(protocol.take_sends()) == 2
    protocol.receive(created("beside", conversation_id=None))
    assert beside.result == "beside"
    protocol.receive(done("beside", conversation_id=None))
    assert protocol.take_sends() == []
    protocol.receive(done("in it", conversation_id="conv_1"))
    assert len(protocol.take_sends()) == 1


def test_a_response_beside_that_another_client_asked_for_is_left_alone(protocol):
    protocol.receive(created("first", conversation_id="conv_1"))
    protocol.receive(done("first", conversation_id="conv_1"))
    handle = protocol.request_response()
    protocol.receive(created("foreign", conversation_id=None))
    protocol.take_sends()
    protocol.interrupt()
    assert types(protocol.take_sends()) == ["output_audio_buffer.clear"]
    protocol.receive(done("foreign", conversation_id=None))
    assert not handle.is_settled


DRIFTED = [
    None,
    7,
    [],
    {},
    {"id": 7},
    {"id": "resp_1", "usage": "much"},
    {"id": "resp_1", "status": "new"},
]


@pytest.mark.parametrize("response", DRIFTED)
def test_a_response_that_begins_in_an_unknown_form_accepts_the_request(protocol, response):
    handle = protocol.request_response()
    protocol.receive(server("response.created", response=response))
    assert handle.is_settled
    assert protocol.ongoing_response


@pytest.mark.parametrize("response", DRIFTED)
def test_a_response_that_ends_in_an_unknown_form_lets_the_next_request_leave(protocol, response):
    protocol.receive(created())
    protocol.request_response()
    protocol.receive(server("response.done", response=response))
    assert types(protocol.take_sends()) == ["response.create"]


def test_an_interruption_before_the_response_began_cancels_it_when_it_begins(protocol):
    protocol.request_response()
    protocol.interrupt()
    protocol.interrupt()
    assert types(protocol.take_sends()) == [
        "response.create",
        "output_audio_buffer.clear",
        "output_audio_buffer.clear",
    ]
    protocol.receive(created())
    assert protocol.take_sends() == [{"type": "response.cancel"}]
    protocol.interrupt()
    assert types(protocol.take_sends()) == ["output_audio_buffer.clear"]


def test_an_interruption_that_leaves_the_response_alone_cancels_none_later(protocol):
    protocol.request_response()
    protocol.interrupt(cancel_ongoing_response=False)
    protocol.take_sends()
    protocol.receive(created())
    assert protocol.take_sends() == []


def test_an_interruption_after_the_audio_is_done_still_cancels(protocol):
    protocol.receive(created())
    place = {"item_id": "a", "output_index": 0, "content_index": 0, "response_id": "resp_1"}
    protocol.receive(server("response.output_audio.done", **place))
    protocol.interrupt()
    assert types(protocol.take_sends()) == ["response.cancel", "output_audio_buffer.clear"]


def test_a_cancellation_that_was_not_sent_is_tried_again(protocol):
    protocol.receive(created())
    protocol.interrupt()
    protocol.send_failed(protocol.take_sends()[0], TransportError("full"))
    protocol.interrupt()
    assert types(protocol.take_sends()) == ["response.cancel", "output_audio_buffer.clear"]


def test_when_there_was_nothing_to_cancel_the_next_request_leaves(protocol):
    protocol.receive(created())
    protocol.interrupt()
    protocol.request_response()
    protocol.take_sends()
    protocol.receive(server("error", error={"code": "response_cancel_not_active"}))
    assert types(protocol.take_sends()) == ["response.create"]


@pytest.mark.parametrize("heard", ["*", "response.created", "response.done", "turn_done"])
async def test_a_listener_that_raises_keeps_no_request_back(transport, heard):
    def fail(*_args: object) -> None:
        raise RuntimeError("boom")

    transport.on(heard, fail)
    transport.request_response()
    transport.get(created())
    transport.get(done())
    transport.request_response()
    assert types(transport.written) == ["response.create", "response.create"]


async def test_events_that_follow_one_whose_listener_raises_are_told(transport):
    def fail(_event: object) -> None:
        raise RuntimeError("boom")

    transport.on("*", fail)
    transport.get(server("conversation.item.deleted", item_id="item_1"))
    told = [event for event, _ in transport.told]
    assert {"*", "error", "conversation.item.deleted", "item_deleted"} <= set(told)


async def test_a_refusal_that_nobody_hears_lets_the_next_request_leave(transport, caplog):
    transport.request_response()
    transport.get(refusal(transport.written[-1]["event_id"]))
    transport.request_response()
    assert types(transport.written) == ["response.create", "response.create"]
    assert "nobody listens" in caplog.text


# Time


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


def test_a_request_without_an_answer_is_told_after_its_deadline_and_the_next_leaves(loop):
    async def play() -> None:
        transport = BareTransport()
        transport.open()
        handle = transport.request_response({"n": 1})
        transport.request_response({"n": 2})
        await loop.advance(ANSWER_TIMEOUT_S * 1000 - 1)
        assert not handle.is_settled
        await loop.advance(1)
        assert isinstance(handle.error, ResponseTimeoutError)
        assert [args[0].error for event, args in transport.told if event == "error"] == [
            handle.error
        ]
        assert transport.written[-1]["response"] == {"n": 2}
        transport.close()

    loop.run_until_complete(play())


def test_who_waits_gets_the_failure_after_the_deadline(loop):
    async def play() -> None:
        transport = BareTransport()
        transport.open()
        waiting = asyncio.ensure_future(transport.request_response().wait_created())
        await loop.advance(ANSWER_TIMEOUT_S * 1000)
        with pytest.raises(ResponseTimeoutError):
            await waiting
        assert "error" not in [event for event, _ in transport.told]
        transport.close()

    loop.run_until_complete(play())


def test_a_later_deadline_is_kept_when_an_earlier_one_has_come_to_nothing(loop):
    async def play() -> None:
        transport = BareTransport()
        transport.open()
        transport.request_response()
        await loop.advance(4000)
        transport.get(created())
        transport.get(done())
        handle = transport.request_response()
        await loop.advance(ANSWER_TIMEOUT_S * 1000 - 1)
        assert not handle.is_settled
        await loop.advance(1)
        assert handle.is_settled
        transport.close()

    loop.run_until_complete(play())


def test_a_record_in_which_time_ran_out_replays_to_the_same(loop, tmp_path):
    async def play() -> None:
        transport = BareTransport([RecordMiddleware(tmp_path / "call.jsonl")])
        transport.open()
        transport.request_response({"n": 1})
        await loop.advance(3000)
        transport.request_response({"n": 2})
        await loop.advance(ANSWER_TIMEOUT_S * 1000 - 3000)
        assert transport.written[-1]["response"] == {"n": 2}
        await loop.advance(1000)
        transport.get(created())
        transport.request_response({"n": 3})
        await loop.advance(END_TIMEOUT_S * 1000)
        assert transport.written[-1]["response"] == {"n": 3}
        transport.close()

    loop.run_until_complete(play())
    record = read_record(tmp_path / "call.jsonl")
    result = Replay(record, lambda name: make_engine(name.partition(":")[2])).run()
    assert result.difference is None
    names = [line.get("name") for _, line in read_record(tmp_path / "call.jsonl")]
    assert names.count("advance") == 2


async def test_events_between_set_no_timers(transport, monkeypatch):
    loop = asyncio.get_running_loop()
    timers: list[float] = []
    call_at = loop.call_at

    def count(when: float, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        timers.append(when)
        return call_at(when, *args, **kwargs)

    monkeypatch.setattr(loop, "call_at", count)
    for _ in range(5):
        transport.request_response()
        transport.get(created())
        transport.get(server("rate_limits.updated", rate_limits=[]))
        transport.get(done())
    assert len(timers) == 1


async def test_the_end_of_the_link_leaves_no_timer(transport):
    transport.request_response()
    timer = transport._timer
    assert timer is not None
    transport.close()
    assert timer.cancelled()
    assert transport._timer is None


def test_without_an_event_loop_requests_are_sent_all_the_same():
    transport = BareTransport()
    transport.open()
    transport.request_response()
    assert types(transport.written) == ["session.update", "response.create"]


# Calls out of a call


class FailAt(EventMiddleware):
    """Raises at the client events of a type, so that `error` is told while they leave."""

    def __init__(self, event_type: str) -> None:
        self._event_type = event_type

    def outgoing(self, event: dict[str, Any]) -> dict[str, Any]:
        if event["type"] == self._event_type:
            raise ValueError("boom")
        return event


def answering_errors(transport: BareTransport, answer: Callable[[], object]) -> list[Exception]:
    """Have the first `error` answered by a call; all of them."""
    heard: list[Exception] = []

    @transport.on("error")
    def hear(event: ErrorEvent) -> None:
        heard.append(event.error)
        if len(heard) == 1:
            answer()

    return heard


def opened(
    event_type: str, refuses: Callable[[dict[str, Any]], bool] = lambda event: False
) -> BareTransport:
    transport = BareTransport([FailAt(event_type)], refuses=refuses)
    transport.open()
    transport.written.clear()
    return transport


def test_what_a_listener_sends_while_events_leave_comes_behind_them():
    transport = opened("conversation.item.create")
    answering_errors(transport, lambda: transport.send_event({"type": "x"}))
    transport.send_message("hi")
    assert types(transport.written) == ["conversation.item.create", "response.create", "x"]


def test_a_request_that_is_not_sent_after_a_listener_sent_something_fails_and_blocks_nothing():
    refused = {"response.create"}
    transport = opened("conversation.item.create", lambda event: event["type"] in refused)
    answering_errors(transport, lambda: transport.send_event({"type": "x"}))
    transport.send_message("hi")
    assert types(transport.written) == ["conversation.item.create", "x"]
    assert "does not take" in str(transport.told[-1][1][0].error)
    refused.clear()
    transport.request_response()
    assert types(transport.written)[2:] == ["response.create"]


def test_what_is_not_sent_is_taken_back_though_a_listener_sent_something():
    transport = opened("session.update", lambda event: "instructions" in event.get("session", {}))
    answering_errors(transport, lambda: transport.send_event({"type": "x"}))
    with pytest.raises(TransportError, match="does not take"):
        transport.update_session_config({"instructions": "be brief"})
    assert types(transport.written) == ["x"]
    transport.update_session_config({"speed": 1.2})
    assert "instructions" not in transport.written[-1]["session"]


def test_what_a_listener_sends_while_events_leave_and_the_link_refuses_is_told_as_error():
    transport = opened("conversation.item.create", lambda event: event["type"] == "x")
    heard = answering_errors(transport, lambda: transport.send_event({"type": "x"}))
    transport.send_message("hi")
    assert types(transport.written) == ["conversation.item.create", "response.create"]
    assert ["boom" in str(heard[0]), "does not take a x" in str(heard[1])] == [True, True]


# Failures that come at once


def refusing(*refused: str) -> BareTransport:
    transport = BareTransport(refuses=lambda event: event["type"] in refused)
    transport.open()
    return transport


@pytest.mark.parametrize("wait", [lambda waiting: waiting, asyncio.create_task])
async def test_who_waits_at_once_is_the_only_one_who_learns_of_a_failure(wait):
    transport = refusing("response.create")
    with pytest.raises(TransportError, match="does not take"):
        await wait(transport.request_response().wait_created())
    for _ in range(3):
        await asyncio.sleep(0)
    assert "error" not in [event for event, _ in transport.told]


async def test_who_waits_at_once_is_in_time_though_a_listener_asked_for_something_meanwhile():
    class Failing(EventMiddleware):
        def outgoing(self, event: dict[str, Any]) -> dict[str, Any]:
            if event.get("response") == {"n": 1}:
                raise ValueError("boom")
            return event

    transport = BareTransport([Failing()], refuses=lambda event: event.get("response") == {"n": 1})
    transport.open()
    heard = answering_errors(transport, transport.request_response)
    with pytest.raises(TransportError, match="does not take"):
        await transport.request_response({"n": 1}).wait_created()
    for _ in range(3):
        await asyncio.sleep(0)
    assert ["boom" in str(error) for error in heard] == [True]


async def test_a_failure_that_came_at_once_is_told_before_the_end_of_the_link():
    transport = refusing("response.create")
    handle = transport.request_response()
    transport.close()
    assert [args[0].error for event, args in transport.told if event == "error"] == [handle.error]


def test_without_an_event_loop_a_failure_that_comes_at_once_is_told_at_once():
    transport = refusing("response.create")
    transport.request_response()
    assert "error" in [event for event, _ in transport.told]
