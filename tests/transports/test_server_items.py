"""Items that clients create: every kind, and what each may hold."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from realtime_transports.openai import audio_codec
from realtime_transports.openai.server_protocol import Link
from tests.transports.server_room import RATE, Room, base64_of, tone

TEXT = {"type": "input_text", "text": "hi"}
CALL = {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "call_1"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "17"}
MCP = {"id": "mcp_1", "name": "buy", "arguments": "{}", "server_label": "shop"}

KINDS: list[dict[str, Any]] = [
    {"type": "message", "role": "system", "content": [TEXT]},
    {"type": "message", "role": "user", "content": [TEXT, TEXT]},
    {
        "type": "message",
        "role": "user",
        "content": [
            {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}
        ],
    },
    {
        "type": "message",
        "role": "assistant",
        "status": "incomplete",
        "content": [{"type": "output_text", "text": "hello"}],
    },
    {"type": "message", "role": "user", "content": []},
    CALL,
    OUTPUT,
    {"type": "mcp_approval_request", **MCP},
    {
        "type": "mcp_approval_response",
        "id": "mcpr_1",
        "approval_request_id": "mcp_1",
        "approve": True,
        "reason": "fine",
    },
    {
        "type": "mcp_list_tools",
        "id": "mcpl_1",
        "server_label": "shop",
        "tools": [{"name": "buy", "input_schema": {"type": "object"}, "description": None}],
    },
    {
        "type": "mcp_call",
        **MCP,
        "error": {"type": "http_error", "code": 500, "message": "no"},
        "output": None,
    },
]


@pytest.mark.parametrize("item", KINDS, ids=lambda item: f"{item['type']}-{item.get('role', '')}")
def test_every_kind_of_item_can_be_created_and_comes_back(item: dict[str, Any]) -> None:
    room = Room()
    told = room.send("conversation.item.create", item=item)
    assert told == ["conversation.item.added", "conversation.item.done"]
    shown = room.last["item"]
    assert {name: shown[name] for name in item} == item
    room.send("conversation.item.retrieve", item_id=shown["id"])
    assert room.last["item"] == shown
    if not item["type"].startswith("mcp_"):
        assert shown["status"] == item.get("status", "completed")


def test_an_item_without_an_id_gets_one_and_a_call_without_one_too() -> None:
    room = Room()
    room.send("conversation.item.create", item={**CALL, "call_id": None})
    assert room.last["item"]["id"].startswith("item_")
    assert room.last["item"]["call_id"].startswith("call_")


def test_a_second_item_of_an_id_is_refused() -> None:
    room = Room()
    room.send("conversation.item.create", item={**CALL, "id": "mine"})
    assert room.send("conversation.item.create", item={**OUTPUT, "id": "mine"}) == ["error"]
    assert room.error["code"] == "item_create_duplicate_item_id"
    assert "'mine'" in room.error["message"]


def test_an_item_after_one_that_is_not_there_is_not_added() -> None:
    room = Room()
    event = {"item": CALL, "previous_item_id": "nobody", "event_id": "mine"}
    assert room.send("conversation.item.create", **event) == ["error"]
    assert room.error["param"] == "previous_item_id"
    assert room.error["event_id"] == "mine"
    assert room.items() == []


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        ({**CALL, "colour": "red"}, "unknown_parameter", "item.colour"),
        ({**CALL, "status": "nearly"}, "invalid_value", "item.status"),
        ({"type": "function_call", "name": "f"}, "missing_required_parameter", "item.arguments"),
        ({**OUTPUT, "output": {"a": 1}}, "invalid_type", "item.output"),
        ({"type": "item_reference", "id": "x"}, "invalid_value", "item.type"),
        ({**KINDS[0], "content": [{**TEXT, "x": 1}]}, "unknown_parameter", "item.content[0].x"),
        ({**KINDS[0], "content": ["hi"]}, "invalid_type", "item.content[0]"),
        (
            {**KINDS[0], "content": [{"type": "input_audio"}]},
            "invalid_value",
            "item.content[0].type",
        ),
        (
            {**KINDS[1], "content": [TEXT, {"type": "input_image"}]},
            "missing_required_parameter",
            "item.content[1].image_url",
        ),
        (
            {**KINDS[1], "content": [{"type": "input_audio", "audio": "%"}]},
            "invalid_value",
            "item.content[0].audio",
        ),
    ],
)
def test_an_item_of_another_shape_is_refused(item: dict[str, Any], code: str, param: str) -> None:
    room = Room()
    assert room.send("conversation.item.create", item=item) == ["error"]
    assert (room.error["code"], room.error["param"]) == (code, param)
    assert room.items() == []


def test_a_strict_server_refuses_ids_that_are_too_long() -> None:
    room = Room(strict=True)
    room.send("conversation.item.create", item={**CALL, "id": "x" * 32})
    assert room.items() == ["x" * 32]
    assert room.send("conversation.item.create", item={**CALL, "id": "x" * 33}) == ["error"]
    assert room.error["code"] == "string_above_max_length"
    assert room.error["message"] == (
        "Invalid 'item.id': string too long. Expected a string with maximum length 32, but got a "
        "string with length 33 instead."
    )
    room.send("conversation.item.create", item={**CALL, "call_id": "x" * 33})
    assert room.error["param"] == "item.call_id"


def test_a_strict_server_refuses_the_output_of_a_call_that_nobody_made() -> None:
    room = Room(strict=True)
    assert room.send("conversation.item.create", item=OUTPUT) == ["error"]
    assert room.error["code"] == "invalid_tool_call_id"
    room.send("conversation.item.create", item=CALL)
    room.send("conversation.item.create", item=OUTPUT)
    assert room.last["type"] == "conversation.item.done"


def test_a_strict_server_refuses_audio_as_if_the_assistant_had_said_it() -> None:
    audio = {"type": "output_audio", "transcript": "hi", "audio": base64_of(tone(0.1))}
    item = {"type": "message", "role": "assistant", "content": [audio]}
    room = Room(strict=True)
    assert room.send("conversation.item.create", item=item) == ["error"]
    assert room.error["param"] == "item.content[0].type"
    assert Room().send("conversation.item.create", item=item)[-1] == "conversation.item.done"


@pytest.mark.parametrize("kind", ["audio/pcmu", "audio/pcma"])
def test_audio_of_an_item_is_in_the_sessions_format(kind: str) -> None:
    room = Room(Link.WEBSOCKET)
    law = {"type": kind}
    room.update(audio={"input": {"format": law}})
    said = audio_codec.encode(tone(0.5)[::3], law)
    audio = {"type": "input_audio", "audio": base64.b64encode(said).decode()}
    item = {"type": "message", "role": "user", "id": "spoken", "content": [audio]}
    room.send("conversation.item.create", item=item)
    room.begin_answer()
    assert len(room.turns[-1].audio) == pytest.approx(0.5 * RATE, abs=8)
    assert level(room.turns[-1].audio) == pytest.approx(level(tone(0.5)), rel=0.03)
    room.send("conversation.item.retrieve", item_id="spoken")
    back = base64.b64decode(room.last["item"]["content"][0]["audio"])
    assert len(back) == pytest.approx(len(said), abs=4)


def level(samples: np.ndarray) -> float:
    """The effective value."""
    return float(np.sqrt(np.mean(np.square(samples.astype(float)))))


def answered(link: Link = Link.WEBSOCKET) -> tuple[Room, str]:
    room = Room(link)
    room.answer(1.0)
    return room, room.items()[-1]


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"item_id": "nobody"}, "item_truncate_invalid_item_id", "item_id"),
        ({"content_index": 1}, "invalid_value", "content_index"),
        ({"content_index": -1}, "invalid_value", "content_index"),
        ({"audio_end_ms": 1_001}, "invalid_value", "audio_end_ms"),
        ({"audio_end_ms": -1}, "invalid_value", "audio_end_ms"),
    ],
)
def test_a_truncation_that_cannot_be_is_refused(
    fields: dict[str, Any], code: str, param: str
) -> None:
    room, item_id = answered()
    event = {"item_id": item_id, "content_index": 0, "audio_end_ms": 500, **fields}
    assert room.send("conversation.item.truncate", **event, event_id="mine") == ["error"]
    assert (room.error["code"], room.error["param"]) == (code, param)
    assert room.error["event_id"] == "mine"
    if fields.get("audio_end_ms") == 1_001:
        assert room.error["message"] == ("Audio content of 1000ms is already shorter than 1001ms.")


def test_only_answers_can_be_truncated() -> None:
    room = Room(Link.WEBSOCKET)
    room.say("hi")
    event = {"item_id": room.items()[0], "content_index": 0, "audio_end_ms": 0}
    assert room.send("conversation.item.truncate", **event) == ["error"]
    assert room.error["message"] == "Only model output audio messages can be truncated."


def test_what_was_cut_cannot_be_had_back() -> None:
    room, item_id = answered()
    event = {"item_id": item_id, "content_index": 0}
    assert room.send("conversation.item.truncate", **event, audio_end_ms=1_000) != ["error"]
    assert room.send("conversation.item.truncate", **event, audio_end_ms=300) != ["error"]
    assert room.send("conversation.item.truncate", **event, audio_end_ms=301) == ["error"]


def test_a_response_may_refer_to_an_item_and_must_not_to_none() -> None:
    room = Room(Link.WEBSOCKET)
    room.say("hi")
    reference = {"type": "item_reference", "id": "nobody"}
    assert room.send("response.create", response={"input": [reference]}) == ["error"]
    assert room.error["param"] == "response.input[0].id"
    assert room.send("response.create", response={"input": [{"type": "song"}]}) == ["error"]
    assert room.error["param"] == "response.input[0].type"
    room.begin_answer(input=[])
    assert room.turns[-1].items == []
