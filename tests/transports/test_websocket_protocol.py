"""Decisions about audio that comes in events."""

from __future__ import annotations

import base64
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_core.errors import ProtocolError
from realtime_core.events import AudioEvent
from realtime_transports.openai.websocket_protocol import SipProtocol, WebSocketProtocol

SECOND = bytes(48_000)
CANCEL = {"type": "response.cancel"}


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


def interrupt(protocol: WebSocketProtocol, *args: bool, unheard_ms: float = 0.0) -> list[Any]:
    """What is sent when the program interrupts."""
    protocol.interrupt(*args, unheard_ms=unheard_ms)
    protocol.send_truncation()
    return protocol.take_sends()


def truncation(item_id: str, end_ms: int, content_index: int = 0) -> dict[str, Any]:
    return {
        "type": "conversation.item.truncate",
        "item_id": item_id,
        "content_index": content_index,
        "audio_end_ms": end_ms,
    }


def test_audio_is_told_with_what_it_belongs_to():
    protocol = connected()
    protocol.receive(audio(b"\x01\x02"))
    payloads = [emit.args[0] for emit in protocol.take_emits() if emit.type == "audio"]
    assert payloads == [AudioEvent(b"\x01\x02", "r1", "a1", 0)]


def test_an_interruption_cancels_and_truncates_where_the_user_stopped_listening():
    protocol = connected()
    protocol.receive(response("created"))
    protocol.receive(audio(SECOND))
    assert interrupt(protocol, unheard_ms=599.3) == [CANCEL, truncation("a1", 400)]
    assert told(protocol).count("audio_interrupted") == 1


def test_no_more_is_truncated_than_has_come():
    protocol = connected()
    protocol.receive(audio(SECOND))
    assert interrupt(protocol) == [truncation("a1", 1000)]


def test_nothing_heard_is_truncated_to_nothing():
    protocol = connected()
    protocol.receive(audio(SECOND))
    assert interrupt(protocol, unheard_ms=5000) == [truncation("a1", 0)]


def test_what_was_heard_to_its_end_keeps_its_transcript():
    protocol = connected()
    for received in (response("created"), audio(SECOND), audio_done(), response("done")):
        protocol.receive(received)
    told(protocol)
    assert interrupt(protocol) == []
    assert told(protocol) == []


def test_speech_of_the_user_after_all_was_heard_interrupts_nothing():
    protocol = connected()
    for received in (response("created"), audio(SECOND), audio_done(), response("done")):
        protocol.receive(received)
    told(protocol)
    protocol.receive(SPEECH)
    assert protocol.take_sends() == []
    assert "audio_interrupted" not in told(protocol)


def test_between_the_audio_and_the_end_of_its_response_both_are_stopped():
    protocol = connected()
    for received in (response("created"), audio(SECOND), audio_done()):
        protocol.receive(received)
    assert interrupt(protocol, unheard_ms=250) == [CANCEL, truncation("a1", 750)]


def test_a_response_of_which_nothing_is_heard_yet_is_cancelled():
    protocol = connected()
    protocol.receive(response("created"))
    assert interrupt(protocol) == [CANCEL]
    assert "audio_interrupted" not in told(protocol)


def test_audio_of_a_cancelled_response_is_never_heard():
    protocol = connected()
    protocol.receive(response("created"))
    interrupt(protocol)
    told(protocol)
    protocol.receive(audio(SECOND))
    protocol.receive(audio(SECOND))
    assert protocol.take_sends() == [truncation("a1", 0)]
    assert "audio" not in told(protocol)
    protocol.receive(response("done", status="cancelled"))
    protocol.receive(audio(SECOND, item_id="a2"))
    assert "audio" in told(protocol)


def test_a_response_interrupted_before_it_began_is_cancelled_and_never_heard():
    protocol = connected()
    protocol.request_response()
    protocol.take_sends()
    assert interrupt(protocol) == []
    protocol.receive(response("created"))
    assert protocol.take_sends() == [CANCEL]
    protocol.receive(audio(SECOND))
    assert protocol.take_sends() == [truncation("a1", 0)]
    assert "audio" not in told(protocol)


