from __future__ import annotations

import copy

import pytest

from realtime_transports.openai.server_events import has_known_form

PART = {
    "event_id": "e",
    "item_id": "i",
    "content_index": 0,
    "output_index": 0,
    "response_id": "r",
}


def test_fields_that_are_not_stated_may_be_anything_and_nothing_is_changed():
    item = {"id": "i", "type": "message", "phase": ["final"]}
    event = {"type": "conversation.item.done", "event_id": "e", "item": item, "extra": {"a": [1]}}
    before = copy.deepcopy(event)
    assert has_known_form(event)
    assert event == before


class Word(str):
    """As a middleware may put it there."""

    __slots__ = ()


def test_a_value_of_a_derived_type_will_do():
    assert has_known_form({"type": "conversation.item.deleted", "event_id": "e", "item_id": Word()})


@pytest.mark.parametrize(
    "event",
    [
        {"type": "brand.new", "event_id": "e"},
        {"type": "input_audio_buffer.cleared"},
        {"type": "input_audio_buffer.cleared", "event_id": None},
        {"type": "response.output_audio.done", **PART, "content_index": True},
        {"type": "response.output_audio.done", **PART, "content_index": "0"},
        {"type": "response.created", "event_id": "e", "response": {"status": "brand_new"}},
        {"type": "response.created", "event_id": "e", "response": {"max_output_tokens": "many"}},
        {"type": "response.created", "event_id": "e", "response": {"output_modalities": [1]}},
        {"type": "response.created", "event_id": "e", "response": [{}]},
        {"type": "session.updated", "event_id": "e"},
        {"type": "rate_limits.updated", "event_id": "e", "rate_limits": ["tokens"]},
        {
            "type": "conversation.item.input_audio_transcription.completed",
            **PART,
            "transcript": "t",
            "usage": {"type": "tokens", "seconds": 1},
        },
    ],
)
def test_an_event_of_another_form_is_not_known(event):
    assert not has_known_form(event)


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
        {"type": "response.created", "event_id": "e", "response": {"max_output_tokens": 1.5}},
        {"type": "session.updated", "event_id": "e", "session": None},
        {
            "type": "conversation.item.input_audio_transcription.completed",
            **PART,
            "transcript": "t",
            "usage": {"type": "duration", "seconds": 1},
        },
    ],
)
def test_forms_that_servers_use_are_known(event):
    assert has_known_form(event)
