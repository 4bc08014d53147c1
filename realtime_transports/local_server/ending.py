"""Ends the tasks in which foreign code runs, which may not want to end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

__all__ = ["end_tasks"]

log = logging.getLogger(__name__)

STOP_DEADLINE_S = 2.0
"""A responder has nothing to do any more but to let go."""


async def end_tasks(tasks: Collection[asyncio.Task[None]], whose: object) -> None:
    """Cancel tasks and wait for their end; those that do not end are told and left.

    Args:
        tasks: Whose exceptions nobody else asks for are logged by the loop.
        whose: The responder that they are of.
    """
    for task in tasks:
        task.cancel()
    if not tasks:
        return
    _, left = await asyncio.wait(tasks, timeout=STOP_DEADLINE_S)
    if left:
        name = type(whose).__name__
        log.warning("the responder %s goes on though it was cancelled", name)
