"""A session over WebSocket."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode, WSMsgType, web

from realtime_core.errors import TransportError
from realtime_transports.local_server.session import Session
from realtime_transports.openai import wire
from realtime_transports.openai.server_protocol import Link, ServerProtocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.audio import Pcm16
    from realtime_transports.local_server.responders import Responder
    from realtime_transports.openai.server_outputs import JsonObject
    from realtime_transports.openai.server_session import SessionConfig

__all__ = ["WebSocketSession"]

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MAX_UNSENT_EVENTS = 10_000
"""A client so far behind does not read any more."""

FEW_UNSENT_EVENTS = 20
CLOSE_DEADLINE_S = 2.0
HEARTBEAT_S = 20.0
"""Pings tell a client that is gone from one that is silent."""


class WebSocketSession:
    """A client, from the handshake to the end."""

    AUDIO_FORMATS = ("audio/pcm",)

    def __init__(self, config: SessionConfig, responder: Responder) -> None:
        """Prepare a session.

        Args:
            config: The session's configuration; the session keeps it.
            responder: Answers.
        """
        self._session = Session(ServerProtocol(Link.WEBSOCKET, config), responder, self)
        self._socket: web.WebSocketResponse | None = None
        self._unsent: deque[str] = deque()
        self._filled = asyncio.Event()
        self._room = asyncio.Event()

    async def run(self, request: web.Request, subprotocols: Sequence[str]) -> web.StreamResponse:
        """Hold the session until the client or `close` ends it."""
        socket = web.WebSocketResponse(
            protocols=subprotocols,
            max_msg_size=MAX_MESSAGE_BYTES,
            heartbeat=HEARTBEAT_S,
            timeout=CLOSE_DEADLINE_S,
        )
        await socket.prepare(request)
        self._socket = socket
        self._session.start()
        writer = asyncio.create_task(self._write(socket))
        try:
            await self._read(socket)
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            await self._session.close()
        return socket

    async def close(self) -> None:
        """End the session."""
        if self._socket is not None:
            await self._socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server ends")

    def send_event(self, event: JsonObject) -> None:
        """Queue an event for sending."""
        if len(self._unsent) >= MAX_UNSENT_EVENTS:
            raise TransportError("the client does not read")
        self._unsent.append(wire.dump(event))
        self._filled.set()

    def play(self, _samples: Pcm16) -> None:
        """Never asked for: audio is in events."""
        raise TransportError("a WebSocket has no track")

    def clear(self) -> None:
        """Never asked for: what was sent cannot be called back."""
        raise TransportError("a WebSocket has no track")

    async def wait_room(self) -> None:
        """Wait until the client has taken most of what was sent."""
        while len(self._unsent) > FEW_UNSENT_EVENTS:
            self._room.clear()
            await self._room.wait()

    async def _read(self, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                self._session.receive_message(message.data)
            elif message.type is WSMsgType.BINARY:
                self._session.receive_invalid("Events are text messages, not binary ones.")

    async def _write(self, socket: web.WebSocketResponse) -> None:
        while True:
            self._filled.clear()
            while self._unsent:
                await socket.send_str(self._unsent[0])
                self._unsent.popleft()
                self._room.set()
            await self._filled.wait()
