"""One attempt to connect, stage by stage, each with its deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from realtime_core.errors import ConnectError, ConnectStage, RealtimeError, UserError

if TYPE_CHECKING:
    from realtime_core.transport import ApiKey

__all__ = ["ConnectRequest", "ConnectTimeouts", "Phase", "Stages", "rejected_config", "with_hint"]


@dataclass(frozen=True)
class ConnectTimeouts:
    """How long each stage of a connection may take, in seconds."""

    key_s: float = 30.0
    """A function that gives the key may ask a server for it."""
    audio_s: float = 10.0
    http_s: float = 20.0
    sdp_s: float = 10.0
    """Gathering candidates takes 5 s when a STUN server is asked and silent."""
    ice_s: float = 15.0
    dtls_s: float = 10.0
    channel_s: float = 10.0
    session_s: float = 5.0
    """As in OpenAI Agents JS."""

    def of(self, stage: ConnectStage) -> float:
        """The deadline of a stage, in seconds."""
        deadline: float = getattr(self, f"{stage.value}_s")
        return deadline


@dataclass(frozen=True)
class ConnectRequest:
    """What one call of `connect` asks for."""

    api_key: ApiKey | None = field(repr=False)
    url: str
    initial_session_config: Mapping[str, Any]


@dataclass(frozen=True)
class Phase:
    """A stage that was passed."""

    stage: ConnectStage
    duration_s: float


HINTS = {
    ConnectStage.AUDIO: "is the audio device in use or waiting for a permission?",
    ConnectStage.HTTP: "is the endpoint right, and the network up?",
    ConnectStage.ICE: (
        "no pair of addresses worked; UDP may be blocked on the way, which a TURN server "
        "(ice_servers=) gets around"
    ),
    ConnectStage.DTLS: "the peer was reached and did not finish the handshake",
    ConnectStage.CHANNEL: "the peer did not open the data channel",
    ConnectStage.SESSION: "the server did not confirm the session's configuration",
}


def with_hint(stage: ConnectStage, message: str) -> str:
    """The message with what mostly stands behind a failure at this stage."""
    hint = HINTS.get(stage)
    return f"{message}: {hint}" if hint else message


def rejected_config(event: Mapping[str, Any]) -> ConnectError:
    """The error for a server's `error` that comes instead of the confirmation."""
    error = event.get("error")
    message = error.get("message") if isinstance(error, Mapping) else None
    return ConnectError(
        ConnectStage.SESSION,
        f"the server refused the session's configuration: {message or 'no reason given'}",
        provider_message=message if isinstance(message, str) else None,
    )


class Stages:
    """Keeps the deadline of each stage, and gives errors their stage."""

    def __init__(self, timeouts: ConnectTimeouts) -> None:
        """Begin before the first stage."""
        self._timeouts = timeouts
        self.current = ConnectStage.KEY
        """The stage entered last."""
        self._durations_s: dict[ConnectStage, float] = {}

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The stages passed so far, with the time that each took in all."""
        return tuple(Phase(stage, duration_s) for stage, duration_s in self._durations_s.items())

    @asynccontextmanager
    async def enter(self, stage: ConnectStage) -> AsyncIterator[None]:
        """Be in a stage.

        Raises:
            ConnectError: The stage took too long, or what happened in it has no stage of its own.
            UserError: As raised within.
        """
        self.current = stage
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        deadline_s = self._timeouts.of(stage)
        try:
            async with asyncio.timeout(deadline_s) as deadline:
                yield
        except (ConnectError, UserError):
            raise
        except Exception as exc:  # aiortc and plugins raise errors of many classes
            if deadline.expired():
                # Not chained: the cause is asyncio's own, and its frames hold request headers.
                message = f"stage {stage.value} took longer than {deadline_s:g} s"
                for note in getattr(exc.__cause__, "__notes__", ()):
                    message += f", {note}"
                raise ConnectError(stage, with_hint(stage, message)) from None
            text = str(exc) if isinstance(exc, RealtimeError) else f"{type(exc).__name__}: {exc}"
            raise ConnectError(stage, text) from exc
        self._durations_s[stage] = self._durations_s.get(stage, 0.0) + loop.time() - started_s
