"""Connections that never say anything: closed after a deadline, and never too many.

aiohttp waits for the end of a request's headers for ever, or, in later releases, for as long as
an idle connection may live.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable
from typing import cast

__all__ = ["Connections"]

log = logging.getLogger(__name__)

Factory = Callable[[], asyncio.Protocol]


class Connections:
    """Makes the protocols of one server's connections."""

    def __init__(self, *, header_deadline_s: float, max_connections: int) -> None:
        """Begin without.

        Args:
            header_deadline_s: How long the first request's headers may take, in seconds.
            max_connections: How many may be open; more are closed at once.
        """
        self._header_deadline_s = header_deadline_s
        self._max_connections = max_connections
        self._waiting: weakref.WeakKeyDictionary[asyncio.BaseTransport, _Guarded] = (
            weakref.WeakKeyDictionary()
        )
        self._open: set[_Guarded] = set()

    def guard(self, factory: Factory) -> Factory:
        """The same factory, with the deadline."""
        return lambda: _Guarded(self, factory())

    def request_began(self, transport: asyncio.BaseTransport | None) -> None:
        """A connection's first headers are complete."""
        if transport is not None and (guarded := self._waiting.pop(transport, None)) is not None:
            guarded.cancel_deadline()

    def opened(self, guarded: _Guarded, transport: asyncio.Transport) -> float | None:
        """A connection came; the deadline of its headers in seconds, None if there is no room."""
        if len(self._open) >= self._max_connections:
            log.warning("more than %s connections: one was closed", self._max_connections)
            return None
        self._open.add(guarded)
        self._waiting[transport] = guarded
        return self._header_deadline_s

    def closed(self, guarded: _Guarded) -> None:
        """A connection is gone."""
        self._open.discard(guarded)


class _Guarded(asyncio.Protocol):
    """Passes everything on to another protocol."""

    def __init__(self, connections: Connections, inner: asyncio.Protocol) -> None:
        self._connections = connections
        self._inner = inner
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._inner.connection_made(transport)
        socket = cast("asyncio.Transport", transport)  # a server's always is one
        deadline_s = self._connections.opened(self, socket)
        if deadline_s is None:
            socket.abort()
            return
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(deadline_s, self._give_up, socket)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.cancel_deadline()
        self._connections.closed(self)
        self._inner.connection_lost(exc)

    def cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self, transport: asyncio.Transport) -> None:
        log.info("a connection without a complete request was closed")
        transport.abort()
