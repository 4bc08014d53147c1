"""What a server on this machine tells about its sessions, whoever brings the server.

`realtime serve` shows it and the fixture `realtime_server` hands it to tests. A server's factory
(hook `realtime_local_servers`) gets a `ServerObserver`; each session is one `ServedSession` that
the server fills as things happen. Nothing in it holds a key, and audio in events is replaced by its
size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["RefusedRequest", "ServedSession", "ServedTurn", "ServerObserver", "ToolCall"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of one of the client's functions."""

    name: str
    arguments: str
    """JSON."""
    call_id: str


@dataclass(slots=True)
class ServedTurn:
    """One answer, and what it answers."""

    number: int
    """Counted from 1 in its session."""
    response_id: str
    user: str = ""
    """What the user said or wrote, as far as it was understood; may come after the answer."""
    agent: str = ""
    """The answer's text or transcript."""
    calls: list[ToolCall] = field(default_factory=list)
    status: str = "in_progress"
    """As in response.done: completed, cancelled, failed or incomplete."""
    reason: str | None = None
    """Why it is not completed, in the API's word."""
    latency_s: float | None = None
    """From the end of the user's turn, or the request of an answer, to its first word or sound."""
    duration_s: float | None = None
    """From the answer's beginning to its end, as it was made; it may be heard for longer."""


@dataclass(slots=True)
class ServedSession:
    """One session, while it runs and after."""

    id: str
    """The call's id over WebRTC, the session's over WebSocket."""
    transport: str
    """``"webrtc"`` or ``"websocket"``."""
    peer: str
    """The address it comes from."""
    model: str
    client_events: list[dict[str, Any]] = field(default_factory=list)
    """In the order in which they came."""
    server_events: list[dict[str, Any]] = field(default_factory=list)
    """In the order in which they left, faults included."""
    forgotten_events: int = 0
    """The oldest are forgotten where there are too many, or where nobody wants them."""
    turns: list[ServedTurn] = field(default_factory=list)
    duration_s: float | None = None
    """Of the session; None while it runs."""
    ended: str | None = None
    """Why it ended; None while it runs."""

    @property
    def is_open(self) -> bool:
        """Whether it runs."""
        return self.ended is None

    @property
    def transcript(self) -> str:
        """The conversation in lines that begin with ``user:`` and ``agent:``."""
        lines = []
        for turn in self.turns:
            lines += [f"user: {turn.user}"] if turn.user else []
            lines += [f"agent: {turn.agent}"] if turn.agent else []
        return "\n".join(lines)

    def of_type(self, event_type: str) -> list[dict[str, Any]]:
        """The events of one type, of both sides."""
        events = [*self.client_events, *self.server_events]
        return [event for event in events if event.get("type") == event_type]


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """An HTTP request that was answered by an error."""

    method: str
    path: str
    """Without its query."""
    peer: str
    status: int
    code: str | None
    """The error's, as in its body."""
    message: str


class ServerObserver(Protocol):
    """Is told what happens, in the server's event loop. It must return soon and not raise."""

    def session_started(self, session: ServedSession, /) -> None:
        """A client is connected, or connecting."""

    def event_passed(self, session: ServedSession, /) -> None:
        """An event came or left; the session has it."""

    def turn_done(self, session: ServedSession, turn: ServedTurn, /) -> None:
        """An answer is over."""

    def session_ended(self, session: ServedSession, /) -> None:
        """A session is over."""

    def request_refused(self, request: RefusedRequest, /) -> None:
        """A request was answered by an error."""
