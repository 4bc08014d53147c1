"""An attempt to connect over a WebSocket, and what it fails with."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from realtime_core.errors import ConnectError, ConnectionLostError, ConnectStage, TransportError

if TYPE_CHECKING:
    from realtime_transports.connecting import ConnectRequest

__all__ = ["Attempt", "link_error"]


class Attempt:
    """What one call of `connect` wants, and how far it has come."""

    def __init__(self, request: ConnectRequest, call_id: str | None, model_before: str) -> None:
        """Begin.

        Args:
            request: What was asked for.
            call_id: The call to attach to.
            model_before: The model that comes back if this comes to nothing.
        """
        self.request = request
        self.call_id = call_id
        self.model_before = model_before
        self.task: asyncio.Task[None] | None = None
        self.has_audio = False
        """Whether opening audio has begun."""
        self.opened = asyncio.Event()
        """Set when the socket has opened."""
        self.failure: Exception | None = None
        """Why the configuration could not be sent."""
        self.outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Who waits may have been cancelled; then nobody asks for the exception.
        self.outcome.add_done_callback(lambda done: done.cancelled() or done.exception())


def link_error(exc: Exception, *, is_connecting: bool) -> TransportError:
    """What failed on the link, as the error that a program expects then."""
    wanted = ConnectError if is_connecting else ConnectionLostError
    if isinstance(exc, wanted):
        return exc
    message = f"the WebSocket failed: {exc}"
    error = (
        ConnectError(ConnectStage.HTTP, message) if is_connecting else ConnectionLostError(message)
    )
    error.__cause__ = exc
    return error
