"""What a model answers in one turn: followed from its events to its last sound."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from realtime_core.errors import ConnectionLostError, PluginError, RealtimeError
from realtime_core.events import ErrorEvent, TextDelta, TranscriptDelta, TurnDone, TurnUsage
from realtime_core.transport import RealtimeTransportLayer

__all__ = ["AnswerWatch", "TurnFailedError", "TurnResult"]

log = logging.getLogger(__name__)


class TurnFailedError(RealtimeError):
    """The model did not answer, or not to the end."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        """Tell what the server said.

        Args:
            message: What happened.
            code: The server's code, such as ``rate_limit_exceeded``; None where it gave none.
        """
        super().__init__(message)
        self.code = code


@dataclass
class TurnResult:
    """What a turn brought."""

    transcript: str = ""
    """What the model said, or wrote; a space between responses."""
    responses: int = 0
    """How many responses the model gave; more than one only with turns left to the server."""
    usage: TurnUsage = field(default_factory=TurnUsage)
    """Tokens, all responses together."""
    first_audio_s: float | None = None
    """From the end of the question, with which the answer is asked for, to the server's first sound
    as its events tell of it; None when that came before."""


class AnswerWatch:
    """Follows the answers on a transport, one turn after the other."""

    def __init__(self, transport: RealtimeTransportLayer) -> None:
        """Listen to the transport, which is not connected yet.

        Args:
            transport: The transport.
        """
        self._changed = asyncio.Event()
        self._failure: Exception | None = None
        self._endangered: set[asyncio.Future[None]] = set()
        self._running: set[str] = set()
        self._speaking: set[str] = set()
        self._owed_speech: set[str] = set()
        self._spoken: set[str] = set()
        self._is_response_owed = False
        self._asked_s: float | None = None
        self._last_said: str | None = None
        self.result = TurnResult()
        """Of the turn that goes on."""
        listeners: dict[str, Callable[..., None]] = {
            "turn_done": self._on_turn_done,
            "error": self._on_error,
            "disconnected": self._on_disconnected,
            "audio_transcript_delta": self._on_text,
            "output_text_delta": self._on_text,
            "response.created": self._on_created,
            "response.done": self._on_done,
            "response.output_audio.delta": self._on_audio_in_event,
            "output_audio_buffer.started": self._on_started,
            "output_audio_buffer.stopped": self._on_stopped,
            "output_audio_buffer.cleared": self._on_stopped,
        }
        for event, listener in listeners.items():
            transport.on(event, listener)

    def begin_turn(self) -> None:
        """What comes from now on belongs to another turn."""
        self.result = TurnResult()
        self._asked_s = None
        self._last_said = None

    def question_ended(self) -> None:
        """The user has finished: the time to the first sound counts from now on."""
        self._asked_s = asyncio.get_running_loop().time()

    def expect_response(self) -> None:
        """One more response was asked for; the answer is not over before it."""
        self._is_response_owed = True

    async def wait_answered(self, *, quiet_s: float | None = None) -> None:
        """Wait until a response has been given and nothing of it is still to come.

        Args:
            quiet_s: How long nothing may begin after that; None does not wait for that.

        Raises:
            RealtimeError: The turn failed, now or before.
        """
        while True:
            if self._failure is not None:
                raise self._failure
            if self.result.responses and not self._is_under_way():
                if quiet_s is None or await self._is_quiet(quiet_s):
                    return
                continue
            self._changed.clear()
            await self._changed.wait()

    async def unless_failed(self, awaitable: Awaitable[None]) -> None:
        """Wait for something, but not when the turn fails before or meanwhile.

        Raises:
            RealtimeError: The turn failed.
        """
        waiting = asyncio.ensure_future(awaitable)
        self._endangered.add(waiting)
        try:
            if self._failure is None:
                await asyncio.wait([waiting])
            if self._failure is not None:
                raise self._failure
            waiting.result()
        finally:
            self._endangered.discard(waiting)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    def lateness(self, deadline_s: float) -> str:
        """What is still missing at a deadline, for the error's message."""
        if not self.result.responses and not self._running:
            return (
                f"the model did not begin to answer within {deadline_s:g} s of the question's end"
            )
        return f"the answer was not over {deadline_s:g} s after the question's end"

    def _is_under_way(self) -> bool:
        return bool(self._running or self._speaking or self._owed_speech or self._is_response_owed)

    async def _is_quiet(self, quiet_s: float) -> bool:
        """Whether nothing begins for a while; the user may have taken several turns."""
        self._changed.clear()
        try:
            async with asyncio.timeout(quiet_s):
                await self._changed.wait()
        except TimeoutError:
            return True
        return False

    # What happens meanwhile

    def _fail(self, exc: Exception) -> None:
        # The first failure is the cause; a loss that follows it is its consequence.
        self._failure = self._failure or exc
        for waiting in self._endangered:
            waiting.cancel()
        self._changed.set()

    def _on_created(self, event: Mapping[str, Any]) -> None:
        self._running.add(_response_id(event.get("response")))
        self._is_response_owed = False
        self._changed.set()

    def _on_done(self, event: Mapping[str, Any]) -> None:
        response = event.get("response")
        response = response if isinstance(response, Mapping) else {}
        response_id = _response_id(response)
        self._running.discard(response_id)
        self.result.responses += 1
        if response.get("status") in ("failed", "incomplete"):
            self._fail(TurnFailedError(_why(response), code=_code(_details(response))))
        # One that was cancelled may never come to sound, whatever its output says.
        is_whole = response.get("status") != "cancelled"
        if is_whole and _has_audio(response) and response_id not in self._spoken:
            self._owed_speech.add(response_id)
        self._changed.set()

    def _on_audio_in_event(self, event: Mapping[str, Any]) -> None:
        # Without a track there is no buffer of the server's to wait for: all speech of a response
        # has come when the response is done.
        self._spoken.add(str(event.get("response_id")))
        self._note_first_sound()

    def _on_started(self, event: Mapping[str, Any]) -> None:
        self._speaking.add(str(event.get("response_id")))
        self._note_first_sound()
        self._changed.set()

    def _note_first_sound(self) -> None:
        if self.result.first_audio_s is None and self._asked_s is not None:
            self.result.first_audio_s = asyncio.get_running_loop().time() - self._asked_s

    def _on_stopped(self, event: Mapping[str, Any]) -> None:
        response_id = str(event.get("response_id"))
        self._spoken.add(response_id)
        self._speaking.discard(response_id)
        self._owed_speech.discard(response_id)
        self._changed.set()

    def _on_turn_done(self, done: TurnDone) -> None:
        before, more = self.result.usage, done.response.usage
        self.result.usage = TurnUsage(
            before.input_tokens + more.input_tokens,
            before.output_tokens + more.output_tokens,
            before.total_tokens + more.total_tokens,
        )

    def _on_text(self, delta: TranscriptDelta | TextDelta) -> None:
        said = self.result.transcript
        if said and not said[-1].isspace() and delta.response_id != self._last_said:
            self.result.transcript += " "
        self._last_said = delta.response_id
        self.result.transcript += delta.delta

    def _on_error(self, event: ErrorEvent) -> None:
        if isinstance(event.error, PluginError):
            log.warning("%s", event.error)  # whoever looks on may fail; the turn goes on
        elif isinstance(event.error, Exception):
            self._fail(event.error)
        else:
            error = event.error.get("error")
            message = error.get("message") if isinstance(error, Mapping) else None
            told = f"the server reports: {message or event.error}"
            self._fail(TurnFailedError(told, code=_code(error)))

    def _on_disconnected(self) -> None:
        self._fail(ConnectionLostError("the peer ended the call before the answer was over"))


def _response_id(response: object) -> str:
    return str(response.get("id")) if isinstance(response, Mapping) else "None"


def _has_audio(response: Mapping[str, Any]) -> bool:
    """Whether any part of the output is speech; the API names such parts in two ways."""
    for item in response.get("output") or ():
        for part in (item.get("content") if isinstance(item, Mapping) else None) or ():
            if isinstance(part, Mapping) and part.get("type") in ("audio", "output_audio"):
                return True
    return False


def _details(response: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the server says of a response that failed."""
    details = response.get("status_details")
    details = details if isinstance(details, Mapping) else {}
    error = details.get("error")
    return error if isinstance(error, Mapping) else details


def _code(error: object) -> str | None:
    """The server's code, or its kind of error where it has none."""
    if not isinstance(error, Mapping):
        return None
    code = error.get("code") or error.get("type")
    return code if isinstance(code, str) else None


def _why(response: Mapping[str, Any]) -> str:
    whole = response.get("status_details")
    whole = whole if isinstance(whole, Mapping) else {}
    reason = _details(response).get("message") or whole.get("reason") or "no reason given"
    return f"the response is {response.get('status')}: {reason}"
