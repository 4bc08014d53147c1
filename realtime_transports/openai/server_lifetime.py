"""When a session has to end."""

from __future__ import annotations

from dataclasses import dataclass

from realtime_transports.openai.server_outputs import ClientEventError

__all__ = ["Lifetime", "SessionLimits"]


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How long a session may be."""

    max_session_s: float | None = None
    """In all; the API's are 60 minutes. None is for ever."""
    max_idle_s: float | None = None
    """Without client event, speech or answer; the API tells of no such limit. None is for ever."""


class Lifetime:
    """Ends a session that has become too old, or that nobody uses."""

    def __init__(self, limits: SessionLimits, now_s: float) -> None:
        """Begin to count."""
        self._limits = limits
        self._born_s = now_s
        self._used_s = now_s

    def use(self, now_s: float) -> None:
        """Something happened."""
        self._used_s = now_s

    def end_due(self, now_s: float) -> ClientEventError | None:
        """Why the session has to end by now; None if it may go on.

        Over WebSocket the API sends an `error` with the code `session_expired` and the message
        "Your session hit the maximum duration of 30 minutes." (livekit/agents#2358), and closes
        with 1001 and the message (pollen-robotics/reachy_mini_conversation_app#134).
        """
        max_session_s, max_idle_s = self._limits.max_session_s, self._limits.max_idle_s
        if max_session_s is not None and now_s >= self._born_s + max_session_s:
            message = f"Your session hit the maximum duration of {_spelled(max_session_s)}."
            return ClientEventError(message, code="session_expired")
        if max_idle_s is not None and now_s >= self._used_s + max_idle_s:
            message = f"Your session was idle for {_spelled(max_idle_s)}."
            return ClientEventError(message, code="session_expired")
        return None

    def next_deadline(self) -> float | None:
        """When the session may have to end; None is never."""
        limits = self._limits
        deadlines = [
            start + length
            for start, length in (
                (self._born_s, limits.max_session_s),
                (self._used_s, limits.max_idle_s),
            )
            if length is not None
        ]
        return min(deadlines, default=None)


def _spelled(seconds: float) -> str:
    return f"{seconds / 60:g} minutes" if seconds >= 60 else f"{seconds:g} seconds"
