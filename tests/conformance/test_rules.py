"""Rules for behaviour that the public recordings do not show, on cases written by hand."""

from __future__ import annotations

import base64
import copy
import inspect
from typing import Any

import pytest

from tests.conformance.case import VECTORS, Case, Scene, load_folder
from tests.conformance.rules import RULES
from tests.conformance.run import run_case

CONNECT = {"call": "connect", "args": [{"apiKey": "ek_test"}]}
REQUEST = {
    "step": 0,
    "method": "POST",
    "url": "https://api.openai.com/v1/realtime/calls",
    "headers": {"content-type": "application/sdp", "authorization": "Bearer ek_test"},
    "body": "v=0 fake-offer",
}
AUDIO: dict[str, Any] = {
    "input": {
        "format": {"type": "audio/pcm", "rate": 24000},
        "noise_reduction": None,
        "transcription": {"model": "gpt-4o-mini-transcribe"},
        "turn_detection": {"type": "semantic_vad"},
    },
    "output": {"format": {"type": "audio/pcm", "rate": 24000}, "speed": 1},
}
UPDATE = {
    "type": "session.update",
    "session": {
        "type": "realtime",
        "model": "gpt-realtime-2.1",
        "output_modalities": ["audio"],
        "audio": AUDIO,
    },
}


def _told(*events: tuple[int, str, list[Any]]) -> list[dict[str, Any]]:
    return [{"step": step, "type": kind, "args": args} for step, kind, args in events]


def _status(step: int, status: str) -> tuple[int, str, list[Any]]:
    return step, "connection_change", [status]


def a_case(steps: list[dict[str, Any]], expect: dict[str, Any], **more: Any) -> Case:
    raw = {"transport": "webrtc", "steps": steps, "expect": expect, **more}
    return Case("by hand", "rules", raw)


UNCONFIRMED = a_case(
    [CONNECT, {"advanceMs": 5000}, {"get": "status"}],
    {
        "sent": [{"step": 0, "conn": 1, "event": UPDATE}],
        "emitted": _told(_status(0, "connecting"), _status(1, "connected"), (1, "connected", [])),
        "gets": [{"step": 2, "get": "status", "value": "connected"}],
        "async": [{"call": "connect", "step": 0, "settled": 1, "outcome": "ok"}],
        "http": [REQUEST],
    },
)

NEVER_OPENS = a_case(
    [CONNECT, {"advanceMs": 60000}, {"get": "status"}],
    {
        "emitted": _told(_status(0, "connecting")),
        "gets": [{"step": 2, "get": "status", "value": "connecting"}],
        "async": [{"call": "connect", "step": 0, "settled": None, "outcome": "pending"}],
        "http": [REQUEST],
    },
    autoOpen=False,
)

CLOSES_BEFORE_OPEN = a_case(
    [CONNECT, {"channel": "close"}, {"get": "status"}],
    {
        "emitted": _told(_status(0, "connecting")),
        "gets": [{"step": 2, "get": "status", "value": "connecting"}],
        "async": [{"call": "connect", "step": 0, "settled": None, "outcome": "pending"}],
        "http": [REQUEST],
    },
    autoOpen=False,
)


def received(
    event: dict[str, Any], *events: tuple[int, str, list[Any]], error: str | None = None
) -> Case:
    """What the reference made of one server event on a connection."""
    errors = [{"step": 1, "where": "listener", "class": error, "message": None}]
    acknowledged = {"type": "session.updated", "event_id": "evt_auto_ack_1"}
    acknowledged |= {"session": UPDATE["session"]}
    return a_case(
        [CONNECT, {"server": event}],
        {
            "sent": [{"step": 0, "conn": 1, "event": UPDATE}],
            "emitted": _told(
                _status(0, "connecting"),
                _status(0, "connected"),
                (0, "connected", []),
                (0, "*", [acknowledged]),
                (0, "session.updated", [acknowledged]),
                *([(1, "*", [event])] if "type" in event else []),
                *events,
            ),
            "errors": errors if error else [],
            "async": [{"call": "connect", "step": 0, "settled": 0, "outcome": "ok"}],
            "http": [REQUEST],
        },
        autoAck="first",
    )


