"""A WebSocket without a network, for tests of what stands above it."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import numpy as np

from realtime_core.errors import TransportError
from realtime_transports.websocket import SocketEvents, SocketRequest

__all__ = ["Line", "Socket", "delta"]

DEADLINE_S = 10.0


class Socket:
    """One socket; the test is the server."""

    def __init__(self, request: SocketRequest) -> None:
        self.request = request
        self.sent: list[dict[str, Any]] = []
        self.is_open = False
        self.is_closed = False
        self.has_room = asyncio.Event()
        self.has_room.set()
        self.fails: Exception | None = None
        """What sending raises."""
        self._changed = asyncio.Event()
        self._events: SocketEvents | None = None

    def listen(self, events: SocketEvents) -> None:
        self._events = events

    def send(self, text: str) -> None:
        if self.fails is not None:
            raise self.fails
        if not self.is_open:
            raise TransportError("the socket is not open")
        self.sent.append(json.loads(text))
        self._changed.set()

    async def drain(self) -> None:
        await self.has_room.wait()

    def close(self) -> None:
        self.is_closed = True
        self.is_open = False

    async def wait_closed(self) -> None:
        pass

    # The server

    @property
    def events(self) -> SocketEvents:
        assert self._events is not None
        return self._events

    def open(self) -> None:
        self.is_open = True
        self.events.on_open()

    def say(self, event_type: str, **fields: Any) -> None:
        self.events.on_message(json.dumps({"type": event_type, "event_id": "evt", **fields}))

    def types(self) -> list[str]:
        return [event["type"] for event in self.sent]

    def of_type(self, event_type: str) -> list[dict[str, Any]]:
        return [event for event in self.sent if event["type"] == event_type]

    def heard(self) -> np.ndarray:
        """All audio that was appended, as int16."""
        appended = self.of_type("input_audio_buffer.append")
        data = b"".join(base64.b64decode(event["audio"]) for event in appended)
        return np.frombuffer(data, "<i2")

    async def wait(self, condition: Any) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Line:
    """Makes sockets, and opens them unless told not to."""

    def __init__(self, *, opens: bool = True) -> None:
        self.opens = opens
        self.sockets: list[Socket] = []
        self.made = asyncio.Event()

    def __call__(self, request: SocketRequest) -> Socket:
        socket = Socket(request)
        self.sockets.append(socket)
        if self.opens:
            asyncio.get_running_loop().call_soon(socket.open)
        self.made.set()
        return socket

    @property
    def socket(self) -> Socket:
        return self.sockets[-1]


def delta(pcm: bytes, *, item_id: str = "a1", response_id: str = "r1") -> dict[str, Any]:
    """The fields of a `response.output_audio.delta`."""
    return {
        "item_id": item_id,
        "content_index": 0,
        "output_index": 0,
        "response_id": response_id,
        "delta": base64.b64encode(pcm).decode(),
    }
