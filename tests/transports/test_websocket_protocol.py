"""Decisions about audio that comes in events."""

from __future__ import annotations

import base64
import math
from typing import Any

import pytest

from realtime_core.errors import ProtocolError
from realtime_core.events import AudioEvent
from realtime_transports.openai.websocket_protocol import SipProtocol, WebSocketProtocol

SECOND = bytes(48_000)


def connected(protocol: WebSocketProtocol | None = None) -> WebSocketProtocol:
    protocol = protocol or WebSocketProtocol()
    protocol.link_opened(None)
    protocol.take_sends()
    return protocol


def event(event_type: str, **fields: Any) -> dict[str, Any]:
    return {"type": event_type, "event_id": "evt", **fields}


def audio(pcm: bytes, item_id: str = "a1", content_index: int = 0) -> dict[str, Any]:
    return event(
        "response.output_audio.delta",
        item_id=item_id,
        content_index=content_index,
        output_index=0,
        response_id="r1",
        delta=base64.b64encode(pcm).decode(),
    )


def audio_done(item_id: str = "a1") -> dict[str, Any]:
    return event(
        "response.output_audio.done",
        item_id=item_id,
        content_index=0,
        output_index=0,
        response_id="r1",
    )


def response(kind: str, **fields: Any) -> dict[str, Any]:
    return event(f"response.{kind}", response={"id": "r1", **fields})


def session(**audio_settings: Any) -> dict[str, Any]:
    return event("session.updated", session={"audio": audio_settings})


