"""`OpenAIRealtimeWebSocket`: a realtime session with everything, audio too, in events."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from realtime_core.errors import (
    ConnectError,
    ConnectionLostError,
    ConnectStage,
    TransportError,
    UserError,
)
from realtime_core.transport import ApiKey, ConnectionState, ConnectionStatus
from realtime_transports.connecting import ConnectRequest, ConnectTimeouts, Phase, Stages
from realtime_transports.http_client import (
    content_without_key,
    make_ssl_context,
    request_headers,
)
from realtime_transports.openai.transport import OpenAIRealtimeBase, check_api_key
from realtime_transports.openai.websocket_protocol import PlayingAudio, WebSocketProtocol
from realtime_transports.websocket.endpoint import (
    AUTHORIZATION,
    Credentials,
    SocketOptions,
    open_with_aiohttp,
    socket_url,
)
from realtime_transports.websocket.socket import (
    AiohttpWebSocket,
    SocketEvents,
    SocketRequest,
    WebSocket,
)

if TYPE_CHECKING:
    from realtime_core.middleware import EventMiddleware

__all__ = ["CreateWebSocket", "OpenAIRealtimeWebSocket", "WebSocketConnectionState"]

log = logging.getLogger(__name__)

CreateWebSocket = Callable[[SocketRequest], WebSocket | Awaitable[WebSocket]]
"""Makes the socket for a request; it may be a coroutine function."""

EPHEMERAL_KEY_PREFIX = "ek_"

CLOSED_BEFORE_SETUP = "WebSocket connection was closed before setup completed."


@dataclass(frozen=True)
class WebSocketConnectionState(ConnectionState):
    """A look at a WebSocket connection."""

    websocket: WebSocket | None = None


class OpenAIRealtimeWebSocket(OpenAIRealtimeBase):
    """A realtime session over WebSocket.

    It connects any number of times, one after the other::

        async with OpenAIRealtimeWebSocket(source="file:q.wav", sink="file:a.wav") as transport:
            transport.on("audio_transcript_delta", lambda event: print(event.delta))
            await transport.connect()
            transport.send_message("Hello!")

    With ``connect(call_id=...)`` it attaches to a running WebRTC or SIP call instead, whose audio
    it neither hears nor sends.
    """

    def __init__(
        self,
        *,
        model: str | None = None,
        api_key: ApiKey | None = None,
        url: str | None = None,
        use_insecure_api_key: bool = False,
        require_ephemeral_key: bool = False,
        key_in_subprotocol: bool = False,
        key_header: str = AUTHORIZATION,
        create_web_socket: CreateWebSocket | None = None,
        skip_open_event_listeners: bool = False,
        headers: Mapping[str, str] | None = None,
        organization: str | None = None,
        project: str | None = None,
        ca_file: str | None = None,
        heartbeat_s: float = 10.0,
        timeouts: ConnectTimeouts | None = None,
        middlewares: Iterable[EventMiddleware] = (),
    ) -> None:
        """Set everything up; nothing is opened before `connect`.

        Args:
            model: The model; None means the default of OpenAI's SDKs.
            api_key: A key, or a function or coroutine function that gives one. None means the
                environment's ``OPENAI_API_KEY``, for OpenAI's own endpoint only.
            url: The full endpoint, used as it is.
            use_insecure_api_key: Do not refuse any key under `require_ephemeral_key`.
            require_ephemeral_key: Refuse keys that do not begin with ``ek_``, as browsers must.
            key_in_subprotocol: Send the key as browsers must, which set no headers.
            key_header: The header with the key; in ``Authorization`` it is a bearer token.
            create_web_socket: Makes the socket; None means aiohttp, with proxies from the
                environment. What it opened when it is cancelled it closes itself.
            skip_open_event_listeners: Take the socket for open as soon as it is made.
            headers: More headers for the request; they win over ours.
            organization: OpenAI's organization id.
            project: OpenAI's project id.
            ca_file: Certificates to trust, PEM; None means the system's.
            heartbeat_s: After so long without a message the server is asked for a sign of life;
                without an answer within half that time the connection counts as lost.
            timeouts: The deadline of each stage.
            middlewares: They see wire events; the first is the nearest to the program.

        Raises:
            UserError: An option cannot be used.
        """
        protocol = self._make_protocol(model)
        super().__init__(api_key=api_key, middlewares=middlewares, protocol=protocol)
        self._protocol: WebSocketProtocol = protocol
        self._url = url
        self._requires_ephemeral_key = require_ephemeral_key and not use_insecure_api_key
        self._credentials = Credentials(
            request_headers(organization=organization, project=project) | dict(headers or {}),
            key_header,
            key_in_subprotocol,
        )
        self._socket_options = SocketOptions(make_ssl_context(ca_file), heartbeat_s)
        self._create_web_socket = create_web_socket or self._create_with_aiohttp
        self._skips_open = skip_open_event_listeners
        self._timeouts = timeouts or ConnectTimeouts()
        self._stages = Stages(self._timeouts)
        self._status: ConnectionStatus = "disconnected"
        self._call_id: str | None = None
        self._socket: WebSocket | None = None
        self._attempt: _Attempt | None = None
        self._attempt_key: SecretStr | None = None
        self._part: PlayingAudio | None = None
        self._part_began_s = 0.0
        self._closing: set[asyncio.Task[Any]] = set()

    def _make_protocol(self, model: str | None) -> WebSocketProtocol:
        return WebSocketProtocol(model=model)

    # What it is

    @property
    def status(self) -> ConnectionStatus:
        """Whether there is a connection."""
        return self._status

    @property
    def muted(self) -> bool | None:
        """None: whoever sends the audio can hold it back."""
        return None

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
            call_id: A running call to attach to, at the same host.
            initial_session_config: The session's configuration.

        Raises:
            ConnectError: No connection came about; it names the stage.
            UserError: It is connected or connecting already, or has no key.
        """
        if self._attempt is not None or self._status != "disconnected":
            raise UserError("WebSocket is already connected or connecting")
        api_key = SecretStr(api_key) if isinstance(api_key, str) else api_key
        model_before = self.current_model
        if model is not None:
            self.current_model = model
        address = socket_url(url or self._url, model=self.current_model, call_id=call_id)
        request = ConnectRequest(api_key, address, initial_session_config or {})
        attempt = self._attempt = _Attempt(request, call_id, model_before)
        attempt.task = asyncio.get_running_loop().create_task(self._run_attempt(attempt))
        try:
            await asyncio.shield(attempt.outcome)
        except asyncio.CancelledError:
            if self._attempt is attempt:
                self._close_and_report()
            raise

    async def _run_attempt(self, attempt: _Attempt) -> None:
        stages = self._stages = Stages(self._timeouts)
        try:
            await self._connect_by_stages(attempt, stages)
        except Exception as exc:  # what the caller gave is foreign code
            if self._attempt is attempt:
                self._fail(exc)

    async def _connect_by_stages(self, attempt: _Attempt, stages: Stages) -> None:
        async with stages.enter(ConnectStage.KEY):
            key = self._attempt_key = await self._key_for(attempt.request)
        async with stages.enter(ConnectStage.HTTP):
            socket = await self._make_socket(self._credentials.request(attempt.request.url, key))
        if self._attempt is not attempt:  # closed, and the factory did not let itself be stopped
            self._let_go(socket)
            return
        self._use(socket)
        self._call_id = attempt.call_id
        self._status = "connecting"
        self.emit("connection_change", self._status)
        if self._attempt is not attempt:  # a listener has closed the transport
            return
        if self._skips_open or socket.is_open:
            self._on_open()
        async with stages.enter(ConnectStage.HTTP):
            await attempt.opened.wait()

    async def _key_for(self, request: ConnectRequest) -> SecretStr:
        key = await self._resolve_api_key(
            request.api_key, request.url.replace("wss://", "https://", 1)
        )
        if not key.get_secret_value():
            raise UserError(
                "API key is not set. Please call `connect()` with an API key first."
            )
        check_api_key(key)
        is_ephemeral = key.get_secret_value().startswith(EPHEMERAL_KEY_PREFIX)
        if self._requires_ephemeral_key and not is_ephemeral:
            raise UserError(
                "Using the WebSocket connection in a browser environment requires an ephemeral "
                "client key. If you have to use a regular API key, set the `useInsecureApiKey` "
                "option to true."
            )
        return key

    async def _make_socket(self, request: SocketRequest) -> WebSocket:
        made: Any = self._create_web_socket(request)
        if inspect.isawaitable(made):
            made = await made
        socket: WebSocket = made
        return socket

    def _create_with_aiohttp(self, request: SocketRequest) -> WebSocket:
        return AiohttpWebSocket(lambda: open_with_aiohttp(request, self._socket_options))

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
            self._protocol.link_opened(attempt.request.initial_session_config)
            self._status = "connected"
            self.emit("connection_change", self._status)
            if self._attempt is attempt:  # unless a listener has closed it
                self.emit("connected")
            self._flush()
        except Exception as exc:  # a socket of the caller's making may raise anything
            if self._attempt is attempt:
                self._fail(exc)
            return
        if self._attempt is attempt:
            self._attempt = None
            attempt.outcome.set_result(None)

    def _on_message(self, data: str | bytes) -> None:
        if isinstance(data, str) and self._attempt_key is not None:
            data = content_without_key(data, self._attempt_key)
        self._receive_message(data)

    def _on_error(self, exc: Exception) -> None:
        error: TransportError
        if self._attempt is not None:
            error = _as_error(exc, lambda text: ConnectError(ConnectStage.HTTP, text), ConnectError)
        else:
            error = _as_error(exc, ConnectionLostError, ConnectionLostError)
        self._end_attempt(error)
        failure = self._disconnect(error)
        if failure is not None:
            self._report(failure)

    def _on_close(self, reason: str) -> None:
        log.info("the server closed the WebSocket: %s", reason)
        message = f"WebSocket closed before the connection was ready: {reason}"
        self._end_attempt(ConnectError(ConnectStage.HTTP, message))
        self._disconnect()

    def _end_attempt(self, exc: Exception) -> None:
        """The attempt under way, if any, came to nothing."""
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            return
        self.current_model = attempt.model_before
        attempt.outcome.set_exception(exc)
        if attempt.task is not None and not attempt.task.done():
            self._until_closed(attempt.task)
            attempt.task.cancel()

    def _fail(self, exc: Exception) -> None:
        """The attempt failed in our own steps; nobody but who called `connect` is told why."""
        self._end_attempt(exc)
        failure = self._disconnect()
        if failure is not None:
            self._report(failure)

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
        self._socket.send(text)

    def _receive_event(self, event: dict[str, Any]) -> None:
        self._protocol.receive(event, heard_ms=self._heard_ms())
        if self._protocol.playing is not self._part:
            self._part = self._protocol.playing
            self._part_began_s = asyncio.get_running_loop().time()
        self._flush_received()

    def _heard_ms(self) -> float:
        """How much of the audio that came last has been heard, as far as can be told."""
        return (asyncio.get_running_loop().time() - self._part_began_s) * 1000

    def send_audio(self, pcm: bytes, *, commit: bool = False) -> None:
        """Send audio of the user; without a connection it is dropped, as in OpenAI Agents JS."""
        if self._status == "connected":
            super().send_audio(pcm, commit=commit)

    def interrupt(self, cancel_ongoing_response: bool = True) -> None:
        """Make the model stop talking: here at once, then on the server.

        Without a connection it does nothing.
        """
        if self._status != "connected":
            return
        is_cut_off = False

        def stop() -> None:
            nonlocal is_cut_off
            self._protocol.interrupt(cancel_ongoing_response, heard_ms=self._heard_ms())
            is_cut_off = self._protocol.has_truncation

        self._perform(stop)
        if is_cut_off:
            self._perform(self._protocol.send_truncation)

    def mute(self, muted: bool) -> None:
        """Not here: do not call `send_audio` instead."""
        raise TransportError(
            "Mute is not supported for the WebSocket transport without a source; do not call "
            "send_audio() instead"
        )

    async def drain(self) -> None:
        """Wait until the socket has room."""
        self._check_can_send()
        if self._socket is not None:
            await self._socket.drain()

    async def wait_source_ended(self) -> None:
        """Nothing to wait for."""
        self._check_can_send()

    async def wait_heard(self) -> None:
        """Nothing to wait for."""
        self._check_can_send()

    # Closing

    def close(self) -> None:
        """Close in any state; the status is `disconnected` at once."""
        self._end_attempt(TransportError(CLOSED_BEFORE_SETUP))
        failure = self._disconnect()
        if failure is not None:
            raise failure

    def _close_and_report(self) -> None:
        try:
            self.close()
        except TransportError as exc:
            self._report(exc)

    async def wait_closed(self) -> None:
        """Wait until everything that was opened is closed, and listeners have run."""
        current = asyncio.current_task()
        while closing := [task for task in self._closing if task is not current]:
            await asyncio.wait(closing)
        await self._finish_listeners()

    def _disconnect(self, reason: Exception | None = None) -> Exception | None:
        """Let go of the connection, if there is one, and tell so.

        Args:
            reason: Told first, as `error`; None when the end was asked for.

        Returns:
            Why the socket could not be closed properly, or None.
        """
        socket, self._socket = self._socket, None
        had_status, self._status = self._status, "disconnected"
        self._call_id = None
        self._protocol.link_closed()
        if reason is not None:
            self._report(reason)
        if had_status != "disconnected":
            self.emit("connection_change", "disconnected")
            self.emit("disconnected")
        return self._let_go(socket) if socket is not None else None

    def _let_go(self, socket: WebSocket) -> Exception | None:
        closing = self._finish(socket)
        self._until_closed(asyncio.get_running_loop().create_task(closing))
        try:
            socket.close()
        except Exception as exc:  # a socket of the caller's making may raise anything
            error = TransportError(f"the WebSocket could not be closed: {exc}")
            error.__cause__ = exc
            return error
        return None

    async def _finish(self, socket: WebSocket) -> None:
        try:
            await socket.wait_closed()
        except Exception as exc:  # a socket of the caller's making may raise anything
            log.warning("the WebSocket could not be closed: %s", exc)

    def _until_closed(self, task: asyncio.Task[Any]) -> None:
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class _Attempt:
    """An attempt to connect."""

    def __init__(self, request: ConnectRequest, call_id: str | None, model_before: str) -> None:
        self.request = request
        self.call_id = call_id
        self.model_before = model_before
        self.task: asyncio.Task[None] | None = None
        self.opened = asyncio.Event()
        """Set when the socket has opened."""
        self.outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Who waits may have been cancelled; then nobody asks for the exception.
        self.outcome.add_done_callback(lambda done: done.cancelled() or done.exception())


def _as_error(
    exc: Exception, make: Callable[[str], TransportError], wanted: type[TransportError]
) -> TransportError:
    """An error of the wanted class; what is another one's becomes its cause."""
    if isinstance(exc, wanted):
        return exc
    error = make(f"the WebSocket failed: {exc}")
    error.__cause__ = exc
    return error
