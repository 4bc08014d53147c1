"""Sessions over WebSocket, and WebSockets attached to the session of a call."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from realtime_core.errors import TransportError
from realtime_transports.local_server.session import Session
from realtime_transports.openai import wire
from realtime_transports.openai.server_protocol import Link, ServerProtocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.audio import Pcm16
    from realtime_transports.local_server.calls import Call
    from realtime_transports.local_server.responders import Responder
    from realtime_transports.openai.server_outputs import JsonObject
    from realtime_transports.openai.server_session import SessionConfig

__all__ = ["ServerSocket", "Sideband", "WebSocketSession"]

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MAX_UNSENT_EVENTS = 10_000
"""A client so far behind does not read any more."""

FEW_UNSENT_EVENTS = 20
CLOSE_DEADLINE_S = 2.0
HEARTBEAT_S = 20.0
"""Pings tell a client that is gone from one that is silent."""


class SocketListener(Protocol):
    """Hears what happens on a socket. It must not raise."""

    def opened(self) -> None:
        """The handshake is done."""

    def message_received(self, message: str) -> None:
        """A message came."""

    def bad_message_received(self, problem: str) -> None:
        """Something came that is no text."""


class ServerSocket:
    """A client's socket, from the handshake to the end."""

    def __init__(self, listener: SocketListener) -> None:
        """Prepare.

        Args:
            listener: Told what happens.
        """
        self._listener = listener
        self._socket: web.WebSocketResponse | None = None
        self._unsent: deque[str] = deque()
        self._filled = asyncio.Event()
        self._room = asyncio.Event()

    async def run(self, request: web.Request, subprotocols: Sequence[str]) -> web.StreamResponse:
        """Hold the socket until the client or `close` ends it."""
        socket = web.WebSocketResponse(
            protocols=subprotocols,
            max_msg_size=MAX_MESSAGE_BYTES,
            heartbeat=HEARTBEAT_S,
            timeout=CLOSE_DEADLINE_S,
        )
        await socket.prepare(request)
        self._socket = socket
        self._listener.opened()
        writer = asyncio.create_task(self._write(socket))
        try:
            await self._read(socket)
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return socket

    async def close(self, code: WSCloseCode, reason: bytes) -> None:
        """End it."""
        if self._socket is not None:
            await self._socket.close(code=code, message=reason)

    def send_event(self, event: JsonObject) -> None:
        """Queue an event for sending."""
        if len(self._unsent) >= MAX_UNSENT_EVENTS:
            raise TransportError("the client does not read")
        self._unsent.append(wire.dump(event))
        self._filled.set()

    async def wait_room(self) -> None:
        """Wait until the client has taken most of what was sent."""
        while len(self._unsent) > FEW_UNSENT_EVENTS:
            self._room.clear()
            await self._room.wait()

    async def _read(self, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                self._listener.message_received(message.data)
            elif message.type is WSMsgType.BINARY:
                problem = "Events are text messages, not binary ones."
                self._listener.bad_message_received(problem)

    async def _write(self, socket: web.WebSocketResponse) -> None:
        while True:
            self._filled.clear()
            while self._unsent:
                await socket.send_str(self._unsent[0])
                self._unsent.popleft()
                self._room.set()
            await self._filled.wait()


class WebSocketSession:
    """A session whose one client talks over a WebSocket."""

    AUDIO_FORMATS = ("audio/pcm",)

    def __init__(self, config: SessionConfig, responder: Responder) -> None:
        """Prepare a session.

        Args:
            config: The session's configuration; the session keeps it.
            responder: Answers.
        """
        self._session = Session(ServerProtocol(Link.WEBSOCKET, config), responder, self)
        self._socket = ServerSocket(self)

    async def run(self, request: web.Request, subprotocols: Sequence[str]) -> web.StreamResponse:
        """Hold the session until the client or `close` ends it."""
        try:
            return await self._socket.run(request, subprotocols)
        finally:
            await self._session.close()

    async def close(self) -> None:
        """End the session."""
        await self._socket.close(WSCloseCode.GOING_AWAY, b"the server ends")

    # The session's link

    def send_event(self, event: JsonObject) -> None:
        """Queue an event for sending."""
        self._socket.send_event(event)

    def play(self, _samples: Pcm16) -> None:
        """Never asked for: audio is in events."""
        raise TransportError("a WebSocket has no track")

    def clear(self) -> None:
        """Never asked for: what was sent cannot be called back."""
        raise TransportError("a WebSocket has no track")

    async def wait_room(self) -> None:
        """Wait until the client has taken most of what was sent."""
        await self._socket.wait_room()

    # The socket's listener

    def opened(self) -> None:
        """Greet the client."""
        self._session.start()

    def message_received(self, message: str) -> None:
        """Take a client event."""
        self._session.receive_message(message)

    def bad_message_received(self, problem: str) -> None:
        """Take what is no text."""
        self._session.receive_invalid(problem)


class Sideband:
    """A socket attached to a call: it gets the call's events, and its commands count as well."""

    def __init__(self, call: Call) -> None:
        """Prepare.

        Args:
            call: The running call.
        """
        self._call = call
        self._socket = ServerSocket(self)

    async def run(self, request: web.Request, subprotocols: Sequence[str]) -> web.StreamResponse:
        """Hold it until the client, the call or the server ends it."""
        try:
            return await self._socket.run(request, subprotocols)
        finally:
            self._call.detach(self)

    async def close(self) -> None:
        """The call has ended."""
        await self._socket.close(WSCloseCode.OK, b"the call has ended")

    def send_event(self, event: JsonObject) -> None:
        """Queue an event for sending."""
        self._socket.send_event(event)

    def opened(self) -> None:
        """From now on events come here too."""
        self._call.attach(self)

    def message_received(self, message: str) -> None:
        """Take a client event, as if it came from the caller."""
        self._call.message_received(message)

    def bad_message_received(self, problem: str) -> None:
        """Take what is no text."""
        self._call.bad_message_received(TransportError(problem))