SPEECH = event("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=1)


def told(protocol: WebSocketProtocol) -> list[str]:
    return [emit.type for emit in protocol.take_emits()]


def interrupt(protocol: WebSocketProtocol, *args: bool, heard_ms: float = math.inf) -> list[Any]:
    """What is sent when the program interrupts."""
    protocol.interrupt(*args, heard_ms=heard_ms)
    protocol.send_truncation()
    return protocol.take_sends()


def test_audio_is_told_with_what_it_belongs_to():
    protocol = connected()
    protocol.receive(audio(b"\x01\x02"))
    payloads = [emit.args[0] for emit in protocol.take_emits() if emit.type == "audio"]
    assert payloads == [AudioEvent(b"\x01\x02", "r1", "a1", 0)]


def test_an_interruption_cancels_and_truncates_where_the_user_stopped_listening():
    protocol = connected()
    protocol.receive(response("created"))
    protocol.receive(audio(SECOND))
    assert interrupt(protocol, heard_ms=400.7) == [
        {"type": "response.cancel"},
        {
            "type": "conversation.item.truncate",
            "item_id": "a1",
            "content_index": 0,
            "audio_end_ms": 400,
        },
    ]
    assert "audio_interrupted" in told(protocol)


def test_no_more_is_truncated_than_has_come():
    protocol = connected()
    protocol.receive(audio(SECOND))
    assert interrupt(protocol)[0]["audio_end_ms"] == 1000


def test_what_was_heard_to_its_end_keeps_its_transcript():
    protocol = connected()
    for received in (response("created"), audio(SECOND), audio_done(), response("done")):
        protocol.receive(received)
    assert interrupt(protocol, heard_ms=1000.0) == []
    assert "audio_interrupted" in told(protocol)
    assert interrupt(protocol, heard_ms=1000.0) == []
    assert told(protocol) == []


def test_a_response_of_which_nothing_is_heard_yet_is_cancelled():
    protocol = connected()
    protocol.receive(response("created"))
    assert interrupt(protocol) == [{"type": "response.cancel"}]
    assert "audio_interrupted" not in told(protocol)


def test_audio_still_on_its_way_after_an_interruption_is_dropped():
    protocol = connected()
    protocol.receive(response("created"))
    protocol.receive(audio(SECOND))
    interrupt(protocol, heard_ms=100)
    told(protocol)
    protocol.receive(audio(SECOND))
    assert "audio" not in told(protocol)
    assert interrupt(protocol, heard_ms=50) == []
    protocol.receive(audio(SECOND, item_id="a2"))
    assert "audio" in told(protocol)


def test_the_next_item_begins_at_nothing_heard():
    protocol = connected()
    protocol.receive(audio(SECOND))
    first = protocol.playing
    protocol.receive(audio(SECOND))
    assert protocol.playing is first
    protocol.receive(audio(SECOND, content_index=1))
    assert protocol.playing is not first
    assert interrupt(protocol, heard_ms=5)[0]["content_index"] == 1


def test_a_truncation_that_cannot_be_sent_is_tried_again():
    protocol = connected()
    protocol.receive(audio(SECOND))
    protocol.interrupt(heard_ms=10)
    protocol.send_truncation()
    (truncation,) = protocol.take_sends()
    protocol.send_failed(truncation, OSError("full"))
    assert interrupt(protocol, heard_ms=20)[0]["audio_end_ms"] == 20


def test_a_link_that_closes_between_the_halves_of_an_interruption_is_told_nothing():
    protocol = connected()
    protocol.receive(audio(SECOND))
    protocol.interrupt(heard_ms=10)
    assert protocol.has_truncation
    protocol.link_closed()
    assert not protocol.has_truncation
    protocol.send_truncation()
    assert protocol.take_sends() == []


@pytest.mark.parametrize(
    ("detection", "cancels"),
    [
        ({"type": "semantic_vad"}, False),
        ({"type": "server_vad", "interrupt_response": True}, False),
        ({"type": "server_vad", "interrupt_response": False}, True),
        (None, True),
    ],
)
def test_speech_of_the_user_stops_what_is_heard(detection: object, cancels: bool):
    protocol = connected()
    protocol.receive(session(input={"turn_detection": detection}))
    protocol.receive(response("created"))
    protocol.receive(audio(SECOND))
    protocol.receive(SPEECH, heard_ms=250)
    sent = [each["type"] for each in protocol.take_sends()]
    assert sent == ["response.cancel"] * cancels + ["conversation.item.truncate"]
    assert "audio_interrupted" in told(protocol)


def test_speech_of_the_user_leaves_alone_what_is_not_heard_yet():
    protocol = connected()
    protocol.receive(response("created"))
    protocol.receive(SPEECH)
    assert protocol.take_sends() == []


def test_audio_that_is_no_base64_is_told_as_error():
    protocol = connected()
    protocol.receive({**audio(SECOND), "delta": "@@@"})
    (error,) = [emit.args[0].error for emit in protocol.take_emits() if emit.type == "error"]
    assert isinstance(error, ProtocolError)
    assert protocol.playing is None


@pytest.mark.parametrize(
    ("audio_format", "length_ms"),
    [
        ({"type": "audio/pcm", "rate": 24_000}, 100),
        ({"type": "audio/pcm", "rate": 16_000}, 150),
        ({"type": "audio/pcm"}, 100),
        ({"type": "audio/pcmu"}, 600),
        ("g711_alaw", 600),
        ("pcm16", 100),
        (None, 100),
        (5, 100),
    ],
)
def test_the_length_of_audio_follows_its_format(audio_format: object, length_ms: int):
    protocol = connected()
    protocol.receive(session(output={"format": audio_format}))
    protocol.receive(audio(bytes(4800)))
    assert interrupt(protocol)[0]["audio_end_ms"] == length_ms


def test_a_response_has_its_own_format_until_it_is_done():
    protocol = connected()
    protocol.receive(session(output={"format": {"type": "audio/pcm", "rate": 24_000}}))
    protocol.receive(response("created", audio={"output": {"format": {"type": "audio/pcmu"}}}))
    assert protocol.audio_format("r1") == {"type": "audio/pcmu"}
    protocol.receive(response("done"))
    assert protocol.audio_format("r1") == {"type": "audio/pcm", "rate": 24_000}


def test_on_a_sideband_the_server_is_asked_to_stop_what_it_plays():
    protocol = connected()
    assert interrupt(protocol) == []
    protocol.receive(event("output_audio_buffer.started", response_id="r1"))
    assert interrupt(protocol) == [{"type": "output_audio_buffer.clear"}]
    protocol.receive(event("output_audio_buffer.stopped", response_id="r1"))
    assert interrupt(protocol) == []


def test_on_a_telephone_call_the_server_stops_what_it_plays():
    protocol = connected(SipProtocol())
    protocol.receive(response("created"))
    protocol.receive(SPEECH)
    cancel, clear = {"type": "response.cancel"}, {"type": "output_audio_buffer.clear"}
    assert protocol.take_sends() == [cancel, clear]
    assert interrupt(protocol) == [clear]
