"""Sessions over WebSocket, and WebSockets attached to the session of a call."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from realtime_core.errors import TransportError
from realtime_transports.local_server.door import Door
from realtime_transports.local_server.session import Session, SessionOptions
from realtime_transports.openai import wire
from realtime_transports.openai.server_protocol import Link
from realtime_transports.openai.server_session import AUDIO_FORMATS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.audio import Pcm16
    from realtime_transports.local_server.calls import Call
    from realtime_transports.local_server.responders import Responder
    from realtime_transports.openai.server_outputs import JsonObject
    from realtime_transports.openai.server_session import SessionConfig

__all__ = ["ServerSocket", "Sideband", "WebSocketSession"]

MAX_MESSAGE_BYTES = 32 * 1024 * 1024
"""Beyond that the socket is closed with 1009; the door refuses half of it by an error event."""

MAX_REASON_BYTES = 120
"""RFC 6455, section 5.5: the payload of a close frame has at most 125 bytes."""

MAX_UNSENT_EVENTS = 10_000
MAX_UNSENT_CHARS = 64 * 1024 * 1024
"""A client so far behind does not read any more."""

FEW_UNSENT_EVENTS = 20
CLOSE_DEADLINE_S = 2.0
"""How long the client may take to say that it closes too."""

LAST_WORD_DEADLINE_S = 5.0
"""How long the client may take to read what was sent before the end."""

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
        self._unsent_chars = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._last_word: tuple[WSCloseCode, bytes] | None = None
        self._is_aborted = False
        self._last_deadline: asyncio.TimerHandle | None = None

    async def run(self, request: web.Request, subprotocols: Sequence[str]) -> web.StreamResponse:
        """Hold the socket until the client or `close` ends it."""
        socket = web.WebSocketResponse(
            protocols=subprotocols,
            max_msg_size=MAX_MESSAGE_BYTES,
            heartbeat=HEARTBEAT_S,
            timeout=CLOSE_DEADLINE_S,
        )
        await socket.prepare(request)
        self._socket, self._transport = socket, request.transport
        self._listener.opened()
        writer = asyncio.create_task(self._write(socket))
        try:
            await self._read(socket)
        finally:
            if self._last_deadline is not None:
                self._last_deadline.cancel()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return socket

    async def close(self, code: WSCloseCode, reason: bytes) -> None:
        """End it; a client that does not read is left to itself after a while."""
        if self._socket is None:
            return
        try:
            async with asyncio.timeout(LAST_WORD_DEADLINE_S):
                await self._socket.close(code=code, message=reason)
        except TimeoutError:
            self._hang_up()

    def finish(self, code: WSCloseCode, reason: bytes) -> None:
        """End it as soon as all that was sent has left."""
        self._last_word = (code, reason)
        self._hasten()

    def abort(self) -> None:
        """End it as soon as all that was sent has left, without a close frame."""
        self._is_aborted = True
        self._hasten()

    def send_event(self, event: JsonObject) -> None:
        """Queue an event for sending."""
        self.send_text(wire.dump(event))

    def send_text(self, text: str) -> None:
        """Queue a message for sending."""
        is_too_much = self._unsent_chars + len(text) > MAX_UNSENT_CHARS
        if len(self._unsent) >= MAX_UNSENT_EVENTS or (self._unsent and is_too_much):
            raise TransportError("the client does not read")
        self._unsent.append(text)
        self._unsent_chars += len(text)
        self._filled.set()

    async def wait_room(self) -> None:
        """Wait until the client has taken most of what was sent."""
        while len(self._unsent) > FEW_UNSENT_EVENTS:
            self._room.clear()
            await self._room.wait()

    def _hasten(self) -> None:
        """Let the writer end it, which it cannot do where the client does not read."""
        self._filled.set()
        if self._last_deadline is None:
            loop = asyncio.get_running_loop()
            self._last_deadline = loop.call_later(LAST_WORD_DEADLINE_S, self._hang_up)

    def _hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()

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
                self._unsent_chars -= len(self._unsent.popleft())
                self._room.set()
            if self._is_aborted:
                self._hang_up()
                return
            if self._last_word is not None:
                code, reason = self._last_word
                await socket.close(code=code, message=reason)
                return
            await self._filled.wait()


class WebSocketSession:
    """A session whose one client talks over a WebSocket."""

    AUDIO_FORMATS = AUDIO_FORMATS

    def __init__(
        self,
        config: SessionConfig,
        responder: Responder,
        door: Door | None = None,
        *,
        options: SessionOptions | None = None,
    ) -> None:
        """Prepare a session.

        Args:
            config: The session's configuration; the session keeps it.
            responder: Answers.
            door: What all events pass; None is one that only passes them on.
            options: How the session behaves.
        """
        self._door = door or Door()
        self._session = Session(Link.WEBSOCKET, config, responder, self._door, options)
        self._door.attach(self._session, self)
        self._socket = ServerSocket(self)

    async def run(self, request: web.Request, subprotocols: Sequence[str]) -> web.StreamResponse:
        """Hold the session until the client or `close` ends it."""
        try:
            return await self._socket.run(request, subprotocols)
        finally:
            self._door.close("the client left")
            await self._session.close()

    async def close(self, reason: str = "the server ended") -> None:
        """End the session."""
        self._door.close(reason)
        await self._socket.close(WSCloseCode.GOING_AWAY, reason.encode()[:MAX_REASON_BYTES])

    # The session's link

    def send_event(self, event: JsonObject) -> None:
        """Queue an event for sending."""
        self._socket.send_event(event)

    def send_text(self, text: str) -> None:
        """Queue a message for sending."""
        self._socket.send_text(text)

    def drop(self) -> None:
        """End the connection without a word."""
        self._socket.abort()

    def end_session(self, reason: str) -> None:
        """Close after everything that was sent has left."""
        self._door.close(reason)
        self._socket.finish(WSCloseCode.GOING_AWAY, reason.encode()[:MAX_REASON_BYTES])

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
        self._door.open()
        self._session.start()

    def message_received(self, message: str) -> None:
        """Take a client event."""
        self._door.receive_message(message)

    def bad_message_received(self, problem: str) -> None:
        """Take what is no text."""
        self._door.receive_invalid(problem)


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
