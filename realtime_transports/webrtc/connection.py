"""The life of a WebRTC call, whatever audio a transport sends over it."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from realtime_core.errors import (
    ConnectError,
    ConnectionLostError,
    ConnectStage,
    TransportError,
    UserError,
)
from realtime_core.transport import ApiKey, ConnectionStatus
from realtime_transports.connecting import ConnectRequest, Phase, Stages, with_hint
from realtime_transports.http_client import content_without_key
from realtime_transports.openai.transport import OpenAIRealtimeBase
from realtime_transports.webrtc.attempt import Attempt, rejected_config
from realtime_transports.webrtc.connecting import wait_until_connected
from realtime_transports.webrtc.link import LinkEvents, WebRTCConnectionState, WebRTCLink
from realtime_transports.webrtc.options import is_loopback_url, prepare_peer_connection

if TYPE_CHECKING:
    from realtime_core.middleware import EventMiddleware
    from realtime_transports.audio.call_audio import CallAudio
    from realtime_transports.webrtc.media.path import MediaPath
    from realtime_transports.webrtc.settings import CallSettings

__all__ = ["CallTransport"]

log = logging.getLogger(__name__)


class CallTransport(OpenAIRealtimeBase):
    """Base of transports that place a WebRTC call.

    An attempt to connect is a task that goes through the stages; what happens to the link comes as
    events. Whoever ends the attempt (the task itself, an event of the link, `close`) takes it out
    of `_attempt`, so it ends once.
    """

    def __init__(
        self,
        settings: CallSettings,
        *,
        model: str | None,
        api_key: ApiKey | None,
        middlewares: Iterable[EventMiddleware],
    ) -> None:
        """Set everything up; nothing is opened before `connect`."""
        super().__init__(model=model, api_key=api_key, middlewares=middlewares)
        self._settings = settings
        self._audio: CallAudio[MediaPath] | None = None
        self._status: ConnectionStatus = "disconnected"
        self._call_id: str | None = None
        self._link: WebRTCLink | None = None
        self._attempt: Attempt | None = None
        self._stages = Stages(settings.timeouts)
        self._attempt_key: SecretStr | None = None

    # What it is

    @property
    def status(self) -> ConnectionStatus:
        """Whether there is a connection."""
        return self._status

    @property
    def call_id(self) -> str | None:
        """The provider's id of the call."""
        return self._call_id

    @property
    def connection_state(self) -> WebRTCConnectionState:
        """The connection with its parts, for diagnosis."""
        link = self._link
        if link is None:
            return WebRTCConnectionState(self._status)
        return WebRTCConnectionState(
            self._status, link.peer_connection, link.channel, self._call_id
        )

    @property
    def connect_phases(self) -> tuple[Phase, ...]:
        """The stages that the last attempt to connect passed, with their times."""
        return self._stages.phases

    # For transports to bring

    @abstractmethod
    async def _open_audio(self) -> MediaPath:
        """Open the call's audio as `_audio`, which is closed with the call."""

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
        """Place a call and wait until the session is configured.

        While one is being placed this waits for it, and once it is there this does nothing; the
        options are those of the first.

        Args:
            api_key: For this call; None means the constructor's.
            model: From now on; None leaves it.
            url: The full endpoint for this call.
            call_id: Not for WebRTC, which always places a call of its own.
            initial_session_config: The session's configuration.
        """
        if call_id is not None:
            raise UserError("WebRTC places calls; to attach to one, use the WebSocket transport")
        if self._status == "connected":
            return
        if self._attempt is not None:
            await asyncio.shield(self._attempt.outcome)
            return
        api_key = SecretStr(api_key) if isinstance(api_key, str) else api_key
        request = ConnectRequest(
            api_key, url or self._settings.base_url, initial_session_config or {}
        )
        attempt = self._attempt = Attempt(request, model_before=self.current_model)
        if model is not None:
            self.current_model = model
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
            async with stages.enter(ConnectStage.KEY):
                request = attempt.request
                key = await self._resolve_api_key(request.api_key, request.url)
                self._settings.key_rules.check(key)
                self._attempt_key = key
        except (ConnectError, UserError) as exc:
            self._end_attempt(exc)  # nothing was begun, so there is nothing more to tell
            return
        try:
            await self._connect_by_stages(attempt, stages, key)
        except Exception as exc:  # factories given by the caller are foreign code
            if self._attempt in (attempt, None):
                self._fail(exc)
            else:  # a listener has closed the transport and is connecting again
                self._report(exc)
        else:
            self._attempt = None

    async def _connect_by_stages(self, attempt: Attempt, stages: Stages, key: SecretStr) -> None:
        request = attempt.request
        async with stages.enter(ConnectStage.SDP):
            link = self._make_link(request.url)
        self._status = "connecting"
        self.emit("connection_change", self._status)
        if self._attempt is not attempt:  # a listener has closed the transport
            raise TransportError("Connection closed before setup completed")
        async with stages.enter(ConnectStage.AUDIO):
            link.add_media(await self._open_audio())
        async with stages.enter(ConnectStage.SDP):
            if self._settings.change_peer_connection is not None:
                await link.replace_peer_connection(self._settings.change_peer_connection)
            offer = await link.make_offer()
        async with stages.enter(ConnectStage.HTTP):
            session = None
            if self._settings.key_rules.posts_session(
                key
            ):  # so that it holds before the first sample
                config = {**request.initial_session_config, "model": self.current_model}
                session = self.build_session_payload(config)
            answer = await self._settings.signaling.place_call(
                request.url, offer, api_key=key, session=session
            )
        self._call_id = answer.call_id
        async with stages.enter(ConnectStage.SDP):
            await link.take_answer(answer.sdp)
        await wait_until_connected(link, stages)
        async with stages.enter(ConnectStage.SESSION):
            await attempt.confirmed.wait()

    def _make_link(self, url: str) -> WebRTCLink:
        events = LinkEvents(
            on_message=self._on_message,
            on_channel_open=self._on_channel_open,
            on_channel_error=self._on_channel_error,
            on_channel_close=self._on_channel_close,
            on_silence=self._on_silence,
            on_gone=self._on_gone,
        )

        loopback = (
            is_loopback_url(url) if self._settings.loopback is None else self._settings.loopback
        )

        def prepare(peer_connection: Any) -> Callable[[], Awaitable[None]]:
            return prepare_peer_connection(
                peer_connection, loopback=loopback, on_bad_message=self._report
            )

        self._link = WebRTCLink(self._settings.make_peer_connection, events, prepare=prepare)
        return self._link

    def _end_attempt(self, exc: Exception) -> None:
        """The attempt under way, if any, came to nothing."""
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            return
        if not attempt.outcome.done():
            self.current_model = attempt.model_before
            attempt.outcome.set_exception(exc)
        if attempt.task is not None:
            self._keep_until_closed(attempt.task)
            attempt.task.cancel()

    # What happens to the link

    def _on_channel_open(self) -> None:
        """Configure the session before anything else is sent."""
        attempt = self._attempt
        if attempt is None or attempt.is_configuring:
            return
        attempt.is_configuring = True
        try:
            self._begin_link(attempt.request.initial_session_config)
            self._flush()
        except Exception as exc:  # what a factory of the caller's makes may raise anything
            self._fail(exc)

    def _on_message(self, data: str | bytes) -> None:
        if isinstance(data, str) and self._attempt_key is not None:
            data = content_without_key(data, self._attempt_key)
        if self._status == "connected" or (self._attempt and self._attempt.is_configuring):
            self._receive_message(data)

    def _receive_event(self, event: dict[str, Any]) -> None:
        attempt = self._attempt
        is_configuring = attempt is not None and attempt.is_configuring
        if attempt is not None and is_configuring and event["type"] == "session.updated":
            self._confirm(attempt)
            if self._link is None:  # a listener has closed it
                return
        super()._receive_event(event)
        if is_configuring and self._status == "connecting" and event["type"] == "error":
            self._fail(rejected_config(event))

    def _confirm(self, attempt: Attempt) -> None:
        """The server has the configuration: audio may flow, and the program may send."""
        link = self._link
        if link is None or attempt.confirmed.is_set():
            return
        try:
            link.start_media()
        except Exception as exc:  # a media path of the caller's making may raise anything
            error = ConnectError(ConnectStage.AUDIO, f"the media path did not start: {exc}")
            error.__cause__ = exc
            self._fail(error)
            return
        attempt.confirmed.set()
        self._status = "connected"
        log.info("connected, call %s", self._call_id)
        self.emit("connection_change", self._status)
        if self._link is link:  # unless a listener has closed it
            self.emit("connected")
        if self._link is link and not attempt.outcome.done():
            attempt.outcome.set_result(None)

    def _on_channel_error(self, event: object = None) -> None:
        text = getattr(event, "message", None) or event or "no reason given"
        self._fail(self._lost(f"the data channel failed: {text}"))

    def _on_channel_close(self) -> None:
        self._fail(self._lost("the peer closed the data channel"))

    def _on_gone(self, what: str) -> None:
        log.info("%s", what)
        self._end_attempt(self._lost(what))
        self._disconnect(complete=False)

    def _on_silence(self, silent_for_s: float) -> None:
        self._report(
            ConnectionLostError(
                f"nothing came from the peer for {silent_for_s:.1f} s, and it answers no probe",
                silent_for_s=silent_for_s,
            )
        )

    def _lost(self, message: str) -> TransportError:
        if self._status == "connected":
            return ConnectionLostError(message)
        stage = self._stages.current
        return ConnectError(stage, with_hint(stage, f"{message} before the connection was ready"))

    def _fail(self, exc: Exception) -> None:
        self._end_attempt(exc)
        failure = self._disconnect(complete=False)
        self._report(exc)
        if failure is not None:
            self._report(failure)

    # Using it

    def _check_can_send(self) -> None:
        if self._status != "connected" or self._link is None or not self._link.is_open:
            raise TransportError(
                "WebRTC data channel is not connected. Make sure you call `connect()` before "
                "sending events."
            )

    def _write(self, text: str) -> None:
        if self._link is None:
            raise TransportError("the connection was closed while an event was sent")
        self._link.send(text)

    async def drain(self) -> None:
        """Wait until the data channel has room."""
        self._check_can_send()
        if self._link is not None:
            await self._link.drain()

    # Closing

    def close(self) -> None:
        """Close in any state; the status is `disconnected` at once."""
        was_connected = self._status == "connected"
        self._end_attempt(TransportError("Connection closed before setup completed"))
        failure = self._disconnect(complete=was_connected)
        if failure is not None:
            raise failure

    def _close_and_report(self) -> None:
        try:
            self.close()
        except TransportError as exc:
            self._report(exc)

    def _disconnect(self, *, complete: bool) -> Exception | None:
        """Let go of the call, if there is one, and tell so.

        Args:
            complete: Whether the call came to its proper end.

        Returns:
            Why the link could not be closed properly, or None.
        """
        link, self._link = self._link, None
        audio, self._audio = self._audio, None
        had_status, self._status = self._status, "disconnected"
        self._call_id = None
        self._end_link()
        failure: Exception | None = None
        if link is not None:
            log.info("disconnected (it was %s)", had_status)
            try:
                link.close()
            except TransportError as exc:
                failure = exc
            closing = self._finish_call(link, audio, complete=complete)
            self._keep_until_closed(asyncio.get_running_loop().create_task(closing))
        if had_status != "disconnected":
            self.emit("connection_change", self._status)
            self.emit("disconnected")
        return failure

    async def _finish_call(
        self, link: WebRTCLink, audio: CallAudio[MediaPath] | None, *, complete: bool
    ) -> None:
        try:
            await link.wait_closed()
        except Exception as exc:  # aiortc's errors here are of many classes
            log.warning("the peer connection could not be closed: %s", exc)
        try:
            if audio is not None:
                await audio.close(complete=complete)
        except Exception as exc:  # sources and sinks may be foreign code
            self._report(exc)
