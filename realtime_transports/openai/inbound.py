"""What the transport's own events are that follow from one server event.

Nothing here is remembered from one event to the next; what needs memory is in `protocol`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from realtime_core.errors import ProtocolError
from realtime_core.events import (
    AudioEvent,
    Emit,
    ErrorEvent,
    FunctionCall,
    ItemDeleted,
    McpToolsListed,
    TextDelta,
    TranscriptDelta,
    TurnDone,
    TurnResponse,
    TurnStarted,
    TurnUsage,
    UsageUpdate,
)
from realtime_core.items import RealtimeItem, parse_item
from realtime_transports.openai import wire

__all__ = ["audio_event", "derived_events"]

JsonObject = dict[str, Any]


def derived_events(event: JsonObject) -> list[Emit]:
    """The events that follow a server event, its own type first.

    Args:
        event: What `server_events.known_fields` gave.

    Returns:
        The events; the last one is an `error` where the server describes an item that is none.
    """
    if event["type"] == "error":
        return [Emit("error", (ErrorEvent(event),))]
    events = [Emit(event["type"], (event,))]
    derive = _DERIVATIONS.get(event["type"])
    if derive is None:
        return events
    try:
        events.extend(derive(event))
    except (ValueError, RecursionError) as exc:
        # pydantic's ValidationError and json's JSONDecodeError are ValueErrors.
        error = ProtocolError(f"the server sent an item in {event['type']!r} that cannot be read")
        error.__cause__ = exc
        events.append(Emit("error", (ErrorEvent(error),)))
    return events


def audio_event(event: JsonObject) -> AudioEvent:
    """The audio in a `response.output_audio.delta`, where audio comes by events.

    Raises:
        ProtocolError: The delta is no base64.
    """
    return AudioEvent(
        data=wire.decode_audio(event["delta"]),
        response_id=event["response_id"],
        item_id=event["item_id"],
        content_index=event["content_index"],
    )


def _response_created(event: JsonObject) -> Iterator[Emit]:
    yield Emit("turn_started", (TurnStarted(event),))


def _response_done(event: JsonObject) -> Iterator[Emit]:
    response = event["response"]
    usage = response.get("usage") or {}
    spent = TurnUsage(
        input_tokens=usage.get("input_tokens", 0),
        output_tokens=usage.get("output_tokens", 0),
        total_tokens=usage.get("input_tokens", 0) + usage.get("output_tokens", 0),
        input_tokens_details=usage.get("input_token_details") or {},
        output_tokens_details=usage.get("output_token_details") or {},
    )
    yield Emit(
        "usage_update",
        (
            UsageUpdate(
                input_tokens=spent.input_tokens,
                output_tokens=spent.output_tokens,
                total_tokens=spent.total_tokens,
                input_tokens_details=[spent.input_tokens_details],
                output_tokens_details=[spent.output_tokens_details],
            ),
        ),
    )
    turn = TurnResponse(response.get("id") or "", response.get("output") or [], spent)
    yield Emit("turn_done", (TurnDone(turn),))


def _audio_done(_event: JsonObject) -> Iterator[Emit]:
    yield Emit("audio_done")


def _transcript_delta(event: JsonObject) -> Iterator[Emit]:
    delta = TranscriptDelta(event["delta"], event["item_id"], event["response_id"])
    yield Emit("audio_transcript_delta", (delta,))


def _text_delta(event: JsonObject) -> Iterator[Emit]:
    delta = TextDelta(event["delta"], event["item_id"], event["response_id"])
    yield Emit("output_text_delta", (delta,))


def _item_deleted(event: JsonObject) -> Iterator[Emit]:
    yield Emit("item_deleted", (ItemDeleted(event["item_id"]),))


def _conversation_item(event: JsonObject) -> Iterator[Emit]:
    item = event["item"]
    is_done = event["type"] == "conversation.item.done"
    match item.get("type"):
        case "message":
            is_added = event["type"] == "conversation.item.added"
            yield _item_update(
                _message(
                    item,
                    status="in_progress" if is_added else "completed",
                    **_picked(event, "previous_item_id"),
                )
            )
        case "mcp_list_tools" if is_done:
            tools = McpToolsListed(item.get("server_label", ""), item.get("tools", []))
            yield Emit("mcp_tools_listed", (tools,))
        case "mcp_approval_request" if is_done:
            request = _approval_request(item)
            yield _item_update(request)
            yield Emit("mcp_approval_request", (request,))
        case "mcp_call" | "mcp_tool_call":
            call = _mcp_call(item, status="completed" if is_done else _retrieved_status(event))
            yield _item_update(call)
            if is_done:
                yield Emit("mcp_tool_call_completed", (call,))


def _output_item(event: JsonObject) -> Iterator[Emit]:
    item = event["item"]
    status = "completed" if event["type"] == "response.output_item.done" else "in_progress"
    match item.get("type"):
        case "message":
            yield _item_update(_message(item, status=status))
        case "mcp_call" | "mcp_tool_call":
            yield _item_update(_mcp_call(item, status=status))
        case "function_call" if item.get("status") == "completed":
            # For the program the call has only begun: it is completed when its output was sent.
            call = {**_picked(item, "type", "arguments", "name"), "status": "in_progress"}
            yield _item_update(parse_item({**_item_id(item), **call, "output": None}))
            yield Emit("function_call", (_function_call(item, event.get("response_id")),))


def _function_call(item: JsonObject, response_id: str | None) -> FunctionCall:
    return FunctionCall(
        id=item["id"],
        call_id=item.get("call_id", ""),
        name=item["name"],
        arguments=item["arguments"],
        response_id=response_id,
    )


def _item_update(item: RealtimeItem) -> Emit:
    return Emit("item_update", (item,))


def _message(item: JsonObject, *, status: str, **place: object) -> RealtimeItem:
    fields: JsonObject = {**_item_id(item), **place, **_picked(item, "type", "role")}
    if "content" in item:
        fields["content"] = [_content_part(part, item.get("role")) for part in item["content"]]
    if item.get("role") != "system":
        fields["status"] = item.get("status", status)
    return parse_item(fields)


def _content_part(part: JsonObject, role: object) -> JsonObject:
    # Servers older than the GA API call the model's speech "audio".
    if role == "assistant" and part["type"] == "audio":
        return {**part, "type": "output_audio"}
    return part


def _mcp_call(item: JsonObject, *, status: str) -> RealtimeItem:
    fields = _picked(item, "type", "arguments", "name")
    return parse_item({**_item_id(item), **fields, "status": status, "output": item.get("output")})


def _retrieved_status(event: JsonObject) -> str:
    if event["type"] != "conversation.item.retrieved":
        return "in_progress"
    return str(event["item"].get("status", "in_progress"))


def _approval_request(item: JsonObject) -> RealtimeItem:
    arguments = json.loads(item.get("arguments") or "{}")
    fields = _picked(item, "type", "server_label", "name", "approved")
    return parse_item({**_item_id(item), **fields, "arguments": arguments})


def _item_id(item: Mapping[str, Any]) -> JsonObject:
    return {"item_id": item["id"]} if "id" in item else {}


def _picked(fields: Mapping[str, Any], *names: str) -> JsonObject:
    return {name: fields[name] for name in names if name in fields}


_DERIVATIONS: dict[str, Callable[[JsonObject], Iterator[Emit]]] = {
    "response.created": _response_created,
    "response.done": _response_done,
    "response.output_audio.done": _audio_done,
    "response.output_audio_transcript.delta": _transcript_delta,
    "response.output_text.delta": _text_delta,
    "response.output_item.added": _output_item,
    "response.output_item.done": _output_item,
    "conversation.item.added": _conversation_item,
    "conversation.item.done": _conversation_item,
    "conversation.item.retrieved": _conversation_item,
    "conversation.item.deleted": _item_deleted,
}
