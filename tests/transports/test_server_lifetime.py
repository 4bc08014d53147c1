"""What is due because nothing happened: the user's silence, and a session's end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from realtime_transports.openai.server_lifetime import SessionLimits
from realtime_transports.openai.server_outputs import EndSession
from realtime_transports.openai.server_protocol import Link
from tests.transports.server_room import RATE, Room, silence, tone

IDLE = {"type": "server_vad", "idle_timeout_ms": 5_000}

TIMED_OUT = [
    "input_audio_buffer.timeout_triggered",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
    "response.created",
]


def idle_room(link: Link = Link.WEBSOCKET, **settings: Any) -> Room:
    return Room(link, turn_detection={**IDLE, **settings})


def due(room: Room) -> float | None:
    """In how many seconds something is due."""
    deadline = room.protocol.next_deadline()
    return None if deadline is None else deadline - room.now


def test_the_user_is_waited_for_when_an_answer_was_heard() -> None:
    room = idle_room()
    assert due(room) is None  # nobody has answered yet
    room.answer(2.0)
    room.append(silence(7.0))
    assert due(room) == pytest.approx(7.0)
    assert room.wait(6.9) == []
    assert room.wait(0.2) == TIMED_OUT
    triggered, committed = room.events[-5:-3]
    assert triggered["audio_end_ms"] == 7_000
    assert triggered["audio_start_ms"] == 2_000
    assert triggered["item_id"] == committed["item_id"]
    assert len(room.turns[-1].audio) == 5 * RATE


def test_a_user_who_stays_silent_is_asked_again_after_each_answer() -> None:
    room = idle_room()
    room.answer(1.0)
    assert room.wait(6.0) == TIMED_OUT
    assert due(room) is None
    response_id = room.turns[-1].response_id
    room.protocol.answer_audio(response_id, tone(1.0), room.now)
    room.protocol.answer_done(response_id, room.now)
    room.take()
    assert due(room) == pytest.approx(6.0)
    assert room.wait(6.0) == TIMED_OUT


def test_over_webrtc_the_wait_begins_when_the_track_has_played_the_answer() -> None:
    room = idle_room(Link.WEBRTC)
    room.answer(1.0)
    assert due(room) is None
    room.play(1.0)
    room.wait(1.0)
    assert room.last["type"] == "output_audio_buffer.stopped"
    assert due(room) == pytest.approx(5.0)
    assert room.wait(5.0) == TIMED_OUT


def test_who_speaks_is_not_waited_for() -> None:
    room = idle_room()
    room.answer(0.0)
    room.wait(4.0)
    room.append(tone(0.2))
    assert due(room) is None
    assert room.wait(10.0) == []


def test_after_a_turn_that_is_not_answered_the_wait_begins_anew() -> None:
    room = idle_room(create_response=False)
    room.answer(0.0)
    room.wait(4.0)
    room.append(np.concatenate([tone(0.5), silence(0.6)]))
    assert due(room) == pytest.approx(5.0)


def test_an_answer_that_goes_on_is_not_interrupted_by_silence() -> None:
    room = idle_room()
    room.answer(0.0)
    room.wait(1.0)
    room.send("response.create")
    assert due(room) is None
    assert room.wait(20.0) == []


def test_without_the_setting_nobody_waits() -> None:
    room = Room(Link.WEBSOCKET, turn_detection={"type": "server_vad"})
    room.answer(1.0)
    assert due(room) is None
    room = idle_room()
    room.answer(1.0)
    room.update(audio={"input": {"turn_detection": None}})
    assert due(room) is None


def test_a_setting_that_comes_late_counts_from_then_on() -> None:
    room = Room(Link.WEBSOCKET, turn_detection={"type": "server_vad"})
    room.answer(1.0)
    room.wait(100.0)
    room.update(audio={"input": {"turn_detection": IDLE}})
    assert due(room) == pytest.approx(5.0)


def test_the_rest_of_an_interrupted_answer_is_not_waited_for() -> None:
    room = idle_room(create_response=False)
    room.answer(60.0)
    room.wait(1.0)
    room.append(np.concatenate([tone(0.5), silence(0.6)]))
    assert due(room) == pytest.approx(5.0)


# The session's end


def limited(**limits: float) -> Room:
    return Room(Link.WEBSOCKET, limits=SessionLimits(**limits))


def test_a_session_ends_at_its_maximum_duration_with_an_error_before() -> None:
    room = limited(max_session_s=3_600.0)
    assert due(room) == pytest.approx(3_600.0)
    room.wait(3_599.0)
    assert not room.outputs_of(EndSession)
    room.protocol.receive({"type": "response.create"}, room.now)
    room.take()
    assert room.wait(1.0) == ["error"]
    assert room.error == {
        "type": "invalid_request_error",
        "code": "session_expired",
        "message": "Your session hit the maximum duration of 60 minutes.",
        "param": None,
        "event_id": None,
    }
    assert room.outputs[-1] == EndSession("Your session hit the maximum duration of 60 minutes.")


def test_nothing_follows_the_end() -> None:
    room = limited(max_session_s=1.0)
    room.wait(1.0)
    before = len(room.outputs)
    room.send("response.create")
    room.append(tone(1.0))
    room.wait(1.0)
    assert len(room.outputs) == before
    assert due(room) is None


def test_a_session_that_nobody_uses_ends() -> None:
    room = limited(max_idle_s=60.0)
    room.wait(59.0)
    room.send("response.cancel")
    assert due(room) == pytest.approx(60.0)
    room.wait(59.0)
    assert not room.outputs_of(EndSession)
    assert room.wait(1.0) == ["error"]
    assert room.error["code"] == "session_expired"
    assert room.outputs_of(EndSession)


@pytest.mark.parametrize("use", ["answer", "speech", "playback"])
def test_answers_and_speech_are_use_too(use: str) -> None:
    room = Room(
        Link.WEBRTC,
        turn_detection={"type": "server_vad", "create_response": False},
        limits=SessionLimits(max_idle_s=10.0),
    )
    response_id = room.begin_answer() if use == "answer" else room.answer(9.0)
    room.wait(9.0)
    if use == "answer":
        room.protocol.answer_text(response_id, "x", room.now)
    elif use == "speech":
        room.protocol.hear(tone(0.2), room.now)
    else:
        room.protocol.played(480, room.now)
    room.wait(9.0)
    assert not room.outputs_of(EndSession)
    room.wait(1.0)
    assert room.outputs_of(EndSession)


def test_silence_on_the_track_is_no_use() -> None:
    room = Room(
        Link.WEBRTC,
        turn_detection={"type": "server_vad"},
        limits=SessionLimits(max_idle_s=10.0),
    )
    room.hear(silence(9.0))
    room.wait(1.01)
    assert room.outputs_of(EndSession)


def test_a_session_without_limits_goes_on() -> None:
    room = Room(Link.WEBSOCKET)
    assert due(room) is None
    assert room.wait(10**6) == []
