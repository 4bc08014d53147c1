"""What must not be seen is found, and nothing else is touched."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import ValidationError
from realtime_core.masking import make_masking, mask_secrets

ALL = make_masking(["card", "email", "phone"])


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to ann.lee+x@mail.example.org.", "write to [email]."),
        ("card 4111 1111 1111 1111, please", "card [card], please"),
        ("card 4111-1111-1111-1111", "card [card]"),
        ("call +49 (0)30 1234567 now", "call [phone] now"),
        ("call 030 1234567", "call [phone]"),
        ("call 555-123-4567", "call [phone]"),
        ("two: a@b.cc, d@e.ff", "two: [email], [email]"),
    ],
)
def test_presets_find_what_they_are_for(text, masked):
    assert ALL.mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "order 4111 1111 1111 1112",  # the check digit does not fit
        "in 2026 there were 1234567 of them",
        "item_0123456789abcdef",
        "3.14159265358979",
        "a @ b",
    ],
)
def test_presets_leave_what_only_looks_alike(text):
    assert make_masking(["card", "email", "phone"]).mask(text) == text


def test_finds_that_overlap_are_one():
    masking = make_masking(["email"], pattern="ann@\\w+")
    assert masking.mask("to ann@example.org!") == "to [email]!"


@pytest.mark.parametrize("pattern", ["x*", "(?=a)"])
def test_a_pattern_that_finds_nothing_at_all_places_changes_nothing_there(pattern):
    assert make_masking([], pattern).mask("abc") == "abc"


def test_json_in_a_text_stays_json_even_where_a_number_is_masked():
    text = '{"card": 4111111111111111, "nested": ["ann@example.org", true, null, 1.5]}'
    masked = ALL.mask_content({"type": "x", "arguments": text})
    assert json.loads(masked["arguments"]) == {
        "card": "[card]",
        "nested": ["[email]", True, None, 1.5],
    }


def test_json_without_a_find_keeps_its_spelling():
    text = '{"a":   1}'
    assert ALL.mask_content({"output": text}) == {"output": text}


def test_only_what_is_said_is_masked():
    event = {
        "type": "session.update",
        "item_id": "ann@example.org",
        "session": {"instructions": "our address is us@example.org"},
        "arguments": {"mail": "ann@example.org"},
        "item": {"content": [{"transcript": "ann@example.org"}]},
    }
    assert ALL.mask_content(event) == {
        **event,
        "arguments": {"mail": "[email]"},
        "item": {"content": [{"transcript": "[email]"}]},
    }


def test_events_of_any_form_are_taken():
    event = {"type": [], "item": {"type": {}, "text": 7}, "arguments": None}
    assert ALL.mask_content(event) == event


def test_audio_is_not_taken_for_text():
    event = {"type": "response.output_audio.delta", "delta": "a@b.cc"}
    assert ALL.mask_content(event) == event


@given(st.text(st.sampled_from("an@.e 0+14"), max_size=60))
def test_masking_twice_is_masking_once(text):
    assert ALL.mask_text(ALL.mask_text(text)) == ALL.mask_text(text)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_without_secrets_nothing_is_changed(value):
    assert mask_secrets({"id": "sess_0123456789abcdef0123", "x": value})["id"].startswith("sess_")


def test_unknown_names_and_broken_patterns_are_told():
    with pytest.raises(ValidationError, match="there is no pattern 'mail'"):
        make_masking(["mail"])
    with pytest.raises(ValidationError, match="is no regular expression"):
        make_masking([], "(")
