"""What holds in every session, whatever a client, a caller and a responder do.

That every event is one of the API's is checked for all tests in tests/conftest.py.
"""

from __future__ import annotations

import base64
from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_transports.openai.server_lifetime import SessionLimits
from realtime_transports.openai.server_outputs import (
    CancelResponse,
    CancelTranscription,
    EndSession,
    SendEvent,
    StartResponse,
    Transcribe,
)
from realtime_transports.openai.server_protocol import Link
from tests.transports.server_room import Room, silence, tone
from tests.transports.test_server_items import KINDS
from tests.transports.test_server_session import EVERYTHING

IDS = st.integers(0, 5)
"""Stands for an item that is there, while there are any; counted from the newest."""

SECONDS = st.sampled_from([0.02, 0.1, 0.3, 0.8])


def _audio(seconds: float) -> str:
    return base64.b64encode(tone(seconds).tobytes()).decode()


ITEMS = st.sampled_from(KINDS) | st.builds(
    lambda role, seconds: {
        "type": "message",
        "role": role,
        "content": [
            {"type": f"{'in' if role == 'user' else 'out'}put_audio", "audio": _audio(seconds)}
        ],
    },
    st.sampled_from(["user", "assistant"]),
    SECONDS,
)
TURN_DETECTION = st.sampled_from(
    [
        None,
        {"type": "server_vad", "idle_timeout_ms": 5_000},
        {"type": "server_vad", "interrupt_response": False, "silence_duration_ms": 100},
        {"type": "semantic_vad", "eagerness": "high", "create_response": False},
    ]
)
SESSIONS = st.one_of(
    st.sampled_from(sorted(set(EVERYTHING) - {"type"})).map(lambda name: {name: EVERYTHING[name]}),
    TURN_DETECTION.map(lambda settings: {"audio": {"input": {"turn_detection": settings}}}),
    st.sampled_from(["audio/pcm", "audio/pcmu"]).map(
        lambda kind: {"audio": {"input": {"format": {"type": kind}}}}
    ),
)
RESPONSES = st.fixed_dictionaries(
    {},
    optional={
        "conversation": st.sampled_from(["auto", "none"]),
        "output_modalities": st.sampled_from([["text"], ["audio"]]),
        "max_output_tokens": st.sampled_from([1, 5, "inf"]),
        "metadata": st.just({"a": "b"}),
        "input": st.lists(
            ITEMS | IDS.map(lambda i: {"type": "item_reference", "id": i}), max_size=2
        ),
    },
)
EVENTS = st.one_of(
    st.builds(lambda s: ("session.update", {"session": {"type": "realtime", **s}}), SESSIONS),
    st.builds(lambda s: ("input_audio_buffer.append", {"audio": _audio(s)}), SECONDS),
    st.just(("input_audio_buffer.commit", {})),
    st.just(("input_audio_buffer.clear", {})),
    st.just(("output_audio_buffer.clear", {})),
    st.builds(
        lambda item, own, previous: (
            "conversation.item.create",
            {"item": {**item, "id": own}, "previous_item_id": previous},
        ),
        ITEMS,
        st.none() | st.sampled_from(["a", "b"]),
        st.none() | IDS | st.sampled_from(["root", "nobody"]),
    ),
    st.builds(lambda i: ("conversation.item.retrieve", {"item_id": i}), IDS),
    st.builds(lambda i: ("conversation.item.delete", {"item_id": i}), IDS),
    st.builds(
        lambda i, ms: (
            "conversation.item.truncate",
            {"item_id": i, "content_index": 0, "audio_end_ms": ms},
        ),
        IDS,
        st.integers(0, 400),
    ),
    st.builds(lambda options: ("response.create", {"response": options}), RESPONSES),
    st.just(("response.cancel", {})),
)
TALK = st.tuples(st.sampled_from(["talk", "hush", "play", "wait"]), SECONDS | st.just(3.0))
ANSWER = st.sampled_from(
    [
        [("response.create", {}), ("audio", 0.8), ("text", "hello"), ("done", None), ("play", 0.3)],
        [("response.create", {}), ("text", "a"), ("call", "{}"), ("audio", 0.3)],
        [("talk", 0.3), ("hush", 0.8), ("words", "hello"), ("audio", 0.8)],
        [("audio", 0.8), ("play", 3.0), ("wait", 3.0), ("wait", 3.0)],
        [("input_audio_buffer.append", {"audio": _audio(0.3)}), ("input_audio_buffer.commit", {})],
        [("talk", 0.3), ("judge", [0.9] * 9 + [0.1] * 20), ("words", "hello"), ("done", None)],
    ]
)
"""What makes the rest worth doing."""

STEP = st.one_of(
    EVENTS,
    st.tuples(st.just("text"), st.text(max_size=9)),
    st.tuples(st.just("audio"), SECONDS),
    st.tuples(st.just("call"), st.just("{}")),
    st.tuples(st.sampled_from(["done", "fail"]), st.none()),
    TALK,
    st.tuples(st.just("words"), st.sampled_from(["", "hello", None])),
    st.tuples(st.just("judge"), st.lists(st.floats(0, 1), max_size=20)),
)


STEPS = st.lists(ANSWER | st.lists(STEP, min_size=1, max_size=5), max_size=8).map(
    lambda parts: [step for part in parts for step in part]
)