def test_a_response_that_could_not_be_cancelled_is_heard():
    protocol = connected()
    protocol.receive(response("created"))
    protocol.interrupt()
    (cancel,) = protocol.take_sends()
    protocol.send_failed(cancel, OSError("full"))
    protocol.receive(audio(SECOND))
    assert "audio" in told(protocol)


def test_interrupting_the_audio_alone_lets_the_next_item_be_heard():
    protocol = connected()
    protocol.receive(response("created"))
    protocol.receive(audio(SECOND))
    assert interrupt(protocol, False, unheard_ms=900) == [truncation("a1", 100)]
    told(protocol)
    protocol.receive(audio(SECOND, item_id="a2"))
    assert "audio" in told(protocol)


def test_audio_still_on_its_way_after_an_interruption_is_dropped():
    protocol = connected()
    protocol.receive(audio(SECOND))
    interrupt(protocol, unheard_ms=900)
    told(protocol)
    protocol.receive(audio(SECOND))
    assert "audio" not in told(protocol)
    assert interrupt(protocol) == []
    assert told(protocol) == []


def test_every_item_that_waits_to_be_heard_is_cut_off():
    protocol = connected()
    for item_id in ("heard", "partly", "not at all"):
        protocol.receive(audio(SECOND, item_id=item_id), unheard_ms=3000)
        protocol.receive(audio_done(item_id))
    expected = [truncation("partly", 300), truncation("not at all", 0)]
    assert interrupt(protocol, unheard_ms=1700) == expected
    assert told(protocol).count("audio_interrupted") == 1


def test_every_part_that_waits_to_be_heard_is_cut_off():
    protocol = connected()
    protocol.receive(audio(SECOND))
    protocol.receive(audio(SECOND, content_index=1), unheard_ms=1000)
    expected = [truncation("a1", 500), truncation("a1", 0, content_index=1)]
    assert interrupt(protocol, unheard_ms=1500) == expected


def test_a_part_that_goes_on_after_another_is_cut_off_where_it_was_left():
    protocol = connected()
    for item_id in ("a1", "a2", "a1"):
        protocol.receive(audio(SECOND, item_id=item_id), unheard_ms=0)
    assert interrupt(protocol, unheard_ms=400) == [truncation("a1", 1600)]


def test_a_part_that_goes_on_is_cut_off_once():
    protocol = connected()
    for item_id in ("a1", "a2", "a1"):
        protocol.receive(audio(SECOND, item_id=item_id), unheard_ms=10_000)
    expected = [truncation("a1", 250), truncation("a2", 0)]
    assert interrupt(protocol, unheard_ms=2750) == expected


def test_what_was_heard_does_not_pile_up():
    protocol = connected()
    for number in range(100):
        protocol.receive(audio(SECOND, item_id=f"a{number}"), unheard_ms=1500)
    assert len(protocol._playback._stretches) <= 3


def test_the_next_item_begins_at_nothing_heard():
    protocol = connected()
    protocol.receive(audio(SECOND))
    first = protocol.playing
    protocol.receive(audio(SECOND))
    assert protocol.playing is first
    protocol.receive(audio(SECOND, content_index=1))
    assert protocol.playing is not first
    assert interrupt(protocol, unheard_ms=995) == [truncation("a1", 5, content_index=1)]


def test_a_truncation_that_cannot_be_sent_is_tried_again():
    protocol = connected()
    for item_id in ("a1", "a2"):
        protocol.receive(audio(SECOND, item_id=item_id), unheard_ms=1000)
    protocol.interrupt(unheard_ms=1500)
    protocol.send_truncation()
    first, _ = protocol.take_sends()
    protocol.send_failed(first, OSError("full"))
    told(protocol)
    assert interrupt(protocol) == [truncation("a1", 500), truncation("a2", 0)]
    assert told(protocol) == ["audio_interrupted"]
    assert interrupt(protocol) == []


def test_a_truncation_kept_back_by_a_middleware_is_not_tried_again():
    protocol = connected()
    protocol.receive(audio(SECOND))
    protocol.interrupt()
    protocol.send_truncation()
    (event,) = protocol.take_sends()
    protocol.send_dropped(event)
    assert interrupt(protocol) == []