def _item_done(**item: Any) -> dict[str, Any]:
    return {"type": "conversation.item.done", "event_id": "e", "item": item}


APPROVAL = _item_done(id="a", type="mcp_approval_request", name="n", arguments="{}")
MCP_CALL = _item_done(id="m", type="mcp_call", name="n", arguments="{}")
FAILED_MCP_CALL = _item_done(
    id="m", type="mcp_call", name="n", arguments="{}", output=None, error={"type": "http_error"}
)
COMPLETED = {"itemId": "m", "type": "mcp_call", "status": "completed", "name": "n"}
COMPLETED |= {"arguments": "{}", "output": None}
CALL = {
    "type": "response.output_item.done",
    "event_id": "e",
    "output_index": 0,
    "response_id": "r",
    "item": {
        "id": "f",
        "type": "function_call",
        "status": "completed",
        "name": "n",
        "arguments": "{}",
    },
}
CALLED = {"id": "f", "type": "function_call", "callId": "", "name": "n", "arguments": "{}"}
BEGUN = {"itemId": "f", "type": "function_call", "status": "in_progress", "name": "n"}
BEGUN |= {"arguments": "{}", "output": None}
NO_SESSION = {"type": "session.created", "event_id": "e", "session": None}
MCP_CALL_FAILED = {
    "type": "response.mcp_call.failed",
    "event_id": "e",
    "item_id": "m",
    "output_index": 0,
}
BINARY = received({})
BINARY.raw["steps"][1] = {"serverBytes": base64.b64encode(b'{"type":"x"}').decode()}


def _own(event: dict[str, Any]) -> tuple[int, str, list[Any]]:
    return 1, event["type"], [event]


def _item(item_id: str) -> dict[str, Any]:
    content = [{"type": "input_text", "text": item_id}]
    status = {"status": "completed", "content": content}
    return {"itemId": item_id, "type": "message", "role": "user", **status}


ACKNOWLEDGED = {
    "type": "session.updated",
    "event_id": "evt_auto_ack_1",
    "session": UPDATE["session"],
}
READY = _told(
    _status(0, "connecting"),
    _status(0, "connected"),
    (0, "connected", []),
    (0, "*", [ACKNOWLEDGED]),
    (0, "session.updated", [ACKNOWLEDGED]),
)
AT_ONCE = {"async": [{"call": "connect", "step": 0, "settled": 0, "outcome": "ok"}]}


def _connected_case(
    steps: list[dict[str, Any]], sent: list[dict[str, Any]], told: list[dict[str, Any]]
) -> Case:
    first = {"step": 0, "conn": 1, "event": UPDATE}
    expect = {"sent": [first, *sent], "emitted": [*READY, *told], **AT_ONCE, "http": [REQUEST]}
    return a_case([CONNECT, *steps], expect, autoAck="first")


GONE = {"type": "conversation.item.deleted", "event_id": "e", "item_id": "a"}
REFUSED = {"type": "error", "event_id": "e", "error": {"event_id": "agents_create_2"}}
HALF_RESET = _connected_case(
    [
        {"call": "resetHistory", "args": [[_item("a")], [_item("b")]]},
        {"server": GONE},
        {"server": REFUSED},
    ],
    [
        {
            "step": 1,
            "conn": 1,
            "event": {
                "type": "conversation.item.delete",
                "item_id": "a",
                "event_id": "agents_delete_1",
            },
        },
        {
            "step": 1,
            "conn": 1,
            "event": {
                "type": "conversation.item.create",
                "item": {
                    "id": "b",
                    **{key: value for key, value in _item("b").items() if key != "itemId"},
                },
                "event_id": "agents_create_2",
            },
        },
    ],
    _told(
        (2, "*", [GONE]),
        (2, GONE["type"], [GONE]),
        (2, "item_deleted", [{"itemId": "a"}]),
        (3, "*", [REFUSED]),
        (3, "error", [{"type": "error", "error": REFUSED}]),
    ),
)


