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
            "type": "response.done",
            "event_id": "e",
            "response": {"usage": {"input_tokens": None, "output_tokens": None}},
        },
        {
            "type": "rate_limits.updated",
            "event_id": "e",
            "rate_limits": [
                {"name": None, "limit": None, "remaining": None, "reset_seconds": None}
            ],
        },
        {
            "type": "conversation.created",
            "event_id": "e",
            "conversation": {"id": None, "object": None},
        },
        {"type": "response.content_part.done", **PART, "part": {"type": None}},
        {
            "type": "conversation.item.input_audio_transcription.delta",
            **PART,
            "content_index": None,
            "delta": None,
        },
        {
            "type": "conversation.item.input_audio_transcription.segment",
            "event_id": "e",
            "item_id": "i",
            "content_index": 0,
            "id": "s",
            "speaker": "A",
            "start": 0.5,
            "end": 1,
            "text": "t",
        },
        {"type": "input_audio_buffer.dtmf_event_received", "event": "9", "received_at": 1},
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


@pytest.mark.parametrize(
    "details", [{}, {"input_token_details": None}, {"input_token_details": {"text_tokens": None}}]
)
def test_a_transcript_is_known_however_its_cost_is_detailed(details):
    usage = {"type": "tokens", "input_tokens": 1, "output_tokens": 2, "total_tokens": 3, **details}
    transcribed = {"type": "conversation.item.input_audio_transcription.completed", **PART}
    assert has_known_form({**transcribed, "transcript": "t", "usage": usage})


@pytest.mark.parametrize("name", ["id", "status", "call_id"])
@pytest.mark.parametrize("kind", ["conversation.item.done", "response.output_item.done"])
def test_an_item_may_have_nulls_where_the_api_does(kind, name):
    item = {"id": "i", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    event = {"type": kind, "event_id": "e", "output_index": 0, "response_id": "r"}
    assert has_known_form({**event, "item": {**item, name: None}})
