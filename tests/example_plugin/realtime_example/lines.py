"""The transport ``lines``: a realtime session over TCP, an event a line.

The other end is a gateway. The first line to it is the key, the first line from it ``ok``; from
then on each line is an event. Nothing is encrypted: use it within a machine, or through a tunnel.
There is no goodbye either, so an end that the program did not ask for is a loss.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from realtime_core.errors import ConnectionLostError, TransportError, UserError
from realtime_transports.websocket import OpenAIRealtimeWebSocket, SocketEvents, SocketRequest

MAX_LINE_BYTES = 32 * 1024 * 1024
MAX_UNSENT_BYTES = 2 * MAX_LINE_BYTES
CLOSE_DEADLINE_S = 2.0


def make_lines(**options: Any) -> OpenAIRealtimeWebSocket:
    """The transport; it takes what `OpenAIRealtimeWebSocket` takes.

    That class does everything but the link: connecting by stages, the protocol, source and sink,
    interruption, closing. It asks for a socket, and gets one of ours.
    """
    return OpenAIRealtimeWebSocket(create_web_socket=LineSocket, **options)


class LineSocket:
    """The link: keeps the contract of `realtime_transports.websocket.WebSocket`."""

    def __init__(self, request: SocketRequest) -> None:
        """Begin to open at once; what happens is told to `listen`'s listener."""
        self._request = request
        self._events: SocketEvents | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._is_open = False
        self._is_closing = False
        self._running = asyncio.get_running_loop().create_task(self._run())

    @property
    def is_open(self) -> bool:
        """Whether events can be sent."""
        return self._is_open and not self._is_closing

    def listen(self, events: SocketEvents) -> None:
        """Tell what happens from now on."""
        self._events = events

    def send(self, text: str) -> None:
        """Send an event. It never blocks: what waits for the network is bounded instead."""
        if not self.is_open or self._writer is None:
            raise TransportError("the connection to the gateway is not open")
        if self._writer.transport.get_write_buffer_size() + len(text) > MAX_UNSENT_BYTES:
            raise TransportError("the gateway does not read; await drain() between events")
        self._writer.write(text.encode() + b"\n")  # the text has no line break: it is JSON

    async def drain(self) -> None:
        """Wait for room."""
        try:
            if self._writer is not None:
                await self._writer.drain()
        except OSError as exc:
            raise TransportError(f"the connection to the gateway failed: {exc}") from exc
        if not self.is_open:
            raise TransportError("the connection to the gateway was closed")

    def close(self) -> None:
        """Send what is waiting, and close; nothing is told from now on."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._is_open and self._writer is not None:
            self._writer.close()  # `_run` then reads the end
        else:
            self._running.cancel()

    async def wait_closed(self) -> None:
        """Wait until everything is released, but not for a gateway that does not read."""
        self.close()
        _, late = await asyncio.wait([self._running], timeout=CLOSE_DEADLINE_S)
        if late and self._writer is not None:
            self._writer.transport.abort()
        await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        """Hold the connection from its beginning to its end."""
        error: Exception = ConnectionLostError("the gateway ended the connection")
        try:
            reader, self._writer = await self._open()
            self._is_open = True
            self._tell(lambda events: events.on_open())
            while line := await reader.readline():
                text = line.decode(errors="replace")
                self._tell(lambda events, text=text: events.on_message(text))  # type: ignore[misc]
        except (OSError, ValueError, TransportError, UserError) as exc:
            error = exc
        finally:
            self._is_open = False
            if self._writer is not None:
                self._writer.close()
        self._tell(lambda events: events.on_error(error))

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = _address(self._request.url)
        reader, writer = await asyncio.open_connection(host, port, limit=MAX_LINE_BYTES)
        try:
            # The key is in no variable, and what a gateway says about it in no message of ours.
            writer.write(f"{self._request.api_key.get_secret_value()}\n".encode())
            if await reader.readline() != b"ok\n":
                raise TransportError("the gateway turned us away; is the key right?")
        except BaseException:  # cancelled, among others
            writer.close()
            raise
        return reader, writer

    def _tell(self, tell: Callable[[SocketEvents], None]) -> None:
        if self._events is not None and not self._is_closing:
            tell(self._events)


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    if parts.scheme != "tcp" or not parts.hostname or not parts.port:
        raise UserError(f"a gateway's url is like 'tcp://127.0.0.1:8100', not {url!r}")
    return parts.hostname, parts.port
