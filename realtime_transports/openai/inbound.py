"""What the transport's own events are that follow from one server event.

Nothing here is remembered from one event to the next; what needs memory is in `protocol`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

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

__all__ = ["audio_event", "derived_events", "drifted_turn_done"]

JsonObject = dict[str, Any]
Value = TypeVar("Value")


def derived_events(event: JsonObject) -> list[Emit]:
    """The events that follow a server event, its own type first.

    Args:
        event: One that has a known form (`server_events.has_known_form`).

    Returns:
        The events; the last one is an `error` where the server describes an item that is none.
    """
    event_type = event["type"]
    if event_type == "error":
        return [Emit("error", (ErrorEvent(event),))]
    events = [Emit(event_type, (event,))]
    derive = _DERIVATIONS.get(event_type)
    if derive is None:
        return events
    try:
        events += derive(event)
    except (ValueError, RecursionError, ArithmeticError) as exc:
        # pydantic's ValidationError and json's JSONDecodeError are ValueErrors.
        events.append(_unreadable(event, exc))
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


def drifted_turn_done(event: JsonObject) -> Emit:
    """The `turn_done` of a `response.done` that has no known form: what of it can be read."""
    response = _read(event, "response", dict) or {}
    usage = _read(response, "usage", dict) or {}
    tokens_in, tokens_out = (
        _read(usage, f"{side}_tokens", int) or 0 for side in ("input", "output")
    )
    details_in, details_out = (
        _read(usage, f"{side}_token_details", dict) or {} for side in ("input", "output")
    )
    spent = TurnUsage(tokens_in, tokens_out, tokens_in + tokens_out, details_in, details_out)
    turn = TurnResponse(
        _read(response, "id", str) or "", _read(response, "output", list) or [], spent
    )
    return Emit("turn_done", (TurnDone(turn),))


def _read(fields: JsonObject, name: str, kind: type[Value]) -> Value | None:
    value = fields.get(name)
    return value if isinstance(value, kind) and not isinstance(value, bool) else None


def _unreadable(event: JsonObject, exc: Exception) -> Emit:
    item = event.get("item")
    what = f"item {item.get('id')!r}" if isinstance(item, dict) else "an object"
    error = ProtocolError(f"the server sent {what} in {event['type']!r} that cannot be read")
    error.__cause__ = exc
    return Emit("error", (ErrorEvent(error),))


def _response_created(event: JsonObject) -> list[Emit]:
    return [Emit("turn_started", (TurnStarted(event),))]


def _response_done(event: JsonObject) -> list[Emit]:
    response = event["response"]
    usage = response.get("usage") or {}
    tokens_in, tokens_out = usage.get("input_tokens") or 0, usage.get("output_tokens") or 0
    details_in = usage.get("input_token_details") or {}
    details_out = usage.get("output_token_details") or {}
    counts = (tokens_in, tokens_out, tokens_in + tokens_out)
    update = UsageUpdate(*counts, [details_in], [details_out])
    spent = TurnUsage(*counts, details_in, details_out)
    turn = TurnResponse(response.get("id") or "", response.get("output") or [], spent)
    return [Emit("usage_update", (update,)), Emit("turn_done", (TurnDone(turn),))]


def _audio_done(_event: JsonObject) -> list[Emit]:
    return [Emit("audio_done")]


def _transcript_delta(event: JsonObject) -> list[Emit]:
    delta = TranscriptDelta(event["delta"], event["item_id"], event["response_id"])
    return [Emit("audio_transcript_delta", (delta,))]


def _text_delta(event: JsonObject) -> list[Emit]:
    delta = TextDelta(event["delta"], event["item_id"], event["response_id"])
    return [Emit("output_text_delta", (delta,))]


def _item_deleted(event: JsonObject) -> list[Emit]:
    return [Emit("item_deleted", (ItemDeleted(event["item_id"]),))]


def _conversation_item(event: JsonObject) -> list[Emit]:
    item = event["item"]
    is_done = event["type"] == "conversation.item.done"
    match item.get("type"):
        case "message":
            is_added = event["type"] == "conversation.item.added"
            status = "in_progress" if is_added else "completed"
            # One that is retrieved stays where it is.
            is_placed = event["type"] != "conversation.item.retrieved"
            place = _picked(event, "previous_item_id") if is_placed else {}
            return [_item_update(_message(item, status=status, **place))]
        case "mcp_list_tools" if is_done:
            tools = McpToolsListed(item.get("server_label", ""), item.get("tools", []))
            return [Emit("mcp_tools_listed", (tools,))]
        case "mcp_approval_request" if is_done:
            request = _approval_request(item)
            return [_item_update(request), Emit("mcp_approval_request", (request,))]
        case "mcp_call" | "mcp_tool_call":
            call = _mcp_call(event)
            completed = [Emit("mcp_tool_call_completed", (call,))] if is_done else []
            return [_item_update(call), *completed]
        case _:
            return []


def _output_item(event: JsonObject) -> list[Emit]:
    item = event["item"]
    match item.get("type"):
        case "message":
            is_done = event["type"] == "response.output_item.done"
            return [_item_update(_message(item, status="completed" if is_done else "in_progress"))]
        case "mcp_call" | "mcp_tool_call":
            return [_item_update(_mcp_call(event))]
        case "function_call" if item.get("status") == "completed":
            return _function_call(item, event.get("response_id"))
        case _:
            return []


def _function_call(item: JsonObject, response_id: str | None) -> list[Emit]:
    # For the program the call has only begun: it is completed when its output was sent.
    begun = {**_picked(item, "type", "arguments", "name"), "status": "in_progress", "output": None}
    update = _item_update(parse_item({**_item_id(item), **begun}))
    if not item.get("call_id"):
        # Its output could not be matched, so running it would do what nobody learns of.
        error = ProtocolError(
            f"the server sent a call of function {item['name']!r} (item {item['id']!r}) without "
            "call_id, which cannot be answered"
        )
        return [update, Emit("error", (ErrorEvent(error),))]
    call = FunctionCall(
        id=item["id"],
        call_id=item["call_id"],
        name=item["name"],
        arguments=item["arguments"],
        response_id=response_id,
    )
    return [update, Emit("function_call", (call,))]


def _item_update(item: RealtimeItem) -> Emit:
    return Emit("item_update", (item,))


def _message(item: JsonObject, *, status: str, **place: object) -> RealtimeItem:
    role = item.get("role")
    fields: JsonObject = {**_item_id(item), **place, "type": "message", "role": role}
    if "content" in item:
        fields["content"] = [_content_part(part, role) for part in item["content"]]
    if role != "system":
        fields["status"] = item.get("status") or status
    return parse_item(fields)


def _content_part(part: JsonObject, role: object) -> JsonObject:
    match part["type"]:
        # Servers older than the GA API call the model's speech "audio".
        case "audio" | "output_audio" if role == "assistant":
            return {"audio": None, **part, "type": "output_audio"}
        case "input_audio":
            return {"audio": None, **part}
        case _:
            return part


def _mcp_call(event: JsonObject) -> RealtimeItem:
    item = event["item"]
    fields = _picked(item, "type", "arguments", "name")
    fields |= {"status": _mcp_status(event), "output": item.get("output")}
    if item.get("error") is not None:
        fields["error"] = item["error"]
    return parse_item({**_item_id(item), **fields})


def _mcp_status(event: JsonObject) -> str:
    item = event["item"]
    if item.get("error") is not None:
        return "failed"
    match event["type"]:
        case "conversation.item.done" | "response.output_item.done":
            return "completed"
        case "conversation.item.retrieved":
            # The API gives such items no status; a server that does knows best.
            by_output = "in_progress" if item.get("output") is None else "completed"
            return str(item.get("status") or by_output)
        case _:
            return "in_progress"


def _approval_request(item: JsonObject) -> RealtimeItem:
    arguments = json.loads(item.get("arguments") or "{}")
    fields = _picked(item, "type", "server_label", "name", "approved")
    return parse_item({**_item_id(item), **fields, "arguments": arguments})


def _item_id(item: Mapping[str, Any]) -> JsonObject:
    return {"item_id": item["id"]} if item.get("id") is not None else {}


def _picked(fields: Mapping[str, Any], *names: str) -> JsonObject:
    return {name: fields[name] for name in names if name in fields}


_DERIVATIONS: dict[str, Callable[[JsonObject], list[Emit]]] = {
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
