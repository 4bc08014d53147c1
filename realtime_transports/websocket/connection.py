"""The life of a connection over a WebSocket, whatever else a transport does with it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from realtime_core.errors import ConnectError, ConnectStage, TransportError, UserError
from realtime_core.transport import ApiKey, ConnectionState, ConnectionStatus
from realtime_transports.connecting import ConnectRequest, Phase, Stages
from realtime_transports.http_client import content_without_key
from realtime_transports.openai.api_keys import check_api_key
from realtime_transports.openai.transport import OpenAIRealtimeBase
from realtime_transports.websocket.attempt import Attempt, link_error
from realtime_transports.websocket.endpoint import socket_url
from realtime_transports.websocket.socket import SocketEvents, SocketRequest, WebSocket

if TYPE_CHECKING:
    from realtime_core.middleware import EventMiddleware
    from realtime_transports.openai.websocket_protocol import WebSocketProtocol
    from realtime_transports.websocket.settings import ConnectionSettings

__all__ = ["SocketTransport", "WebSocketConnectionState"]

log = logging.getLogger(__name__)

EPHEMERAL_KEY_PREFIX = "ek_"


@dataclass(frozen=True)
class WebSocketConnectionState(ConnectionState):
    """A look at a WebSocket connection."""

    websocket: WebSocket | None = None


class SocketTransport(OpenAIRealtimeBase):
    """Base of the transports whose link is a WebSocket.

    An attempt to connect is a task that goes through the stages; what happens to the socket comes
    as events, and those of a socket that is not in use any more are ignored. Whoever ends the
    attempt (the task itself, an event of the socket, `close`) takes it out of `_attempt`, so it
    ends once.
    """

    _protocol: WebSocketProtocol

    def __init__(
        self,
        protocol: WebSocketProtocol,
        settings: ConnectionSettings,
        *,
        api_key: ApiKey | None,
        middlewares: Iterable[EventMiddleware],
    ) -> None:
        """Set everything up; nothing is opened before `connect`."""
        super().__init__(api_key=api_key, middlewares=middlewares, protocol=protocol)
        self._settings = settings
        self._stages = Stages(settings.timeouts)
        self._status: ConnectionStatus = "disconnected"
        self._call_id: str | None = None
        self._socket: WebSocket | None = None
        self._attempt: Attempt | None = None
        self._attempt_key: SecretStr | None = None
        self._audio_lock = asyncio.Lock()
        """Source and sink are opened and closed in turn: two connections may share a file."""

    # What it is

    @property
    def status(self) -> ConnectionStatus:
        """Whether there is a connection."""
        return self._status

    @property
    def call_id(self) -> str | None:
        """The call that this is attached to."""
        return self._call_id

    @property
    def connection_state(self) -> WebSocketConnectionState:
        """The connection with its parts, for diagnosis."""
        return WebSocketConnectionState(self._status, self._socket)

    @property
    def connect_phases(self) -> tuple[Phase, ...]:
        """The stages that the last attempt to connect passed, with their times."""
        return self._stages.phases

    # For transports to override

    async def _open_audio(self, attempt: Attempt) -> None:
        """Open what the connection's audio needs."""

    def _start_audio(self) -> None:
        """Let it flow: the session's configuration is on its way."""

    async def _close_audio(self, *, complete: bool) -> None:
        """Close it; called once after `_open_audio`, whatever came of that."""

    # Connecting

    async def connect(
        self,
        *,
        api_key: ApiKey | None = None,
        model: str | None = None,
        url: str | None = None,
        call_id: str | None = None,
        initial_session_config: Mapping[str, Any] | None = None,
    ) -> None:
        """Connect and send the session's configuration; see the contract.

        As in OpenAI Agents JS, it does not wait for the server to confirm the configuration:
        events keep their order, so that it holds for whatever is sent next. If the server refuses
        it, that comes as `error`.

        Args:
            api_key: For this connection; None means the constructor's.
            model: From now on; None leaves it.
            url: The full endpoint for this connection.
            call_id: A running call to attach to, at that endpoint's host.
            initial_session_config: The session's configuration.

        Raises:
            ConnectError: No connection came about; it names the stage.
            UserError: It is connected or connecting already, or has no key.
        """
        if self._attempt is not None or self._status != "disconnected":
            raise UserError("WebSocket is already connected or connecting")
        api_key = SecretStr(api_key) if isinstance(api_key, str) else api_key
        model_before = self.current_model
        self.current_model = model or model_before
        url = socket_url(url or self._settings.url, model=self.current_model, call_id=call_id)
        request = ConnectRequest(api_key, url, initial_session_config or {})
        attempt = self._attempt = Attempt(request, call_id, model_before)
        attempt.task = asyncio.get_running_loop().create_task(self._run_attempt(attempt))
        try:
            await asyncio.shield(attempt.outcome)
        except asyncio.CancelledError:
            if self._attempt is attempt:
                self._close_and_report()
            raise

    async def _run_attempt(self, attempt: Attempt) -> None:
        stages = self._stages = Stages(self._settings.timeouts)
        try:
            await self._connect_by_stages(attempt, stages)
        except Exception as exc:  # what the caller gave is foreign code
            if self._attempt is attempt:
                self._fail(exc)

    async def _connect_by_stages(self, attempt: Attempt, stages: Stages) -> None:
        async with stages.enter(ConnectStage.KEY):
            key = self._attempt_key = await self._key_for(attempt.request)
        async with stages.enter(ConnectStage.AUDIO), self._audio_lock:
            attempt.has_audio = True
            await self._open_audio(attempt)
        async with stages.enter(ConnectStage.HTTP):
            request = self._settings.credentials.request(attempt.request.url, key)
            socket = await self._make_socket(request)
        if self._attempt is not attempt:  # closed, and the factory did not let itself be stopped
            self._let_go(socket)
            return
        self._use(socket)
        self._call_id = attempt.call_id
        self._status = "connecting"
        self.emit("connection_change", self._status)
        if self._attempt is not attempt:  # a listener has closed the transport
            return
        if self._settings.skips_open or socket.is_open:
            self._on_open()
        async with stages.enter(ConnectStage.HTTP):
            await attempt.opened.wait()

    async def _key_for(self, request: ConnectRequest) -> SecretStr:
        endpoint = request.url.replace("wss://", "https://", 1)
        key = await self._resolve_api_key(request.api_key, endpoint)
        # The wording of both is that of OpenAI Agents JS, whose users look for it.
        if not key.get_secret_value():
            raise UserError("API key is not set. Please call `connect()` with an API key first.")
        check_api_key(key)
        is_ephemeral = key.get_secret_value().startswith(EPHEMERAL_KEY_PREFIX)
        if self._settings.requires_ephemeral_key and not is_ephemeral:
            raise UserError(
                "Using the WebSocket connection in a browser environment requires an ephemeral "
                "client key. If you have to use a regular API key, set the `useInsecureApiKey` "
                "option to true."
            )
        return key

    async def _make_socket(self, request: SocketRequest) -> WebSocket:
        made: Any = self._settings.create_web_socket(request)
        if inspect.isawaitable(made):
            made = await made
        socket: WebSocket = made
        return socket

    def _use(self, socket: WebSocket) -> None:
        """Hear what happens to a socket, as long as it is the one in use."""

        def only_current(handler: Callable[..., None]) -> Callable[..., None]:
            def handle(*args: Any) -> None:
                if self._socket is socket:
                    handler(*args)

            return handle

        self._socket = socket
        socket.listen(
            SocketEvents(
                on_open=only_current(self._on_open),
                on_message=only_current(self._on_message),
                on_error=only_current(self._on_error),
                on_close=only_current(self._on_close),
            )
        )

    # What happens to the socket

    def _on_open(self) -> None:
        """Configure the session, and tell that it can be used."""
        attempt = self._attempt
        if attempt is None or attempt.opened.is_set():
            return
        attempt.opened.set()
        try:
            # First in line, so that what a listener sends when it hears of the connection comes
            # behind it.
            self._begin_link(attempt.request.initial_session_config)
            self._status = "connected"
            self.emit("connection_change", self._status)
            if self._attempt is attempt:  # unless a listener has closed it
                self.emit("connected")
            self._flush()
            if attempt.failure is not None:
                raise attempt.failure
        except Exception as exc:  # a socket of the caller's making may raise anything
            if self._attempt is attempt:
                self._fail(exc)
            return
        if self._attempt is attempt:
            self._attempt = None
            self._start_audio()
            attempt.outcome.set_result(None)

    def _on_message(self, data: str | bytes) -> None:
        if isinstance(data, str) and self._attempt_key is not None:
            data = content_without_key(data, self._attempt_key)
        self._receive_message(data)

    def _on_error(self, exc: Exception) -> None:
        error = link_error(exc, is_connecting=self._attempt is not None)
        self._lose(error, error)

    def _on_close(self, reason: str) -> None:
        log.info("the server closed the WebSocket: %s", reason)
        message = f"WebSocket closed before the connection was ready: {reason}"
        self._lose(ConnectError(ConnectStage.HTTP, message), None)

    # Ends

    def _fail(self, exc: Exception) -> None:
        """The attempt failed in our own steps; nobody but who called `connect` is told why."""
        self._lose(exc, None)

    def _lose(self, exc: Exception, told: Exception | None) -> None:
        """End the attempt or the connection; a part that cannot be closed is told as `error`."""
        is_complete = self._attempt is None and told is None
        failure = self._disconnect(exc, told, complete=is_complete)
        if failure is not None:
            self._report(failure)

    def close(self) -> None:
        """Close in any state; the status is `disconnected` at once."""
        was_connected = self._attempt is None and self._status == "connected"
        reason = TransportError("WebSocket connection was closed before setup completed")
        failure = self._disconnect(reason, None, complete=was_connected)
        if failure is not None:
            raise failure

    def _close_and_report(self) -> None:
        try:
            self.close()
        except TransportError as exc:
            self._report(exc)

    def _disconnect(
        self, reason: Exception, told: Exception | None, *, complete: bool
    ) -> Exception | None:
        """Let go of attempt and connection, as far as there are any, and tell so.

        Args:
            reason: What the attempt fails with.
            told: Told first, as `error`; None when there is nothing to complain of.
            complete: Whether the conversation came to its proper end.

        Returns:
            Why the socket could not be closed properly, or None.
        """
        attempt, self._attempt = self._attempt, None
        socket, self._socket = self._socket, None
        had_status, self._status = self._status, "disconnected"
        self._call_id = None
        self._end_link()
        if attempt is not None:
            self._end_attempt(attempt, reason)
        if had_status == "connected" or (attempt is not None and attempt.has_audio):
            self._until_closed(self._finish_audio(complete=complete))
        if told is not None:
            self._report(told)
        if had_status != "disconnected":
            self.emit("connection_change", "disconnected")
            self.emit("disconnected")
        return self._let_go(socket) if socket is not None else None

    def _end_attempt(self, attempt: Attempt, reason: Exception) -> None:
        self.current_model = attempt.model_before
        attempt.outcome.set_exception(reason)
        if attempt.task is not None and not attempt.task.done():
            self._keep_until_closed(attempt.task)
            attempt.task.cancel()

    def _let_go(self, socket: WebSocket) -> Exception | None:
        self._until_closed(_finish(socket))
        try:
            socket.close()
        except Exception as exc:  # a socket of the caller's making may raise anything
            error = TransportError(f"the WebSocket could not be closed: {exc}")
            error.__cause__ = exc
            return error
        return None

    async def _finish_audio(self, *, complete: bool) -> None:
        try:
            async with self._audio_lock:
                await self._close_audio(complete=complete)
        except Exception as exc:  # sources and sinks may be foreign code
            self._report(exc)

    def _until_closed(self, closing: Coroutine[Any, Any, None]) -> None:
        self._keep_until_closed(asyncio.get_running_loop().create_task(closing))

    # Using it

    def _check_can_send(self) -> None:
        if self._socket is None:
            raise TransportError(
                "WebSocket is not connected. Make sure you call `connect()` before sending events."
            )
        if self._status != "connected" or not self._socket.is_open:
            raise TransportError("WebSocket is not open; wait for `connect()` before sending")

    def _write(self, text: str) -> None:
        if self._socket is None:
            raise TransportError("the connection was closed while an event was sent")
        try:
            self._socket.send(text)
        except Exception as exc:
            if self._attempt is not None:  # it may be a listener that sends the configuration
                self._attempt.failure = exc
            raise

    async def drain(self) -> None:
        """Wait until the socket has room."""
        self._check_can_send()
        if self._socket is not None:
            await self._socket.drain()


async def _finish(socket: WebSocket) -> None:
    try:
        await socket.wait_closed()
    except Exception as exc:  # a socket of the caller's making may raise anything
        log.warning("the WebSocket could not be closed: %s", exc)
