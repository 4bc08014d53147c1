"""Failures of what is asked for just now: who waits for it at once learns of them, alone.

A request that the link refuses has failed before the caller has its handle. Whether the caller
waits for that shows only later: in a task made for it, when that task has begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_core.events import Emit
    from realtime_core.handles import Handle

__all__ = ["HandleFailures", "running_loop"]


class HandleFailures:
    """Keeps such failures back for two turns of the loop, then tells them if nobody heard."""

    def __init__(self) -> None:
        """Begin with none."""
        self.asked: Handle[Any] | None = None
        """The handle of what is asked for now."""
        self._untold: list[tuple[Handle[Any], Emit, Callable[[Emit], None]]] = []

    def keeps_back(self, emit: Emit, tell: Callable[[Emit], None]) -> bool:
        """Whether an `error` is such a failure; then it is told in time, if need be."""
        handle, loop = self.asked, running_loop()
        if handle is None or handle.error is None or loop is None:
            return False
        if emit.args[0].error is not handle.error:
            return False
        self._untold.append((handle, emit, tell))
        loop.call_soon(loop.call_soon, self.tell_unheard)
        return True

    def tell_unheard(self) -> None:
        """Tell what nobody has heard."""
        untold, self._untold = self._untold, []
        for handle, emit, tell in untold:
            if not handle.is_heard:
                tell(emit)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop, unless this is called where nothing could be waited for."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
