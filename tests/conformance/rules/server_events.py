"""Server events that the reference cannot read, or reads wrongly."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.conformance.case import Scene
from tests.conformance.names import from_payload
from tests.conformance.rules.base import Rule, error_event, server_steps, tell, told
from tests.conformance.trace import Emitted, Failure, Sent, Trace
from tests.conformance.values import ErrorShape

__all__ = ["RULES"]

Event = Mapping[str, Any]

UNREADABLE = ("ZodError", "SyntaxError", "TypeError")


def _unread(expected: Trace, step: int) -> Failure | None:
    """The exception that came out because an item could not be read."""
    for failure in expected.failures:
        is_parser = isinstance(failure.error, ErrorShape) and failure.error.cls in UNREADABLE
        if failure.step == step and failure.where == "listener" and is_parser:
            return failure
    return None


def _told_as_error(is_meant: Callable[[Event], bool]) -> Callable[[Scene, Trace], None]:
    """An item that cannot be read is an `error` event."""

    def rewrite(scene: Scene, expected: Trace) -> None:
        for index, event in server_steps(scene):
            failure = _unread(expected, index)
            if failure is not None and is_meant(event.get("item") or {}):
                expected.failures.remove(failure)
                tell(expected, index, error_event("ProtocolError"))

    return rewrite


def _lacks(name: str, *kinds: str) -> Callable[[Event], bool]:
    return lambda item: item.get("type") in kinds and not isinstance(item.get(name), str)


def _has_mismatched_content(item: Event) -> bool:
    is_whole = all(item.get(key) for key in ("id", "role", "content"))
    return item.get("type") == "message" and is_whole and not _has_audio_without_transcript(item)


def _has_audio_without_transcript(item: Event) -> bool:
    content = item.get("content") if item.get("role") == "user" else None
    return isinstance(content, list) and any(
        part.get("type") == "input_audio" and "transcript" not in part
        for part in content
        if isinstance(part, dict)
    )


def _message_update(event: Event) -> tuple[str, list[Any]]:
    item = event["item"]
    is_added = event["type"] in ("conversation.item.added", "response.output_item.added")
    update = {
        "item_id": item["id"],
        "type": "message",
        "role": item["role"],
        "status": item.get("status") or ("in_progress" if is_added else "completed"),
        "content": item["content"],
    }
    if event["type"] in ("conversation.item.added", "conversation.item.done"):
        update["previous_item_id"] = event.get("previous_item_id")
    return "item_update", [from_payload("item_update", update)]


def _transcript_may_come_later(scene: Scene, expected: Trace) -> None:
    for index, event in server_steps(scene):
        failure = _unread(expected, index)
        if failure is not None and _has_audio_without_transcript(event.get("item") or {}):
            expected.failures.remove(failure)
            tell(expected, index, _message_update(event))


def _retrieving_fails(scene: Scene, expected: Trace) -> None:
    for failure in list(expected.failures):
        error = failure.error
        is_ours = isinstance(error, ErrorShape) and "is not connected" in (error.message or "")
        if failure.where == "listener" and is_ours:
            expected.failures.remove(failure)
            tell(expected, failure.step, error_event("TransportError"))


def _typed(
    is_meant: Callable[[Event], bool],
    derived: Callable[[Event], list[tuple[str, list[Any]]]] = lambda event: [],
) -> Callable[[Scene, Trace], None]:
    """An event that the reference only tells as ``*`` is told under its type, and read."""

    def rewrite(scene: Scene, expected: Trace) -> None:
        for index, event in server_steps(scene):
            is_generic = [emitted.type for emitted in told(expected, index)] == ["*"]
            if is_generic and is_meant(event):
                tell(expected, index, (event["type"], [dict(event)]), *derived(event))

    return rewrite


def _part(event: Event) -> Event:
    part = event.get("part")
    return part if isinstance(part, dict) else {}


def _is_new_content_part(event: Event) -> bool:
    is_part = str(event.get("type")).startswith("response.content_part.")
    is_whole = {"event_id", "item_id", "content_index", "output_index", "response_id"} <= set(event)
    is_new = _part(event).get("type") in ("output_text", "output_audio")
    transcript = "transcript" in _part(event) and _part(event)["transcript"] is None
    return is_part and is_whole and (is_new or transcript)


def _has_other_limits(event: Event) -> bool:
    limits = event.get("rate_limits")
    return (
        event.get("type") == "rate_limits.updated"
        and isinstance(limits, list)
        and any(limit.get("name") not in ("requests", "tokens") for limit in limits)
    )


def _is_failure_with_nulls(event: Event) -> bool:
    error = event.get("error")
    return (
        event.get("type") == "conversation.item.input_audio_transcription.failed"
        and "event_id" in event
        and isinstance(error, dict)
        and any(key in error and error[key] is None for key in ("code", "param"))
    )


def _has_no_obfuscation(event: Event) -> bool:
    return (
        event.get("type") == "response.mcp_call_arguments.delta"
        and event.get("obfuscation") is None
        and {"event_id", "item_id", "output_index", "response_id", "delta"} <= set(event)
    )


def _item(event: Event) -> Event:
    item = event.get("item")
    return item if isinstance(item, dict) else {}


def _has_image(event: Event) -> bool:
    content = _item(event).get("content")
    return isinstance(content, list) and any(
        part.get("type") == "input_image" for part in content if isinstance(part, dict)
    )


def _lists_undescribed_tools(event: Event) -> bool:
    tools = _item(event).get("tools")
    return (
        _item(event).get("type") == "mcp_list_tools"
        and isinstance(tools, list)
        and any(not isinstance(t.get("description"), str) for t in tools if isinstance(t, dict))
    )


def _listed(event: Event) -> list[tuple[str, list[Any]]]:
    if event["type"] != "conversation.item.done":
        return []
    listed = {"server_label": _item(event).get("server_label", ""), "tools": _item(event)["tools"]}
    return [("mcp_tools_listed", [listed])]


def _is_call_without_response(event: Event) -> bool:
    is_output = str(event.get("type")).startswith("response.output_item.")
    is_call = _item(event).get("type") == "function_call"
    return is_output and is_call and "response_id" not in event and "event_id" in event


def _called(event: Event) -> list[tuple[str, list[Any]]]:
    item = _item(event)
    if item.get("status") != "completed":
        return []
    update = {"item_id": item["id"], "type": "function_call", "status": "in_progress"}
    update |= {"arguments": item["arguments"], "name": item["name"]}
    call = {"id": item["id"], "type": "function_call", "call_id": item.get("call_id", "")}
    call |= {"arguments": item["arguments"], "name": item["name"]}
    return [("item_update", [update]), ("function_call", [call])]


def _calls_are_told_once(scene: Scene, expected: Trace) -> None:
    seen: set[Any] = set()
    for emitted in list(expected.emitted):
        if emitted.type == "disconnected":
            seen.clear()
        if emitted.type != "function_call":
            continue
        if emitted.args[0].get("id") in seen:
            expected.emitted.remove(emitted)
        seen.add(emitted.args[0].get("id"))


def _mcp_calls(scene: Scene, expected: Trace) -> Iterator[tuple[Event, Emitted]]:
    """What is told of MCP calls, with the event that tells of them."""
    for index, event in server_steps(scene):
        if _item(event).get("type") not in _MCP_CALLS:
            continue
        for emitted in told(expected, index):
            if emitted.type in ("item_update", "mcp_tool_call_completed"):
                yield event, emitted


def _retrieved_calls_are_over(scene: Scene, expected: Trace) -> None:
    for event, emitted in _mcp_calls(scene, expected):
        if event["type"] == "conversation.item.retrieved":
            by_output = "in_progress" if _item(event).get("output") is None else "completed"
            status = _item(event).get("status", by_output)
            emitted.args = [{**emitted.args[0], "status": status}]


def _failed_calls_have_failed(scene: Scene, expected: Trace) -> None:
    for event, emitted in _mcp_calls(scene, expected):
        error = _item(event).get("error")
        if error is not None:
            emitted.args = [{**emitted.args[0], "status": "failed", "error": error}]


def _calls_without_output_are_read(scene: Scene, expected: Trace) -> None:
    for index, event in server_steps(scene):
        item = _item(event)
        failure = _unread(expected, index)
        if failure is None or item.get("type") not in _MCP_CALLS or "output" in item:
            continue
        is_whole = all(isinstance(item.get(key), str) for key in ("id", "name", "arguments"))
        if not is_whole:
            continue
        expected.failures.remove(failure)
        status = "completed" if str(event["type"]).endswith(".done") else "in_progress"
        call = {"item_id": item["id"], "type": item["type"], "status": status}
        call |= {"arguments": item["arguments"], "name": item["name"]}
        tell(expected, index, ("item_update", [call]))
        if event["type"] == "conversation.item.done":
            tell(expected, index, ("mcp_tool_call_completed", [dict(call)]))


def _calls_need_a_call_id(scene: Scene, expected: Trace) -> None:
    for emitted in expected.emitted:
        if emitted.type == "function_call" and not emitted.args[0].get("call_id"):
            emitted.type, emitted.args = error_event("ProtocolError")


def _is_failed_mcp_call(event: Event) -> bool:
    fields = ("event_id", "item_id")
    return (
        event.get("type") == "response.mcp_call.failed"
        and all(isinstance(event.get(name), str) for name in fields)
        and isinstance(event.get("output_index"), int | float)
        and not isinstance(event["output_index"], bool)
    )


def _typed_events_are_raw(scene: Scene, expected: Trace) -> None:
    raw: dict[str, Any] = {}
    for emitted in expected.emitted:
        payload = emitted.args[0] if emitted.args else None
        if emitted.type == "*":
            raw = {**raw, payload["type"]: payload} if isinstance(payload, dict) else raw
        elif emitted.type == "turn_started" and "response.created" in raw:
            emitted.args = [{**payload, "provider_data": raw["response.created"]}]
        elif emitted.type == "error" and _is_server_error(payload) and "error" in raw:
            emitted.args = [{**payload, "error": raw["error"]}]
        elif emitted.type in raw and emitted.type != "error":
            emitted.args = [raw[emitted.type]]


def _is_server_error(payload: Any) -> bool:
    return isinstance(payload, dict) and isinstance(payload.get("error"), dict)


def _session_may_be_null(scene: Scene, expected: Trace) -> None:
    for index, event in server_steps(scene):
        failure = _unread(expected, index)
        is_created = event.get("type") == "session.created"
        if failure is None or not is_created or event.get("session", ...) is not None:
            continue
        expected.failures.remove(failure)
        conn = max((sent.conn for sent in expected.sent if sent.step < index), default=0)
        session = {"type": "realtime", "tracing": _tracing_asked_for(scene, index)}
        update = Sent(index, conn, {"type": "session.update", "session": session})
        at = sum(sent.step <= index for sent in expected.sent)
        expected.sent.insert(at, update)


def _tracing_asked_for(scene: Scene, before: int) -> Any:
    tracing: Any = "auto"
    for step in scene.steps[:before]:
        if step.get("call") == "connect":
            options = step["args"][0] if step.get("args") else {}
            tracing = (options.get("initialSessionConfig") or {}).get("tracing", "auto")
    return tracing


def _bytes_are_read(scene: Scene, expected: Trace) -> None:
    for index, step in enumerate(scene.steps):
        event = _event_in(step.get("serverBytes"))
        is_link = scene.transport == "webrtc" and "conn" not in step
        if event is None or not is_link or expected.status_before(index) != "connected":
            continue
        # All that follows from the event would follow here too.
        expected.forget_from(index)

        def is_told(actual: Trace, index: int = index, event: Any = event) -> bool:
            return any(e.type == "*" and e.args == [event] for e in told(actual, index))

        expected.requirements.append((f"the event in bytes is told in step {index}", is_told))


def _event_in(encoded: object) -> Event | None:
    try:
        event = json.loads(base64.b64decode(str(encoded)))
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("type"), str) else None


_MESSAGE = ("message",)
_MCP_CALLS = ("mcp_call", "mcp_tool_call")
_CALLS = ("function_call", "mcp_call", "mcp_tool_call")
_ERROR = "an item that cannot be read is told as `error`, and the connection stays"
_READ = "the event is read, and told under its type"

RULES = [
    Rule("missing-id-throws", _ERROR, _told_as_error(_lacks("id", *_MESSAGE, *_CALLS))),
    Rule("missing-role-throws", _ERROR, _told_as_error(_lacks("role", *_MESSAGE))),
    Rule(
        "missing-content-throws",
        _ERROR,
        _told_as_error(lambda item: item.get("type") == "message" and "content" not in item),
    ),
    Rule(
        "input-audio-transcript-required",
        "speech of the user may have no transcript yet",
        _transcript_may_come_later,
    ),
    Rule("role-content-mismatch-throws", _ERROR, _told_as_error(_has_mismatched_content)),
    Rule("missing-name-throws", _ERROR, _told_as_error(_lacks("name", *_CALLS))),
    Rule("missing-arguments-throws", _ERROR, _told_as_error(_lacks("arguments", *_CALLS))),
    Rule(
        "missing-label-throws",
        _ERROR,
        _told_as_error(_lacks("server_label", "mcp_approval_request")),
    ),
    Rule(
        "approval-bad-json-throws",
        _ERROR,
        _told_as_error(lambda item: item.get("type") == "mcp_approval_request"),
    ),
    Rule(
        "retrieve-throws-in-listener",
        "a retrieval that cannot be sent is told as `error`",
        _retrieving_fails,
    ),
    Rule("content-part-ga-types", _READ, _typed(_is_new_content_part)),
    Rule("rate-limit-names", _READ, _typed(_has_other_limits)),
    Rule("transcription-failed-nulls", _READ, _typed(_is_failure_with_nulls)),
    Rule("obfuscation-required", _READ, _typed(_has_no_obfuscation)),
    Rule(
        "input-image-generic",
        "images reach the history",
        _typed(_has_image, lambda event: [_message_update(event)]),
    ),
    Rule("mcp-tool-description-required", _READ, _typed(_lists_undescribed_tools, _listed)),
    Rule("missing-response-id-generic", _READ, _typed(_is_call_without_response, _called)),
    Rule(
        "missing-call-id-empty",
        "a function call that cannot be answered is told as `error`, not to be run",
        _calls_need_a_call_id,
    ),
    Rule("mcp-call-failed-generic", _READ, _typed(_is_failed_mcp_call)),
    Rule("mcp-output-missing-throws", _READ, _calls_without_output_are_read),
    Rule("function-call-emitted-twice", "a call is told once", _calls_are_told_once),
    Rule(
        "mcp-retrieved-in-progress",
        "a retrieved MCP call that has an output is over",
        _retrieved_calls_are_over,
    ),
    Rule(
        "mcp-error-dropped",
        "an MCP call that failed has the status failed, and its error",
        _failed_calls_have_failed,
    ),
    Rule(
        "session-created-null-throws",
        "a session that is null is one of which nothing is known",
        _session_may_be_null,
    ),
    Rule("binary-json-dropped", "JSON is read in bytes too", _bytes_are_read),
    Rule(
        "typed-events-strip-unknown-fields",
        "an event under its own type is told as it came",
        _typed_events_are_raw,
    ),
]
