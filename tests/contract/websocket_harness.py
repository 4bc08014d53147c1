"""How the suite meets the WebSocket transport: over a real socket on loopback."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import numpy as np
from aiohttp import web

from realtime_core.audio import Pcm16
from realtime_core.testing import Capability, FarEnd, Manner, TransportHarness
from realtime_transports.websocket import OpenAIRealtimeWebSocket
from tests.end_to_end.calls import serving

AS_AGENTS_JS = "as OpenAI Agents JS has it, whose behaviour this transport keeps"


class PlayedSocket(FarEnd):
    """The server's end of one WebSocket after the other."""

    def __init__(self, manner: Manner) -> None:
        self.manner = manner
        self.events: list[dict[str, Any]] = []
        self.url = ""
        self._unsent: asyncio.Queue[str] = asyncio.Queue()
        self._socket: web.WebSocketResponse | None = None
        self._request: web.Request | None = None
        self._changed = asyncio.Event()
        self._over = asyncio.Event()

    @property
    def connect_options(self) -> Mapping[str, Any]:
        return {"url": self.url}

    @property
    def heard(self) -> Pcm16:
        appends = [e for e in self.events if e["type"] == "input_audio_buffer.append"]
        data = b"".join(base64.b64decode(event["audio"]) for event in appends)
        return np.frombuffer(data, "<i2")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self._request = request
        match self.manner:
            case Manner.REFUSING:
                key = request.headers.get("Authorization", "")
                error = {"message": f"Incorrect API key provided: {key}"}
                return web.json_response({"error": error}, status=401)
            case Manner.SILENT:
                await self._over.wait()
                return web.Response(status=503)
            case Manner.DROPPING:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
        return await self._converse(request)

    async def _converse(self, request: web.Request) -> web.StreamResponse:
        socket = self._socket = web.WebSocketResponse(timeout=0.5)
        await socket.prepare(request)
        self._unsent = asyncio.Queue()
        writer = asyncio.create_task(self._write(socket, self._unsent))
        try:
            async for message in socket:
                self._take(json.loads(message.data))
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return socket

    def _take(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        if event["type"] == "session.update":
            updated = {"type": "session.updated", "event_id": "e", "session": event["session"]}
            self.send_text(json.dumps(updated))
        self._changed.set()

    async def _write(self, socket: web.WebSocketResponse, unsent: asyncio.Queue[str]) -> None:
        while True:
            await socket.send_str(await unsent.get())

    def send_text(self, text: str) -> None:
        self._unsent.put_nowait(text)

    def speak(self, samples: Pcm16, labels: Mapping[str, Any]) -> None:
        delta = base64.b64encode(samples.astype("<i2").tobytes()).decode()
        event = {"type": "response.output_audio.delta", "event_id": "e", "delta": delta, **labels}
        self.send_text(json.dumps(event))

    async def lose(self) -> None:
        assert self._request is not None
        assert self._request.transport is not None
        self._request.transport.abort()

    async def wait_until(self, is_fulfilled: Callable[[], bool]) -> None:
        while not is_fulfilled():
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        self._over.set()
        if self._socket is not None:
            await self._socket.close()


class WebSocketHarness(TransportHarness):
    lacks: ClassVar = {Capability.CONFIRMATION: AS_AGENTS_JS, Capability.JOINING: AS_AGENTS_JS}

    def make(self, **options: Any) -> OpenAIRealtimeWebSocket:
        return OpenAIRealtimeWebSocket(**{"api_key": "sk-contract", **options})

    @asynccontextmanager
    async def serve(self, manner: Manner) -> AsyncIterator[FarEnd]:
        played = PlayedSocket(manner)
        async with serving(played.handle) as url:
            played.url = url.replace("http://", "ws://")
            try:
                yield played
            finally:
                await played.close()
