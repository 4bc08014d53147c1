"""People speak to the local server, which understands, answers by rules and speaks."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="the extra local is not installed")

from realtime_audio_plugins.speech import LocalSpeechEngine
from realtime_core.errors import TransportError
from realtime_core.hookspecs import hookimpl
from realtime_core.plugins import PluginManager
from realtime_core.speech import SPEECH_RATE_HZ
from realtime_transports.local_server import LocalRealtimeServer, ParrotResponder
from tests.speech_corpus import normalise, own_recordings

SAY_YOUR_NAME = next(each for each in own_recordings() if each.name == "say_your_name.wav")
VAD = {"type": "server_vad", "silence_duration_ms": 500}


class Caller:
    """A client that only knows JSON."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, event_type: str, **fields: Any) -> None:
        await self._socket.send_json({"type": event_type, **fields})

    async def configure(self, turn_detection: Any, **session: Any) -> None:
        settings = {"transcription": {"model": "whisper-1"}, "turn_detection": turn_detection}
        session = {"type": "realtime", "audio": {"input": settings}, **session}
        await self.send("session.update", session=session)
        await self.wait("session.updated")

    async def speak(self, samples: Any) -> None:
        for start in range(0, len(samples), 4_800):
            audio = base64.b64encode(samples[start : start + 4_800].tobytes()).decode()
            await self.send("input_audio_buffer.append", audio=audio)

    async def wait(self, event_type: str) -> list[dict[str, Any]]:
        """Everything up to the first event of a type."""
        events: list[dict[str, Any]] = []
        while not events or events[-1]["type"] != event_type:
            events.append(json.loads((await self._socket.receive()).data))
            assert events[-1]["type"] != "error", events[-1]
        return events


@asynccontextmanager
async def call(responder: str) -> AsyncIterator[Caller]:
    async with (
        LocalRealtimeServer(responder=responder) as server,
        aiohttp.ClientSession(headers={"Authorization": "Bearer any"}) as http,
        http.ws_connect(f"{server.url}/realtime?model=gpt-realtime", max_msg_size=0) as socket,
    ):
        yield Caller(socket)


def joined(events: Iterable[dict[str, Any]], event_type: str, name: str = "delta") -> str:
    return "".join(event[name] for event in events if event["type"] == event_type)


async def test_a_question_is_heard_transcribed_and_answered_with_a_voice() -> None:
    async with call("speech") as caller:
        await caller.configure(VAD)
        silence = np.zeros(SPEECH_RATE_HZ, np.int16)
        await caller.speak(np.concatenate([SAY_YOUR_NAME.samples(), silence]))
        events = await caller.wait("response.done")
    understood = joined(
        events, "conversation.item.input_audio_transcription.completed", "transcript"
    )
    assert normalise(understood) == normalise(SAY_YOUR_NAME.text)
    answer = joined(events, "response.output_audio_transcript.delta")
    assert answer == f"You said: {understood}"
    engine = LocalSpeechEngine()
    try:
        heard = np.concatenate(
            [
                np.frombuffer(base64.b64decode(event["delta"]), np.int16)
                for event in events
                if event["type"] == "response.output_audio.delta"
            ]
        )
        words = "".join([words async for words in engine.transcribe(heard)])
    finally:
        await engine.close()
    assert normalise(words) == normalise(answer)


async def test_a_server_speaks_unless_told_otherwise() -> None:
    async with (
        LocalRealtimeServer() as server,
        aiohttp.ClientSession(headers={"Authorization": "Bearer any"}) as http,
        http.ws_connect(f"{server.url}/realtime?model=gpt-realtime", max_msg_size=0) as socket,
    ):
        caller = Caller(socket)
        content = [{"type": "input_text", "text": "Good morning."}]
        item = {"type": "message", "role": "user", "content": content}
        await caller.send("conversation.item.create", item=item)
        await caller.send("response.create")
        events = await caller.wait("response.done")
    assert joined(events, "response.output_audio_transcript.delta") == "You said: Good morning."


async def test_silence_that_is_committed_has_no_words() -> None:
    async with call("speech") as caller:
        await caller.configure(None)
        await caller.speak(np.zeros(SPEECH_RATE_HZ, np.int16))
        await caller.send("input_audio_buffer.commit")
        await caller.wait("input_audio_buffer.committed")
        await caller.send("response.create")
        events = await caller.wait("response.done")
    answer = joined(events, "response.output_audio_transcript.delta")
    assert answer == "I heard 1.0 seconds of sound, but no words."


async def test_a_script_calls_a_function_on_what_was_said(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "rules:\n"
        "- {pattern: 'please (say (your) .*)$', call: note, arguments: {what: '{1}', of: '{2}'}}\n"
        "- {output_of: note, say: 'Noted: {output}'}\n"
    )
    async with call(f"script:{rules}") as caller:
        tool = {"type": "function", "name": "note", "parameters": {"type": "object"}}
        await caller.configure(VAD, tools=[tool], output_modalities=["text"])
        silence = np.zeros(SPEECH_RATE_HZ, np.int16)
        await caller.speak(np.concatenate([SAY_YOUR_NAME.samples(), silence]))
        done = (await caller.wait("response.done"))[-1]
        (wanted,) = done["response"]["output"]
        assert json.loads(wanted["arguments"]) == {"what": "say your name", "of": "your"}
        output = {"type": "function_call_output", "call_id": wanted["call_id"], "output": "Ann."}
        await caller.send("conversation.item.create", item=output)
        await caller.send("response.create")
        events = await caller.wait("response.done")
    assert joined(events, "response.output_text.delta") == "Noted: Ann."


async def test_a_script_can_make_a_response_fail(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: [{fail: {message: Enough, code: rate_limit_exceeded}}]")
    async with call(f"script:{rules}?engine=hum") as caller:
        await caller.send("response.create")
        response = (await caller.wait("response.done"))[-1]["response"]
    assert response["status"] == "failed"
    error = response["status_details"]["error"]
    assert error["code"] == "rate_limit_exceeded"


async def test_a_server_loads_the_responder_it_made_before_it_listens() -> None:
    calls = []

    class Loading(ParrotResponder):
        async def open(self) -> None:
            calls.append(server.is_listening())

    class Plugin:
        @hookimpl
        def realtime_responders(self) -> Any:
            return {"loading": lambda _: Loading()}

    plugins = PluginManager(entry_points=[])
    plugins.register(Plugin(), "test")
    server = Server(responder="loading", plugins=plugins)
    async with server:
        assert calls == [False]
    async with Server(responder=Loading()):  # whoever made it opens it
        assert calls == [False]


class Server(LocalRealtimeServer):
    def is_listening(self) -> bool:
        try:
            return bool(self.url)
        except TransportError:
            return False
