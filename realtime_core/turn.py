"""One spoken turn: what a source says goes to a model, and its answer into a sink."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Mapping
from typing import Any

from realtime_core.answer import AnswerWatch, TurnFailedError, TurnResult
from realtime_core.transport import ApiKey, RealtimeTransportLayer

__all__ = [
    "QUIET_AFTER_S",
    "SHORTEST_QUESTION_S",
    "Turn",
    "TurnFailedError",
    "TurnResult",
    "TurnTaking",
    "turn_config",
]

SILENCE_AFTER_S = 0.3
"""Sent after the question, so that the codec's and server's delay do not cut its last sounds."""

SHORTEST_QUESTION_S = 0.1
"""The least that the Realtime API takes as a turn (error ``input_audio_buffer_commit_empty``)."""

QUIET_AFTER_S = 2.0
"""With turns left to the server: it has this long to begin another after all is said."""


class TurnTaking(enum.StrEnum):
    """Who says when the user's turn is over."""

    MANUAL = "manual"
    """We do, when the source has ended."""
    VAD = "vad"
    """The server does, by voice activity detection."""


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
        self._answer = AnswerWatch(transport)

    @property
    def result(self) -> TurnResult:
        """What the turn has brought so far."""
        return self._answer.result

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
                api_key=api_key,
                initial_session_config=turn_config(session_config or {}, self._taking),
            )
            await self._ask(transport)
            try:
                async with asyncio.timeout(deadline_s):
                    is_manual = self._taking is TurnTaking.MANUAL
                    await self._answer.wait_answered(quiet_s=None if is_manual else QUIET_AFTER_S)
                    await self._answer.unless_failed(transport.wait_heard())
            except TimeoutError:
                raise TurnFailedError(self._answer.lateness(deadline_s)) from None
        return self.result

    async def _ask(self, transport: RealtimeTransportLayer) -> None:
        await self._answer.unless_failed(transport.wait_source_ended())
        self._answer.question_ended()
        await self._answer.unless_failed(asyncio.sleep(SILENCE_AFTER_S))
        if self._taking is TurnTaking.MANUAL:
            transport.send_event({"type": "input_audio_buffer.commit"})
            transport.request_response()


def turn_config(config: Mapping[str, Any], taking: TurnTaking) -> dict[str, Any]:
    """The session's configuration for this way of taking turns."""
    if taking is TurnTaking.VAD:
        return dict(config)
    audio = dict(config.get("audio") or {})
    audio["input"] = {**(audio.get("input") or {}), "turn_detection": None}
    return {**config, "audio": audio}