class Session(Room):
    """A room that does what it is told, for the responder too."""

    def do(self, name: str, value: Any) -> None:
        if "." in name:
            self.send(name, **{key: self.resolve(key, member) for key, member in value.items()})
        elif name in ("text", "audio", "call", "done", "fail"):
            self.respond(name, value)
        elif name == "words":
            self.understand(value)
        elif name == "judge":
            self.protocol.judged(1, value, self.now)
        elif name == "talk":
            self.hear(tone(value))
        elif name == "hush":
            self.hear(silence(value))
        elif name == "play" and self.protocol._link is Link.WEBRTC:
            self.play(value)
        else:
            self.wait(value)
        self.take()

    def resolve(self, key: str, value: Any) -> Any:
        """The field of an event, with an item's id in the place of a number."""
        items = self.items()[::-1]
        if key.endswith("item_id") and isinstance(value, int):
            return items[value % len(items)] if items else "nobody"
        if key == "response" and "input" in value:
            return {**value, "input": [self.resolve_reference(item) for item in value["input"]]}
        return value

    def resolve_reference(self, item: dict[str, Any]) -> dict[str, Any]:
        if item["type"] != "item_reference":
            return item
        return {**item, "id": self.resolve("item_id", item["id"])}

    def respond(self, name: str, value: Any) -> None:
        if not self.turns:
            return
        response_id = self.turns[-1].response_id
        match name:
            case "text":
                self.protocol.answer_text(response_id, value, self.now)
            case "audio":
                self.protocol.answer_audio(response_id, tone(value), self.now)
            case "call":
                self.protocol.answer_call(response_id, "f", value, self.now)
            case "done":
                self.protocol.answer_done(response_id, self.now)
            case "fail":
                self.protocol.answer_failed(response_id, "no", self.now)

    def understand(self, text: str | None) -> None:
        asked = self.outputs_of(Transcribe)
        if not asked:
            return
        item_id = asked[-1].item_id
        if text is None:
            self.protocol.transcription_failed(item_id, "no", self.now)
        else:
            self.protocol.transcript_delta(item_id, text)
            self.protocol.transcribed(item_id, self.now)


@settings(max_examples=200)
@given(
    link=st.sampled_from(Link),
    turn_detection=TURN_DETECTION,
    can_transcribe=st.booleans(),
    model_frame_samples=st.sampled_from([None, 768]),
    strict=st.booleans(),
    steps=STEPS,
)
def test_a_session_is_in_order_whatever_happens(  # noqa: PLR0917 - hypothesis gives them by name
    link: Link,
    turn_detection: Any,
    can_transcribe: bool,
    model_frame_samples: int | None,
    strict: bool,
    steps: list[tuple[str, Any]],
) -> None:
    room = Session(
        link,
        turn_detection=turn_detection,
        strict=strict,
        can_transcribe=can_transcribe,
        model_frame_samples=model_frame_samples,
        limits=SessionLimits(max_session_s=40.0),
    )
    for name, value in steps:
        room.do(name, value)
    require_order_of_events(room)
    require_order_of_responses(room)
    require_order_of_commands(room)


def require_order_of_events(room: Room) -> None:
    ids = [event["event_id"] for event in room.events]
    assert len(set(ids)) == len(ids)
    audible: str | None = None
    for event in room.events:
        match event["type"].removeprefix("output_audio_buffer."):
            case "started":
                assert audible is None
                audible = event["response_id"]
            case "stopped" | "cleared":
                assert audible == event["response_id"]
                audible = None
    ends = [n for n, output in enumerate(room.outputs) if isinstance(output, EndSession)]
    assert ends in ([], [len(room.outputs) - 1])


def require_order_of_responses(room: Room) -> None:
    """Each is created once, done at most once, and says everything in between."""
    open_responses: set[str] = set()
    in_conversation = 0
    for event in room.events:
        if event["type"] == "response.created":
            open_responses.add(event["response"]["id"])
            in_conversation += event["response"]["conversation_id"] is not None
        elif event["type"] == "response.done":
            open_responses.remove(event["response"]["id"])
            in_conversation -= event["response"]["conversation_id"] is not None
            usage = event["response"]["usage"]
            details = usage["output_token_details"]
            assert usage["output_tokens"] == details["text_tokens"] + details["audio_tokens"]
            limit = event["response"]["max_output_tokens"]
            assert limit == "inf" or usage["output_tokens"] <= limit
        elif event["type"].startswith("response."):
            assert event["response_id"] in open_responses
        assert in_conversation <= 1


def require_order_of_commands(room: Room) -> None:
    """The shell is asked for each thing once, and stops what it was asked for only."""
    started = Counter(
        output.turn.response_id for output in room.outputs if isinstance(output, StartResponse)
    )
    assert set(started.values()) <= {1}
    done_before: set[str] = set()
    for output in room.outputs:
        match output:
            case CancelResponse(response_id):
                assert started[response_id]
                assert response_id not in done_before
            case CancelTranscription(item_id):
                assert item_id in [asked.item_id for asked in room.outputs_of(Transcribe)]
            case SendEvent(event) if event["type"] == "response.done":
                done_before.add(event["response"]["id"])


@given(st.lists(st.integers(1, 6_000), max_size=30))
def test_any_cutting_of_the_audio_gives_the_same_turns(cuts: list[int]) -> None:
    said = np.concatenate([silence(0.3), tone(0.4), silence(0.7), tone(0.2)])
    whole, parts = (Room(Link.WEBSOCKET, turn_detection={"type": "server_vad"}) for _ in "ab")
    whole.append(said)
    start = 0
    for length in [*cuts, len(said)]:
        parts.append(said[start : start + length])
        start += length
    assert [event["type"] for event in parts.events] == [event["type"] for event in whole.events]
    assert np.array_equal(parts.turns[0].audio, whole.turns[0].audio)
