"""`OpenAIRealtimeWebRTC`: a realtime session with the audio on a media track, in this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
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
from realtime_transports.audio.call_audio import AudioEvents, AudioSettings, CallAudio
from realtime_transports.connecting import (
    ConnectRequest,
    ConnectTimeouts,
    Phase,
    Stages,
    with_hint,
)
from realtime_transports.http_client import (
    AiohttpClient,
    HttpClient,
    content_without_key,
    make_ssl_context,
)
from realtime_transports.openai.transport import OpenAIRealtimeBase
from realtime_transports.webrtc.attempt import Attempt, KeyRules, rejected_config
from realtime_transports.webrtc.connecting import wait_until_connected
from realtime_transports.webrtc.link import LinkEvents, PeerConnection, WebRTCLink
from realtime_transports.webrtc.options import (
    IceServer,
    is_loopback_url,
    make_peer_connection,
    prepare_peer_connection,
)
from realtime_transports.webrtc.signaling import Signaling

if TYPE_CHECKING:
    from realtime_core.audio import AudioSink, AudioSource, AudioTap
    from realtime_core.middleware import EventMiddleware
    from realtime_core.plugins import PluginManager
    from realtime_transports.webrtc.media.path import MediaPath, MediaPathFactory, MediaStatistics

__all__ = ["DEFAULT_CALLS_URL", "OpenAIRealtimeWebRTC", "WebRTCConnectionState"]

log = logging.getLogger(__name__)

DEFAULT_CALLS_URL = "https://api.openai.com/v1/realtime/calls"


@dataclass(frozen=True)
class WebRTCConnectionState(ConnectionState):
    """A look at a WebRTC connection."""

    peer_connection: PeerConnection | None = None
    data_channel: Any = None
    call_id: str | None = None


class OpenAIRealtimeWebRTC(OpenAIRealtimeBase):
    """A realtime session over WebRTC.

    It connects any number of times, one after the other::

        async with OpenAIRealtimeWebRTC(source="file:q.wav", sink="file:a.wav") as transport:
            transport.on("audio_transcript_delta", lambda event: print(event.delta))
            await transport.connect()
            transport.send_message("Hello!")
    """

    def __init__(
        self,
        *,
        source: AudioSource | str | None = "mic",
        sink: AudioSink | str | None = "speaker",
        model: str | None = None,
        api_key: ApiKey | None = None,
        base_url: str | None = None,
        use_insecure_api_key: bool = False,
        require_ephemeral_key: bool = False,
        change_peer_connection: Callable[[Any], Any | Awaitable[Any]] | None = None,
        ice_servers: Sequence[IceServer] = (),
        loopback: bool | None = None,
        headers: Mapping[str, str] | None = None,
        organization: str | None = None,
        project: str | None = None,
        ca_file: str | None = None,
        timeouts: ConnectTimeouts | None = None,
        middlewares: Iterable[EventMiddleware] = (),
        plugins: PluginManager | None = None,
        tap: AudioTap | None = None,
        peer_connection_factory: Callable[[], PeerConnection] | None = None,
        media_path_factory: MediaPathFactory | None = None,
        http: HttpClient | None = None,
    ) -> None:
        """Set everything up; nothing is opened before `connect`.

        Args:
            source: The user's audio: an object, which the caller closes; a spec such as
                ``"file:question.wav"``, which the transport opens and closes; None for silence.
                Left out, it is the microphone.
            sink: Where the model's audio goes, likewise; None drains it. Left out: the speaker.
            model: The model; None means the default of OpenAI's SDKs.
            api_key: A key, or a function or coroutine function that gives one. None means the
                environment's ``OPENAI_API_KEY``, for OpenAI's own endpoint only.
            base_url: The full endpoint that the offer is posted to, used as it is.
            use_insecure_api_key: Treat any key like an ephemeral one: post the offer alone, and
                do not refuse it under `require_ephemeral_key`.
            require_ephemeral_key: Refuse keys that do not begin with ``ek_``, as browsers must.
            change_peer_connection: Gets the peer connection before the offer is made, and returns
                it or another one.
            ice_servers: STUN and TURN servers; none are asked unless given here.
            loopback: Let the call use 127.0.0.1 too, for a server on this machine. None lets it
                where the endpoint is at a loopback address, so other calls never do.
            headers: More headers for the request; they win over ours.
            organization: OpenAI's organization id.
            project: OpenAI's project id.
            ca_file: Certificates to trust, PEM; None means the system's.
            timeouts: The deadline of each stage.
            middlewares: They see wire events; the first is the nearest to the program.
            plugins: Where specs are looked up; None means this environment's.
            tap: Sees all audio of the conversation.
            peer_connection_factory: Makes peer connections; None means aiortc's.
            media_path_factory: Makes the media path; None means aiortc's own.
            http: Posts the offer; None means aiohttp, with proxies from the environment.

        Raises:
            UserError: An option cannot be used.
        """
        super().__init__(model=model, api_key=api_key, middlewares=middlewares)
        self._base_url = base_url or DEFAULT_CALLS_URL
        self._key_rules = KeyRules(
            use_insecure_api_key=use_insecure_api_key, require_ephemeral_key=require_ephemeral_key
        )
        self._change_peer_connection = change_peer_connection
        self._loopback = loopback
        self._timeouts = timeouts or ConnectTimeouts()
        self._signaling = Signaling(
            http
            or AiohttpClient(
                ssl_context=make_ssl_context(ca_file), timeout_s=self._timeouts.http_s
            ),
            headers or {},
            organization,
            project,
        )
        self._make_peer_connection = peer_connection_factory or (
            lambda: make_peer_connection(ice_servers)
        )
        self._audio_settings = AudioSettings(
            source,
            sink,
            self._middlewares.with_tap(tap),
            plugins,
            media_path_factory or _stock_media_path,
        )
        self._audio: CallAudio[MediaPath] | None = None
        self._audio_events: AudioEvents | None = None
        self._status: ConnectionStatus = "disconnected"
        self._call_id: str | None = None
        self._muted = False
        self._link: WebRTCLink | None = None
        self._attempt: Attempt | None = None
        self._stages = Stages(self._timeouts)
        self._attempt_key: SecretStr | None = None

    # What it is

    @property
    def status(self) -> ConnectionStatus:
        """Whether there is a connection."""
        return self._status

    @property
    def muted(self) -> bool:
        """Whether the source's audio is replaced by silence."""
        return self._muted

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

    def media_statistics(self) -> MediaStatistics | None:
        """What the media path carried so far; None before the first connection."""
        media = self._audio.media if self._audio else None
        return media.statistics() if media else None

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
        request = ConnectRequest(api_key, url or self._base_url, initial_session_config or {})
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
        stages = self._stages = Stages(self._timeouts)
        try:
            async with stages.enter(ConnectStage.KEY):
                request = attempt.request
                key = await self._resolve_api_key(request.api_key, request.url)
                self._key_rules.check(key)
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
            if self._change_peer_connection is not None:
                await link.replace_peer_connection(self._change_peer_connection)
            offer = await link.make_offer()
        async with stages.enter(ConnectStage.HTTP):
            session = None
            if self._key_rules.posts_session(key):  # so that it holds before the first sample
                config = {**request.initial_session_config, "model": self.current_model}
                session = self.build_session_payload(config)
            answer = await self._signaling.place_call(
                request.url, offer, api_key=key, session=session
            )
        self._call_id = answer.call_id
        async with stages.enter(ConnectStage.SDP):
            await link.take_answer(answer.sdp)
        await wait_until_connected(link, stages)
        async with stages.enter(ConnectStage.SESSION):
            await attempt.confirmed.wait()

    async def _open_audio(self) -> MediaPath:
        # The call before may still be closing the same file or device.
        if self._closing:
            await asyncio.wait(set(self._closing))
        audio = self._audio = CallAudio(self._audio_settings)
        self._audio_events = AudioEvents(
            lambda: self._protocol.current_audio,
            lambda event: self.emit("audio", event),
            lambda: self.has_listeners("audio"),
        )
        media = await audio.open(on_frame=self._audio_events.push, on_error=self._report)
        media.set_muted(self._muted)
        return media

    def _make_link(self, url: str) -> WebRTCLink:
        events = LinkEvents(
            on_message=self._on_message,
            on_channel_open=self._on_channel_open,
            on_channel_error=self._on_channel_error,
            on_channel_close=self._on_channel_close,
            on_silence=self._on_silence,
            on_gone=self._on_gone,
        )

        loopback = is_loopback_url(url) if self._loopback is None else self._loopback

        def prepare(peer_connection: Any) -> Callable[[], Awaitable[None]]:
            return prepare_peer_connection(
                peer_connection, loopback=loopback, on_bad_message=self._report
            )

        self._link = WebRTCLink(self._make_peer_connection, events, prepare=prepare)
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
            self._protocol.link_opened(attempt.request.initial_session_config)
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

    def interrupt(self, cancel_ongoing_response: bool = True) -> None:
        """Make the model stop talking: on the server, and what is still on its way here."""
        super().interrupt(cancel_ongoing_response)
        if self._audio is not None and self._audio.media is not None:
            self._audio.media.clear()
        if self._audio_events is not None:
            self._audio_events.clear()

    def mute(self, muted: bool) -> None:
        """Replace the source's audio by silence, or not; now and in later connections."""
        self._muted = bool(muted)
        if self._audio is not None and self._audio.media is not None:
            self._audio.media.set_muted(self._muted)

    async def drain(self) -> None:
        """Wait until the data channel has room."""
        self._check_can_send()
        if self._link is not None:
            await self._link.drain()

    async def wait_source_ended(self) -> None:
        """Wait until the source has ended and its audio has left."""
        self._check_can_send()
        if self._audio is not None and self._audio.media is not None:
            await self._until_disconnected(self._audio.media.wait_source_ended())

    async def wait_heard(self) -> None:
        """Wait until the audio that the model has sent so far has been heard or stored."""
        self._check_can_send()
        if self._audio is not None and self._audio.media is not None:
            await self._until_disconnected(self._audio.media.wait_heard())

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
        self._protocol.link_closed()
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


def _stock_media_path(**options: Any) -> MediaPath:
    from realtime_transports.webrtc.media.path import StockMediaPath

    return StockMediaPath(**options)