FUNCTION = {"type": "function_call", "name": "n", "arguments": "{}"}
MADE = {
    "type": "response.output_item.done",
    "event_id": "e",
    "output_index": 0,
    "response_id": "r",
    "item": {**FUNCTION, "id": "f", "call_id": "c", "status": "completed"},
}
OUTPUT_ADDED = {
    "type": "conversation.item.added",
    "event_id": "e",
    "item": {"id": "o", "type": "function_call_output", "call_id": "c", "output": "sunny"},
}
ANSWERED_ELSEWHERE = _connected_case(
    [{"server": MADE}, {"server": OUTPUT_ADDED}],
    [],
    _told(
        (1, "*", [MADE]),
        (1, MADE["type"], [MADE]),
        (1, "item_update", [{**FUNCTION, "itemId": "f", "status": "in_progress", "output": None}]),
        (1, "function_call", [{**FUNCTION, "id": "f", "callId": "c", "responseId": "r"}]),
        (2, "*", [OUTPUT_ADDED]),
        (2, OUTPUT_ADDED["type"], [OUTPUT_ADDED]),
    ),
)


@pytest.mark.parametrize(
    ("case", "quirk"),
    [
        (ANSWERED_ELSEWHERE, "function-call-output-not-emitted"),
        (HALF_RESET, "partial-reset-no-rollback"),
        (received(APPROVAL, _own(APPROVAL), error="ZodError"), "missing-label-throws"),
        (received(MCP_CALL, _own(MCP_CALL), error="ZodError"), "mcp-output-missing-throws"),
        (
            received(
                FAILED_MCP_CALL,
                _own(FAILED_MCP_CALL),
                (1, "item_update", [COMPLETED]),
                (1, "mcp_tool_call_completed", [COMPLETED]),
            ),
            "mcp-error-dropped",
        ),
        (
            received(
                CALL,
                _own(CALL),
                (1, "item_update", [BEGUN]),
                (1, "function_call", [{**CALLED, "responseId": "r"}]),
            ),
            "missing-call-id-empty",
        ),
        (received(NO_SESSION, _own(NO_SESSION), error="TypeError"), "session-created-null-throws"),
        (received(MCP_CALL_FAILED), "mcp-call-failed-generic"),
        (BINARY, "binary-json-dropped"),
        (UNCONFIRMED, "ack-timeout-resolves-connect"),
        (NEVER_OPENS, "no-connect-deadline"),
        (CLOSES_BEFORE_OPEN, "channel-close-before-open-hangs"),
    ],
)
def test_a_mended_behaviour_differs_under_its_quirk(case: Case, quirk: str) -> None:
    outcome = run_case(case)
    assert (outcome.kind, outcome.quirk) == ("differs", quirk), outcome.detail


def test_nothing_is_interrupted_over_websocket_once_all_was_heard() -> None:
    cases = {case.name: case for case in load_folder(VECTORS / "public")}
    raw = copy.deepcopy(cases["int_ws_after_response_done_playing"].raw)
    raw["steps"][-2] = {"advanceMs": 5001}
    del raw["expect"]["sent"][-1]
    outcome = run_case(Case("by hand", "rules", raw))
    assert (outcome.kind, outcome.quirk) == ("differs", "rtc-no-audio-interrupted"), outcome.detail


def test_rules_do_not_see_what_a_case_is_called() -> None:
    assert not {"name", "area", "quirk", "touches"} & inspect.signature(Scene).parameters.keys()


def test_each_quirk_has_one_rule() -> None:
    quirks = [rule.quirk for rule in RULES]
    assert len(set(quirks)) == len(quirks)
    assert all(rule.instead for rule in RULES)
