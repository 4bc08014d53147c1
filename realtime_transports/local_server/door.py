"""The door between a session and what carries it: everything that passes is seen here.

Faults act here and nowhere else, and the watch hears of each event as the client does: after the
faults on its way out, before them on its way in.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Protocol, assert_never

from realtime_core.errors import TransportError
from realtime_transports.local_server.event_faults import (
    Deliver,
    Disconnect,
    EventFaults,
    FaultAction,
    Send,
    SendOversize,
    SendText,
)
from realtime_transports.local_server.faults import Faults
from realtime_transports.local_server.session import LinkOverError
from realtime_transports.openai import wire
from realtime_transports.openai.server_outputs import random_id

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16
    from realtime_transports.local_server.session import Session
    from realtime_transports.local_server.watch import SessionWatch
    from realtime_transports.openai.server_outputs import JsonObject

__all__ = ["Door", "DoorLink"]

log = logging.getLogger(__name__)

LARGEST_SIZES = (262_144, 65_536, 16_384)
"""What data channels take: Chromium, the default of RFC 8841, and the smallest that is safe."""

MAX_LATE_EVENTS = 10_000

MAX_MESSAGE_CHARS = 16 * 1024 * 1024
"""The API takes 15 MiB of audio in one event."""


class DoorLink(Protocol):
    """What carries the session: a `SessionLink` that can do wrong."""

    def send_event(self, event: JsonObject, /) -> None:
        """Send an event; never blocks.

        Raises:
            LinkOverError: The client is gone.
            TransportError: It cannot be sent.
        """

    def send_text(self, text: str, /) -> None:
        """Send a message as it is; never blocks.

        Raises:
            LinkOverError: The client is gone.
            TransportError: It cannot be sent.
        """

    def play(self, samples: Pcm16, /) -> None:
        """Queue audio on the track."""

    def clear(self) -> None:
        """Drop audio that has not left yet."""

    async def wait_room(self) -> None:
        """Wait until more audio may be queued."""

    def drop(self) -> None:
        """End the connection without a word, after everything that was sent has left."""

    def end_session(self, reason: str, /) -> None:
        """Close, after everything that was sent has left."""


class Door:
    """One session's door; it is the session's link, and the link gives it what comes."""

    def __init__(self, faults: Faults | None = None, watch: SessionWatch | None = None) -> None:
        """Prepare; `attach` joins it, `open` begins.

        Args:
            faults: What goes wrong; None is nothing.
            watch: Told of all that passes.
        """
        self._faults = faults or Faults()
        self._acts = EventFaults(self._faults)
        self._watch = watch
        self._loop = asyncio.get_running_loop()
        self._session: Session | None = None
        self._link: DoorLink | None = None
        self._late: deque[tuple[float, FaultAction]] = deque()
        self._late_timer: asyncio.TimerHandle | None = None
        self._drop_timer: asyncio.TimerHandle | None = None
        self._ending: str | None = None
        """Why the session itself wanted to end."""
        self._is_closed = False

    def attach(self, session: Session, link: DoorLink) -> None:
        """Join a session with what carries it."""
        self._session, self._link = session, link

    def open(self) -> None:
        """The client is connected: what counts from now on begins."""
        disconnect = self._faults.disconnect
        if disconnect is not None and disconnect.after_s is not None:
            self._drop_timer = self._loop.call_later(disconnect.after_s, self._disconnect)

    def close(self, reason: str) -> None:
        """The session is over. Closing twice is fine; the first reason counts."""
        self._is_closed = True
        self._late.clear()
        for timer in (self._late_timer, self._drop_timer):
            if timer is not None:
                timer.cancel()
        if self._watch is not None:
            self._watch.end(self._ending or reason)

    # What the link gives

    def receive_message(self, message: str | bytes) -> None:
        """Take a message of the client."""
        session = self._session
        if session is None or self._is_closed:
            return
        if len(message) > MAX_MESSAGE_CHARS:
            self._tell("message_too_large", f"A message has at most {MAX_MESSAGE_CHARS} bytes.")
            return
        try:
            event = wire.parse_value(message)
        except ValueError as exc:
            session.receive_invalid(f"The message is not valid JSON: {exc}")
            return
        if not isinstance(event, dict):
            session.receive(event)  # which says what is wrong with it
            return
        if self._watch is not None:
            self._watch.client_event(event)
        for action in self._acts.incoming(event):
            self._try(action)

    def receive_invalid(self, problem: str) -> None:
        """Take a message that could not be read."""
        if self._session is not None:
            self._session.receive_invalid(problem)

    # The session's link

    def send_event(self, event: JsonObject) -> None:
        """Send an event, unless a fault has it otherwise."""
        if self._is_closed:
            return
        actions = self._acts.outgoing(event)
        if not self._faults.latency_s:
            for action in actions:
                self._do(action)
            return
        if len(self._late) >= MAX_LATE_EVENTS:
            raise TransportError("too many events are late")
        due_s = self._loop.time() + self._faults.latency_s
        self._late.extend((due_s, action) for action in actions)
        self._wait_for_late()

    def play(self, samples: Pcm16) -> None:
        """Queue audio on the track."""
        self._joined.play(samples)

    def clear(self) -> None:
        """Drop audio that has not left yet."""
        self._joined.clear()

    async def wait_room(self) -> None:
        """Wait until more audio may be queued."""
        await self._joined.wait_room()

    def end_session(self, reason: str) -> None:
        """Close, after everything that was sent has left; what is late leaves now."""
        self._ending = self._ending or reason
        while self._late:
            self._try(self._late.popleft()[1])
        self._joined.end_session(reason)

    @property
    def _joined(self) -> DoorLink:
        if self._link is None:
            raise TransportError("the session is not connected")
        return self._link

    # Doing

    def _do(self, action: FaultAction) -> None:
        match action:
            case Deliver(event):
                if self._session is not None:
                    self._session.receive(event)
            case Send(event):
                self._send(event)
            case SendText(text):
                self._joined.send_text(text)
            case SendOversize():
                self._send_oversize(action)
            case Disconnect():
                self._disconnect()
            case _:
                assert_never(action)

    def _send(self, event: JsonObject) -> None:
        self._joined.send_event(event)
        if self._watch is not None:
            self._watch.server_event(event)

    def _send_oversize(self, action: SendOversize) -> None:
        sizes = [size for size in LARGEST_SIZES if size < action.size_bytes]
        for size_bytes in (action.size_bytes, *sizes):
            try:
                self._send(action.event(size_bytes))
            except TransportError as exc:
                log.info("an event of %s bytes is too large for the link: %s", size_bytes, exc)
            else:
                return

    def _disconnect(self) -> None:
        if not self._is_closed:
            self.close("a fault: disconnected")
            self._joined.drop()

    def _wait_for_late(self) -> None:
        if self._late and self._late_timer is None:
            self._late_timer = self._loop.call_at(self._late[0][0], self._send_late)

    def _send_late(self) -> None:
        self._late_timer = None
        now_s = self._loop.time()
        while self._late and self._late[0][0] <= now_s:
            self._try(self._late.popleft()[1])
        self._wait_for_late()

    def _try(self, action: FaultAction) -> None:
        """Do what no caller waits for."""
        try:
            self._do(action)
        except LinkOverError as exc:
            log.debug("too late to be sent: %s", exc)
        except TransportError as exc:
            log.warning("it could not be sent: %s", exc)

    def _tell(self, code: str, message: str) -> None:
        """Send an error event that answers no event."""
        error = {
            "type": "invalid_request_error",
            "code": code,
            "message": message,
            "param": None,
            "event_id": None,
        }
        try:
            self._send({"type": "error", "event_id": random_id("event"), "error": error})
        except (LinkOverError, TransportError) as exc:
            log.info("an error was not told: %s", exc)
