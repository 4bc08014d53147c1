"""The shell of a server's session: a responder's pieces, words and ears, and the link."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Self

import numpy as np
import pytest

from realtime_core.audio import Pcm16
from realtime_core.errors import TransportError
from realtime_core.speech import SpeechDetector
from realtime_transports.local_server.responders import (
    AnswerPiece,
    AudioPiece,
    Responder,
    ResponseFailedError,
    TextPiece,
    Turn,
)
from realtime_transports.local_server.session import Session, SessionOptions
from realtime_transports.openai.server_lifetime import SessionLimits
from realtime_transports.openai.server_protocol import Link
from realtime_transports.openai.server_session import SessionConfig
from tests.transports.server_room import silence, tone

DEADLINE_S = 10.0


class KeptLink:
    """A link that keeps what it gets."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.ended: str | None = None
        self.max_length = 1_000_000
        self._changed = asyncio.Event()

    def send_event(self, event: dict[str, Any]) -> None:
        if len(json.dumps(event)) > self.max_length:
            raise TransportError("too large")
        self.events.append(event)
        self.times.append(asyncio.get_running_loop().time())
        self._changed.set()

    def play(self, samples: Pcm16) -> None:
        raise AssertionError("there is no track")

    def clear(self) -> None:
        raise AssertionError("there is no track")

    async def wait_room(self) -> None:
        """There is always room."""

    def end_session(self, reason: str) -> None:
        self.ended = reason
        self._changed.set()

    def of_type(self, event_type: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == event_type]

    async def wait_until(self, is_fulfilled: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not is_fulfilled():
                self._changed.clear()
                await self._changed.wait()

    async def wait(self, event_type: str) -> dict[str, Any]:
        await self.wait_until(lambda: bool(self.of_type(event_type)))
        return self.of_type(event_type)[-1]


class Sharp(SpeechDetector):
    """Takes whatever is loud for speech, frame by frame of 20 ms."""

    frame_samples = 480

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble = trouble
        self._rest: Pcm16 = np.zeros(0, np.int16)

    async def push(self, samples: Pcm16) -> Sequence[float]:
        await asyncio.sleep(0)  # a model takes its time
        if self.trouble is not None:
            raise self.trouble
        pending = np.concatenate([self._rest, samples])
        whole = len(pending) // 480 * 480
        self._rest = pending[whole:]
        return [float(np.abs(frame).max() > 100) for frame in pending[:whole].reshape(-1, 480)]


class Attentive(Responder):
    """Hears, understands and answers what it is told to."""

    can_transcribe = True

    def __init__(
        self,
        *pieces: AnswerPiece | Exception,
        words: Sequence[str | Exception] = ("hello ", "there"),
        trouble: Exception | None = None,
    ) -> None:
        self.pieces = pieces or (TextPiece("fine"),)
        self.words = words
        self.trouble = trouble
        self.turns: list[Turn] = []
        self.detectors = 0

    async def respond(self, turn: Turn) -> AsyncGenerator[AnswerPiece]:
        self.turns.append(turn)
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def transcribe(self, audio: Pcm16) -> AsyncGenerator[str]:
        for word in self.words:
            if isinstance(word, Exception):
                raise word
            await asyncio.sleep(0)
            yield word

    def make_detector(self) -> SpeechDetector | None:
        self.detectors += 1
        return Sharp(self.trouble)


class Chat:
    """A session over a kept link."""

    def __init__(self, responder: Responder, **options: Any) -> None:
        config = SessionConfig("sess_1")
        config.update({"audio": {"input": {"transcription": {"model": "whisper-1"}}}})
        self.link = KeptLink()
        self.session = Session(
            Link.WEBSOCKET, config, responder, self.link, SessionOptions(**options)
        )

    async def __aenter__(self) -> Self:
        self.session.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.session.close()

    def send(self, event_type: str, **fields: Any) -> None:
        self.session.receive_message(json.dumps({"type": event_type, **fields}))

    def append(self, samples: Pcm16) -> None:
        self.send("input_audio_buffer.append", audio=base64.b64encode(samples.tobytes()).decode())


QUESTION = np.concatenate([silence(0.5), tone(0.5), silence(0.8)])


async def test_a_spoken_turn_is_heard_understood_and_answered_in_that_order() -> None:
    responder = Attentive()
    async with Chat(responder) as chat:
        chat.append(QUESTION)
        await chat.link.wait("response.done")
    types = [event["type"] for event in chat.link.events]
    name = "conversation.item.input_audio_transcription"
    order = [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "response.created",
        f"{name}.delta",
        f"{name}.completed",
        "response.output_audio_transcript.delta",
        "response.done",
    ]
    assert [types.index(event_type) for event_type in order] == sorted(map(types.index, order))
    assert chat.link.of_type(f"{name}.completed")[0]["transcript"] == "hello there"
    (turn,) = responder.turns
    assert turn.text == "hello there"
    assert turn.audio is not None


async def test_a_detector_that_fails_is_told_and_the_client_can_still_commit() -> None:
    responder = Attentive(trouble=RuntimeError("no model"))
    async with Chat(responder) as chat:
        chat.append(QUESTION)
        error = await chat.link.wait("error")
        assert error["error"]["type"] == "server_error"
        assert "no model" in error["error"]["message"]
        chat.send("input_audio_buffer.commit")
        await chat.link.wait("conversation.item.input_audio_transcription.completed")


async def test_each_stream_gets_a_detector_of_its_own() -> None:
    responder = Attentive()
    async with Chat(responder) as chat:
        chat.append(silence(0.1))
        for threshold in (0.6, 0.7):
            settings = {"type": "server_vad", "threshold": threshold}
            audio = {"input": {"turn_detection": settings}}
            chat.send("session.update", session={"type": "realtime", "audio": audio})
            chat.append(QUESTION)
        await chat.link.wait("response.done")
    assert responder.detectors == 3


async def test_a_responder_that_cannot_make_a_detector_leaves_it_to_the_energy() -> None:
    class Deaf(Attentive):
        def make_detector(self) -> SpeechDetector | None:
            raise RuntimeError("no model")

    async with Chat(Deaf()) as chat:
        chat.append(QUESTION)
        await chat.link.wait("response.done")


async def test_words_that_fail_are_told_and_the_turn_is_answered() -> None:
    responder = Attentive(words=["hel", RuntimeError("out of ears")])
    async with Chat(responder) as chat:
        chat.append(QUESTION)
        failed = await chat.link.wait("conversation.item.input_audio_transcription.failed")
        assert "out of ears" in failed["error"]["message"]
        await chat.link.wait("response.done")
    assert responder.turns[0].text == ""


async def test_a_failure_on_purpose_has_its_own_code() -> None:
    trouble = ResponseFailedError("later", code="rate_limit_exceeded", error_type="tokens")
    async with Chat(Attentive(TextPiece("I "), trouble)) as chat:
        chat.send("response.create")
        done = await chat.link.wait("response.done")
    assert done["response"]["status_details"] == {
        "type": "failed",
        "error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "later"},
    }


async def test_an_answer_beyond_its_tokens_stops_the_responder() -> None:
    pieces = [TextPiece("abcd"), TextPiece("efgh"), RuntimeError("nobody should come this far")]
    async with Chat(Attentive(*pieces)) as chat:
        options = {"output_modalities": ["text"], "max_output_tokens": 1}
        chat.send("response.create", response=options)
        done = await chat.link.wait("response.done")
        chat.send("response.create", response={"output_modalities": ["text"]})
        await chat.link.wait_until(lambda: len(chat.link.of_type("response.done")) == 2)
    assert done["response"]["status"] == "incomplete"
    assert chat.link.of_type("response.done")[1]["response"]["status"] == "failed"


@pytest.mark.parametrize("paces_audio", [False, True])
async def test_audio_comes_at_the_pace_of_speech_where_that_is_wanted(paces_audio: bool) -> None:
    responder = Attentive(AudioPiece(tone(0.6)))
    async with Chat(responder, paces_audio=paces_audio) as chat:
        chat.send("response.create")
        await chat.link.wait("response.done")
    deltas = chat.link.of_type("response.output_audio.delta")
    data = b"".join(base64.b64decode(event["delta"]) for event in deltas)
    assert data == tone(0.6).tobytes()
    times = [
        time
        for event, time in zip(chat.link.events, chat.link.times, strict=True)
        if event["type"] == "response.output_audio.delta"
    ]
    if paces_audio:
        assert len(deltas) == 6
        assert times[-1] - times[0] >= 0.5 - 0.2 - 0.01
    else:
        assert len(deltas) == 2


async def test_a_session_that_is_too_old_ends_its_link() -> None:
    async with Chat(Attentive(), limits=SessionLimits(max_session_s=0.01)) as chat:
        error = await chat.link.wait("error")
        await chat.link.wait_until(lambda: chat.link.ended is not None)
    assert error["error"]["code"] == "session_expired"
    assert chat.link.ended == error["error"]["message"]
    assert chat.link.events[-1] == error


async def test_what_a_link_cannot_carry_is_an_error_of_the_event_that_asked_for_it() -> None:
    async with Chat(Attentive()) as chat:
        chat.append(tone(0.2))
        chat.send("input_audio_buffer.commit")
        committed = await chat.link.wait("input_audio_buffer.committed")
        chat.link.max_length = 1_000
        chat.send("conversation.item.retrieve", item_id=committed["item_id"], event_id="mine")
        error = await chat.link.wait("error")
    assert (error["error"]["code"], error["error"]["event_id"]) == ("event_not_sent", "mine")
    assert not chat.link.of_type("conversation.item.retrieved")


async def test_who_joins_later_is_greeted_with_the_session_as_it_is() -> None:
    async with Chat(Attentive()) as chat:
        chat.send("session.update", session={"type": "realtime", "instructions": "be brief"})
        greeting = chat.session.greeting()
    assert greeting["type"] == "session.created"
    assert greeting["session"]["instructions"] == "be brief"
    assert greeting["event_id"] not in [event["event_id"] for event in chat.link.events]


async def test_closing_while_everything_goes_on_leaves_nothing() -> None:
    class Endless(Attentive):
        async def respond(self, turn: Turn) -> AsyncGenerator[AnswerPiece]:
            while True:
                yield TextPiece("bla ")

        async def transcribe(self, audio: Pcm16) -> AsyncGenerator[str]:
            while True:
                await asyncio.sleep(0)
                yield "bla "

    async with Chat(Endless()) as chat:
        chat.append(QUESTION)
        chat.send("response.create")
        await chat.link.wait("response.created")
    count = len(chat.link.events)
    chat.append(tone(1.0))
    assert len(chat.link.events) == count
