"""A WebSocket and the server behind it, as the fakes of the recording had them."""

from __future__ import annotations

import json

from realtime_core.errors import TransportError
from realtime_transports.websocket import SocketEvents
from tests.conformance.fakes import World

__all__ = ["FakeWebSocket"]


class FakeWebSocket:
    """`WebSocket` without a network."""

    def __init__(self, world: World, conn: int) -> None:
        """Begin to open, unless the case wants it otherwise.

        Args:
            world: What it is told to do.
            conn: Its number, from 1.
        """
        self.world = world
        self.conn = conn
        self.state = "connecting"
        self._events: SocketEvents | None = None
        if world.scene.fakes.get("socketOpenAtCreation"):
            self.state = "open"
        elif world.scene.auto_open:
            world.loop.call_soon(self.open_if_connecting)

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self.state == "open"

    def listen(self, events: SocketEvents) -> None:
        """Tell what happens."""
        self._events = events

    def send(self, text: str) -> None:
        """Take a message for the server."""
        if self.state == "connecting":
            raise TransportError("WebSocket is not open: readyState 0 (CONNECTING)")
        if self.state != "open":
            return  # as the ws package does
        event = json.loads(text)
        spec = self.world.failing_send(event.get("type"))
        if spec is not None and spec.get("socketError"):
            self.change("error", spec["socketError"])
            return
        if spec is not None:
            raise TransportError(spec["message"])
        self.world.recorder.sent(self.conn, event)
        if event.get("type") == "session.update":
            self.world.acknowledge(self, event.get("session"))

    async def drain(self) -> None:
        """There is always room."""

    def close(self) -> None:
        """Close, and tell so as the case wants it."""
        if self.state == "closed":
            return
        self.state = "closing"
        how = self.world.scene.fakes.get("socketClose", "async")
        if how == "sync":
            self.change("close")
        elif how == "async":
            self.world.loop.call_soon(self.change, "close")
        self.world.check("socket.close")

    async def wait_closed(self) -> None:
        """Nothing is open."""

    def open_if_connecting(self) -> None:
        """Open, unless something happened meanwhile."""
        if self.state == "connecting":
            self.change("open")

    def change(self, what: str, message: str = "link error") -> None:
        """Do what a step says: open, close, closing or error."""
        if what != "error":
            self.state = {"open": "open", "close": "closed", "closing": "closing"}[what]
        if self._events is None or what == "closing":
            return
        try:
            self._tell(self._events, what, message)
        except Exception as exc:  # nobody catches it in real life
            self.world.recorder.failed("listener", exc)

    def _tell(self, events: SocketEvents, what: str, message: str) -> None:
        match what:
            case "open":
                events.on_open()
            case "close":
                events.on_close("the fake closed")
            case "error":
                events.on_error(OSError(message))

    def deliver(self, data: str | bytes) -> None:
        """A message of the server."""
        if self._events is None:
            return
        try:
            self._events.on_message(data)
        except Exception as exc:  # nobody catches it in real life
            self.world.recorder.failed("listener", exc)
