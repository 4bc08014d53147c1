"""The threads in which models run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from realtime_core.errors import UserError

__all__ = ["Workers"]

T = TypeVar("T")

LONG_THREADS = 2


class Workers:
    """A few threads, started when first needed.

    Detection has a thread to itself: its 0.2 ms must not wait behind the words of another stream,
    or the end of a turn would be noticed late. What waits for a thread is bounded by those who
    call: each stream has one call under way at most.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._quick = ThreadPoolExecutor(1, "realtime-speech-detector")
        self._long = ThreadPoolExecutor(LONG_THREADS, "realtime-speech")
        self._under_way: set[Future[Any]] = set()
        self._is_closed = False

    async def run_quick(self, function: Callable[[], T]) -> T:
        """What a function of less than a millisecond or so returns."""
        return await self._run(self._quick, function)

    async def run(self, function: Callable[[], T]) -> T:
        """What any other function returns.

        A cancelled caller does not stop a function that has begun; its result is dropped.
        """
        return await self._run(self._long, function)

    async def close(self) -> None:
        """Drop what has not begun, wait for what has, end the threads. Twice is fine."""
        self._is_closed = True
        for future in list(self._under_way):
            future.cancel()
        # Waiting for the threads themselves would hold the event loop up. They take what they have
        # done out of the set meanwhile.
        under_way = [asyncio.wrap_future(future) for future in list(self._under_way)]
        try:
            await asyncio.gather(*under_way, return_exceptions=True)
        finally:
            self._quick.shutdown()
            self._long.shutdown()

    async def _run(self, pool: ThreadPoolExecutor, function: Callable[[], T]) -> T:
        if self._is_closed:
            raise UserError("this speech engine is closed")
        future = pool.submit(function)
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        return await asyncio.wrap_future(future)
