"""WebSocket endpoints that misbehave, each in its own way."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

__all__ = ["RawSocket", "raw_socket_server"]

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, 1.3."""


class RawSocket:
    """The server's end of a WebSocket, frame by frame: it answers nothing by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def accept(self) -> str:
        """Do the handshake, and give the request's head."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        key = head.lower().partition("sec-websocket-key:")[2]
        start = len(head) - len(key)
        value = head[start:].partition("\r\n")[0].strip()
        digest = base64.b64encode(hashlib.sha1((value + GUID).encode()).digest()).decode()  # noqa: S324
        self._writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {digest}\r\n\r\n".encode()
        )
        await self._writer.drain()
        return head

    async def read_frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame."""
        first, second = await self._reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(await self._reader.readexactly(2))
        elif size == 127:
            size = int.from_bytes(await self._reader.readexactly(8))
        mask = np.frombuffer(await self._reader.readexactly(4), np.uint8)
        masked = np.frombuffer(await self._reader.readexactly(size), np.uint8)
        return first & 0x0F, (masked ^ np.resize(mask, size)).tobytes()

    async def read_event(self) -> dict[str, Any]:
        """The next event."""
        while True:
            opcode, payload = await self.read_frame()
            if opcode == 1:
                event: dict[str, Any] = json.loads(payload)
                return event

    def write_frame(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = bytes([0x80 | opcode, size])
        elif size < 65_536:
            head = bytes([0x80 | opcode, 126]) + size.to_bytes(2)
        else:
            head = bytes([0x80 | opcode, 127]) + size.to_bytes(8)
        self._writer.write(head + payload)

    def write_raw(self, data: bytes) -> None:
        self._writer.write(data)

    def abort(self) -> None:
        """Be gone, without a goodbye."""
        self._writer.transport.abort()

    async def wait_gone(self) -> None:
        """Wait until the client has closed the connection."""
        while await self._reader.read(65_536):
            pass


@asynccontextmanager
async def raw_socket_server(
    behave: Callable[[RawSocket], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server that does this with each connection; gives the URL."""
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await behave(RawSocket(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is gone
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/realtime"
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()
