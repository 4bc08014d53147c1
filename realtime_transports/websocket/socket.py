"""One WebSocket, as the transport uses it: the seam, and the one on aiohttp.

A socket begins to open as soon as it is made, and is used once. It tells what happens to it and
decides nothing. Sending never blocks: what the server has not taken yet waits in a bounded queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import SecretStr

from realtime_core.errors import ConnectionLostError, TransportError

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse, WSMessage

__all__ = ["AiohttpWebSocket", "SocketEvents", "SocketRequest", "WebSocket"]

log = logging.getLogger(__name__)

CLOSE_DEADLINE_S = 5.0
"""How long a server may take to answer our goodbye."""

ROOM_BYTES = 1_000_000
"""`drain` waits while more than this is unsent."""

MAX_UNSENT_BYTES = 64_000_000
"""Four of the largest appends that the API allows (15 MiB of audio)."""

NORMAL_CLOSE_CODES = (1000, 1001, 1005)
"""Done, going away, no code given (RFC 6455, 7.4.1)."""


@dataclass(frozen=True)
class SocketRequest:
    """What is to be opened."""

    url: str
    api_key: SecretStr
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    """They hold the key, unless a subprotocol does."""
    subprotocols: tuple[str, ...] = field(default=(), repr=False)
    """Offered to the server; one of them may hold the key."""


@dataclass(frozen=True)
class SocketEvents:
    """Where a socket tells what happens to it. All are called on the event loop."""

    on_open: Callable[[], None]
    on_message: Callable[[str | bytes], None]
    on_error: Callable[[Exception], None]
    """It could not be opened, or was lost; nothing is told after this."""
    on_close: Callable[[str], None]
    """The server closed it properly, and why; nothing is told after this."""


class WebSocket(Protocol):
    """A client's end."""

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""

    def listen(self, events: SocketEvents) -> None:
        """Tell what happens from now on. Called once, at once after the socket was made."""

    def send(self, text: str) -> None:
        """Send a message; never blocks.

        Raises:
            TransportError: It is not open, or takes no more.
        """

    async def drain(self) -> None:
        """Wait until there is room for more.

        Raises:
            TransportError: It closed.
        """

    def close(self) -> None:
        """Send what is waiting and close; nothing is told any more. Closing twice is fine."""

    async def wait_closed(self) -> None:
        """Wait until everything is released."""


class AiohttpWebSocket:
    """`WebSocket` on aiohttp.

    For a connection with settings of your own, in `create_web_socket`::

        AiohttpWebSocket(lambda: session.ws_connect(request.url, headers=request.headers))
    """

    def __init__(
        self,
        opens: Callable[[], AbstractAsyncContextManager[ClientWebSocketResponse[Any]]],
    ) -> None:
        """Begin to open.

        Args:
            opens: Opens the connection; it is closed here.
        """
        self._opens = opens
        self._events: SocketEvents | None = None
        self._is_open = False
        self._is_closing = False
        self._unsent: deque[str] = deque()
        self._unsent_bytes = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = asyncio.Event()
        self._running = asyncio.get_running_loop().create_task(self._run())

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._is_open and not self._is_closing

    def listen(self, events: SocketEvents) -> None:
        """Tell what happens."""
        self._events = events

    def send(self, text: str) -> None:
        """Queue a message."""
        if not self.is_open:
            raise TransportError("the WebSocket is not open")
        if self._unsent_bytes + len(text) > MAX_UNSENT_BYTES:
            raise TransportError(
                f"a message of {len(text)} bytes does not fit: {self._unsent_bytes} bytes wait for "
                f"the server already, of {MAX_UNSENT_BYTES}; await drain() between messages"
            )
        self._unsent.append(text)
        self._unsent_bytes += len(text)  # all is ASCII, see `wire.dump`
        self._filled.set()

    async def drain(self) -> None:
        """Wait until less than a megabyte is unsent."""
        while self.is_open and self._unsent_bytes > ROOM_BYTES:
            self._room.clear()
            await self._room.wait()
        if not self.is_open:
            raise TransportError("the WebSocket closed before everything was sent")

    def close(self) -> None:
        """Begin to close."""
        if self._is_closing:
            return
        self._is_closing = True
        self._filled.set()
        self._room.set()
        if not self._is_open:
            self._running.cancel()

    async def wait_closed(self) -> None:
        """Wait for the goodbye, but not for long."""
        self.close()
        _, late = await asyncio.wait([self._running], timeout=CLOSE_DEADLINE_S)
        if late:
            log.warning("the WebSocket did not close within %.0f s", CLOSE_DEADLINE_S)
            self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        try:
            async with self._opens() as socket:
                self._is_open = True
                self._tell(lambda events: events.on_open())
                end = await self._use(socket)
        except Exception as exc:  # what opens it may be foreign code
            end = exc
        self._is_open = False
        self._room.set()
        if isinstance(end, Exception):
            failure = end
            self._tell(lambda events: events.on_error(failure))
        else:
            reason = end
            self._tell(lambda events: events.on_close(reason))

    def _tell(self, tell: Callable[[SocketEvents], None]) -> None:
        if self._events is not None and not self._is_closing:
            tell(self._events)

    async def _use(self, socket: ClientWebSocketResponse[Any]) -> str | Exception:
        """Carry messages until the end, and say how it came."""
        writer = asyncio.get_running_loop().create_task(self._write_all(socket))
        try:
            return await self._read_all(socket)
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _read_all(self, socket: ClientWebSocketResponse[Any]) -> str | Exception:
        from aiohttp import WSMsgType

        while True:
            message = await socket.receive()
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                data = message.data
                self._tell(lambda events, data=data: events.on_message(data))  # type: ignore[misc]
            else:
                return _end_of(socket, message)

    async def _write_all(self, socket: ClientWebSocketResponse[Any]) -> None:
        try:
            while True:
                while self._unsent:
                    await socket.send_str(self._unsent[0])
                    self._unsent_bytes -= len(self._unsent.popleft())
                    self._room.set()
                if self._is_closing:
                    break
                self._filled.clear()
                await self._filled.wait()
        except (OSError, RuntimeError) as exc:
            log.debug("a message could not be sent: %s", exc)  # reading tells that it is lost
        await socket.close()


def _end_of(socket: ClientWebSocketResponse[Any], message: WSMessage) -> str | Exception:
    """Why no more messages come."""
    from aiohttp import WSMsgType

    if message.type is WSMsgType.ERROR:
        return ConnectionLostError(f"the connection to the server failed: {message.data}")
    code = socket.close_code
    reason = message.extra if message.type is WSMsgType.CLOSE and message.extra else "none given"
    if code in NORMAL_CLOSE_CODES and message.type is WSMsgType.CLOSE:
        return f"code {code}, reason: {reason}"
    if message.type is WSMsgType.CLOSE:
        return ConnectionLostError(f"the server closed the WebSocket: code {code}, {reason}")
    return ConnectionLostError("the connection to the server was lost without a goodbye")
