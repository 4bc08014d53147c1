"""Client events: their fields, and what happens to those that have others."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_transports.openai.server_protocol import Link
from realtime_transports.openai.server_requests import CLIENT_EVENTS
from tests.transports.server_room import Room


def test_the_api_has_eleven_client_events() -> None:
    from openai.types.realtime import RealtimeClientEvent

    union = RealtimeClientEvent.__args__[0]  # type: ignore[attr-defined]
    types = {model.model_fields["type"].annotation.__args__[0] for model in union.__args__}
    assert set(CLIENT_EVENTS) == types
    assert len(types) == 11


@pytest.mark.parametrize(
    ("event_type", "fields", "code", "param"),
    [
        ("session.update", {}, "missing_required_parameter", "session"),
        ("input_audio_buffer.append", {}, "missing_required_parameter", "audio"),
        ("conversation.item.create", {}, "missing_required_parameter", "item"),
        ("conversation.item.delete", {}, "missing_required_parameter", "item_id"),
        ("conversation.item.delete", {"item_id": 3}, "invalid_type", "item_id"),
        ("conversation.item.retrieve", {"item_id": None}, "invalid_type", "item_id"),
        (
            "conversation.item.truncate",
            {"item_id": "x", "content_index": 0},
            "missing_required_parameter",
            "audio_end_ms",
        ),
        (
            "conversation.item.truncate",
            {"item_id": "x", "content_index": 0, "audio_end_ms": "soon"},
            "invalid_type",
            "audio_end_ms",
        ),
        ("response.create", {"response": []}, "invalid_type", "response"),
        ("response.cancel", {"response_id": 3}, "invalid_type", "response_id"),
        ("response.cancel", {"event_id": 3}, "invalid_type", "event_id"),
    ],
)
def test_a_field_that_is_wrong_is_named(
    event_type: str, fields: dict[str, Any], code: str, param: str
) -> None:
    room = Room()
    assert room.send(event_type, **fields) == ["error"]
    assert (room.error["code"], room.error["param"]) == (code, param)


def test_a_field_that_an_event_does_not_have_is_refused_by_a_strict_server_only() -> None:
    assert Room().send("response.create", colour="red") == ["response.created"]
    room = Room(strict=True)
    assert room.send("response.create", colour="red", event_id="mine") == ["error"]
    assert room.error["message"] == "Unknown parameter: 'colour'."
    assert room.error["event_id"] == "mine"
    assert room.send("response.create", event_id="mine") == ["response.created"]


def test_an_unknown_event_is_told_which_ones_there_are() -> None:
    room = Room()
    room.send("session.fly")
    assert room.error["param"] == "type"
    assert room.error["message"].startswith(
        "Invalid value: 'session.fly'. Supported values are: 'session.update', "
    )


def test_an_event_without_a_type_keeps_its_id_in_the_error() -> None:
    room = Room()
    room.protocol.receive({"event_id": "mine"}, room.now)
    room.take()
    assert room.error["code"] == "missing_required_parameter"
    assert room.error["event_id"] == "mine"


def test_more_audio_than_an_event_may_have_is_refused() -> None:
    room = Room(Link.WEBSOCKET)
    assert room.send("input_audio_buffer.append", audio="A" * (15 * 1024 * 1024 + 4)) == ["error"]
    assert room.error["param"] == "audio"
    assert room.send("input_audio_buffer.append", audio="A" * 4_000) == []


def test_clearing_the_output_over_websocket_is_refused() -> None:
    room = Room(Link.WEBSOCKET)
    assert room.send("output_audio_buffer.clear", event_id="mine") == ["error"]
    assert room.error["event_id"] == "mine"


def test_a_problem_of_the_servers_is_told_as_one() -> None:
    room = Room()
    room.protocol.report_problem("the detector is gone")
    assert room.take() == ["error"]
    assert room.error["type"] == "server_error"
    assert room.error["message"] == "the detector is gone"
