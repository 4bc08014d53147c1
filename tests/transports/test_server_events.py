from __future__ import annotations

import pytest

from realtime_transports.openai.server_events import known_fields

PART = {
    "event_id": "e",
    "item_id": "i",
    "content_index": 0,
    "output_index": 0,
    "response_id": "r",
}


def test_fields_that_are_not_stated_are_left_out_and_the_event_is_not_changed():
    event = {"type": "conversation.item.deleted", "event_id": "e", "item_id": "i", "extra": {}}
    assert known_fields(event) == {
        "type": "conversation.item.deleted",
        "event_id": "e",
        "item_id": "i",
    }
    assert "extra" in event


def test_an_item_keeps_fields_that_are_not_stated():
    item = {"id": "i", "type": "message", "phase": "final"}
    event = {"type": "conversation.item.done", "event_id": "e", "item": item}
    assert known_fields(event) == event


@pytest.mark.parametrize(
    "event",
    [
        {"type": "brand.new", "event_id": "e"},
        {"type": "input_audio_buffer.cleared"},
        {"type": "input_audio_buffer.cleared", "event_id": None},
        {"type": "response.output_audio.done", **PART, "content_index": True},
        {"type": "response.output_audio.done", **PART, "content_index": "0"},
        {"type": "response.created", "event_id": "e", "response": {"status": "brand_new"}},
    ],
)
def test_an_event_of_another_form_is_not_known(event):
    assert known_fields(event) is None


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.content_part.added", **PART, "part": {"type": "output_audio"}},
        {
            "type": "response.content_part.added",
            **PART,
            "part": {"type": "audio", "transcript": None},
        },
        {"type": "rate_limits.updated", "event_id": "e", "rate_limits": [{"name": "input_tokens"}]},
        {"type": "response.mcp_call_arguments.delta", **PART, "delta": "{", "obfuscation": None},
        {
            "type": "conversation.item.input_audio_transcription.failed",
            **PART,
            "error": {"code": None, "message": "m"},
        },
        {"type": "response.output_text.delta", **PART, "delta": "\ud83d"},
    ],
)
def test_forms_that_servers_use_are_known(event):
    assert known_fields(event) is not None
