"""The check of server events, checked: it takes what the API sends and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.realtime_schema import NotInTheApiError, event_types, require_api_event

ERROR = {
    "type": "error",
    "event_id": "event_1",
    "error": {"type": "invalid_request_error", "code": None, "message": "no", "param": None},
}
ITEM = {
    "type": "message",
    "role": "user",
    "id": "item_1",
    "object": "realtime.item",
    "status": "completed",
    "content": [{"type": "input_text", "text": "hi"}],
}
ADDED = {
    "type": "conversation.item.added",
    "event_id": "event_1",
    "previous_item_id": None,
    "item": ITEM,
}


def test_the_api_has_46_server_events() -> None:
    assert len(event_types()) == 46


@pytest.mark.parametrize("event", [ERROR, ADDED])
def test_what_the_api_sends_passes(event: dict[str, Any]) -> None:
    require_api_event(event)


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        {"type": "session.flown", "event_id": "event_1"},
        {**ERROR, "colour": "red"},
        {**ERROR, "event_id": None},
        {**ERROR, "error": {**ERROR["error"], "colour": "red"}},
        {**ERROR, "error": {"message": "no type"}},
        {**ADDED, "previous_item_id": 3},
        {**ADDED, "item": {**ITEM, "colour": "red"}},
        {**ADDED, "item": {**ITEM, "role": "cook"}},
        {**ADDED, "item": {**ITEM, "content": [{"type": "text", "text": "hi"}]}},
        {**ADDED, "item": {**ITEM, "content": [{"type": "input_text", "text": 3}]}},
        {**ADDED, "item": {**ITEM, "content": [{"type": "input_text", "words": "hi"}]}},
        {
            "type": "session.created",
            "event_id": "event_1",
            "session": {"type": "realtime", "id": "s", "object": "realtime.session", "x": 1},
        },
    ],
)
def test_what_the_api_would_not_send_does_not_pass(event: Any) -> None:
    with pytest.raises(NotInTheApiError):
        require_api_event(event)
