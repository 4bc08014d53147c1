"""What has no form in JSON gets one, from which its like is made again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from realtime_core.errors import UserError
from realtime_core.record import (
    RecordedError,
    RecordError,
    RecordForm,
    decode,
    encode,
    read_record,
)

HEADER = '{"format": "realtime-record", "version": 1}\n'

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(values)
def test_what_is_written_is_read_again(value):
    assert decode(encode(value)) == value


@given(st.dictionaries(st.sampled_from(["$audio", "$number", "$x", "a"]), st.text(), min_size=1))
def test_an_object_that_looks_like_a_special_one_is_told_apart(value):
    assert decode(encode(value)) == value


@given(values, st.booleans())
def test_the_same_value_always_has_the_same_form(value, keeps_audio):
    form = RecordForm(audio=keeps_audio, redact=["email"])
    assert form.write(value) == form.write(decode(encode(value)))


def test_floats_that_json_does_not_have():
    assert decode(encode(math.inf)) == math.inf
    assert math.isnan(decode(encode(math.nan)))


def test_models_and_dataclasses_become_what_was_set_in_them():
    class Model(BaseModel):
        given: int
        left_out: int = 7

    @dataclass
    class Data:
        pcm: bytes

    assert encode([Model(given=1), Data(b"\0")]) == [{"given": 1}, {"pcm": {"$audio": "AA=="}}]


def test_an_exception_keeps_its_class_and_message():
    form = encode(UserError("no"))
    again = decode(form)
    assert isinstance(again, RecordedError)
    assert encode(again) == form


def test_of_anything_else_only_the_type_is_told():
    assert encode(Path("secret")) == {"$type": type(Path()).__name__}
    with pytest.raises(ValueError, match="has no form"):
        decode(encode(Path()))


@pytest.mark.parametrize(
    "value", [{"$audio": "?"}, {"$audio_bytes": -1}, {"$number": "7"}, {"$error": 1}, {"$what": 1}]
)
def test_a_special_object_of_no_known_form_is_refused(value: Any):
    with pytest.raises(ValueError, match=r"\$"):
        decode(value)


def test_audio_that_is_left_out_has_its_length_and_silence_in_its_place():
    form = RecordForm(audio=False)
    event = {"type": "input_audio_buffer.append", "audio": "AQIDBA=="}
    assert form.write(event)["audio"] == {"$base64_bytes": 4}
    assert decode(form.write(event))["audio"] == "AAAAAA=="
    assert form.write(b"1234") == {"$audio_bytes": 4}
    assert decode(form.write(b"1234")) == bytes(4)


def test_what_is_no_base64_is_kept_as_the_engine_has_something_to_say_about_it():
    event = {"type": "response.output_audio.delta", "delta": "no base64!"}
    assert RecordForm(audio=False).write(event) == event


def test_the_event_that_came_last_is_not_written_twice():
    form = RecordForm()
    assert form.write({"a": 1}, {"a": 1}) == {"$received": True}
    assert form.write({"a": 2}, {"a": 1}) == {"a": 2}


def test_a_last_line_without_an_end_is_left_out(tmp_path):
    path = tmp_path / "r"
    path.write_text(HEADER + '{"kind": "a"}\n{"kind": "b"}')
    assert [number for number, _ in read_record(path)] == [1, 2]


def test_a_broken_line_in_the_middle_is_no_torn_one(tmp_path):
    path = tmp_path / "r"
    path.write_text(HEADER + '{"kind": \n{"kind": "b"}\n')
    with pytest.raises(RecordError, match=r"^line 2: it is no JSON"):
        list(read_record(path))


def test_a_file_of_something_else_is_refused_at_its_first_line(tmp_path):
    path = tmp_path / "r"
    path.write_bytes(b"\xff\xfe\x00RIFF")
    with pytest.raises(RecordError, match=r"^line 1"):
        list(read_record(path))
