"""`OpenAIRealtimeWebSocket`: a realtime session with everything, audio too, in events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Unpack

from realtime_core.errors import TransportError, UserError
from realtime_core.events import AudioEvent
from realtime_transports.audio.call_audio import AudioSettings, CallAudio
from realtime_transports.openai import audio_codec
from realtime_transports.openai.config_values import member
from realtime_transports.openai.websocket_protocol import WebSocketProtocol
from realtime_transports.websocket.connection import SocketTransport
from realtime_transports.websocket.media import EventMedia, Pace, Uplink
from realtime_transports.websocket.settings import ConnectionOptions, connection_settings

if TYPE_CHECKING:
    from realtime_core.audio import AudioSink, AudioSource, AudioTap, Pcm16
    from realtime_core.events import Emit
    from realtime_core.middleware import EventMiddleware
    from realtime_core.plugins import PluginManager
    from realtime_core.transport import ApiKey
    from realtime_transports.websocket.attempt import Attempt

__all__ = ["OpenAIRealtimeWebSocket"]


class OpenAIRealtimeWebSocket(SocketTransport):
    """A realtime session over WebSocket.

    It connects any number of times, one after the other::

        async with OpenAIRealtimeWebSocket(source="file:q.wav", sink="file:a.wav") as transport:
            transport.on("audio_transcript_delta", lambda event: print(event.delta))
            await transport.connect()
            transport.send_message("Hello!")

    Without source and sink the program carries the audio itself: it calls `send_audio` and listens
    to `audio`. With ``connect(call_id=...)`` it attaches to a running WebRTC or SIP call, whose
    audio goes its own way.
    """

    def __init__(
        self,
        *,
        source: AudioSource | str | None = None,
        sink: AudioSink | str | None = None,
        pace: Pace = "realtime",
        model: str | None = None,
        api_key: ApiKey | None = None,
        middlewares: Iterable[EventMiddleware] = (),
        plugins: PluginManager | None = None,
        tap: AudioTap | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        """Set everything up; nothing is opened before `connect`.

        Args:
            source: The user's audio: an object, which the caller closes, or a spec such as
                ``"file:question.wav"``, which the transport opens and closes. None: none is sent
                but by `send_audio`.
            sink: Where the model's audio goes, likewise; None: it comes as `audio` only.
            pace: How a source that is not live is sent: as it would be spoken, or as fast as the
                server takes it.
            model: The model; None means the default of OpenAI's SDKs.
            api_key: A key, or a function or coroutine function that gives one. None means the
                environment's ``OPENAI_API_KEY``, for OpenAI's own endpoint only.
            middlewares: They see wire events; the first is the nearest to the program.
            plugins: Where specs are looked up; None means this environment's.
            tap: Sees all audio of source and sink.
            options: See `ConnectionOptions`.

        Raises:
            UserError: An option cannot be used.
        """
        if pace not in ("realtime", "fast"):
            raise UserError(f"pace is 'realtime' or 'fast', not {pace!r}")
        super().__init__(
            WebSocketProtocol(model=model),
            connection_settings(options),
            api_key=api_key,
            middlewares=middlewares,
        )
        self._pace = pace
        self._has_source, self._has_sink = source is not None, sink is not None
        tap = self._middlewares.with_tap(tap)
        self._is_audio_seen = self._has_sink or tap is not None
        self._audio_settings = AudioSettings(source, sink, tap, plugins, self._make_media)
        self._audio: CallAudio[EventMedia] | None = None
        self._media: EventMedia | None = None
        self._input_format: object = None
        self._muted = False

    # Audio

    async def _open_audio(self, attempt: Attempt) -> None:
        if attempt.call_id and (self._has_source or self._has_sink):
            raise UserError("a call's audio goes its own way: attach to it without source and sink")
        if self._has_source:
            config = self.build_session_payload(attempt.request.initial_session_config)
            self._input_format = member(config, "audio", "input", "format")
        audio = self._audio = CallAudio(self._audio_settings)
        await audio.open(on_frame=_ignore, on_error=self._report)

    def _make_media(self, **parts: Any) -> EventMedia:
        del parts["on_frame"]
        uplink = Uplink(
            self._append,
            self.drain,
            audio_codec.rate_hz_of(self._input_format),
            is_open=lambda: self._status == "connected",
        )
        self._media = EventMedia(uplink=uplink, pace=self._pace, **parts)
        return self._media

    def _start_audio(self) -> None:
        if self._media is not None:
            self._media.set_muted(self._muted)
            self._media.start()

    async def _close_audio(self, *, complete: bool) -> None:
        audio, self._audio = self._audio, None
        media, self._media = self._media, None
        if media is not None:
            await media.close()
        if audio is not None:
            await audio.close(complete=complete)

    def _append(self, samples: Pcm16) -> None:
        self.send_audio(audio_codec.encode(samples, self._input_format))

    def _receive_event(self, event: dict[str, Any]) -> None:
        self._protocol.receive(event, unheard_ms=self._unheard_ms())
        if self._media is not None and self._protocol.playing is not None:
            self._media.begin_part(self._protocol.playing)
        self._flush_received()

    def _unheard_ms(self) -> float:
        return 0.0 if self._media is None else self._media.unheard_ms()

    def _tell(self, emit: Emit) -> None:
        """Play, or stop playing, what listeners are about to hear of."""
        if self._media is not None:
            match emit.args:
                case (AudioEvent() as audio,) if self._is_audio_seen:
                    audio_format = self._protocol.audio_format(audio.response_id)
                    samples = audio_codec.decode(audio.data, audio_format)
                    self._media.play(samples, audio_codec.rate_hz_of(audio_format))
                case () if emit.type == "audio_interrupted":
                    self._media.clear()
        super()._tell(emit)

    # Using it

    @property
    def muted(self) -> bool | None:
        """Whether silence is sent instead of the source's audio; None without a source."""
        return self._muted if self._has_source else None

    def mute(self, muted: bool) -> None:
        """Send silence instead of the source's audio, or not; now and in later connections.

        Raises:
            TransportError: There is no source.
        """
        if not self._has_source:
            raise TransportError(
                "Mute is not supported for the WebSocket transport without a source; do not call "
                "send_audio() instead"
            )
        self._muted = bool(muted)
        if self._media is not None:
            self._media.set_muted(self._muted)

    def interrupt(self, cancel_ongoing_response: bool = True) -> None:
        """Make the model stop talking: here at once, then on the server.

        Without a connection it does nothing.
        """
        if self._status != "connected":
            return
        is_cut_off = False

        def stop() -> None:
            nonlocal is_cut_off
            self._protocol.interrupt(cancel_ongoing_response, unheard_ms=self._unheard_ms())
            is_cut_off = self._protocol.has_truncation

        self._perform(stop)
        if is_cut_off:  # by now whoever plays the audio has heard of it
            self._perform(self._protocol.send_truncation)

    async def wait_source_ended(self) -> None:
        """Wait until the source has ended and its audio is on its way."""
        self._check_can_send()
        if self._media is not None:
            await self._until_disconnected(self._media.wait_source_ended())

    async def wait_heard(self) -> None:
        """Wait until the audio that has come has been heard or stored."""
        self._check_can_send()
        if self._media is not None:
            await self._until_disconnected(self._media.wait_heard())


def _ignore(_frame: object) -> None:
    """Audio is told of as it comes, before it is decoded."""
