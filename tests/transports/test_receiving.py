"""A message of the server on its way through the shell."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest

from realtime_core.errors import PluginError, TransportError
from realtime_core.middleware import EventMiddleware
from tests.transports.bare import BareTransport
from tests.transports.peers import Phone

CREATED = {"type": "response.created", "event_id": "e", "response": {"id": "r"}}
DONE = {"type": "response.done", "event_id": "e", "response": {"id": "r"}}


@pytest.fixture
def transport() -> BareTransport:
    transport = BareTransport()
    transport.open()
    return transport


def heard(transport: BareTransport, *events: str) -> list[str]:
    told: list[str] = []
    for event in events:
        transport.on(event, lambda *_payload, event=event: told.append(event))
    return told


@pytest.mark.parametrize(
    ("closing", "expected"),
    [
        ("*", ["*"]),
        ("response.created", ["*", "response.created"]),
        ("turn_started", ["*", "response.created", "turn_started"]),
    ],
)
def test_nothing_of_a_message_is_told_once_a_listener_has_closed_the_transport(
    transport: BareTransport, closing: str, expected: list[str]
) -> None:
    told = heard(transport, "*", "response.created", "turn_started")
    transport.on(closing, lambda *_payload: transport.close())
    transport.get(CREATED)
    assert told == expected


def test_a_listener_may_close_and_connect_anew(transport: BareTransport) -> None:
    told = heard(transport, "*", "turn_started")

    def reconnect(_event: object) -> None:
        transport.off("*", reconnect)
        transport.close()
        transport.open()

    transport.on("*", reconnect)
    transport.get(CREATED)
    assert told == ["*"]
    transport.get(CREATED)
    assert told == ["*", "*", "turn_started"]


@pytest.mark.parametrize("event", ["*", "response.done", "usage_update", "turn_done"])
async def test_a_raising_listener_is_reported_and_changes_nothing_else(
    transport: BareTransport, event: str
) -> None:
    async def fail(*_payload: object) -> None:
        raise ValueError("later")

    def refuse(*_payload: object) -> None:
        raise ValueError("at once")

    errors: list[Any] = []
    transport.on("error", errors.append)
    transport.on(event, refuse)
    transport.on(event, fail)
    told = heard(transport, "*", "response.done", "usage_update", "turn_done")
    transport.get(CREATED)
    transport.request_response()
    transport.get(DONE)
    await asyncio.sleep(0)
    assert told[-4:] == ["*", "response.done", "usage_update", "turn_done"]
    assert [each["type"] for each in transport.written] == ["session.update", "response.create"]
    assert {type(each.error) for each in errors} == {PluginError}
    assert {"at once", "later"} <= {each.message.rpartition(": ")[2] for each in errors}
    transport.close()


def test_a_message_in_bytes_is_read_like_one_in_text(transport: BareTransport) -> None:
    told = heard(transport, "turn_started")
    transport._receive_message(json.dumps(CREATED).encode())
    transport._receive_message(b"\xff\xfe")
    assert told == ["turn_started"]


def test_what_follows_from_a_message_and_cannot_be_sent_is_told_as_error() -> None:
    transport = BareTransport(refuses=lambda event: event["type"] == "conversation.item.retrieve")
    transport.open()
    errors: list[Any] = []
    transport.on("error", errors.append)
    told = heard(transport, "*", "conversation.item.truncated")
    transport.get(
        {
            "type": "conversation.item.truncated",
            "event_id": "e",
            "item_id": "i",
            "audio_end_ms": 1,
            "content_index": 0,
        }
    )
    assert told == ["*", "conversation.item.truncated"]
    assert [each.message for each in errors] == [
        "the link does not take a conversation.item.retrieve"
    ]


class Breaks(EventMiddleware):
    """Changes an event and fails."""

    def incoming(self, event: dict[str, Any]) -> dict[str, Any]:
        event["response"].clear()
        event["type"] = "something.else"
        raise ValueError("half way")


@pytest.mark.parametrize("others", [[], [EventMiddleware()]])
def test_an_event_at_which_a_middleware_fails_goes_on_as_it_came(
    others: list[EventMiddleware],
) -> None:
    for middlewares in ([Breaks(), *others], [*others, Breaks()]):
        transport = BareTransport(middlewares)
        transport.open()
        events: list[Any] = []
        transport.on("*", events.append)
        transport.get(CREATED)
        assert events == [CREATED]


async def test_json_that_comes_in_bytes_over_a_data_channel_is_read() -> None:
    phone = Phone()
    async with phone.transport as transport:
        told: list[str] = []
        transport.on("turn_started", lambda _turn: told.append("turn_started"))
        task = await phone.dial()
        phone.channel.open()
        phone.channel.confirm()
        await task
        phone.channel.fire("message", json.dumps(CREATED).encode())
        assert told == ["turn_started"]


@pytest.mark.parametrize("event", ["connection_change", "connected"])
async def test_a_listener_may_close_as_soon_as_the_session_is_confirmed(event: str) -> None:
    phone = Phone()
    async with phone.transport as transport:
        told: list[str] = []
        transport.on("*", lambda _event: told.append("*"))
        transport.on("disconnected", lambda: told.append("disconnected"))

        def close(*status: str) -> None:
            if status in ((), ("connected",)):
                transport.close()

        transport.on(event, close)
        task = await phone.dial()
        phone.channel.open()
        phone.channel.confirm()
        with contextlib.suppress(TransportError):
            await task
        assert told == ["disconnected"]
