from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import ProtocolError, ValidationError
from realtime_transports.openai import wire

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(event=st.dictionaries(st.text(), JSON))
def test_an_event_comes_back_as_it_was_sent(event):
    event = {**event, "type": "x", "event_id": "e"}
    text = wire.dump({k: v for k, v in event.items() if v not in (float("inf"), -float("inf"))})
    assert wire.parse(text) == json.loads(text)


@given(data=st.binary() | st.text())
def test_a_bad_message_is_a_protocol_error_and_nothing_else(data):
    with contextlib.suppress(ProtocolError):
        assert isinstance(wire.parse(data)["type"], str)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        '{"type":5}',
        '{"type":"x","event_id":7}',
        '{"type":"x","a":NaN}',
        '{"type":"x"}{"type":"x"}',
        '{"type":"x","a":' + "[" * 100_000,
        b"\xff",
    ],
)
def test_what_is_no_event_is_refused(text):
    with pytest.raises(ProtocolError):
        wire.parse(text)


@pytest.mark.parametrize(("levels", "is_refused"), [(200, False), (201, True)])
def test_what_is_nested_too_deep_to_be_looked_through_is_refused(levels: int, is_refused: bool):
    lists = levels - 1  # the event is a level too
    beside = ',"b":[[],[],{}]}'
    text = '{"type":"x","a":' + "[" * lists + "]" * lists + beside
    if is_refused:
        with pytest.raises(ProtocolError, match="deeper than 200"):
            wire.parse(text)
    else:
        assert wire.parse(text)["type"] == "x"


def test_white_space_around_a_message_means_nothing():
    assert wire.parse(' \t\r\n{"type":"x"}\n ') == {"type": "x"}


def test_the_refusal_does_not_repeat_the_message():
    with pytest.raises(ProtocolError) as caught:
        wire.parse('{"secret-text')
    assert "secret-text" not in str(caught.value)


@given(text=st.text(alphabet='{}[]",:0123456789.-+eE truefalsn\\ud8') | JSON.map(json.dumps))
def test_what_is_read_is_what_the_standard_library_reads(text: str):
    message = f'{{"type":"x","a":{text}}}'
    with contextlib.suppress(ProtocolError):
        assert wire.parse(message) == json.loads(message)


@pytest.mark.parametrize("text", ['{"type":"\\ud83d"}', '{"type":"\ud83d"}'])
def test_half_of_a_surrogate_pair_is_read(text: str):
    assert wire.parse(text) == {"type": "\ud83d"}


def test_bytes_are_read_as_utf_8():
    assert wire.parse('{"type":"ä"}'.encode()) == {"type": "ä"}


def test_numbers_without_a_json_form_become_null():
    event = {"type": "x", "a": [float("nan"), {"b": float("inf")}], "c": 1.5}
    assert json.loads(wire.dump(event)) == {"type": "x", "a": [None, {"b": None}], "c": 1.5}


def test_a_lone_surrogate_can_be_sent():
    assert wire.dump({"text": "\ud800"}) == '{"text":"\\ud800"}'


def test_what_json_cannot_say_is_refused():
    circle: dict[str, object] = {}
    circle["self"] = circle
    for event in ({"a": object()}, {"a": b"bytes"}, circle):
        with pytest.raises(ValidationError):
            wire.dump(event)


@given(pcm=st.binary())
def test_audio_comes_back_as_it_was_sent(pcm):
    text = wire.encode_audio(pcm)
    assert wire.decode_audio(text) == pcm
    assert wire.decode_audio(text.rstrip("=")) == pcm


@pytest.mark.parametrize("text", ["@", "A", "AA=A", "ä"])
def test_what_is_no_base64_is_refused(text):
    with pytest.raises(ProtocolError):
        wire.decode_audio(text)


@pytest.mark.parametrize(
    "text", ["", "{", "NaN", '{"a": -Infinity}', '{"a": 1} 2', b"\xff", "9" * 5_000]
)
def test_a_value_that_is_none_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what it says is of the decoder
        wire.parse_value(text)


@pytest.mark.parametrize("levels", [wire.MAX_DEPTH, 600, 5_000])
def test_a_value_nested_too_deep_to_be_looked_through_is_refused(levels: int) -> None:
    with pytest.raises(ValueError, match="deeper than 200 levels"):
        wire.parse_value('{"a":' * levels + "[]" + "}" * levels)


def test_a_value_may_be_of_any_kind() -> None:
    assert [wire.parse_value(text) for text in ("5", b'"\xc3\xa9"', " [null] ")] == [5, "é", [None]]
