"""`OpenAIRealtimeMemory`: client and server joined in one process."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from realtime_core.errors import ConnectError, ConnectStage, TransportError, UserError
from realtime_core.events import AudioEvent
from realtime_core.plugins import default_plugins
from realtime_core.transport import ApiKey, ConnectionState, ConnectionStatus
from realtime_transports.connecting import ConnectTimeouts, Stages, rejected_config
from realtime_transports.local_server.responders import Responder
from realtime_transports.memory.attempt import Attempt, silence_s_after
from realtime_transports.memory.audio import AudioSettings, ConnectionAudio
from realtime_transports.memory.link import LinkEvents, MemoryLink
from realtime_transports.memory.script import ScriptedAnswer, ScriptedResponder
from realtime_transports.memory.server import MemoryServer, RespondingServer
from realtime_transports.openai.transport import OpenAIRealtimeBase
from realtime_transports.openai.websocket_protocol import WebSocketProtocol

if TYPE_CHECKING:
    from realtime_core.audio import AudioSink, AudioSource, AudioTap
    from realtime_core.events import Emit
    from realtime_core.middleware import EventMiddleware
    from realtime_core.plugins import PluginManager

__all__ = ["OpenAIRealtimeMemory"]

CLOSED_BEFORE_SETUP = "the memory connection was closed before setup completed"


class OpenAIRealtimeMemory(OpenAIRealtimeBase):
    """A realtime session without a network, the same each time, as fast as the machine.

    For unit tests of whatever is built on a transport::

        async with OpenAIRealtimeMemory(responder=["Hello!", "Goodbye!"]) as transport:
            await transport.connect()
            transport.send_message("Hi")
            await transport.wait_for("turn_done")

    Events go through the same protocol on both sides as over a WebSocket, one a turn of the event
    loop. A source is read and a sink written as fast as they go; where the server detects turns,
    silence follows the source's end. Give it sources that end. What was heard, which decides where
    an interrupted answer is cut, is what the sink says; without a sink, all that came.
    """

    _protocol: WebSocketProtocol

    def __init__(
        self,
        *,
        responder: str | Responder | Iterable[ScriptedAnswer] = "parrot",
        server: MemoryServer | None = None,
        source: AudioSource | str | None = None,
        sink: AudioSink | str | None = None,
        model: str | None = None,
        api_key: ApiKey | None = None,
        timeouts: ConnectTimeouts | None = None,
        middlewares: Iterable[EventMiddleware] = (),
        plugins: PluginManager | None = None,
        tap: AudioTap | None = None,
    ) -> None:
        """Set everything up; nothing is opened before `connect`.

        Args:
            responder: What answers: a plugin's name, with ``:`` and an argument if it takes one;
                an object; or answers, one after the other.
            server: The far end, in place of one that the responder answers in.
            source: The user's audio: an object, which the caller closes, a spec, or None.
            sink: Where the model's audio goes, likewise.
            model: The model; None means the default of OpenAI's SDKs.
            api_key: Not needed and not looked at.
            timeouts: Deadlines of the stages `audio` and `session`.
            middlewares: They see wire events; the first is the nearest to the program.
            plugins: Where specs are looked up; None means this environment's.
            tap: Sees all audio of the conversation, one sound behind the other.

        Raises:
            PluginError: There is no such responder.
        """
        protocol = WebSocketProtocol(model=model)
        super().__init__(api_key=api_key, middlewares=middlewares, protocol=protocol)
        self.server = server or RespondingServer(
            _responder(responder, plugins), wait_heard=self._wait_sink_room
        )
        """The far end; what it got is in its `events`."""
        self._audio_settings = AudioSettings(source, sink, self._middlewares.with_tap(tap), plugins)
        self._timeouts = timeouts or ConnectTimeouts()
        self._status: ConnectionStatus = "disconnected"
        self._muted = False
        self._link: MemoryLink | None = None
        self._audio: ConnectionAudio | None = None
        self._attempt: Attempt | None = None

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
        """None: there is no call."""
        return None

    @property
    def connection_state(self) -> ConnectionState:
        """The connection, for diagnosis."""
        return ConnectionState(self._status)

    # Connecting

    async def connect(
        self,
        *,
        api_key: ApiKey | None = None,  # noqa: ARG002 - of the contract
        model: str | None = None,
        url: str | None = None,  # noqa: ARG002 - of the contract
        call_id: str | None = None,
        initial_session_config: Mapping[str, Any] | None = None,
    ) -> None:
        """Join both ends and wait until the session is configured; see the contract.

        Args:
            api_key: Not looked at.
            model: From now on; None leaves it.
            url: Not looked at.
            call_id: Not here: there are no calls.
            initial_session_config: The session's configuration.
        """
        if call_id is not None:
            raise UserError("a memory transport has a server of its own, and no call to attach to")
        if self._status == "connected":
            return
        if self._attempt is not None:
            await asyncio.shield(self._attempt.outcome)
            return
        attempt = self._attempt = Attempt(initial_session_config or {}, self.current_model)
        if model is not None:
            self.current_model = model
        attempt.task = asyncio.get_running_loop().create_task(self._run_attempt(attempt))
        try:
            await asyncio.shield(attempt.outcome)
        except asyncio.CancelledError:
            if self._attempt is attempt:
                self.close()
            raise

    async def _run_attempt(self, attempt: Attempt) -> None:
        try:
            await self._connect_by_stages(attempt, Stages(self._timeouts))
        except Exception as exc:  # source, sink and server may be foreign code
            if self._attempt is attempt:
                self._fail(exc)

    async def _connect_by_stages(self, attempt: Attempt, stages: Stages) -> None:
        self._status = "connecting"
        self.emit("connection_change", self._status)
        if self._attempt is not attempt:  # a listener has closed the transport
            return
        async with stages.enter(ConnectStage.AUDIO):
            # The connection before may still be closing the same file.
            current = asyncio.current_task()
            if closing := [task for task in self._closing if task is not current]:
                await asyncio.wait(closing)
            self._audio = ConnectionAudio(
                self._audio_settings,
                send=self.send_audio,
                wait_room=self._wait_room,
                report=self._report,
            )
            self._audio.outgoing.muted = self._muted
            await self._audio.open()
        async with stages.enter(ConnectStage.SESSION):
            self._open_link(attempt)
            await attempt.confirmed.wait()

    def _open_link(self, attempt: Attempt) -> None:
        link = self._link = MemoryLink(
            LinkEvents(
                on_client_message=self.server.take,
                on_server_message=self._on_message,
                on_end=self._on_end,
            )
        )
        self.server.begin(link)
        self._begin_link(attempt.session_config)
        self._flush()
        if not attempt.is_configuring:
            # Nobody would confirm it, and here nothing else is worth waiting for.
            message = "a middleware dropped the session's configuration, so it cannot be confirmed"
            raise ConnectError(ConnectStage.SESSION, message)

    # What happens to the link

    def _on_message(self, data: str | bytes) -> None:
        self._receive_message(data)

    def _receive_event(self, event: dict[str, Any]) -> None:
        attempt = self._attempt
        if attempt is not None and event["type"] == "session.updated":
            self._confirm(attempt, event.get("session"))
            if self._link is None:  # a listener has closed it
                return
        self._protocol.receive(event, unheard_ms=self._unheard_ms())
        self._flush_received()
        if self._attempt is not None and event["type"] == "error":
            self._fail(rejected_config(event))

    def _confirm(self, attempt: Attempt, session: object) -> None:
        """The server has the configuration: audio may flow, and the program may send."""
        link = self._link
        self._attempt = None
        attempt.confirmed.set()
        self._status = "connected"
        self.emit("connection_change", self._status)
        if self._link is link:  # unless a listener has closed it
            self.emit("connected")
        if self._link is link and self._audio is not None:
            self._audio.outgoing.start(silence_s=silence_s_after(session))
        if not attempt.outcome.done():
            attempt.outcome.set_result(None)

    def _on_end(self, reason: Exception | None) -> None:
        if self._attempt is not None:
            why = reason or "the server hung up"
            self._fail(ConnectError(ConnectStage.SESSION, f"the link ended before setup: {why}"))
        else:
            self._disconnect(reason, complete=reason is None)

    def _end_attempt(self, exc: Exception) -> None:
        """The attempt under way, if any, came to nothing."""
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            return
        self.current_model = attempt.model_before
        attempt.outcome.set_exception(exc)
        if attempt.task is not None and not attempt.task.done():
            self._keep_until_closed(attempt.task)
            attempt.task.cancel()

    def _fail(self, exc: Exception) -> None:
        """The attempt failed; who called `connect` is told."""
        self._end_attempt(exc)
        self._disconnect(complete=False)

    # Using it

    def _check_can_send(self) -> None:
        if self._status != "connected" or self._link is None or not self._link.is_open:
            raise TransportError(
                "the memory transport is not connected; call `connect()` before sending"
            )

    def _write(self, text: str) -> None:
        if self._link is None:
            raise TransportError("the connection was closed while an event was sent")
        self._link.send(text)
        if self._attempt is not None:
            self._attempt.is_configuring = True

    def _tell(self, emit: Emit) -> None:
        """Play, or stop playing, what listeners are about to hear of."""
        if self._audio is not None:
            match emit.args:
                case (AudioEvent() as audio,):
                    self._audio.incoming.push(audio.data)
                case () if emit.type == "audio_interrupted":
                    self._audio.incoming.clear()
        super()._tell(emit)

    def interrupt(self, cancel_ongoing_response: bool = True) -> None:
        """Make the model stop talking: here at once, then on the server."""
        link, unheard_ms = self._link, self._unheard_ms()
        self._perform(
            lambda: self._protocol.interrupt(cancel_ongoing_response, unheard_ms=unheard_ms)
        )
        if self._link is link and self._protocol.has_truncation:
            self._perform(self._protocol.send_truncation)

    def _unheard_ms(self) -> float:
        return self._audio.incoming.unheard_ms() if self._audio else 0.0

    def mute(self, muted: bool) -> None:
        """Replace the source's audio by silence, or not; now and in later connections."""
        self._muted = bool(muted)
        if self._audio is not None:
            self._audio.outgoing.muted = self._muted

    async def drain(self) -> None:
        """Wait until the server has taken most of what was sent."""
        self._check_can_send()
        await self._wait_room()
        self._check_can_send()

    async def wait_source_ended(self) -> None:
        """Wait until the source has ended and the server has its audio."""
        audio, link = self._connected_parts()
        await self._until_disconnected(audio.outgoing.ended.wait())
        await link.wait_idle()
        self._check_can_send()

    async def wait_heard(self) -> None:
        """Wait until the audio that the model has sent so far has been heard or stored."""
        audio, link = self._connected_parts()
        await link.wait_idle()
        self._check_can_send()
        await self._until_disconnected(audio.incoming.wait_heard())

    async def _wait_room(self) -> None:
        if self._link is not None:
            await self._link.wait_room()

    async def _wait_sink_room(self) -> None:
        if self._audio is not None:
            await self._audio.incoming.wait_room()

    def _connected_parts(self) -> tuple[ConnectionAudio, MemoryLink]:
        self._check_can_send()
        if self._audio is None or self._link is None:
            raise TransportError("the memory transport is not connected")
        return self._audio, self._link

    # Closing

    def close(self) -> None:
        """Close in any state; the status is `disconnected` at once."""
        was_connected = self._status == "connected"
        self._end_attempt(TransportError(CLOSED_BEFORE_SETUP))
        self._disconnect(complete=was_connected)

    def _disconnect(self, reason: Exception | None = None, *, complete: bool) -> None:
        """Let go of the connection, if there is one, and tell so.

        Args:
            reason: Told first, as `error`; None when the end was asked for.
            complete: Whether it came to its proper end.
        """
        link, self._link = self._link, None
        audio, self._audio = self._audio, None
        had_status, self._status = self._status, "disconnected"
        self._end_link()
        if link is not None:
            link.close()
        if link is not None or audio is not None:
            finishing = self._finish(audio, has_link=link is not None, complete=complete)
            self._keep_until_closed(asyncio.get_running_loop().create_task(finishing))
        if reason is not None:
            self._report(reason)
        if had_status != "disconnected":
            self.emit("connection_change", "disconnected")
            self.emit("disconnected")

    async def _finish(
        self, audio: ConnectionAudio | None, *, has_link: bool, complete: bool
    ) -> None:
        try:
            if has_link:
                await self.server.end()
            if audio is not None:
                await audio.close(complete=complete)
        except Exception as exc:  # server, source and sink may be foreign code
            self._report(exc)


def _responder(
    given: str | Responder | Iterable[ScriptedAnswer], plugins: PluginManager | None
) -> Responder | Callable[[], Responder]:
    if isinstance(given, Responder):
        return given
    if not isinstance(given, str):
        return ScriptedResponder(given)
    plugins = plugins or default_plugins()
    plugins.factory("responder", re.split("[:?]", given, maxsplit=1)[0])  # that there is one
    return partial(plugins.responder, given)
