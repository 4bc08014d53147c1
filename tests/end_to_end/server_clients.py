"""What tests of the local server use as clients: plain HTTP and a plain WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from realtime_transports.local_server import LocalRealtimeServer, ParrotResponder

BEARER = {"Authorization": "Bearer sk-test"}
DEADLINE_S = 20.0
MODEL = "gpt-realtime"


class Client:
    """One WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []

    async def send(self, event_type: str, **fields: Any) -> None:
        await self.socket.send_str(json.dumps({"type": event_type, **fields}))

    async def write(self, text: str, **fields: Any) -> None:
        """A message of the user's."""
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        await self.send("conversation.item.create", item=item, **fields)

    async def ask(self, text: str) -> dict[str, Any]:
        """A written turn, and the response that answers it."""
        await self.write(text)
        await self.send("response.create", response={"output_modalities": ["text"]})
        done: dict[str, Any] = (await self.wait("response.done"))["response"]
        return done

    async def wait(self, event_type: str) -> dict[str, Any]:
        """The next event of this type."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                event: dict[str, Any] = json.loads(await self.socket.receive_str())
                self.events.append(event)
                if event["type"] == event_type:
                    return event

    async def wait_closed(self) -> aiohttp.WSMessage:
        """What ended it; the events before are kept."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                message = await self.socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return message
                self.events.append(json.loads(message.data))

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[LocalRealtimeServer]:
    options = {"responder": ParrotResponder(), "keep_events": True} | options
    async with LocalRealtimeServer(**{"responder": "parrot", **options}) as server:
        yield server


@asynccontextmanager
async def connected(
    server: LocalRealtimeServer, *, query: str = f"?model={MODEL}", **arguments: Any
) -> AsyncIterator[Client]:
    arguments = {"headers": BEARER} | arguments
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{server.url}/realtime{query}", **arguments) as socket,
    ):
        yield Client(socket)


async def post(
    server: LocalRealtimeServer, path: str, **arguments: Any
) -> tuple[int, dict[str, Any]]:
    """Status and body of an answer."""
    arguments = {"headers": BEARER} | arguments
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{server.url}/realtime/{path}", **arguments) as answer,
    ):
        assert answer.content_type == "application/json"
        return answer.status, await answer.json()


async def new_key(server: LocalRealtimeServer, **body: Any) -> str:
    """An ephemeral key."""
    status, answer = await post(server, "client_secrets", json=body)
    assert status == 200, answer
    return str(answer["value"])


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