def test_a_link_that_closes_between_the_halves_of_an_interruption_is_told_nothing():
    protocol = connected()
    protocol.receive(audio(SECOND))
    protocol.interrupt(unheard_ms=990)
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
    protocol.receive(SPEECH, unheard_ms=750)
    sent = [each["type"] for each in protocol.take_sends()]
    assert sent == ["response.cancel"] * cancels + ["conversation.item.truncate"]
    assert "audio_interrupted" in told(protocol)


def test_speech_of_the_user_leaves_alone_what_is_not_heard_yet():
    protocol = connected()
    protocol.receive(response("created"))
    protocol.receive(SPEECH)
    assert protocol.take_sends() == []


def test_speech_of_the_user_leaves_alone_a_response_that_was_only_asked_for():
    protocol = connected()
    protocol.receive(audio(SECOND))
    protocol.request_response()
    protocol.take_sends()
    protocol.receive(SPEECH)
    assert protocol.take_sends() == [truncation("a1", 1000)]
    protocol.receive(response("created"))
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


def test_a_session_in_a_telephone_format_is_truncated_by_its_own_time():
    protocol = connected()
    protocol.receive(session(output={"format": {"type": "audio/pcmu"}}))
    protocol.receive(audio(bytes(8000)))
    assert interrupt(protocol, unheard_ms=800.5) == [truncation("a1", 199)]


def test_a_length_that_floats_cannot_say_is_rounded_down_all_the_same():
    protocol = connected()
    for _ in range(30):
        protocol.receive(audio(bytes(160)))  # 3 1/3 ms
    assert interrupt(protocol, unheard_ms=1e-9) == [truncation("a1", 100)]
    protocol.receive(audio(bytes(4798), item_id="a2"))
    assert interrupt(protocol) == [truncation("a2", 99)]


def test_a_second_interruption_is_of_what_came_after_the_first():
    protocol = connected()
    protocol.receive(response("created"))
    protocol.receive(audio(SECOND))
    assert interrupt(protocol, unheard_ms=500) == [CANCEL, truncation("a1", 500)]
    assert interrupt(protocol) == []
    protocol.receive(response("done", status="cancelled"))
    protocol.receive(audio(SECOND, item_id="a2"))
    assert interrupt(protocol, unheard_ms=200) == [truncation("a2", 800)]


CLEAR = {"type": "output_audio_buffer.clear"}


def buffer(what: str) -> dict[str, Any]:
    return event(f"output_audio_buffer.{what}", response_id="r1")


def test_on_a_sideband_the_server_is_asked_to_stop_what_it_plays():
    protocol = connected()
    assert interrupt(protocol) == []
    protocol.receive(buffer("started"))
    told(protocol)
    assert interrupt(protocol) == [CLEAR]
    assert told(protocol) == ["audio_interrupted"]
    protocol.receive(buffer("cleared"))
    assert "audio_interrupted" not in told(protocol)
    assert interrupt(protocol) == []


def test_on_a_telephone_call_the_server_stops_what_it_plays():
    protocol = connected(SipProtocol())
    protocol.receive(response("created"))
    protocol.receive(SPEECH)
    assert protocol.take_sends() == [CANCEL, CLEAR]
    assert "audio_interrupted" not in told(protocol)
    assert interrupt(protocol) == [CLEAR]


def test_on_a_telephone_call_an_interruption_of_what_plays_is_told_once():
    protocol = connected(SipProtocol())
    protocol.receive(buffer("started"))
    protocol.receive(SPEECH)
    assert interrupt(protocol) == [CANCEL, CLEAR][1:] * 2
    protocol.receive(buffer("cleared"))
    assert told(protocol).count("audio_interrupted") == 1


# The law: whatever comes in whatever order.

ITEMS = ("a1", "a2", "a3")
PLACES = st.tuples(st.sampled_from(ITEMS), st.integers(0, 1))
STEPS = st.one_of(
    st.tuples(st.just("delta"), PLACES, st.integers(0, 480), st.sampled_from(["r1", "r2"])),
    st.tuples(st.just("done"), PLACES),
    st.tuples(st.just("play"), st.floats(0, 15)),
    st.tuples(st.just("interrupt"), st.booleans()),
    st.tuples(st.just("speech")),
    st.tuples(st.just("response"), st.sampled_from(["created", "done"]), st.sampled_from("12")),
    st.tuples(st.just("fail")),
)


