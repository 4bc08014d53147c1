"""One session: the protocol, the responder's tasks and the timer, whatever carries it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, assert_never

from realtime_core.errors import TransportError
from realtime_transports.local_server.ending import end_tasks
from realtime_transports.local_server.listening import Listener
from realtime_transports.local_server.responders import (
    AnswerPiece,
    AudioPiece,
    CallPiece,
    Responder,
    ResponseFailedError,
    TextPiece,
    Turn,
)
from realtime_transports.openai import server_pacing, wire
from realtime_transports.openai.server_lifetime import SessionLimits
from realtime_transports.openai.server_outputs import (
    CancelResponse,
    CancelTranscription,
    ClearPlayback,
    EndSession,
    JsonObject,
    Listen,
    PlayAudio,
    SendEvent,
    ServerOutput,
    StartResponse,
    Transcribe,
    random_id,
)
from realtime_transports.openai.server_protocol import Link, ServerProtocol

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16
    from realtime_transports.openai.server_session import SessionConfig

__all__ = ["LinkOverError", "Session", "SessionLink", "SessionOptions"]

log = logging.getLogger(__name__)


class LinkOverError(Exception):
    """The client is gone, or going: nobody is there to be told. It never leaves the server."""


class SessionLink(Protocol):
    """Carries a session's events, and its audio if that has a track of its own."""

    def send_event(self, event: JsonObject) -> None:
        """Send an event; never blocks.

        Raises:
            LinkOverError: The client is gone.
            TransportError: It cannot be sent.
        """

    def play(self, samples: Pcm16, /) -> None:
        """Queue audio on the track: int16, mono, 24 kHz."""

    def clear(self) -> None:
        """Drop audio that has not left yet."""

    async def wait_room(self) -> None:
        """Wait until more audio may be queued."""

    def end_session(self, reason: str) -> None:
        """Close, after everything that was sent has left."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a session behaves, besides its configuration."""

    limits: SessionLimits = field(default_factory=SessionLimits)
    """How long it may be."""
    paces_audio: bool = False
    """Whether audio in events keeps the pace of speech; else it comes as fast as it is made."""


