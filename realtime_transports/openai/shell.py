"""The asyncio shell around the OpenAI protocol: where everything goes in and comes out.

Whatever happens, a message of the server or a call of the program, goes into the protocol first.
Then everything leaves here, in one place: client events to the link at once, in order, and events
to the listeners, which so find the state changed already.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from realtime_core.errors import ProtocolError
from realtime_core.events import ErrorEvent
from realtime_core.middleware_chain import MiddlewareChain
from realtime_core.transport import RealtimeTransportLayer
from realtime_transports.openai import wire
from realtime_transports.openai.handle_failures import HandleFailures, running_loop
from realtime_transports.openai.watched import watched

if TYPE_CHECKING:
    from realtime_core.events import Emit
    from realtime_core.handles import Handle
    from realtime_core.middleware import EventMiddleware
    from realtime_transports.openai.protocol import ClientProtocol

ResultT = TypeVar("ResultT")
HandleT = TypeVar("HandleT", bound="Handle[Any]")

__all__ = ["ProtocolShell"]

log = logging.getLogger(__name__)


class ProtocolShell(RealtimeTransportLayer):
    """A transport around a protocol, without the link and without what the program may ask for."""

    _protocol: ClientProtocol
    """What decides. Call it, then `_flush`; `_perform` does both."""

    def __init__(self, protocol: ClientProtocol, middlewares: Iterable[EventMiddleware]) -> None:
        super().__init__()
        self._timer: asyncio.TimerHandle | None = None
        self._is_sending = False
        self._handle_failures = HandleFailures()
        self._has_link = False
        self._links_ended = 0
        self._middlewares = MiddlewareChain(middlewares, self._report, clock=time.perf_counter)
        self._protocol = watched(protocol, self._middlewares)

    # What a transport brings

    @abstractmethod
    def _check_can_send(self) -> None:
        """Raise `TransportError` unless the program may send now.

        The configuration that `_flush` writes while connecting does not pass here.
        """

    @abstractmethod
    def _write(self, text: str) -> None:
        """Put a message on the link, or into its bounded queue, at once. Must not block.

        Raises:
            TransportError: The link does not take it.
        """

    # Where things leave

    def _perform(self, action: Callable[[], ResultT]) -> ResultT:
        """Do something with the protocol for the program, and let out what comes of it.

        Raises:
            TransportError: The program cannot send now, or the link refused an event.
        """
        self._check_can_send()
        self._advance()
        try:
            return action()
        finally:
            self._flush()

    def _perform_asking(self, action: Callable[[], HandleT]) -> HandleT:
        """`_perform` where a handle comes of it: who waits for that at once learns of a failure."""

        def ask() -> HandleT:
            self._handle_failures.asked = handle = action()
            return handle

        asked = self._handle_failures.asked
        try:
            return self._perform(ask)
        finally:
            self._handle_failures.asked = asked

    def _flush(self) -> None:
        """Send and tell what the protocol has decided.

        When the link refuses an event, the rest of what the same call wanted to send is dropped.
        A call out of another one that sends - by who hears of a middleware's failure - leaves it
        to that one, which sends in order; what the link refuses of it comes as `error`.

        Raises:
            TransportError: The link refused an event other than ``response.create``, whose failure
                comes as `error`, for it may have waited long since its call.
        """
        if self._is_sending:
            return
        sends = self._protocol.take_sends()
        failure, failures_of_others = self._send_all(sends) if sends else (None, [])
        self._watch_deadline()
        links_ended = self._links_ended
        for emit in self._protocol.take_emits():
            if emit.type != "error" or not self._handle_failures.keeps_back(emit, self._tell):
                self._tell(emit)
            if self._links_ended != links_ended:
                break  # a listener has closed the transport: nothing comes after `disconnected`
        for error in failures_of_others:
            self._report(error)
        if failure is not None:
            raise failure

    def _tell(self, emit: Emit) -> None:
        """Tell the listeners what the protocol says."""
        self.emit(emit.type, *emit.args)

    def _send_all(self, sends: list[dict[str, Any]]) -> tuple[Exception | None, list[Exception]]:
        """Send these, and then until nothing is due.

        Returns:
            What these failed with, and what others failed with that became due meanwhile.
        """
        self._is_sending = True
        try:
            failure = self._send_batch(sends)
            others = []
            while sends := self._protocol.take_sends():
                others.append(self._send_batch(sends))
        finally:
            self._is_sending = False
        return failure, [other for other in others if other is not None]

    def _send_batch(self, sends: list[dict[str, Any]]) -> Exception | None:
        for event in sends:
            failure = self._send_now(event)
            if failure is not None:
                self._protocol.send_failed(event, failure)
                return failure if event.get("type") != "response.create" else None
        return None

    def _send_now(self, event: dict[str, Any]) -> Exception | None:
        passed = self._middlewares.outgoing(event)
        if not passed:
            self._protocol.send_dropped(event)
        try:
            for each in passed:
                if log.isEnabledFor(logging.DEBUG):
                    log.debug("> %s %s", each.get("type"), each.get("event_id", ""))
                self._write(wire.dump(each))
        except Exception as exc:  # the link is foreign code
            return exc
        return None

    def _receive_message(self, data: str | bytes) -> None:
        """Take a message of the server, as it came; one that is no event is an `error`.

        Never raises.
        """
        self._advance()
        try:
            event = wire.parse(data)
        except ProtocolError as exc:
            self._protocol.receive_invalid(exc, data)
        else:
            if log.isEnabledFor(logging.DEBUG):
                log.debug("< %s %s", event["type"], event.get("event_id", ""))
            passed = self._middlewares.incoming(event, again=partial(wire.parse, data))
            for index, each in enumerate(passed):
                if index and self.status == "disconnected":  # a listener has closed the transport
                    return
                self._receive_event(each)
            if passed:
                return
        self._flush_received()

    def _receive_event(self, event: dict[str, Any]) -> None:
        """Take a server event, as the middlewares left it. Never raises."""
        self._protocol.receive(event)
        self._flush_received()

    def _flush_received(self) -> None:
        """`_flush` where nobody called: what the link refuses comes as `error`."""
        try:
            self._flush()
        except Exception as exc:  # nobody called, so nobody but the listeners can be told
            self._report(exc)

    def _begin_link(self, config: Mapping[str, Any] | None) -> None:
        """The link carries events from now on; this is the session's configuration.

        Raises:
            UserError: The configuration cannot be sent.
        """
        if not self._has_link:
            self._has_link = True
            self._middlewares.link_opened(self.current_model)
        self._protocol.link_opened(config)

    def _end_link(self) -> None:
        """The link is gone, and with it all that was under way on it."""
        if self._has_link:
            self._has_link = False
            self._middlewares.link_closed()
        self._links_ended += 1
        self._protocol.link_closed()
        self._handle_failures.tell_unheard()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _report(self, error: Exception) -> None:
        """Tell an error that no call can raise: as `error`, and to the middlewares."""
        self.emit("error", ErrorEvent(error))
        self._middlewares.error_reported(error)

    # Time

    def _advance(self) -> None:
        if (loop := running_loop()) is not None:
            self._protocol.advance(loop.time())

    def _watch_deadline(self) -> None:
        # Runs for each event, so a timer that comes too early stays: it looks again when it fires.
        deadline = self._protocol.next_deadline
        if deadline is None:
            return
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        if (loop := running_loop()) is not None:
            self._timer = loop.call_at(deadline, self._on_deadline, deadline)

    def _on_deadline(self, deadline: float) -> None:
        self._timer = None
        # Loops call back up to their clock's resolution too early.
        self._protocol.advance(max(deadline, asyncio.get_running_loop().time()))
        self._flush_received()
