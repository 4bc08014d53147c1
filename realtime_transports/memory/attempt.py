"""An attempt to connect in memory, and what follows from the server's answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

__all__ = ["Attempt", "silence_s_after"]

MARGIN_S = 0.3
"""More silence than the server's turn detection asks for."""


class Attempt:
    """An attempt to connect; whoever calls `connect` meanwhile waits for its outcome."""

    def __init__(self, session_config: Mapping[str, Any], model_before: str) -> None:
        """Begin.

        Args:
            session_config: What the session is to be like.
            model_before: The model that comes back if this comes to nothing.
        """
        self.session_config = session_config
        self.model_before = model_before
        self.task: asyncio.Task[None] | None = None
        self.is_configuring = False
        """Whether the configuration has been sent."""
        self.confirmed = asyncio.Event()
        self.outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Those who wait may all have been cancelled; then nobody asks for the exception.
        self.outcome.add_done_callback(lambda done: done.cancelled() or done.exception())


def silence_s_after(session: object) -> float:
    """How much silence makes the server's turn detection find the end of a turn."""
    for name in ("audio", "input", "turn_detection"):
        session = session.get(name) if isinstance(session, Mapping) else None
    if not isinstance(session, Mapping):
        return 0.0
    silence_ms = session.get("silence_duration_ms")
    return (silence_ms if isinstance(silence_ms, int | float) else 500) / 1000 + MARGIN_S
