"""One spoken turn: what a source says goes to a model, and its answer into a sink."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from realtime_core.errors import ConnectionLostError, PluginError, RealtimeError
from realtime_core.events import ErrorEvent, TextDelta, TranscriptDelta, TurnDone, TurnUsage
from realtime_core.transport import ApiKey, RealtimeTransportLayer

__all__ = ["Turn", "TurnFailedError", "TurnResult", "TurnTaking"]

log = logging.getLogger(__name__)

SILENCE_AFTER_S = 0.3
"""Sent after the question, so that the codec's and server's delay do not cut its last sounds."""

QUIET_AFTER_S = 2.0
"""With turns left to the server: it has this long to begin another after all is said."""


class TurnTaking(enum.StrEnum):
    """Who says when the user's turn is over."""

    MANUAL = "manual"
    """We do, when the source has ended."""
    VAD = "vad"
    """The server does, by voice activity detection."""


class TurnFailedError(RealtimeError):
    """The model did not answer, or not to the end."""


@dataclass
class TurnResult:
    """What a turn brought."""

    transcript: str = ""
    """What the model said, or wrote; a space between responses."""
    responses: int = 0
    """How many responses the model gave; more than one only with turns left to the server."""
    usage: TurnUsage = field(default_factory=TurnUsage)
    """Tokens, all responses together."""
    latency_s: float | None = None
    """From the end of the question to the server's first sound; None when that came before."""


class Turn:
    """Runs one turn on a transport that is not connected yet, and follows it."""

    def __init__(
        self, transport: RealtimeTransportLayer, *, taking: TurnTaking = TurnTaking.MANUAL
    ) -> None:
        """Listen to the transport.

        Args:
            transport: It has the source and the sink.
            taking: Who ends the user's turn.
        """
        self._transport = transport
        self._taking = taking
        self._changed = asyncio.Event()
        self._failed = asyncio.Event()
        self._failure: Exception | None = None
        self._running: set[str] = set()
        self._speaking: set[str] = set()
        self._owed_speech: set[str] = set()
        self._spoken: set[str] = set()
        self._asked_s: float | None = None
        self._last_said: str | None = None
        self.result = TurnResult()
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

    async def run(
        self,
        *,
        api_key: ApiKey | None = None,
        session_config: Mapping[str, Any] | None = None,
        deadline_s: float = 120.0,
    ) -> TurnResult:
        """Connect, ask, hear the answer to its end, and close.

        Args:
            api_key: As for `RealtimeTransportLayer.connect`.
            session_config: The session's configuration; with manual turns, turn detection is
                switched off in it.
            deadline_s: How long the answer may take, from the end of the question to its last
                sound.

        Raises:
            ConnectError: No connection came about.
            TransportError: The connection was lost.
            TurnFailedError: The model's answer failed or did not come in time.
        """
        async with self._transport as transport:
            await transport.connect(
                api_key=api_key, initial_session_config=self._config(session_config or {})
            )
            await self._ask(transport)
            try:
                async with asyncio.timeout(deadline_s):
                    await self._wait_answered()
                    await self._unless_failed(transport.wait_heard())
            except TimeoutError:
                raise TurnFailedError(self._lateness(deadline_s)) from None
        return self.result

    def _config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        if self._taking is TurnTaking.VAD:
            return dict(config)
        audio = dict(config.get("audio") or {})
        audio["input"] = {**(audio.get("input") or {}), "turn_detection": None}
        return {**config, "audio": audio}

    async def _ask(self, transport: RealtimeTransportLayer) -> None:
        await self._unless_failed(transport.wait_source_ended())
        self._asked_s = asyncio.get_running_loop().time()
        await self._unless_failed(asyncio.sleep(SILENCE_AFTER_S))
        if self._taking is TurnTaking.MANUAL:
            transport.send_event({"type": "input_audio_buffer.commit"})
            transport.request_response()

    async def _wait_answered(self) -> None:
        while True:
            if self._failure is not None:
                raise self._failure
            if self.result.responses and not (self._running or self._speaking or self._owed_speech):
                if self._taking is TurnTaking.MANUAL or await self._is_quiet():
                    return
                continue
            self._changed.clear()
            await self._changed.wait()

    async def _is_quiet(self) -> bool:
        """Whether nothing begins for a while; the user may have taken several turns."""
        self._changed.clear()
        try:
            async with asyncio.timeout(QUIET_AFTER_S):
                await self._changed.wait()
        except TimeoutError:
            return True
        return False

    async def _unless_failed(self, awaitable: Awaitable[None]) -> None:
        """Wait for something, but not when the turn fails before or meanwhile."""
        waiting = asyncio.ensure_future(awaitable)
        failing = asyncio.ensure_future(self._failed.wait())
        try:
            await asyncio.wait([waiting, failing], return_when=asyncio.FIRST_COMPLETED)
            if self._failure is not None:
                raise self._failure
            waiting.result()
        finally:
            waiting.cancel()
            failing.cancel()
            await asyncio.gather(waiting, failing, return_exceptions=True)

    def _lateness(self, deadline_s: float) -> str:
        if not self.result.responses and not self._running:
            return (
                f"the model did not begin to answer within {deadline_s:g} s of the question's end"
            )
        return f"the answer was not over {deadline_s:g} s after the question's end"

    # What happens meanwhile

    def _fail(self, exc: Exception) -> None:
        # The first failure is the cause; a loss that follows it is its consequence.
        self._failure = self._failure or exc
        self._failed.set()
        self._changed.set()

    def _on_created(self, event: Mapping[str, Any]) -> None:
        self._running.add(_response_id(event.get("response")))
        self._changed.set()

    def _on_done(self, event: Mapping[str, Any]) -> None:
        response = event.get("response")
        response = response if isinstance(response, Mapping) else {}
        response_id = _response_id(response)
        self._running.discard(response_id)
        self.result.responses += 1
        if response.get("status") in ("failed", "incomplete"):
            self._fail(TurnFailedError(_why(response)))
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
        if self.result.latency_s is None and self._asked_s is not None:
            self.result.latency_s = asyncio.get_running_loop().time() - self._asked_s

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
            self._fail(TurnFailedError(f"the server reports: {message or event.error}"))

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


def _why(response: Mapping[str, Any]) -> str:
    details = response.get("status_details")
    details = details if isinstance(details, Mapping) else {}
    error = details.get("error")
    message = error.get("message") if isinstance(error, Mapping) else None
    reason = message or details.get("reason") or "no reason given"
    return f"the response is {response.get('status')}: {reason}"
