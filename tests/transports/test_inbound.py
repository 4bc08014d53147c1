"""What is told of one server event, whatever the server left out or put in."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core.errors import ProtocolError
from realtime_core.events import Emit
from realtime_core.items import McpCallItem
from realtime_transports.openai.inbound import derived_events
from realtime_transports.openai.protocol import ClientProtocol
from realtime_transports.openai.websocket_protocol import WebSocketProtocol

MCP_CALL = {"id": "m", "type": "mcp_call", "name": "search", "arguments": "{}"}
CALL = {
    "id": "fc",
    "type": "function_call",
    "status": "completed",
    "name": "book",
    "call_id": "call",
    "arguments": "{}",
}
MESSAGE = {"id": "a", "type": "message", "role": "user", "content": []}


def event(kind: str, **fields: object) -> dict[str, Any]:
    return {"type": kind, "event_id": "e", **fields}


def item_done(item: dict[str, Any]) -> dict[str, Any]:
    return event("conversation.item.done", item=item)


def output_done(item: dict[str, Any]) -> dict[str, Any]:
    return event("response.output_item.done", item=item, output_index=0, response_id="r")


def payload(emits: list[Emit], kind: str) -> Any:
    (found,) = [emit.args[0] for emit in emits if emit.type == kind]
    return found


@pytest.mark.parametrize(
    "raw",
    [
        event("response.created", response={"id": "r", "brand_new": 1}, extra={"a": 1}),
        event("conversation.item.deleted", item_id="i", extra=1),
        event("error", error={"message": "m", "brand_new": 1}, extra=1),
    ],
)
def test_an_event_under_its_own_type_is_the_one_that_came(raw: dict[str, Any]) -> None:
    told = derived_events(raw)
    own = told[0].args[0]
    assert (own.error if raw["type"] == "error" else own) is raw
    if raw["type"] == "response.created":
        assert payload(told, "turn_started").provider_data is raw


@pytest.mark.parametrize("kind", ["response.output_item.done", "conversation.item.done"])
def test_a_failed_mcp_call_is_told_as_failed_with_its_error(kind: str) -> None:
    error = {"type": "tool_execution_error", "message": "no such page"}
    told = derived_events(event(kind, item={**MCP_CALL, "error": error}, output_index=0))
    call = payload(told, "item_update")
    assert isinstance(call, McpCallItem)
    assert (call.status, call.error) == ("failed", error)
    if kind == "conversation.item.done":
        assert payload(told, "mcp_tool_call_completed") == call


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({}, "in_progress"),
        ({"output": "found"}, "completed"),
        ({"output": None}, "in_progress"),
        ({"status": "incomplete"}, "incomplete"),
        ({"error": {"type": "http_error"}}, "failed"),
    ],
)
def test_a_retrieved_mcp_call_is_as_far_as_it_has_come(more: dict[str, Any], status: str) -> None:
    told = derived_events(event("conversation.item.retrieved", item={**MCP_CALL, **more}))
    assert payload(told, "item_update").status == status


def test_an_mcp_call_may_have_no_output() -> None:
    told = derived_events(item_done(MCP_CALL))
    call = payload(told, "mcp_tool_call_completed")
    assert (call.status, call.output, call.error) == ("completed", None, None)
    assert "error" not in call.model_dump(exclude_unset=True)


def test_that_an_mcp_call_failed_is_told_under_its_type() -> None:
    protocol = ClientProtocol()
    protocol.receive(event("response.mcp_call.failed", item_id="m", output_index=0))
    assert [emit.type for emit in protocol.take_emits()] == ["*", "response.mcp_call.failed"]


@pytest.mark.parametrize("call_id", [None, ""])
def test_a_function_call_that_cannot_be_answered_is_an_error_and_not_run(
    call_id: str | None,
) -> None:
    item = {**CALL, "call_id": call_id} if call_id is not None else {**CALL}
    if call_id is None:
        del item["call_id"]
    told = derived_events(output_done(item))
    assert [emit.type for emit in told] == ["response.output_item.done", "item_update", "error"]
    error = payload(told, "error").error
    assert isinstance(error, ProtocolError)
    assert "'book'" in str(error)
    assert "'fc'" in str(error)


@pytest.mark.parametrize(
    "raw",
    [
        item_done({key: MESSAGE[key] for key in ("type", "role", "content")}),
        item_done({key: MESSAGE[key] for key in ("id", "type", "content")}),
        item_done({key: MESSAGE[key] for key in ("id", "type", "role")}),
        item_done({**MESSAGE, "content": [{"type": "output_text", "text": "t"}]}),
        item_done({**MESSAGE, "content": [{"type": "item_reference", "id": "x"}]}),
        output_done({key: CALL[key] for key in CALL if key != "id"}),
        output_done({key: CALL[key] for key in CALL if key != "name"}),
        output_done({key: CALL[key] for key in CALL if key != "arguments"}),
        item_done({key: MCP_CALL[key] for key in MCP_CALL if key != "name"}),
        item_done({**MCP_CALL, "type": "mcp_approval_request"}),
        item_done({**MCP_CALL, "type": "mcp_approval_request", "server_label": "s", "name": None}),
        item_done(
            {**MCP_CALL, "type": "mcp_approval_request", "server_label": "s", "arguments": "[1]"}
        ),
        item_done(
            {**MCP_CALL, "type": "mcp_approval_request", "server_label": "s", "arguments": "{"}
        ),
        event("response.done", response={"usage": {"input_tokens": 10**400, "output_tokens": 1.5}}),
    ],
)
def test_what_cannot_be_read_is_told_as_error_beside_the_event(raw: dict[str, Any]) -> None:
    told = derived_events(raw)
    assert [emit.type for emit in told] == [raw["type"], "error"]
    error = payload(told, "error").error
    assert isinstance(error, ProtocolError)
    assert error.__cause__ is not None
    item = raw.get("item") or {}
    assert repr(item.get("id")) in str(error) or not item


def test_a_message_without_a_known_status_has_the_one_that_the_event_implies() -> None:
    told = derived_events(item_done({**MESSAGE, "status": None}))
    assert payload(told, "item_update").status == "completed"


def test_tokens_that_were_not_counted_are_none() -> None:
    usage = {"input_tokens": None, "output_tokens": None}
    told = derived_events(event("response.done", response={"id": "r", "usage": usage}))
    assert payload(told, "usage_update").total_tokens == 0


@pytest.mark.parametrize("cls", [ClientProtocol, WebSocketProtocol])
@pytest.mark.parametrize(
    "response",
    [
        {"id": "r", "status": "brand_new", "output": [MESSAGE], "usage": {"input_tokens": 3}},
        {"id": "r", "output": "none", "usage": {"input_tokens": "many", "output_tokens": [2]}},
        {"id": "r", "usage": "none"},
        None,
    ],
)
def test_a_turn_is_done_in_whatever_form_that_is_told(
    cls: type[ClientProtocol], response: Any
) -> None:
    protocol = cls()
    protocol.receive(event("response.created", response={"id": "r", "conversation_id": "c"}))
    protocol.take_emits()
    done = event("response.done", response=response)
    protocol.receive(done)
    told = protocol.take_emits()
    assert [emit.type for emit in told] == ["*", "turn_done"]
    turn = payload(told, "turn_done").response
    assert turn.id == ("r" if response else "")
    is_first = response is not None and "status" in response
    assert (turn.output, turn.usage.total_tokens) == (([MESSAGE], 3) if is_first else ([], 0))
    assert not protocol.ongoing_response
    protocol.receive(done)
    assert [emit.type for emit in protocol.take_emits()] == ["*"]


def test_the_format_of_a_response_is_forgotten_in_whatever_form_it_ends() -> None:
    protocol = WebSocketProtocol()
    own = {"output": {"format": {"type": "audio/pcmu"}}}
    protocol.receive(event("response.created", response={"id": "r", "audio": own}))
    assert protocol.audio_format("r") == {"type": "audio/pcmu"}
    protocol.receive(event("response.done", response={"id": "r", "status": "brand_new"}))
    assert protocol.audio_format("r") is None


def test_speech_of_the_user_may_have_no_transcript_yet() -> None:
    told = derived_events(item_done({**MESSAGE, "content": [{"type": "input_audio"}]}))
    assert payload(told, "item_update").content[0].transcript is None


def test_a_place_in_an_event_that_gives_none_means_nothing() -> None:
    raw = {**event("conversation.item.retrieved", item=MESSAGE), "previous_item_id": 4}
    assert "previous_item_id" not in payload(derived_events(raw), "item_update").model_fields_set
