"""The server's side of the protocol, without a server."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_transports.openai.server_outputs import (
    CancelResponse,
    ClearPlayback,
    ClientEventError,
    PlayAudio,
)
from realtime_transports.openai.server_protocol import Link
from realtime_transports.openai.server_session import SessionConfig
from tests.transports.server_room import RATE, Room, base64_of, silence, tone

AGENTS_JS_SESSION = {
    "type": "realtime",
    "model": "gpt-realtime-2.1",
    "output_modalities": ["audio"],
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "noise_reduction": None,
            "transcription": {"model": "gpt-4o-mini-transcribe"},
            "turn_detection": {"type": "semantic_vad"},
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "speed": 1},
    },
    "instructions": "be brief",
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
}
AGENTS_PYTHON_SESSION = {
    "type": "realtime",
    "model": "gpt-realtime-2.1",
    "output_modalities": ["audio"],
    "instructions": "be brief",
    "tools": [],
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": {"model": "gpt-4o-mini-transcribe"},
            "turn_detection": {"type": "semantic_vad", "interrupt_response": True},
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "ash"},
    },
}


SERVER_VAD = {"type": "server_vad"}


# Session


def test_the_greeting_shows_a_complete_session() -> None:
    room = Room()
    session = room.events[0]["session"]
    assert room.events[0]["type"] == "session.created"
    assert session["type"] == "realtime"
    assert session["object"] == "realtime.session"
    assert session["id"] == "sess_1"
    assert session["output_modalities"] == ["audio"]
    assert session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
    assert session["audio"]["output"]["voice"] == "marin"


def test_turns_are_detected_unless_the_client_says_otherwise() -> None:
    config = SessionConfig("sess_1")
    assert config.turn_detection == {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    }


@pytest.mark.parametrize("session", [AGENTS_JS_SESSION, AGENTS_PYTHON_SESSION])
def test_the_default_sessions_of_both_sdks_are_taken(session: dict[str, Any]) -> None:
    room = Room()
    assert room.send("session.update", session=session) == ["session.updated"]
    updated = room.last["session"]
    assert updated["instructions"] == "be brief"
    assert updated["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"
    assert updated["audio"]["input"]["turn_detection"]["create_response"] is True
    assert updated["audio"]["output"]["voice"] == session["audio"]["output"].get("voice", "marin")


def test_an_update_of_the_tracing_leaves_the_rest() -> None:
    room = Room()
    room.send("session.update", session=AGENTS_JS_SESSION)
    before = room.last["session"]
    room.send("session.update", session={"type": "realtime", "tracing": "auto"})
    assert room.last["session"] == {**before, "tracing": "auto"}


def test_an_update_of_the_speed_leaves_the_voice() -> None:
    room = Room()
    room.send("session.update", session={"audio": {"output": {"voice": "cedar"}}})
    room.send("session.update", session={"audio": {"output": {"speed": 1.2}}})
    assert room.last["session"]["audio"]["output"]["voice"] == "cedar"
    assert room.last["session"]["audio"]["output"]["speed"] == 1.2


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ({"colour": "red"}, "unknown_parameter", "session.colour"),
        ({"instructions": 3}, "invalid_type", "session.instructions"),
        ({"output_modalities": ["text", "audio"]}, "invalid_value", "session.output_modalities"),
        ({"type": "transcription"}, "invalid_value", "session.type"),
        (
            {"audio": {"input": {"turn_detection": {"threshold": 0.7}}}},
            "missing_required_parameter",
            "session.audio.input.turn_detection.type",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "threshold": 0.7}}}},
            "unknown_parameter",
            "session.audio.input.turn_detection.threshold",
        ),
        (
            {"audio": {"output": {"format": {"type": "audio/pcm", "rate": 8000}}}},
            "invalid_value",
            "session.audio.output.format.rate",
        ),
        ({"max_output_tokens": 5000}, "invalid_value", "session.max_output_tokens"),
        (None, "invalid_type", "session"),
    ],
)
def test_a_wrong_update_is_refused_as_a_whole(session: Any, code: str, param: str) -> None:
    room = Room()
    before = room.protocol.config.to_dict()
    changes = {"instructions": "new", **session} if session else session
    assert room.send("session.update", session=changes, event_id="mine") == ["error"]
    error = room.last["error"]
    assert (error["code"], error["param"], error["event_id"]) == (code, param, "mine")
    assert room.protocol.config.to_dict() == before


def test_the_voice_is_fixed_after_the_first_audio() -> None:
    room = Room()
    room.answer()
    room.send("session.update", session={"audio": {"output": {"voice": "cedar"}}})
    assert room.last["error"]["code"] == "cannot_update_voice"
    assert room.send("session.update", session=AGENTS_JS_SESSION) == ["session.updated"]


def test_a_format_that_cannot_be_spoken_is_refused() -> None:
    config = SessionConfig("sess_1", audio_formats=["audio/pcm"])
    with pytest.raises(ClientEventError, match="audio/pcmu") as raised:
        config.update({"audio": {"input": {"format": {"type": "audio/pcmu"}}}})
    assert raised.value.param == "session.audio.input.format.type"


# Events that make no sense


@pytest.mark.parametrize("event", [None, [], "text", {}, {"type": 3}])
def test_what_is_no_event_is_refused(event: Any) -> None:
    room = Room()
    room.protocol.receive(event, room.now)
    assert room.take() == ["error"]
    assert room.last["error"]["param"] == "type"


def test_an_unknown_event_is_refused_by_its_id() -> None:
    room = Room()
    assert room.send("session.fly", event_id="mine") == ["error"]
    assert room.last["error"]["event_id"] == "mine"
    assert room.last["error"]["code"] == "invalid_value"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5_000) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "id", "role", "content", "audio", "text", "input", "item_id", "output"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
CLIENT_EVENTS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            [
                "session.update",
                "input_audio_buffer.append",
                "input_audio_buffer.commit",
                "input_audio_buffer.clear",
                "output_audio_buffer.clear",
                "conversation.item.create",
                "conversation.item.retrieve",
                "conversation.item.truncate",
                "conversation.item.delete",
                "response.create",
                "response.cancel",
            ]
        )
    },
    optional=dict.fromkeys(
        ["session", "item", "item_id", "audio", "response", "response_id", "content_index"], JSON
    ),
)


@given(st.sampled_from(Link), st.lists(CLIENT_EVENTS, max_size=6))
def test_no_client_event_can_make_the_server_stumble(
    link: Link, events: list[dict[str, Any]]
) -> None:
    room = Room(link)
    for event in events:
        room.protocol.receive(event, room.now)
        room.wait(1.0)
    ids = [event["event_id"] for event in room.events]
    assert len(set(ids)) == len(ids)


# Answers


AUDIO_ANSWER = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "conversation.item.done",
    "response.done",
    "rate_limits.updated",
]


def test_a_spoken_answer_over_websocket_is_all_events() -> None:
    room = Room(Link.WEBSOCKET)
    room.say("hi")
    before = len(room.events)
    response_id = room.answer(0.4)
    events = room.events[before:]
    assert [event["type"] for event in events] == AUDIO_ANSWER
    assert all(
        event.get("response_id", response_id) == response_id
        for event in events
        if event["type"].startswith("response.")
    )
    delta = room.of_type("response.output_audio.delta")[0]["delta"]
    assert base64.b64decode(delta) == tone(0.4).tobytes()
    item = room.of_type("response.output_item.done")[0]["item"]
    assert item["status"] == "completed"
    assert item["content"] == [{"type": "output_audio", "transcript": "hello"}]
    assert room.of_type("conversation.item.added")[-1]["previous_item_id"] == room.items()[0]
    assert room.of_type("response.content_part.done")[0]["part"] == {
        "type": "audio",
        "transcript": "hello",
    }


def test_a_spoken_answer_over_webrtc_is_played_instead() -> None:
    room = Room(Link.WEBRTC)
    before = len(room.events)
    room.answer(0.4)
    types = [event["type"] for event in room.events[before:]]
    assert types == [name for name in AUDIO_ANSWER if name != "response.output_audio.delta"]
    played = [output.samples for output in room.outputs if isinstance(output, PlayAudio)]
    assert np.array_equal(np.concatenate(played), tone(0.4))


def test_a_long_piece_of_audio_goes_out_in_several_deltas() -> None:
    room = Room(Link.WEBSOCKET)
    room.answer(1.3)
    deltas = [event["delta"] for event in room.of_type("response.output_audio.delta")]
    assert len(deltas) == 3
    assert b"".join(map(base64.b64decode, deltas)) == tone(1.3).tobytes()


def test_a_written_answer() -> None:
    room = Room(Link.WEBSOCKET)
    response_id = room.begin_answer(output_modalities=["text"])
    assert room.turns[-1].output_modality == "text"
    room.take()
    room.protocol.answer_text(response_id, "one ")
    room.protocol.answer_audio(response_id, tone(0.1))  # nobody asked for that
    room.protocol.answer_text(response_id, "two")
    room.protocol.answer_done(response_id, room.now)
    assert room.take() == [
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
        "rate_limits.updated",
    ]
    response = room.of_type("response.done")[0]["response"]
    assert response["output"][0]["content"] == [{"type": "output_text", "text": "one two"}]


def test_an_answer_of_nothing_has_no_output() -> None:
    room = Room()
    response_id = room.begin_answer()
    room.protocol.answer_done(response_id, room.now)
    assert room.take() == ["response.done", "rate_limits.updated"]
    assert room.events[-2]["response"]["output"] == []
    assert room.events[-2]["response"]["status"] == "completed"


def test_the_responder_gets_what_was_said_last_and_everything_before() -> None:
    room = Room(Link.WEBSOCKET)
    room.say("first")
    room.say("second")
    room.begin_answer(instructions="shout")
    turn = room.turns[-1]
    assert turn.text == "second"
    assert turn.audio is None
    assert turn.instructions == "shout"
    assert [item["content"][0]["text"] for item in turn.items] == ["first", "second"]


def test_the_usage_counts_text_and_audio_both_ways() -> None:
    room = Room(Link.WEBSOCKET)
    room.say("x" * 40)
    room.answer(1.0, text="y" * 20)
    usage = room.of_type("response.done")[0]["response"]["usage"]
    assert usage["input_token_details"]["text_tokens"] == 10
    assert usage["output_token_details"] == {"text_tokens": 5, "audio_tokens": 20}
    assert usage["total_tokens"] == 35


def test_a_second_answer_has_to_wait_for_the_first() -> None:
    room = Room()
    first = room.begin_answer()
    assert room.send("response.create", event_id="mine") == ["error"]
    assert room.last["error"]["code"] == "conversation_already_has_active_response"
    assert room.last["error"]["event_id"] == "mine"
    room.protocol.answer_done(first, room.now)
    room.take()
    assert room.send("response.create") == ["response.created"]


def test_an_answer_beside_the_conversation_leaves_it_alone() -> None:
    room = Room(Link.WEBSOCKET)
    room.say("hi")
    first = room.begin_answer()
    aside = room.begin_answer(
        conversation="none",
        metadata={"topic": "weather"},
        output_modalities=["text"],
        input=[
            {"type": "item_reference", "id": room.items()[0]},
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "aside"}],
            },
        ],
    )
    assert aside != first
    assert [item["content"][0]["text"] for item in room.turns[-1].items] == ["hi", "aside"]
    room.take()
    room.protocol.answer_text(aside, "yes")
    room.protocol.answer_done(aside, room.now)
    assert "conversation.item.added" not in room.take()
    response = room.of_type("response.done")[-1]["response"]
    assert response["conversation_id"] is None
    assert response["metadata"] == {"topic": "weather"}
    assert len(room.items()) == 1


def test_a_failing_responder_is_told_to_the_client() -> None:
    room = Room()
    response_id = room.begin_answer()
    room.protocol.answer_failed(response_id, "out of words", room.now)
    assert room.take() == ["response.done", "rate_limits.updated"]
    details = room.events[-2]["response"]["status_details"]
    assert details["type"] == "failed"
    assert details["error"]["message"] == "out of words"


def test_a_cancelled_answer_is_closed_part_by_part_and_nothing_follows() -> None:
    room = Room(Link.WEBSOCKET)
    response_id = room.begin_answer()
    room.protocol.answer_audio(response_id, tone(0.2))
    room.take()
    assert room.send("response.cancel") == AUDIO_ANSWER[6:]
    assert CancelResponse(response_id) in room.outputs
    response = room.events[-2]["response"]
    assert response["status"] == "cancelled"
    assert response["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    assert response["output"][0]["status"] == "incomplete"
    room.protocol.answer_audio(response_id, tone(0.2))
    room.protocol.answer_done(response_id, room.now)
    assert room.take() == []


def test_cancelling_nothing_is_an_error() -> None:
    room = Room()
    assert room.send("response.cancel", event_id="mine") == ["error"]
    assert room.last["error"]["code"] == "response_cancel_not_active"
    assert room.last["error"]["event_id"] == "mine"


# What the caller hears, over WebRTC


def test_playback_is_told_when_it_begins_and_when_it_was_heard() -> None:
    room = Room()
    response_id = room.answer(1.0)
    assert room.play(0.02) == ["output_audio_buffer.started"]
    assert room.last["response_id"] == response_id
    assert room.play(0.98) == []
    deadline = room.protocol.next_deadline()
    assert deadline is not None
    assert deadline > room.now
    assert room.wait(deadline - room.now) == ["output_audio_buffer.stopped"]
    assert room.protocol.next_deadline() is None


def test_playback_does_not_stop_while_more_may_come() -> None:
    room = Room()
    response_id = room.begin_answer()
    room.protocol.answer_audio(response_id, tone(0.2))
    room.take()
    room.play(0.2)
    assert room.wait(5.0) == []
    room.protocol.answer_audio(response_id, tone(0.2))
    room.protocol.answer_done(response_id, room.now)
    room.take()
    room.play(0.2)
    assert room.wait(1.0) == ["output_audio_buffer.stopped"]
    assert len(room.of_type("output_audio_buffer.started")) == 1


def test_each_answer_is_started_and_stopped() -> None:
    room = Room()
    first, second = room.answer(0.2), room.answer(0.2)
    told = room.play(0.4) + room.wait(1.0)
    assert told == ["output_audio_buffer.started", "output_audio_buffer.stopped"] * 2
    ids = [event["response_id"] for event in room.events if "output_audio_buffer" in event["type"]]
    assert ids == [first, first, second, second]


def test_clearing_drops_the_rest_and_cuts_the_item_to_what_was_heard() -> None:
    room = Room()
    response_id = room.answer(1.0)
    room.play(0.4)
    assert room.send("output_audio_buffer.clear") == [
        "output_audio_buffer.cleared",
        "conversation.item.truncated",
    ]
    assert room.events[-2]["response_id"] == response_id
    assert room.last["audio_end_ms"] == 400
    assert any(isinstance(output, ClearPlayback) for output in room.outputs)
    assert room.wait(5.0) == []


def test_clearing_silence_does_nothing() -> None:
    room = Room()
    assert room.send("output_audio_buffer.clear") == []


def test_a_cleared_answer_that_goes_on_is_not_heard() -> None:
    room = Room()
    response_id = room.begin_answer()
    room.protocol.answer_audio(response_id, tone(1.0))
    room.take()
    room.play(0.2)
    assert room.send("output_audio_buffer.clear") == ["output_audio_buffer.cleared"]
    before = len(room.outputs)
    room.protocol.answer_audio(response_id, tone(1.0))
    room.protocol.answer_done(response_id, room.now)
    assert room.take()[-1] == "conversation.item.truncated"
    assert room.last["audio_end_ms"] == 200
    assert not any(isinstance(output, PlayAudio) for output in room.outputs[before:])


def test_the_next_answer_plays_after_a_clear() -> None:
    room = Room()
    room.answer(1.0)
    room.play(0.2)
    room.send("output_audio_buffer.clear")
    room.answer(0.2)
    assert room.play(0.2) == ["output_audio_buffer.started"]
    assert room.wait(1.0) == ["output_audio_buffer.stopped"]


# The user's audio


def test_a_manual_commit_over_websocket_is_exact() -> None:
    room = Room(Link.WEBSOCKET)
    spoken = tone(0.5)
    assert room.send("input_audio_buffer.append", audio=base64_of(spoken)) == []
    assert room.send("input_audio_buffer.commit") == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    room.begin_answer()
    assert np.array_equal(room.turns[-1].audio, spoken)


def test_a_commit_of_too_little_is_an_error() -> None:
    room = Room(Link.WEBSOCKET)
    room.send("input_audio_buffer.append", audio=base64_of(tone(0.05)))
    assert room.send("input_audio_buffer.commit", event_id="mine") == ["error"]
    assert room.last["error"]["code"] == "input_audio_buffer_commit_empty"
    assert "50.00ms" in room.last["error"]["message"]


def test_a_commit_over_webrtc_waits_for_the_audio_under_way() -> None:
    room = Room(Link.WEBRTC)
    spoken = tone(1.0)
    room.hear(spoken[: RATE * 8 // 10])
    assert room.send("input_audio_buffer.commit") == []
    assert room.send("response.create") == []
    told = room.hear(spoken[RATE * 8 // 10 :])
    assert told[0] == "input_audio_buffer.committed"
    assert told[-1] == "response.created"
    assert len(room.turns[-1].audio) == round(0.9 * RATE)
    assert np.array_equal(room.turns[-1].audio, spoken[: round(0.9 * RATE)])
    room.send("response.cancel")
    room.hear(silence(0.1))
    room.send("input_audio_buffer.commit")
    room.wait(1.0)
    room.begin_answer()
    assert np.array_equal(room.turns[-1].audio[: round(0.05 * RATE)], spoken[-round(0.05 * RATE) :])


def test_a_commit_over_webrtc_does_not_wait_for_ever() -> None:
    room = Room(Link.WEBRTC)
    room.hear(tone(0.5))
    assert room.send("input_audio_buffer.commit") == []
    deadline = room.protocol.next_deadline()
    assert deadline is not None
    assert room.wait(deadline - room.now)[0] == "input_audio_buffer.committed"


def test_clearing_the_input_forgets_it() -> None:
    room = Room(Link.WEBSOCKET)
    room.send("input_audio_buffer.append", audio=base64_of(tone(0.5)))
    assert room.send("input_audio_buffer.clear") == ["input_audio_buffer.cleared"]
    assert room.send("input_audio_buffer.commit") == ["error"]


@pytest.mark.parametrize("audio", [None, 3, "not base64!", base64.b64encode(b"odd").decode()])
def test_audio_that_is_none_is_refused(audio: Any) -> None:
    room = Room(Link.WEBSOCKET)
    assert room.send("input_audio_buffer.append", audio=audio) == ["error"]
    assert room.last["error"]["param"] == "audio"


def test_a_detected_turn_is_committed_and_answered() -> None:
    room = Room(turn_detection=SERVER_VAD)
    spoken = np.concatenate([silence(1.0), tone(1.0), silence(1.0)])
    assert room.hear(spoken) == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    started, stopped, committed = (
        room.of_type(f"input_audio_buffer.{name}")[0]
        for name in ("speech_started", "speech_stopped", "committed")
    )
    assert started["audio_start_ms"] == pytest.approx(700, abs=20)
    assert stopped["audio_end_ms"] == pytest.approx(2500, abs=20)
    assert started["item_id"] == stopped["item_id"] == committed["item_id"] == room.items()[0]
    assert len(room.turns[0].audio) == pytest.approx(1.8 * RATE, abs=960)


def test_a_detected_turn_need_not_be_answered() -> None:
    room = Room(turn_detection={"type": "server_vad", "create_response": False})
    room.hear(np.concatenate([tone(1.0), silence(1.0)]))
    assert room.of_type("input_audio_buffer.committed")
    assert not room.of_type("response.created")


def test_speech_interrupts_what_is_being_heard() -> None:
    room = Room(turn_detection=SERVER_VAD)
    response_id = room.begin_answer()
    room.protocol.answer_audio(response_id, tone(3.0))
    room.take()
    room.play(1.0)
    told = room.hear(tone(0.2))
    assert told[0] == "input_audio_buffer.speech_started"
    assert told[-4:] == [
        "response.done",
        "rate_limits.updated",
        "output_audio_buffer.cleared",
        "conversation.item.truncated",
    ]
    response = room.of_type("response.done")[0]["response"]
    assert response["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert room.last["audio_end_ms"] == 1000
    assert CancelResponse(response_id) in room.outputs


def test_speech_interrupts_an_answer_that_is_done_but_still_heard() -> None:
    room = Room(turn_detection=SERVER_VAD)
    room.answer(3.0)
    room.play(1.0)
    assert room.hear(tone(0.2)) == [
        "input_audio_buffer.speech_started",
        "output_audio_buffer.cleared",
        "conversation.item.truncated",
    ]


def test_speech_need_not_interrupt() -> None:
    room = Room(turn_detection={"type": "server_vad", "interrupt_response": False})
    room.begin_answer()
    told = room.hear(np.concatenate([tone(1.0), silence(1.0)]))
    assert told[0] == "input_audio_buffer.speech_started"
    assert told[-1] == "error"
    assert room.last["error"]["code"] == "conversation_already_has_active_response"
    assert room.last["error"]["event_id"] is None


def test_a_commit_in_the_middle_of_speech_ends_the_turn() -> None:
    room = Room(Link.WEBSOCKET, turn_detection=SERVER_VAD)
    room.hear(tone(0.5))
    item_id = room.last["item_id"]
    room.send("input_audio_buffer.commit")
    assert room.of_type("input_audio_buffer.committed")[0]["item_id"] == item_id
    assert room.hear(silence(2.0)) == []


def test_a_wish_for_transcripts_that_cannot_be_had_is_answered_openly() -> None:
    room = Room(Link.WEBSOCKET)
    room.send(
        "session.update", session={"audio": {"input": {"transcription": {"model": "whisper-1"}}}}
    )
    room.send("input_audio_buffer.append", audio=base64_of(tone(0.5)))
    told = room.send("input_audio_buffer.commit")
    assert told[-1] == "conversation.item.input_audio_transcription.failed"
    assert room.last["error"]["code"] == "transcription_unavailable"


# Items


def text_item(text: str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "role": "user", "content": content, **fields}


def test_items_go_where_the_client_puts_them() -> None:
    room = Room()
    room.send("conversation.item.create", item=text_item("b", id="b"))
    assert room.last["previous_item_id"] is None
    room.send("conversation.item.create", item=text_item("d", id="d"))
    assert room.last["previous_item_id"] == "b"
    room.send("conversation.item.create", item=text_item("a", id="a"), previous_item_id="root")
    assert room.last["previous_item_id"] is None
    told = room.send("conversation.item.create", item=text_item("c", id="c"), previous_item_id="b")
    assert told == ["conversation.item.added", "conversation.item.done"]
    assert room.last["previous_item_id"] == "b"
    assert room.last["item"]["status"] == "completed"
    assert room.items() == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"item": None}, "item"),
        ({"item": {"type": "song"}}, "item.type"),
        ({"item": {"type": "message", "role": "user"}}, "item.content"),
        ({"item": {**text_item("x"), "role": "cook"}}, "item.role"),
        ({"item": {**text_item("x"), "role": "assistant"}}, "item.content[0].type"),
        ({"item": {**text_item("x"), "content": [{"type": "input_text"}]}}, "item.content[0].text"),
        ({"item": text_item("x"), "previous_item_id": "nobody"}, "previous_item_id"),
        ({"item": text_item("x", id="taken")}, "item.id"),
        ({"item": {"type": "function_call_output", "call_id": "c"}}, "item.output"),
    ],
)
def test_an_item_that_is_none_is_refused(fields: dict[str, Any], param: str) -> None:
    room = Room()
    room.send("conversation.item.create", item=text_item("x", id="taken"))
    assert room.send("conversation.item.create", **fields) == ["error"]
    assert room.last["error"]["param"] == param
    assert room.items() == ["taken"]


def test_an_item_comes_back_with_its_audio() -> None:
    room = Room()
    audio = base64_of(tone(0.2))
    item = {
        "type": "message",
        "role": "user",
        "id": "spoken",
        "content": [{"type": "input_audio", "audio": audio, "transcript": "la"}],
    }
    room.send("conversation.item.create", item=item)
    assert "audio" not in room.last["item"]["content"][0]
    assert room.send("conversation.item.retrieve", item_id="spoken") == [
        "conversation.item.retrieved"
    ]
    assert room.last["item"]["content"][0]["audio"] == audio


def test_truncating_cuts_the_audio_and_forgets_the_transcript() -> None:
    room = Room(Link.WEBSOCKET)
    room.answer(1.0)
    (item_id,) = room.items()
    arguments = {"item_id": item_id, "content_index": 0}
    room.send("conversation.item.truncate", **arguments, audio_end_ms=1001)
    assert room.last["error"]["param"] == "audio_end_ms"
    assert room.send("conversation.item.truncate", **arguments, audio_end_ms=300) == [
        "conversation.item.truncated"
    ]
    room.send("conversation.item.retrieve", item_id=item_id)
    part = room.last["item"]["content"][0]
    assert base64.b64decode(part["audio"]) == tone(1.0)[: 300 * 24].tobytes()
    assert "transcript" not in part


@pytest.mark.parametrize("action", ["retrieve", "delete"])
def test_an_item_that_is_not_there_is_an_error(action: str) -> None:
    room = Room()
    assert room.send(f"conversation.item.{action}", item_id="nobody", event_id="mine") == ["error"]
    assert room.last["error"]["code"] == f"item_{action}_invalid_item_id"
    assert room.last["error"]["event_id"] == "mine"


def test_a_deleted_item_is_gone() -> None:
    room = Room()
    room.send("conversation.item.create", item=text_item("x", id="x"))
    assert room.send("conversation.item.delete", item_id="x") == ["conversation.item.deleted"]
    assert room.items() == []


def test_an_event_that_could_not_be_sent_is_told_once() -> None:
    room = Room()
    room.protocol.event_not_sent({"type": "conversation.item.retrieved"}, "too large")
    assert room.take() == ["error"]
    room.protocol.event_not_sent(room.last, "gone")
    assert room.take() == []