class Session:
    """Joins a `ServerProtocol` with a link and a responder."""

    def __init__(
        self,
        kind: Link,
        config: SessionConfig,
        responder: Responder,
        link: SessionLink,
        options: SessionOptions | None = None,
        *,
        make_id: Callable[[str], str] = random_id,
    ) -> None:
        """Join them; `start` sends the greeting.

        Args:
            kind: What the link is.
            config: The session's configuration; the session keeps it.
            responder: Answers; somebody else closes it.
            link: Carries the session.
            options: How it behaves.
            make_id: Makes a new id from a prefix.
        """
        options = options or SessionOptions()
        self._responder = responder
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._listener = Listener(responder, self._judged, self._fail)
        self._protocol = ServerProtocol(
            kind,
            config,
            can_transcribe=responder.can_transcribe,
            model_frame_samples=self._listener.frame_samples,
            limits=options.limits,
            now_s=self._loop.time(),
            make_id=make_id,
        )
        self._paces_audio = options.paces_audio and kind is Link.WEBSOCKET
        self._answers: dict[str, asyncio.Task[None]] = {}
        self._transcriptions: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._handled_id: str | None = None
        self._is_closed = False

    def start(self) -> None:
        """Send what the protocol has to say at the beginning."""
        self._drain()

    def greeting(self) -> JsonObject:
        """The session.created of a client that joins later."""
        return self._protocol.session_created()

    def receive_message(self, message: str | bytes) -> None:
        """Take a message of the client."""
        try:
            event = wire.parse_value(message)
        except ValueError as exc:
            self.receive_invalid(f"The message is not valid JSON: {exc}")
        else:
            self.receive(event)

    def receive(self, event: object) -> None:
        """Take an event of the client, parsed from JSON."""
        log.debug("< %s", event.get("type") if isinstance(event, dict) else type(event))
        event_id = event.get("event_id") if isinstance(event, dict) else None
        self._handled_id = event_id if isinstance(event_id, str) else None
        self._protocol.receive(event, self._loop.time())
        self._drain()
        self._handled_id = None

    def receive_invalid(self, problem: str) -> None:
        """Take a message that could not be read."""
        self._protocol.receive_invalid(problem)
        self._drain()

    def hear(self, samples: Pcm16) -> None:
        """Take the user's audio: int16, mono, 24 kHz."""
        self._protocol.hear(samples, self._loop.time())
        self._drain()

    def played(self, samples: int) -> None:
        """So many samples in all have left."""
        self._protocol.played(samples, self._loop.time())
        self._drain()

    async def close(self) -> None:
        """Stop answering. Closing twice is fine."""
        self._is_closed = True
        self._cancel_timer()
        await end_tasks(list(self._tasks), self._responder)
        await self._listener.close()

    def _drain(self) -> None:
        """Do everything the protocol asks for, in order."""
        while not self._is_closed and (outputs := self._protocol.take_outputs()):
            for output in outputs:
                self._do(output)
        self._cancel_timer()
        deadline = self._protocol.next_deadline()
        if deadline is not None and not self._is_closed:
            self._timer = self._loop.call_at(deadline, self._advance)

    def _do(self, output: ServerOutput) -> None:
        match output:
            case SendEvent(event):
                self._send(event)
            case StartResponse(turn):
                self._start(self._answers, turn.response_id, self._answer(turn))
            case CancelResponse(response_id):
                self._stop(self._answers, response_id)
            case Transcribe(item_id, samples):
                self._start(self._transcriptions, item_id, self._transcribe(item_id, samples))
            case CancelTranscription(item_id):
                self._stop(self._transcriptions, item_id)
            case Listen(samples, stream):
                self._listener.listen(stream, samples)
            case PlayAudio(samples):
                self._link.play(samples)
            case ClearPlayback():
                self._link.clear()
            case EndSession(reason):
                self._link.end_session(reason)
            case _:
                assert_never(output)

    def _send(self, event: JsonObject) -> None:
        log.debug("> %s", event["type"])
        try:
            self._link.send_event(event)
        except LinkOverError:
            log.debug("%s came too late to be sent", event["type"])
        except TransportError as exc:
            log.warning("%s was not sent: %s", event["type"], exc)
            self._protocol.event_not_sent(event, str(exc), asked_by=self._handled_id)

    def _start(
        self,
        tasks: dict[str, asyncio.Task[None]],
        name: str,
        coroutine: Coroutine[Any, Any, None],
    ) -> None:
        task = self._loop.create_task(coroutine)
        tasks[name] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    def _stop(tasks: dict[str, asyncio.Task[None]], name: str) -> None:
        task = tasks.pop(name, None)
        if task is not None:
            task.cancel()

    async def _answer(self, turn: Turn) -> None:
        response_id = turn.response_id
        pace = server_pacing.AudioPace() if self._paces_audio else None
        try:
            async with contextlib.aclosing(self._responder.respond(turn)) as pieces:
                async for piece in pieces:
                    for part in _parts(piece, pace):
                        await self._wait_turn(part, pace)
                        self._say(response_id, part)
        except ResponseFailedError as exc:
            self._protocol.answer_failed(
                response_id, str(exc), self._loop.time(), code=exc.code, error_type=exc.error_type
            )
        except Exception as exc:  # a responder is foreign code
            name = type(self._responder).__name__
            log.exception("the responder %s failed", name)
            problem = f"{name} raised {type(exc).__name__}: {exc}"
            self._protocol.answer_failed(response_id, problem, self._loop.time())
        else:
            self._protocol.answer_done(response_id, self._loop.time())
        self._answers.pop(response_id, None)
        self._drain()

    async def _wait_turn(self, piece: AnswerPiece, pace: server_pacing.AudioPace | None) -> None:
        """Wait until a piece may leave; a responder that never waits lets others run here."""
        await self._link.wait_room()
        delay_s = 0.0
        if pace is not None and isinstance(piece, AudioPiece):
            delay_s = pace.delay_s(len(piece.samples), self._loop.time())
        await asyncio.sleep(delay_s)

    def _say(self, response_id: str, piece: AnswerPiece) -> None:
        now_s = self._loop.time()
        match piece:
            case TextPiece(text):
                self._protocol.answer_text(response_id, text, now_s)
            case AudioPiece(samples):
                self._protocol.answer_audio(response_id, samples, now_s)
            case CallPiece(name, arguments):
                self._protocol.answer_call(response_id, name, arguments, now_s)
            case _:
                assert_never(piece)
        self._drain()

    async def _transcribe(self, item_id: str, samples: Pcm16) -> None:
        try:
            async with contextlib.aclosing(self._responder.transcribe(samples)) as pieces:
                async for piece in pieces:
                    self._protocol.transcript_delta(item_id, piece)
                    self._drain()
        except Exception as exc:  # a responder is foreign code
            name = type(self._responder).__name__
            log.exception("the responder %s did not transcribe", name)
            problem = f"{name} raised {type(exc).__name__}: {exc}"
            self._protocol.transcription_failed(item_id, problem, self._loop.time())
        else:
            self._protocol.transcribed(item_id, self._loop.time())
        self._transcriptions.pop(item_id, None)
        self._drain()

    def _judged(self, stream: int, probabilities: Sequence[float]) -> None:
        self._protocol.judged(stream, probabilities, self._loop.time())
        self._drain()

    def _fail(self, problem: str) -> None:
        """Tell the client of a problem of the server's."""
        self._protocol.report_problem(problem)
        if not self._is_closed:
            self._loop.call_soon(self._drain)  # this may be called while draining

    def _advance(self) -> None:
        self._protocol.advance(self._loop.time())
        self._drain()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _parts(piece: AnswerPiece, pace: server_pacing.AudioPace | None) -> Iterable[AnswerPiece]:
    if pace is None or not isinstance(piece, AudioPiece):
        return [piece]
    return [AudioPiece(samples) for samples in server_pacing.cut(piece.samples)]
