"""Two queues of messages between a transport and a server in the same process.

One message moves in each direction in a turn of the event loop, in the order in which they were
put: nothing happens inside the call that sends, and the order of everything is the same each time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from realtime_core.errors import TransportError

__all__ = ["LinkEvents", "MemoryLink"]

MAX_WAITING = 10_000
"""Messages that may wait in one direction."""

FEW_WAITING = 20


@dataclass(frozen=True)
class LinkEvents:
    """Where a link tells what happens. All are called on the event loop."""

    on_client_message: Callable[[str], None]
    """The server gets a message."""
    on_server_message: Callable[[str | bytes], None]
    """The client gets a message."""
    on_end: Callable[[Exception | None], None]
    """The server ended the link, properly (None) or not; nothing is told after this."""


@dataclass(frozen=True, slots=True)
class _End:
    reason: Exception | None


class MemoryLink:
    """Carries messages until one side ends it. Used once."""

    def __init__(self, events: LinkEvents) -> None:
        """Begin open and empty."""
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._to_server: deque[str] = deque()
        self._to_client: deque[str | bytes | _End] = deque()
        self._next: asyncio.Handle | None = None
        self._moved = asyncio.Event()
        self._is_ended = False
        self._is_closed = False

    @property
    def is_open(self) -> bool:
        """Whether the client can send."""
        return not (self._is_closed or self._is_ended)

    @property
    def is_idle(self) -> bool:
        """Whether every message has arrived."""
        return not (self._to_server or self._to_client)

    def send(self, text: str) -> None:
        """Queue a message for the server.

        Raises:
            TransportError: The link has ended, or the server is too far behind.
        """
        if not self.is_open:
            raise TransportError("the memory link is closed")
        self._put(self._to_server, text)

    def push(self, message: str | bytes) -> None:
        """Queue a message for the client.

        Raises:
            TransportError: The link has ended, or the client is too far behind.
        """
        if not self.is_open:
            raise TransportError("the memory link is closed")
        self._put(self._to_client, message)

    def end(self, reason: Exception | None, *, at_once: bool = False) -> None:
        """The server ends the link; ending twice is fine.

        Args:
            reason: None for a proper end.
            at_once: Whether what is still under way is lost.
        """
        if not self.is_open:
            return
        self._is_ended = True
        self._to_server.clear()
        if at_once:
            self._to_client.clear()
        self._to_client.append(_End(reason))
        self._move_soon()

    def close(self) -> None:
        """The client ends the link; nothing is told any more. Closing twice is fine."""
        self._is_closed = True
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._to_server.clear()
        self._to_client.clear()
        self._moved.set()

    async def wait_room(self) -> None:
        """Wait until few messages are waiting in either direction, or the link is closed."""
        await self._wait(lambda: max(len(self._to_server), len(self._to_client)) <= FEW_WAITING)

    async def wait_idle(self) -> None:
        """Wait until every message has arrived, or the link is closed."""
        await self._wait(lambda: self.is_idle)

    async def _wait(self, is_fulfilled: Callable[[], bool]) -> None:
        await asyncio.sleep(0)  # who never waits otherwise lets others run here
        while not is_fulfilled() and not self._is_closed:
            self._moved.clear()
            await self._moved.wait()

    def _put(self, queue: deque[str] | deque[str | bytes | _End], message: str | bytes) -> None:
        if len(queue) >= MAX_WAITING:
            raise TransportError(
                f"{MAX_WAITING} messages wait already; await drain() between messages"
            )
        queue.append(message)  # type: ignore[arg-type]
        self._move_soon()

    def _move_soon(self) -> None:
        if self._next is None and not self._is_closed:
            self._next = self._loop.call_soon(self._move)

    def _move(self) -> None:
        self._next = None
        if self._to_server:
            self._events.on_client_message(self._to_server.popleft())
        if self._to_client and not self._is_closed:
            self._deliver(self._to_client.popleft())
        self._moved.set()
        if not self.is_idle:
            self._move_soon()

    def _deliver(self, message: str | bytes | _End) -> None:
        if isinstance(message, _End):
            self._events.on_end(message.reason)
        else:
            self._events.on_server_message(message)
