"""The far end of a memory link: one that a test plays itself, and one that answers by itself."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from realtime_core.errors import ConnectionLostError, TransportError
from realtime_transports.local_server.responders import Responder
from realtime_transports.local_server.session import Session
from realtime_transports.openai import wire
from realtime_transports.openai.server_protocol import Link
from realtime_transports.openai.server_session import SessionConfig

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16
    from realtime_transports.memory.link import MemoryLink

__all__ = ["MemoryServer", "RespondingServer"]

AUDIO_FORMATS = ("audio/pcm",)


class MemoryServer:
    """A server that keeps what it gets and confirms configurations; a test does the rest.

    Override `accept` to refuse and `receive` to answer, or call `send` from outside::

        server = MemoryServer()
        async with OpenAIRealtimeMemory(server=server) as transport:
            await transport.connect()
            server.send("response.created", response={"id": "resp_1"})
    """

    def __init__(self) -> None:
        """Begin without a client."""
        self.events: list[dict[str, Any]] = []
        """Everything that clients sent, over all connections, oldest first."""
        self._link: MemoryLink | None = None
        self._arrived = asyncio.Event()
        self._event_ids = itertools.count(1)

    def accept(self) -> None:
        """A client connects.

        Raises:
            ConnectError: It is refused.
        """

    def receive(self, event: dict[str, Any]) -> None:
        """Answer a client event. This one confirms ``session.update`` and nothing else."""
        if event.get("type") == "session.update":
            self.send("session.updated", session=event.get("session"))

    def send(self, event_type: str, **fields: Any) -> None:
        """Send an event, with an ``event_id`` unless the fields have one.

        Raises:
            TransportError: No client is connected.
        """
        event_id = f"event_{next(self._event_ids)}"
        self.send_text(wire.dump({"type": event_type, "event_id": event_id, **fields}))

    def send_text(self, message: str | bytes) -> None:
        """Send a message as it is, which may be no event at all.

        Raises:
            TransportError: No client is connected.
        """
        if self._link is None:
            raise TransportError("no client is connected to this memory server")
        self._link.push(message)

    def hang_up(self) -> None:
        """End the connection properly, after what was sent before."""
        if self._link is not None:
            self._link.end(None)

    def lose(self, message: str = "the memory link was cut") -> None:
        """Lose the connection, and with it what is under way."""
        if self._link is not None:
            self._link.end(ConnectionLostError(message), at_once=True)

    async def wait_until(self, is_fulfilled: Callable[[], bool]) -> None:
        """Wait until something holds; it is looked at whenever a client event has come."""
        while not is_fulfilled():
            self._arrived.clear()
            await self._arrived.wait()

    def of_type(self, event_type: str) -> list[dict[str, Any]]:
        """What clients sent of one type."""
        return [event for event in self.events if event.get("type") == event_type]

    # The transport's side

    def begin(self, link: MemoryLink) -> None:
        """A client's link; only the transport calls this.

        Raises:
            ConnectError: The client is refused.
        """
        self._link = link
        self.accept()

    def take(self, text: str) -> None:
        """A client's message; only the transport calls this."""
        event: Any = wire.parse_value(text)
        self.events.append(event)
        self._arrived.set()
        self.receive(event)

    async def end(self) -> None:
        """The client is gone; only the transport calls this."""
        self._link = None
        self._arrived.set()


class RespondingServer(MemoryServer):
    """The server's side of the protocol, with a responder. Its ids count from 1."""

    def __init__(
        self,
        responder: Responder | Callable[[], Responder],
        *,
        wait_heard: Callable[[], Any] | None = None,
    ) -> None:
        """Set the responder.

        Args:
            responder: Answers; or what makes one for each connection, which is closed with it.
            wait_heard: Waits until the client's sink is not far behind; None does not wait.
        """
        super().__init__()
        self._given = responder
        self._owned: Responder | None = None
        self._wait_heard = wait_heard
        self._session: Session | None = None
        self._ids: Counter[str] = Counter()
        self._text = ""

    def begin(self, link: MemoryLink) -> None:
        """Begin a new session and greet the client."""
        super().begin(link)
        config = SessionConfig(self._make_id("sess"), audio_formats=AUDIO_FORMATS)
        if isinstance(self._given, Responder):
            responder = self._given
        else:
            responder = self._owned = self._given()
        self._session = Session(Link.WEBSOCKET, config, responder, self, make_id=self._make_id)
        self._session.start()

    def take(self, text: str) -> None:
        """A client's message; only the transport calls this."""
        self._text = text
        super().take(text)

    def receive(self, event: dict[str, Any]) -> None:  # noqa: ARG002 - of the base
        """Give it to the protocol, as the text that it came in."""
        if self._session is not None:
            self._session.receive_message(self._text)

    async def end(self) -> None:
        """Stop answering."""
        session, self._session = self._session, None
        responder, self._owned = self._owned, None
        await super().end()
        if session is not None:
            await session.close()
        if responder is not None:
            await responder.close()

    # The session's link

    def send_event(self, event: dict[str, Any]) -> None:
        """Send an event of the protocol."""
        if self._link is not None and self._link.is_open:
            self.send_text(wire.dump(event))

    def end_session(self, _reason: str) -> None:
        """Hang up."""
        self.hang_up()

    def play(self, _samples: Pcm16) -> None:
        """Never asked for: audio is in events."""
        raise TransportError("a memory link has no track")

    def clear(self) -> None:
        """Never asked for: what was sent cannot be called back."""
        raise TransportError("a memory link has no track")

    async def wait_room(self) -> None:
        """Wait until the client has taken most of what was sent."""
        if self._link is not None:
            await self._link.wait_room()
        if self._wait_heard is not None:
            await self._wait_heard()

    def _make_id(self, prefix: str) -> str:
        self._ids[prefix] += 1
        return f"{prefix}_{self._ids[prefix]}"
