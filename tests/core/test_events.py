"""The payloads of events: immutable values in Python's spelling."""

from __future__ import annotations

import dataclasses
import inspect
import re

import pytest

from realtime_core import events, items
from realtime_core.errors import ResponseError, TransportError
from realtime_core.events import (
    TRANSPORT_EVENTS,
    AudioEvent,
    Emit,
    ErrorEvent,
    TurnDone,
    TurnResponse,
)

PAYLOADS = [each for each in vars(events).values() if dataclasses.is_dataclass(each)]

REFERENCE_EVENTS = [
    "*",
    "error",
    "connection_change",
    "connected",
    "disconnected",
    "audio",
    "audio_done",
    "audio_interrupted",
    "audio_transcript_delta",
    "output_text_delta",
    "function_call",
    "item_update",
    "item_deleted",
    "usage_update",
    "turn_started",
    "turn_done",
    "mcp_tools_listed",
    "mcp_tool_call_completed",
    "mcp_approval_request",
]
"""The events of OpenAI Agents JS's transports."""


def test_all_events_of_the_reference_are_documented_and_no_other():
    assert sorted(TRANSPORT_EVENTS) == sorted(REFERENCE_EVENTS)


def test_every_payload_that_is_documented_exists():
    for description in TRANSPORT_EVENTS.values():
        for name in re.findall(r"`([A-Z]\w+)`", description):
            assert name in events.__all__ or name in items.__all__, name


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda each: each.__name__)
def test_payloads_are_frozen_slotted_public_and_in_snake_case(payload: type):
    assert payload.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(payload)
    assert payload.__name__ in events.__all__
    assert inspect.getdoc(payload)
    for each in dataclasses.fields(payload):
        assert each.name == each.name.lower()


def test_a_payload_cannot_be_changed_by_a_listener():
    event = AudioEvent(b"\0\0", "resp_1")
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.response_id = "resp_2"  # type: ignore[misc]


def test_the_audio_is_not_in_the_repr_of_its_event():
    assert repr(AudioEvent(b"\xff\x7f" * 480, "resp_1")) == (
        "AudioEvent(response_id='resp_1', item_id=None, content_index=None, type='audio')"
    )


def test_an_emit_without_arguments_has_an_empty_tuple():
    assert Emit("connected") == ("connected", ())


def test_two_responses_do_not_share_what_they_have():
    first, second = TurnDone(TurnResponse("resp_1")), TurnDone(TurnResponse("resp_2"))
    assert first.response.output is not second.response.output
    assert first.response.usage.input_tokens_details is not (
        second.response.usage.input_tokens_details
    )


def test_an_error_says_the_same_whoever_tells_it():
    details = {"message": "no", "code": "bad", "param": "item", "event_id": "mine", "type": "t"}
    told = ErrorEvent({"type": "error", "event_id": "theirs", "error": details})
    assert (told.message, told.code, told.param, told.event_id) == ("no", "bad", "item", "mine")
    own = ErrorEvent(TransportError("gone"))
    assert (own.message, own.code, own.param, own.event_id) == ("gone", None, None, None)
    assert ErrorEvent(ResponseError("refused", code="full")).code == "full"


@pytest.mark.parametrize(
    "error", [{}, {"error": None}, {"error": {"message": 5, "code": {}}}, ValueError()]
)
def test_an_error_without_a_message_has_one_all_the_same(error):
    told = ErrorEvent(error)
    assert told.message
    assert told.code is None
