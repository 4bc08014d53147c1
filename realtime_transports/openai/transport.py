"""The asyncio shell around the OpenAI protocol: what all of its transports share.

Whatever happens, a message of the server or a call of the program, goes into the protocol first.
Then everything leaves here, in one place: client events to the link at once, in order, and events
to the listeners, which so find the state changed already.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import SecretStr

from realtime_core.errors import ProtocolError, TransportError
from realtime_core.events import ErrorEvent
from realtime_core.middleware_chain import MiddlewareChain
from realtime_core.transport import ApiKey, RealtimeTransportLayer
from realtime_transports.openai import wire
from realtime_transports.openai.api_keys import resolve_api_key
from realtime_transports.openai.handle_failures import HandleFailures, running_loop
from realtime_transports.openai.protocol import ClientProtocol
from realtime_transports.openai.watched import watched

if TYPE_CHECKING:
    from realtime_core.creation import ItemLike
    from realtime_core.events import Emit, FunctionCall
    from realtime_core.handles import Handle, HistoryResetHandle, ResponseHandle
    from realtime_core.items import McpApprovalRequestItem, RealtimeItem
    from realtime_core.middleware import EventMiddleware

ResultT = TypeVar("ResultT")
HandleT = TypeVar("HandleT", bound="Handle[Any]")

__all__ = ["OpenAIRealtimeBase"]

log = logging.getLogger(__name__)


class OpenAIRealtimeBase(RealtimeTransportLayer):
    """Base of the transports that speak the OpenAI Realtime protocol.

    A subclass brings the link. It implements what is abstract here and in the contract (`connect`,
    `close`, the state, the waits), and of the members that begin with an underscore it uses those
    that have a docstring; they are the interface for subclasses and change like any public one.

    * The link is ready: `_begin_link`, then `_flush`, which writes the configuration. The link is
      gone: `_end_link`.
    * A message came: `_receive_message`. To see events as they pass, override `_receive_event`;
      to play audio before listeners hear of it, override `_tell`.
    * Whatever fails where nobody called: `_report`. Tasks that outlive `close`:
      `_keep_until_closed`. Waits that end with the connection: `_until_disconnected`.

    The protocol is `ClientProtocol` where audio has a track of its own, `WebSocketProtocol` where
    it is in events. A link that carries messages both ways and no more needs no subclass: the
    WebSocket transport's ``create_web_socket`` takes anything that behaves like a socket.
    """

    _protocol: ClientProtocol
    """What decides. Call it, then `_flush`; `_perform` does both."""

    def __init__(
        self,
        *,
        model: str | None = None,
        api_key: ApiKey | None = None,
        middlewares: Iterable[EventMiddleware] = (),
        protocol: ClientProtocol | None = None,
    ) -> None:
        """Set up the protocol.

        Args:
            model: The model; None means the default of OpenAI's SDKs.
            api_key: The key; None means the environment's ``OPENAI_API_KEY``, which goes to
                OpenAI's own host only.
            middlewares: They see wire events; the first is the nearest to the program.
            protocol: What decides, where it is not that of a link with a media track; it has the
                model then.
        """
        super().__init__()
        self._closing: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_sending = False
        self._handle_failures = HandleFailures()
        self._has_link = False
        self._links_ended = 0
        self._middlewares = MiddlewareChain(middlewares, self._report, clock=time.perf_counter)
        self._protocol = watched(protocol or ClientProtocol(model=model), self._middlewares)
        self._api_key = SecretStr(api_key) if isinstance(api_key, str) else api_key

    @property
    def current_model(self) -> str:
        """The model of the session, or of the next one."""
        return self._protocol.model

    @current_model.setter
    def current_model(self, model: str) -> None:
        self._protocol.model = model

    @property
    def history(self) -> tuple[RealtimeItem, ...]:
        """The conversation, as the server told it."""
        return self._protocol.history

    # What the program asks for

    def send_event(self, event: Mapping[str, Any]) -> None:
        """Send a client event as it is; ``response.create`` waits for its turn."""
        self._perform(lambda: self._protocol.send_event(event))

    def send_message(
        self,
        message: str | Mapping[str, Any],
        other_event_data: Mapping[str, Any] | None = None,
        *,
        trigger_response: bool = True,
    ) -> None:
        """Send a message of the user; see the contract."""
        self._perform(
            lambda: self._protocol.send_message(
                message, other_event_data, trigger_response=trigger_response
            )
        )

    def add_image(self, image: str, *, trigger_response: bool = True) -> None:
        """Send an image of the user, as a data URL."""
        self._perform(lambda: self._protocol.add_image(image, trigger_response=trigger_response))

    def send_audio(self, pcm: bytes, *, commit: bool = False) -> None:
        """Send audio of the user in an event."""
        self._perform(lambda: self._protocol.send_audio(pcm, commit=commit))

    def request_response(self, response: Mapping[str, Any] | None = None) -> ResponseHandle:
        """Ask for a response, as soon as no other is under way; see the contract."""
        return self._perform_asking(lambda: self._protocol.request_response(response))

    def update_session_config(self, config: Mapping[str, Any]) -> None:
        """Change the session's configuration."""
        self._perform(lambda: self._protocol.update_session_config(config))

    def send_function_call_output(
        self, tool_call: FunctionCall, output: str, start_response: bool = True
    ) -> None:
        """Answer a function call of the model."""
        self._perform(
            lambda: self._protocol.send_function_call_output(tool_call, output, start_response)
        )

    def send_mcp_response(
        self, approval_request: McpApprovalRequestItem, approved: bool, reason: str | None = None
    ) -> None:
        """Answer a request to approve the call of an MCP tool."""
        self._perform(lambda: self._protocol.send_mcp_response(approval_request, approved, reason))

    def interrupt(self, cancel_ongoing_response: bool = True) -> None:
        """Make the model stop talking, now."""
        self._perform(lambda: self._protocol.interrupt(cancel_ongoing_response))

    def reset_history(
        self,
        old_history: Sequence[ItemLike],
        new_history: Sequence[ItemLike],
        *,
        audio_as_transcript: bool = False,
    ) -> HistoryResetHandle:
        """Make the server's conversation the new one; see the contract."""
        return self._perform_asking(
            lambda: self._protocol.reset_history(
                old_history, new_history, audio_as_transcript=audio_as_transcript
            )
        )

    def build_session_payload(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The ``session`` object that a configuration becomes on the wire."""
        return self._protocol.build_session_payload(config)

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

    # Waiting

    async def _until_disconnected(self, waiting: Coroutine[Any, Any, object]) -> None:
        """Wait for something, but not beyond the connection.

        Raises:
            TransportError: The connection ended first.
        """
        gone = asyncio.get_running_loop().create_future()

        def on_disconnected() -> None:
            if not gone.done():
                gone.set_exception(TransportError("the connection ended while waiting for audio"))

        self.once("disconnected", on_disconnected)
        task = asyncio.ensure_future(waiting)
        try:
            await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
            (gone if gone.done() else task).result()
        finally:
            self.off("disconnected", on_disconnected)
            task.cancel()
            gone.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _keep_until_closed(self, task: asyncio.Task[Any]) -> None:
        """Have `wait_closed` wait for a task."""
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def wait_closed(self) -> None:
        """Wait until everything that was opened is closed, and listeners have run."""
        current = asyncio.current_task()
        while closing := [task for task in self._closing if task is not current]:
            await asyncio.wait(closing)
        await self._finish_listeners()

    # Keys

    async def _resolve_api_key(self, api_key: ApiKey | None, endpoint: str) -> SecretStr:
        """The key for an endpoint, as it was given; empty when there is none.

        Check it with `check_api_key` before use.
        """
        return await resolve_api_key(self._api_key if api_key is None else api_key, endpoint)
