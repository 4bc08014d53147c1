"""One session: the protocol, the responder's tasks and the timer, whatever carries it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING, Protocol, assert_never

from realtime_core.errors import TransportError
from realtime_transports.local_server.responders import (
    AnswerPiece,
    AudioPiece,
    CallPiece,
    Responder,
    TextPiece,
    Turn,
)
from realtime_transports.openai.server_outputs import (
    CancelResponse,
    ClearPlayback,
    JsonObject,
    PlayAudio,
    SendEvent,
    ServerOutput,
    StartResponse,
)

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16
    from realtime_transports.openai.server_protocol import ServerProtocol

__all__ = ["Session", "SessionLink"]

log = logging.getLogger(__name__)


class SessionLink(Protocol):
    """Carries a session's events, and its audio if that has a track of its own."""

    def send_event(self, event: JsonObject) -> None:
        """Send an event; never blocks.

        Raises:
            TransportError: It cannot be sent.
        """

    def play(self, samples: Pcm16, /) -> None:
        """Queue audio on the track: int16, mono, 24 kHz."""

    def clear(self) -> None:
        """Drop audio that has not left yet."""

    async def wait_room(self) -> None:
        """Wait until more audio may be queued."""


class Session:
    """Joins a `ServerProtocol` with a link and a responder."""

    def __init__(self, protocol: ServerProtocol, responder: Responder, link: SessionLink) -> None:
        """Join them; `start` sends the greeting."""
        self._protocol = protocol
        self._responder = responder
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._answers: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def start(self) -> None:
        """Send what the protocol has to say at the beginning."""
        self._drain()

    def receive_message(self, message: str | bytes) -> None:
        """Take a message of the client."""
        try:
            event = json.loads(message)
        except (ValueError, RecursionError) as exc:
            self.receive_invalid(f"The message is not valid JSON: {exc}")
            return
        log.debug("< %s", event.get("type") if isinstance(event, dict) else type(event))
        self._protocol.receive(event, self._loop.time())
        self._drain()

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
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

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
                self._start_answer(turn)
            case CancelResponse(response_id):
                self._answers.pop(response_id).cancel()
            case PlayAudio(samples):
                self._link.play(samples)
            case ClearPlayback():
                self._link.clear()
            case _:
                assert_never(output)

    def _send(self, event: JsonObject) -> None:
        log.debug("> %s", event["type"])
        try:
            self._link.send_event(event)
        except TransportError as exc:
            log.warning("%s was not sent: %s", event["type"], exc)
            self._protocol.event_not_sent(event, str(exc))

    def _start_answer(self, turn: Turn) -> None:
        task = self._loop.create_task(self._answer(turn))
        self._answers[turn.response_id] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, turn: Turn) -> None:
        response_id = turn.response_id
        try:
            async with contextlib.aclosing(self._responder.respond(turn)) as pieces:
                async for piece in pieces:
                    await self._link.wait_room()
                    self._say(response_id, piece)
                    await asyncio.sleep(0)  # a responder that never waits lets others run here
        except Exception as exc:  # a responder is foreign code
            name = type(self._responder).__name__
            log.exception("the responder %s failed", name)
            problem = f"{name} raised {type(exc).__name__}: {exc}"
            self._protocol.answer_failed(response_id, problem, self._loop.time())
        else:
            self._protocol.answer_done(response_id, self._loop.time())
        self._answers.pop(response_id, None)
        self._drain()

    def _say(self, response_id: str, piece: AnswerPiece) -> None:
        match piece:
            case TextPiece(text):
                self._protocol.answer_text(response_id, text)
            case AudioPiece(samples):
                self._protocol.answer_audio(response_id, samples)
            case CallPiece(name, arguments):
                self._protocol.answer_call(response_id, name, arguments)
            case _:
                assert_never(piece)
        self._drain()

    def _advance(self) -> None:
        self._protocol.advance(self._loop.time())
        self._drain()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
