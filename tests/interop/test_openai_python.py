"""The openai SDK talks to the local server: sockets, keys, calls, and a socket beside a call."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import Any

import pytest
from aiortc import RTCSessionDescription

pytest.importorskip("openai")

from openai import APIStatusError, AsyncOpenAI, OpenAI

from tests.end_to_end.stock_client import StockCaller
from tests.interop.speech import paced, question

pytestmark = pytest.mark.realtime_server(responder="speech")

DEADLINE_S = 20.0
MODEL = "gpt-realtime"
SERVER_VAD = {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad"}}}}
TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


@pytest.fixture
async def client(realtime_server):
    sdk = AsyncOpenAI(
        base_url=realtime_server.base_url, api_key=realtime_server.api_key, max_retries=0
    )
    async with sdk:
        yield sdk


async def until(connection: Any, kind: str) -> Any:
    """The next event of a kind; an `error` is none that any test here expects."""
    async with asyncio.timeout(DEADLINE_S):
        async for event in connection:
            if event.type == kind:
                return event
            assert event.type != "error", event
    raise AssertionError(f"the connection ended before {kind}")


async def say(connection: Any, text: str) -> None:
    await connection.conversation.item.create(
        item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    )
    await connection.response.create()


async def test_a_text_turn(client):
    async with client.realtime.connect(model=MODEL) as connection:
        await say(connection, "Good morning to you")
        delta = await until(connection, "response.output_audio.delta")
        assert base64.b64decode(delta.delta)
        done = await until(connection, "response.done")
        assert done.response.status == "completed"
        assert done.response.output[0].content[0].transcript


def test_a_text_turn_of_the_client_without_async(realtime_server):
    sdk = OpenAI(base_url=realtime_server.base_url, api_key=realtime_server.api_key, max_retries=0)
    with sdk, sdk.realtime.connect(model=MODEL) as connection:
        connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        connection.conversation.item.create(
            item={
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "Hi"}],
            }
        )
        connection.response.create()
        text = next(event.text for event in connection if event.type == "response.output_text.done")
        assert text


async def test_a_spoken_turn(client):
    async with client.realtime.connect(model=MODEL) as connection:
        await connection.session.update(session=SERVER_VAD)
        await until(connection, "session.updated")
        async for chunk in paced(question(24_000), 24_000):
            await connection.input_audio_buffer.append(audio=base64.b64encode(chunk).decode())
        await connection.input_audio_buffer.append(audio=base64.b64encode(bytes(48_000)).decode())
        await until(connection, "input_audio_buffer.committed")
        done = await until(connection, "response.done")
        assert done.response.status == "completed"


async def test_a_tool_round_trip(client):
    async with client.realtime.connect(model=MODEL) as connection:
        await connection.session.update(session={"type": "realtime", "tools": [TOOL]})
        await say(connection, "Please use get_weather for Paris")
        called = await until(connection, "response.function_call_arguments.done")
        assert called.name == "get_weather"
        await until(connection, "response.done")
        await connection.conversation.item.create(
            item={"type": "function_call_output", "call_id": called.call_id, "output": "sunny"}
        )
        await connection.response.create()
        said = await until(connection, "response.output_audio_transcript.done")
        assert "sunny" in said.transcript


async def test_a_response_that_is_cancelled_stops(client):
    async with client.realtime.connect(model=MODEL) as connection:
        await say(connection, "Tell me a long story")
        await until(connection, "response.output_audio.delta")
        await connection.response.cancel()
        done = await until(connection, "response.done")
        assert done.response.status == "cancelled"


async def test_the_conversation_can_be_changed(client):
    async with client.realtime.connect(model=MODEL) as connection:
        content = [{"type": "input_text", "text": "one"}]
        item = {"type": "message", "id": "first", "role": "user", "content": content}
        await connection.conversation.item.create(item=item)
        await until(connection, "conversation.item.added")
        await connection.conversation.item.retrieve(item_id="first")
        assert (await until(connection, "conversation.item.retrieved")).item.content[
            0
        ].text == "one"
        await connection.conversation.item.delete(item_id="first")
        assert (await until(connection, "conversation.item.deleted")).item_id == "first"


async def test_an_ephemeral_key_opens_one_session_and_no_other_key_does(client, realtime_server):
    secret = await client.realtime.client_secrets.create(
        session={"type": "realtime", "model": MODEL, "instructions": "Be brief"},
        expires_after={"anchor": "created_at", "seconds": 60},
    )
    assert secret.value.startswith("ek_")
    async with (
        AsyncOpenAI(base_url=realtime_server.base_url, api_key=secret.value) as sdk,
        sdk.realtime.connect(model=MODEL) as connection,
    ):
        created = await until(connection, "session.created")
        assert created.session.instructions == "Be brief"
    async with AsyncOpenAI(
        base_url=realtime_server.base_url, api_key="ek_forged", max_retries=0
    ) as sdk:
        with pytest.raises(APIStatusError) as refused:
            await sdk.realtime.client_secrets.create()
        assert refused.value.status_code == 401


@contextlib.asynccontextmanager
async def calling(client: AsyncOpenAI):
    """A WebRTC call, made with the SDK's own request."""
    async with StockCaller() as caller:
        answer = await client.realtime.calls.with_raw_response.create(
            sdp=await caller.offer(), session={"type": "realtime", "model": MODEL}
        )
        assert answer.status_code == 201
        caller.location = answer.headers["Location"]
        description = RTCSessionDescription(answer.text, "answer")
        await caller.pc.setRemoteDescription(description)
        await caller.wait("session.created")
        yield caller


async def test_a_call_can_be_created_watched_and_hung_up(client):
    async with calling(client) as caller:
        closed = asyncio.Event()
        caller.channel.on("close", closed.set)
        call_id = caller.location.rpartition("/")[2]
        async with client.realtime.connect(call_id=call_id) as beside:
            await say(beside, "Good morning to you")
            assert (await until(beside, "response.done")).response.status == "completed"
        await caller.wait("output_audio_buffer.stopped")
        assert abs(caller.heard).max() > 1000
        await client.realtime.calls.hangup(call_id)
        async with asyncio.timeout(DEADLINE_S):
            await closed.wait()