class Player:
    """A program with a sink: it hears what it was told, in order, as fast as the steps say."""

    def __init__(self, bytes_per_ms: int) -> None:
        self.protocol = connected()
        self.bytes_per_ms = bytes_per_ms
        self.came: Counter[tuple[str, int]] = Counter()
        """In bytes, told or not."""
        self.queue: list[tuple[tuple[str, int], int]] = []
        self.heard: Counter[tuple[str, int]] = Counter()
        self.given: Counter[tuple[str, int]] = Counter()
        self.cut: dict[tuple[str, int], int] = {}
        self.is_failing = False

    @property
    def unheard_ms(self) -> float:
        return sum(size for _, size in self.queue) / self.bytes_per_ms

    def do(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("delta", place, size, response_id):
                self.came[place] += size
                item_id, index = place
                delta = audio(bytes(size), item_id, index) | {"response_id": response_id}
                self.receive(delta)
            case ("done", (item_id, index)):
                self.receive(audio_done(item_id) | {"content_index": index})
            case ("play", ms):
                self.play(int(ms * self.bytes_per_ms))
            case ("interrupt", cancels):
                self.interrupt(cancels)
            case ("speech",):
                self.receive(SPEECH)
            case ("response", kind, number):
                self.receive(event(f"response.{kind}", response={"id": f"r{number}"}))
            case ("fail",):
                self.is_failing = True

    def receive(self, received: dict[str, Any]) -> None:
        self.protocol.receive(received, unheard_ms=self.unheard_ms)
        self.settle(received)

    def interrupt(self, cancels: bool) -> None:
        self.protocol.interrupt(cancels, unheard_ms=self.unheard_ms)
        self.settle()
        self.protocol.send_truncation()
        self.settle()

    def play(self, size: int) -> None:
        while size and self.queue:
            place, waiting = self.queue.pop(0)
            played = min(size, waiting)
            self.heard[place] += played
            size -= played
            if waiting > played:
                self.queue.insert(0, (place, waiting - played))

    def settle(self, received: dict[str, Any] | None = None) -> None:
        sends = self.protocol.take_sends()
        failing, self.is_failing = self.is_failing and bool(sends), False
        if failing:
            self.protocol.send_failed(sends[0], OSError("full"))
            sends = self.protocol.take_sends()
        truncated = [each for each in sends if each["type"].endswith("truncate")]
        for emit in self.protocol.take_emits():
            if emit.type == "audio":
                assert received is not None
                place = received["item_id"], received["content_index"]
                assert place not in self.cut, "audio of what was interrupted is heard"
                self.queue.append((place, len(emit.args[0].data)))
                self.given[place] += len(emit.args[0].data)
            elif emit.type == "audio_interrupted":
                self.queue.clear()
        for each in truncated:
            self.check(each)

    def check(self, truncate: dict[str, Any]) -> None:
        place = truncate["item_id"], truncate["content_index"]
        end_ms = truncate["audio_end_ms"]
        assert place in self.came, "what is truncated has come"
        assert place not in self.cut, "what is truncated was not truncated before"
        assert 0 <= end_ms <= self.came[place] / self.bytes_per_ms
        assert end_ms == self.heard[place] // self.bytes_per_ms, "it ends where the user stopped"
        self.cut[place] = end_ms


@settings(max_examples=5000, deadline=None)
@given(st.lists(STEPS, max_size=20), st.sampled_from([48, 8]))
def test_truncations_are_true_and_nothing_interrupted_is_heard(
    steps: list[tuple[Any, ...]], bytes_per_ms: int
):
    player = Player(bytes_per_ms)
    wire_format = {48: {"type": "audio/pcm", "rate": 24_000}, 8: {"type": "audio/pcma"}}
    player.receive(session(output={"format": wire_format[bytes_per_ms]}))
    for step in steps:
        player.do(step)
