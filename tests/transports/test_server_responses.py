"""Responses: what is in them, what they may cost, how they end."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from realtime_transports.openai import audio_codec
from realtime_transports.openai.server_outputs import CancelResponse, PlayAudio
from realtime_transports.openai.server_protocol import Link
from tests.transports.server_room import RATE, Room, base64_of, silence, tone


def done(room: Room) -> dict[str, Any]:
    """The response of the last response.done."""
    return room.of_type("response.done")[-1]["response"]


# Several items


def test_words_a_call_and_words_are_three_items_one_after_the_other() -> None:
    room = Room(Link.WEBSOCKET)
    response_id = room.begin_answer()
    room.take()
    room.protocol.answer_text(response_id, "One moment")
    room.protocol.answer_audio(response_id, tone(0.1))
    room.take()
    room.protocol.answer_call(response_id, "look_up", '{"a": 1}')
    assert room.take() == [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.output_item.added",
        "conversation.item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "conversation.item.done",
    ]
    room.protocol.answer_text(response_id, "There")
    room.protocol.answer_done(response_id, room.now)
    room.take()
    before, call, after = done(room)["output"]
    assert before["content"] == [{"type": "output_audio", "transcript": "One moment"}]
    assert (call["name"], call["arguments"], call["status"]) == ("look_up", '{"a": 1}', "completed")
    assert after["content"] == [{"type": "output_audio", "transcript": "There"}]
    added = room.of_type("response.output_item.added")
    assert [event["output_index"] for event in added] == [0, 1, 2]
    assert all(event["item"]["status"] == "in_progress" for event in added)
    assert room.items() == [item["id"] for item in (before, call, after)]
    arguments = room.of_type("response.function_call_arguments.done")[0]
    assert (arguments["name"], arguments["call_id"]) == ("look_up", call["call_id"])


def test_an_answer_of_several_items_is_started_and_stopped_once() -> None:
    room = Room(Link.WEBRTC)
    response_id = room.begin_answer()
    room.protocol.answer_audio(response_id, tone(0.2))
    room.protocol.answer_call(response_id, "f", "{}")
    room.protocol.answer_audio(response_id, tone(0.2))
    room.protocol.answer_done(response_id, room.now)
    room.take()
    told = room.play(0.4) + room.wait(1.0)
    assert told == ["output_audio_buffer.started", "output_audio_buffer.stopped"]


def test_an_answer_of_several_items_is_cleared_once_and_each_is_cut() -> None:
    room = Room(Link.WEBRTC)
    response_id = room.begin_answer()
    room.protocol.answer_audio(response_id, tone(0.4))
    room.protocol.answer_call(response_id, "f", "{}")
    room.protocol.answer_audio(response_id, tone(0.4))
    room.protocol.answer_done(response_id, room.now)
    room.take()
    room.play(0.2)
    assert room.send("output_audio_buffer.clear") == [
        "output_audio_buffer.cleared",
        "conversation.item.truncated",
        "conversation.item.truncated",
    ]
    assert [event["audio_end_ms"] for event in room.events[-2:]] == [200, 0]


def test_an_answer_is_audible_between_two_of_its_items() -> None:
    room = Room(Link.WEBRTC)
    response_id = room.begin_answer()
    room.protocol.answer_audio(response_id, tone(0.2))
    room.protocol.answer_call(response_id, "f", "{}")
    room.protocol.answer_audio(response_id, tone(0.2))
    room.protocol.answer_done(response_id, room.now)
    room.take()
    assert room.play(0.2) + room.wait(1.0) == ["output_audio_buffer.started"]
    told = room.send("output_audio_buffer.clear")
    assert told == ["output_audio_buffer.cleared", "conversation.item.truncated"]


# Tokens


@pytest.mark.parametrize("limit", [1, 3])
def test_text_beyond_the_limit_is_cut_off_and_the_responder_stopped(limit: int) -> None:
    room = Room(Link.WEBSOCKET)
    response_id = room.begin_answer(output_modalities=["text"], max_output_tokens=limit)
    room.protocol.answer_text(response_id, "abcd")
    room.protocol.answer_text(response_id, "efghijklmnop")
    room.take()
    room.protocol.answer_text(response_id, "more")
    assert room.take() == []
    response = done(room)
    assert response["status"] == "incomplete"
    assert response["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
    assert response["max_output_tokens"] == limit
    assert response["output"][0]["content"][0]["text"] == "abcdefghijklmnop"[: 4 * limit]
    assert response["output"][0]["status"] == "incomplete"
    assert response["usage"]["output_tokens"] == limit
    assert CancelResponse(response_id) in room.outputs


def test_an_answer_that_just_fits_is_complete() -> None:
    room = Room(Link.WEBSOCKET)
    response_id = room.begin_answer(output_modalities=["text"], max_output_tokens=2)
    room.protocol.answer_text(response_id, "abcdefgh")
    room.protocol.answer_done(response_id, room.now)
    room.take()
    assert done(room)["status"] == "completed"


@pytest.mark.parametrize("link", Link)
def test_audio_beyond_the_limit_is_cut_off_where_a_token_ends(link: Link) -> None:
    room = Room(link)
    room.update(max_output_tokens=10)
    response_id = room.begin_answer()
    room.protocol.answer_text(response_id, "abcdefgh")
    room.protocol.answer_audio(response_id, tone(1.0))
    room.take()
    assert done(room)["usage"]["output_token_details"] == {"text_tokens": 2, "audio_tokens": 8}
    if link is Link.WEBRTC:
        (played,) = room.outputs_of(PlayAudio)
        assert len(played.samples) == round(0.4 * RATE)
    else:
        assert len(sent_audio(room)) == 2 * round(0.4 * RATE)


def test_calls_count_too() -> None:
    room = Room(Link.WEBSOCKET)
    response_id = room.begin_answer(output_modalities=["text"], max_output_tokens=4)
    room.protocol.answer_text(response_id, "abcdefgh")
    room.protocol.answer_call(response_id, "f", json.dumps({"argument": 1}))
    room.take()
    text, call = done(room)["output"]
    assert done(room)["status"] == "incomplete"
    assert (text["status"], call["status"]) == ("completed", "incomplete")
    assert call["arguments"] == json.dumps({"argument": 1})[:8]


def sent_audio(room: Room) -> bytes:
    deltas = room.of_type("response.output_audio.delta")
    return b"".join(base64.b64decode(event["delta"]) for event in deltas)


# Formats


@pytest.mark.parametrize("kind", ["audio/pcmu", "audio/pcma"])
def test_an_answer_in_g711_has_a_byte_for_each_third_sample(kind: str) -> None:
    room = Room(Link.WEBSOCKET)
    room.update(audio={"output": {"format": {"type": kind}}})
    room.answer(1.0)
    data = sent_audio(room)
    assert len(data) == pytest.approx(8_000, abs=2)
    heard = audio_codec.decode(data, {"type": kind})
    spectrum = np.abs(np.fft.rfft(heard[1_000:7_000] * np.hanning(6_000)))
    assert np.argmax(spectrum) * 8_000 / 6_000 == pytest.approx(300, abs=2)
    assert np.abs(heard[1_000:7_000]).max() == pytest.approx(8_000, rel=0.04)
    assert done(room)["audio"]["output"]["format"] == {"type": kind}


@pytest.mark.parametrize("kind", ["audio/pcmu", "audio/pcma"])
def test_a_question_in_g711_is_heard_as_one_stream_however_it_is_cut(kind: str) -> None:
    heard = []
    data = audio_codec.encode(tone(0.7)[::3], {"type": kind})
    for step in (5_600, 160, 7):
        room = Room(Link.WEBSOCKET)
        room.update(audio={"input": {"format": {"type": kind}}})
        for start in range(0, len(data), step):
            text = base64.b64encode(data[start : start + step]).decode()
            assert room.send("input_audio_buffer.append", audio=text) == []
        room.send("input_audio_buffer.commit")
        room.begin_answer()
        heard.append(room.turns[-1].audio)
    assert np.array_equal(heard[0], heard[1])
    assert np.array_equal(heard[0], heard[2])
    assert len(heard[0]) == pytest.approx(0.7 * RATE, abs=8)


def test_g711_is_heard_with_little_delay() -> None:
    room = Room(Link.WEBSOCKET, turn_detection={"type": "server_vad"})
    room.update(audio={"input": {"format": {"type": "audio/pcmu"}}})
    said = np.concatenate([silence(0.02), tone(0.1)])
    text = base64.b64encode(audio_codec.encode(said[::3], "g711_ulaw")).decode()
    told = room.send("input_audio_buffer.append", audio=text)
    assert told == ["input_audio_buffer.speech_started"]


def test_a_hundred_milliseconds_of_g711_are_enough_for_a_commit() -> None:
    room = Room(Link.WEBSOCKET)
    room.update(audio={"input": {"format": {"type": "audio/pcmu"}}})
    text = base64.b64encode(bytes(801)).decode()
    room.send("input_audio_buffer.append", audio=text)
    assert room.send("input_audio_buffer.commit")[0] == "input_audio_buffer.committed"


# Ends


def test_a_response_can_be_cancelled_by_its_id() -> None:
    room = Room(Link.WEBSOCKET)
    first = room.begin_answer()
    aside = room.begin_answer(conversation="none")
    assert room.send("response.cancel", response_id=aside) == [
        "response.done",
        "rate_limits.updated",
    ]
    assert done(room)["id"] == aside
    assert room.send("response.cancel", response_id=aside) == ["error"]
    assert room.error["code"] == "response_cancel_not_active"
    room.send("response.cancel")
    assert done(room)["id"] == first


def test_a_cancel_without_an_id_leaves_answers_beside_the_conversation() -> None:
    room = Room(Link.WEBSOCKET)
    room.begin_answer(conversation="none")
    assert room.send("response.cancel") == ["error"]


def test_speech_leaves_answers_beside_the_conversation_alone() -> None:
    room = Room(Link.WEBSOCKET, turn_detection={"type": "server_vad"})
    room.begin_answer(conversation="none")
    room.append(tone(0.2))
    assert room.of_type("input_audio_buffer.speech_started")
    assert not room.of_type("response.done")


def test_a_failure_keeps_its_code_and_its_type() -> None:
    room = Room()
    response_id = room.begin_answer()
    room.protocol.answer_failed(
        response_id, "too much", room.now, code="rate_limit_exceeded", error_type="tokens"
    )
    room.take()
    assert done(room)["status_details"] == {
        "type": "failed",
        "error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "too much"},
    }


def test_null_options_stand_for_those_left_out() -> None:
    room = Room()
    options = ["instructions", "tools", "audio", "metadata", "input", "conversation", "tool_choice"]
    room.begin_answer(**dict.fromkeys(options))
    assert done_or_created(room)["conversation_id"] is not None
    assert room.send("response.create", response=None) == ["error"]
    assert room.error["code"] == "conversation_already_has_active_response"


def done_or_created(room: Room) -> dict[str, Any]:
    return room.of_type("response.created")[-1]["response"]


def test_a_responder_gets_the_options_of_the_response() -> None:
    room = Room(Link.WEBSOCKET)
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    room.begin_answer(
        tools=[tool],
        tool_choice="required",
        instructions="shout",
        audio={"output": {"voice": "cedar"}},
    )
    session = room.turns[-1].session
    assert (session["tools"], session["tool_choice"]) == ([tool], "required")
    assert session["audio"]["output"]["voice"] == "cedar"
    assert room.protocol.config.to_dict()["tools"] == []
    assert done_or_created(room)["audio"]["output"]["voice"] == "cedar"


@pytest.mark.parametrize(
    ("metadata", "param"),
    [
        ({str(n): "" for n in range(17)}, "response.metadata"),
        ({"x" * 65: ""}, f"response.metadata.{'x' * 65}"),
        ({"x": "y" * 513}, "response.metadata.x"),
        ({"x": 3}, "response.metadata.x"),
    ],
)
def test_metadata_has_limits(metadata: Any, param: str) -> None:
    room = Room()
    assert room.send("response.create", response={"metadata": metadata}) == ["error"]
    assert room.error["param"] == param
    fitting = {f"{n:064d}": "y" * 512 for n in range(16)}
    room.begin_answer(metadata=fitting)
    assert done_or_created(room)["metadata"] == fitting


def test_audio_of_an_item_that_is_only_for_one_response_is_heard_in_it() -> None:
    room = Room(Link.WEBSOCKET)
    part = {"type": "input_audio", "audio": base64_of(tone(0.2))}
    room.begin_answer(
        conversation="none", input=[{"type": "message", "role": "user", "content": [part]}]
    )
    assert np.array_equal(room.turns[-1].audio, tone(0.2))
    assert room.items() == []
