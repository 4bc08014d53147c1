"""The sessions of one server, as it tells of them, and the doors through which it sees them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from realtime_core.serving import ServedSession, ServerObserver
from realtime_transports.local_server.door import Door
from realtime_transports.local_server.faults import Faults
from realtime_transports.local_server.watch import SessionWatch

if TYPE_CHECKING:
    from realtime_transports.openai.server_session import SessionConfig

__all__ = ["Records"]

MAX_SESSIONS = 1_000
"""The oldest that ended is forgotten beyond that."""


class Records:
    """Makes a door and a record for each session."""

    def __init__(
        self,
        faults: Faults,
        *,
        observer: ServerObserver | None = None,
        keeps_events: bool = False,
    ) -> None:
        """Begin without sessions.

        Args:
            faults: What goes wrong in each session.
            observer: Told what happens.
            keeps_events: Whether sessions keep their events.
        """
        self.sessions: list[ServedSession] = []
        """Open and ended ones, in the order in which they began."""
        self._faults = faults
        self._observer = observer
        self._keeps_events = keeps_events

    def begin(self, session_id: str, transport: str, config: SessionConfig, peer: str) -> Door:
        """The door of a new session."""
        session = ServedSession(
            id=session_id, transport=transport, peer=peer, model=str(config.to_dict()["model"])
        )
        self.sessions.append(session)
        self._forget_ended()
        watch = SessionWatch(
            session,
            now=asyncio.get_running_loop().time,
            observer=self._observer,
            keeps_events=self._keeps_events,
        )
        return Door(self._faults, watch)

    def _forget_ended(self) -> None:
        excess = len(self.sessions) - MAX_SESSIONS
        for session in [each for each in self.sessions if not each.is_open][: max(0, excess)]:
            self.sessions.remove(session)
