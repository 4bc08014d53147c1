"""`OpenAIRealtimeWebRTC`: a realtime session with the audio on a media track, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from realtime_core.transport import ApiKey
from realtime_transports.audio.call_audio import TAIL_S, AudioEvents, AudioSettings, CallAudio
from realtime_transports.connecting import ConnectTimeouts
from realtime_transports.http_client import AiohttpClient, HttpClient, make_ssl_context
from realtime_transports.webrtc.attempt import KeyRules
from realtime_transports.webrtc.connection import CallTransport
from realtime_transports.webrtc.link import PeerConnection, WebRTCConnectionState
from realtime_transports.webrtc.options import IceServer, make_peer_connection
from realtime_transports.webrtc.settings import CallSettings
from realtime_transports.webrtc.signaling import Signaling

if TYPE_CHECKING:
    from realtime_core.audio import AudioSink, AudioSource, AudioTap
    from realtime_core.events import Emit
    from realtime_core.middleware import EventMiddleware
    from realtime_core.plugins import PluginManager
    from realtime_transports.webrtc.media.path import MediaPath, MediaPathFactory, MediaStatistics

__all__ = ["DEFAULT_CALLS_URL", "OpenAIRealtimeWebRTC", "WebRTCConnectionState"]

DEFAULT_CALLS_URL = "https://api.openai.com/v1/realtime/calls"

CLEARED_WITHIN_S = 1.0
"""When a server has surely stopped what it was told to stop. What comes after that is heard."""


class OpenAIRealtimeWebRTC(CallTransport):
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
        timeouts = timeouts or ConnectTimeouts()
        client = http or AiohttpClient(
            ssl_context=make_ssl_context(ca_file), timeout_s=timeouts.http_s
        )
        settings = CallSettings(
            base_url=base_url or DEFAULT_CALLS_URL,
            key_rules=KeyRules(
                use_insecure_api_key=use_insecure_api_key,
                require_ephemeral_key=require_ephemeral_key,
            ),
            change_peer_connection=change_peer_connection,
            loopback=loopback,
            timeouts=timeouts,
            signaling=Signaling(client, headers or {}, organization, project),
            make_peer_connection=peer_connection_factory
            or (lambda: make_peer_connection(ice_servers)),
        )
        super().__init__(settings, model=model, api_key=api_key, middlewares=middlewares)
        self._audio_settings = AudioSettings(
            source,
            sink,
            self._middlewares.with_tap(tap),
            plugins,
            media_path_factory or _stock_media_path,
        )
        self._audio_events: AudioEvents | None = None
        self._muted = False

    @property
    def muted(self) -> bool:
        """Whether the source's audio is replaced by silence."""
        return self._muted

    def media_statistics(self) -> MediaStatistics | None:
        """What the media path carried so far; None before the first connection."""
        media = self._audio.media if self._audio else None
        return media.statistics() if media else None

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

    def interrupt(self, cancel_ongoing_response: bool = True) -> None:
        """Make the model stop talking: here at once, then on the server."""
        if self._protocol.current_audio is not None:
            self._silence(CLEARED_WITHIN_S)
        self._drop_unheard()
        super().interrupt(cancel_ongoing_response)

    def _tell(self, emit: Emit) -> None:
        if emit.type == "*":
            self._follow_playback(emit.args[0]["type"])
        super()._tell(emit)

    def _follow_playback(self, event_type: str) -> None:
        """Stop playing where the server did, before listeners hear of it."""
        match event_type:
            case "output_audio_buffer.started":
                self._silence(0.0)
            case "output_audio_buffer.cleared" if self._protocol.current_audio is None:
                self._silence(TAIL_S)
                self._drop_unheard()

    def _drop_unheard(self) -> None:
        """Drop what came of the model's audio and was not heard yet."""
        if self._audio is not None and self._audio.media is not None:
            self._audio.media.clear()
        if self._audio_events is not None:
            self._audio_events.clear()

    def _silence(self, for_s: float) -> None:
        """Let nothing be heard of audio that is still on its way, once it was interrupted."""
        if self._audio is not None and self._audio.media is not None:
            self._audio.media.silence(for_s)

    def mute(self, muted: bool) -> None:
        """Replace the source's audio by silence, or not; now and in later connections."""
        self._muted = bool(muted)
        if self._audio is not None and self._audio.media is not None:
            self._audio.media.set_muted(self._muted)

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


def _stock_media_path(**options: Any) -> MediaPath:
    from realtime_transports.webrtc.media.path import StockMediaPath

    return StockMediaPath(**options)
