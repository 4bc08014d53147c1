"""The words of the user's audio, and the model that hears speech."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from realtime_transports.openai.server_outputs import (
    CancelResponse,
    CancelTranscription,
    Listen,
    StartResponse,
    Transcribe,
)
from realtime_transports.openai.server_protocol import Link
from realtime_transports.openai.server_turns import ModelTurnDetector, SpeechChange, TurnSettings
from tests.transports.server_room import RATE, Room, base64_of, silence, tone

FRAME = 768
"""32 ms."""

NAME = "conversation.item.input_audio_transcription"
WANTED = {"audio": {"input": {"transcription": {"model": "gpt-4o-mini-transcribe"}}}}


def hearing_room(**options: Any) -> Room:
    return Room(Link.WEBSOCKET, can_transcribe=True, **options)


def commit(room: Room, seconds: float = 0.5) -> str:
    """Commit something; its item."""
    room.append(tone(seconds))
    assert room.send("input_audio_buffer.commit")[0] == "input_audio_buffer.committed"
    return room.items()[-1]


def test_words_come_piece_by_piece_and_then_whole() -> None:
    room = hearing_room()
    room.update(**WANTED)
    item_id = commit(room)
    (asked,) = room.outputs_of(Transcribe)
    assert asked.item_id == item_id
    assert np.array_equal(asked.samples, tone(0.5))
    room.protocol.transcript_delta(item_id, "Hello ")
    room.protocol.transcript_delta(item_id, "you")
    room.protocol.transcribed(item_id, room.now)
    assert room.take() == [f"{NAME}.delta", f"{NAME}.delta", f"{NAME}.completed"]
    assert [event["delta"] for event in room.of_type(f"{NAME}.delta")] == ["Hello ", "you"]
    assert room.last["transcript"] == "Hello you"
    assert (room.last["item_id"], room.last["content_index"]) == (item_id, 0)
    assert room.last["usage"] == {
        "type": "tokens",
        "input_tokens": 5,
        "output_tokens": 3,
        "total_tokens": 8,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 5},
    }
    room.send("conversation.item.retrieve", item_id=item_id)
    assert room.last["item"]["content"][0]["transcript"] == "Hello you"


def test_whisper_is_billed_by_duration() -> None:
    room = hearing_room()
    room.update(audio={"input": {"transcription": {"model": "whisper-1"}}})
    room.protocol.transcribed(commit(room), room.now)
    room.take()
    assert room.last["usage"] == {"type": "duration", "seconds": 0.5}
    assert room.last["transcript"] == ""


def test_a_client_that_did_not_ask_for_words_does_not_see_them() -> None:
    room = hearing_room()
    item_id = commit(room)
    room.protocol.transcript_delta(item_id, "Hello")
    room.protocol.transcribed(item_id, room.now)
    assert room.take() == []
    room.send("conversation.item.retrieve", item_id=item_id)
    assert room.last["item"]["content"][0]["transcript"] is None
    room.begin_answer()
    assert room.turns[-1].text == "Hello"


def test_the_responder_is_asked_when_the_words_are_there() -> None:
    room = hearing_room()
    item_id = commit(room)
    assert room.send("response.create") == ["response.created"]
    assert room.turns == []
    room.protocol.transcript_delta(item_id, "Hello")
    room.take()
    assert room.turns == []
    room.protocol.transcribed(item_id, room.now)
    room.take()
    assert room.turns[-1].text == "Hello"
    assert len(room.turns[-1].audio) == RATE // 2


def test_words_that_cannot_be_had_do_not_hold_up_the_answer() -> None:
    room = hearing_room()
    room.update(**WANTED)
    item_id = commit(room)
    room.send("response.create")
    room.protocol.transcription_failed(item_id, "no ears", room.now)
    assert room.take() == [f"{NAME}.failed"]
    assert room.last["error"]["message"] == "no ears"
    assert room.turns[-1].text == ""
    assert room.turns[-1].audio is not None


def test_an_answer_cancelled_before_the_words_came_is_never_asked_for() -> None:
    room = hearing_room()
    item_id = commit(room)
    room.send("response.create")
    room.send("response.cancel")
    room.protocol.transcribed(item_id, room.now)
    room.take()
    assert not room.outputs_of(StartResponse)
    assert not room.outputs_of(CancelResponse)


def test_nobody_wants_the_words_of_an_item_that_is_gone() -> None:
    room = hearing_room()
    room.update(**WANTED)
    item_id = commit(room)
    room.send("response.create")
    assert room.send("conversation.item.delete", item_id=item_id) == ["conversation.item.deleted"]
    assert CancelTranscription(item_id) in room.outputs
    assert len(room.turns) == 1
    room.protocol.transcript_delta(item_id, "Hello")
    room.protocol.transcribed(item_id, room.now)
    room.protocol.transcription_failed(item_id, "late", room.now)
    assert room.take() == []


def test_audio_that_a_client_put_into_the_conversation_is_understood_when_it_is_answered() -> None:
    room = hearing_room()
    room.update(**WANTED)
    part = {"type": "input_audio", "audio": base64_of(tone(0.3))}
    item = {"type": "message", "role": "user", "content": [part], "id": "mine"}
    room.send("conversation.item.create", item=item)
    assert not room.outputs_of(Transcribe)
    room.send("response.create")
    assert [asked.item_id for asked in room.outputs_of(Transcribe)] == ["mine"]
    room.protocol.transcript_delta("mine", "Hello")
    room.protocol.transcribed("mine", room.now)
    assert room.take() == []
    assert room.turns[-1].text == "Hello"
    room.send("response.cancel")
    room.send("response.create")
    assert len(room.outputs_of(Transcribe)) == 1


def test_audio_that_came_with_its_words_is_not_transcribed() -> None:
    room = hearing_room()
    part = {"type": "input_audio", "audio": base64_of(tone(0.3)), "transcript": "known"}
    item = {"type": "message", "role": "user", "content": [part]}
    room.send("conversation.item.create", item=item)
    room.begin_answer()
    assert not room.outputs_of(Transcribe)
    assert room.turns[-1].text == "known"


# The model that hears speech


def model_room(**options: Any) -> Room:
    return Room(
        Link.WEBSOCKET,
        turn_detection={"type": "server_vad", "silence_duration_ms": 200},
        model_frame_samples=FRAME,
        **options,
    )


def judge(room: Room, *probabilities: float) -> list[str]:
    """The model has judged so many frames more."""
    stream = room.outputs_of(Listen)[-1].stream
    room.protocol.judged(stream, probabilities, room.now)
    return room.take()


def test_a_model_is_asked_about_all_audio_and_its_word_counts() -> None:
    room = model_room()
    said = tone(1.0)
    room.append(said[:9_000])
    room.append(said[9_000:])
    asked = room.outputs_of(Listen)
    assert np.array_equal(np.concatenate([piece.samples for piece in asked]), said)
    assert judge(room, *[0.1] * 10) == []  # the loudest tone is no speech if the model says so
    assert judge(room, 0.9) == []
    assert judge(room, 0.9) == ["input_audio_buffer.speech_started"]
    assert room.last["audio_start_ms"] == 320 - 300
    assert judge(room, *[0.1] * 5) == []
    told = judge(room, 0.1)
    assert told[:2] == ["input_audio_buffer.speech_stopped", "input_audio_buffer.committed"]
    assert told[-1] == "response.created"
    assert room.of_type("input_audio_buffer.speech_stopped")[0]["audio_end_ms"] == 18 * 32


def test_a_model_must_be_surer_that_speech_begins_than_that_it_goes_on() -> None:
    room = model_room()
    room.append(tone(2.0))
    assert judge(room, *[0.4] * 10) == []
    judge(room, 0.5, 0.5)
    assert judge(room, *[0.36] * 20) == []
    assert "input_audio_buffer.speech_stopped" in judge(room, *[0.34] * 7)


def test_without_turn_detection_no_model_is_asked() -> None:
    room = Room(Link.WEBSOCKET, model_frame_samples=FRAME)
    room.append(tone(0.5))
    assert not room.outputs_of(Listen)


def test_new_settings_begin_a_new_stream_and_the_old_one_counts_no_more() -> None:
    room = model_room()
    room.append(tone(0.5))
    old = room.outputs_of(Listen)[-1].stream
    room.update(audio={"input": {"turn_detection": {"type": "server_vad", "threshold": 0.9}}})
    room.append(tone(0.5))
    assert room.outputs_of(Listen)[-1].stream != old
    room.protocol.judged(old, [1.0] * 10, room.now)
    assert room.take() == []
    assert judge(room, 0.8, 0.8, 0.8) == []
    assert judge(room, 0.95, 0.95) == ["input_audio_buffer.speech_started"]
    assert room.last["audio_start_ms"] == 500 + 3 * 32 - 300


def test_what_a_model_says_about_audio_that_is_committed_already_begins_no_turn() -> None:
    room = model_room()
    room.append(tone(0.5))
    room.send("input_audio_buffer.commit")
    assert judge(room, *[0.9] * 15) == []
    room.append(tone(0.5))
    assert judge(room, 0.9, 0.9, 0.9) == ["input_audio_buffer.speech_started"]
    assert room.last["audio_start_ms"] == 500


def test_a_change_is_at_the_same_place_however_the_frames_come() -> None:
    frames = [0.1] * 5 + [0.9] * 10 + [0.1] * 20
    settings = TurnSettings(silence_duration_ms=320)
    at_once = ModelTurnDetector(settings, FRAME).judge(frames)
    detector = ModelTurnDetector(settings, FRAME)
    assert [change for frame in frames for change in detector.judge([frame])] == at_once
    assert at_once == [
        (SpeechChange.STARTED, 5 * FRAME),
        (SpeechChange.STOPPED, 25 * FRAME),
    ]


@pytest.mark.parametrize("eagerness", ["low", "medium", "high", "auto"])
def test_an_eager_server_answers_sooner(eagerness: str) -> None:
    pauses = {"low": 1.2, "medium": 0.7, "auto": 0.7, "high": 0.4}
    room = Room(Link.WEBSOCKET, turn_detection={"type": "semantic_vad", "eagerness": eagerness})
    room.append(tone(0.5))
    assert room.append(silence(pauses[eagerness] - 0.04)) == []
    assert "response.created" in room.append(silence(0.08))


# Words asked for before the turn is over


def speaking_room(**options: Any) -> Room:
    """Somebody has spoken for 640 ms and pauses; the model has judged 7 frames of that."""
    options = {"turn_detection": {"type": "server_vad"}, **options}
    room = hearing_room(model_frame_samples=FRAME, **options)
    room.update(**WANTED)
    room.append(tone(4.0))
    assert judge(room, *[0.9] * 20) == ["input_audio_buffer.speech_started"]
    assert judge(room, *[0.1] * 7) == []
    assert not room.outputs_of(Transcribe)
    return room


def test_in_a_pause_the_words_are_asked_for_and_told_when_the_turn_ends() -> None:
    room = speaking_room()
    assert judge(room, 0.1) == []
    (asked,) = room.outputs_of(Transcribe)
    assert np.array_equal(asked.samples, tone(4.0)[: 28 * FRAME])
    room.protocol.transcript_delta(asked.item_id, "Hello ")
    room.protocol.transcript_delta(asked.item_id, "you")
    room.protocol.transcribed(asked.item_id, room.now)
    assert room.take() == []
    told = judge(room, *[0.1] * 8)
    assert told == [
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        f"{NAME}.delta",
        f"{NAME}.delta",
        f"{NAME}.completed",
        "response.created",
    ]
    assert room.items()[-1] == asked.item_id
    assert len(room.outputs_of(Transcribe)) == 1
    assert room.turns[-1].text == "Hello you"
    assert len(room.turns[-1].audio) == 36 * FRAME


def test_words_still_on_their_way_when_the_turn_ends_are_waited_for() -> None:
    room = speaking_room()
    judge(room, 0.1)
    (asked,) = room.outputs_of(Transcribe)
    room.protocol.transcript_delta(asked.item_id, "Hello ")
    told = judge(room, *[0.1] * 8)
    assert told[-2:] == [f"{NAME}.delta", "response.created"]
    assert room.turns == []
    room.protocol.transcript_delta(asked.item_id, "you")
    room.protocol.transcribed(asked.item_id, room.now)
    assert room.take() == [f"{NAME}.delta", f"{NAME}.completed"]
    assert room.turns[-1].text == "Hello you"


@pytest.mark.parametrize("has_come", [False, True])
def test_words_of_a_pause_are_dropped_when_the_user_goes_on(has_come: bool) -> None:
    room = speaking_room()
    judge(room, 0.1)
    (asked,) = room.outputs_of(Transcribe)
    if has_come:
        room.protocol.transcript_delta(asked.item_id, "Hello")
        room.protocol.transcribed(asked.item_id, room.now)
    assert judge(room, *[0.9] * 5) == []
    assert (CancelTranscription(asked.item_id) in room.outputs) is not has_come
    judge(room, *[0.1] * 16)
    again = room.outputs_of(Transcribe)[-1]
    assert again.item_id == asked.item_id
    assert len(room.outputs_of(Transcribe)) == 2
    room.protocol.transcript_delta(again.item_id, "Hello you")
    room.protocol.transcribed(again.item_id, room.now)
    room.take()
    assert room.turns[-1].text == "Hello you"


def test_a_pause_that_comes_with_the_speech_behind_it_is_another() -> None:
    room = speaking_room()
    judge(room, 0.1)
    # The end is judged at once with what came after the pause.
    told = judge(room, *[0.9] * 5, *[0.1] * 16)
    assert told[-1] == "response.created"
    first, second = room.outputs_of(Transcribe)
    assert CancelTranscription(first.item_id) in room.outputs
    assert len(second.samples) == (20 + 8 + 5 + 16) * FRAME


def test_what_the_client_commits_in_a_pause_is_understood_anew() -> None:
    room = speaking_room()
    judge(room, 0.1)
    (asked,) = room.outputs_of(Transcribe)
    assert "input_audio_buffer.committed" in room.send("input_audio_buffer.commit")
    assert CancelTranscription(asked.item_id) in room.outputs
    assert np.array_equal(room.outputs_of(Transcribe)[-1].samples, tone(4.0))


@pytest.mark.parametrize("event", ["input_audio_buffer.clear", "session.update"])
def test_words_of_a_turn_that_is_forgotten_are_not_wanted(event: str) -> None:
    room = speaking_room()
    judge(room, 0.1)
    (asked,) = room.outputs_of(Transcribe)
    if event == "session.update":
        room.update(audio={"input": {"turn_detection": None}})
    else:
        room.send(event)
    assert CancelTranscription(asked.item_id) in room.outputs


def test_words_that_could_not_be_had_early_are_asked_for_again() -> None:
    room = speaking_room()
    judge(room, 0.1)
    room.protocol.transcription_failed(room.outputs_of(Transcribe)[0].item_id, "no", room.now)
    assert room.take() == []
    judge(room, *[0.1] * 8)
    assert len(room.outputs_of(Transcribe)) == 2


def test_of_a_long_turn_the_words_are_asked_for_once() -> None:
    room = hearing_room(model_frame_samples=FRAME, turn_detection={"type": "server_vad"})
    room.append(tone(18.0))
    judge(room, *[0.9] * (16 * RATE // FRAME))
    judge(room, *[0.1] * 10)
    assert not room.outputs_of(Transcribe)
    judge(room, *[0.1] * 10)
    assert len(room.outputs_of(Transcribe)) == 1


def test_a_short_silence_leaves_no_time_to_ask_early() -> None:
    vad = {"type": "server_vad", "silence_duration_ms": 200}
    room = hearing_room(model_frame_samples=FRAME, turn_detection=vad)
    room.append(tone(2.0))
    judge(room, *[0.9] * 10)
    assert judge(room, *[0.1] * 6)[-1] == "response.created"
    assert len(room.outputs_of(Transcribe)) == 1
