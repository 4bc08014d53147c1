"""An event loop whose clock stands still until it is moved by hand."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from contextvars import Context
from typing import Any

__all__ = ["TURNS", "VirtualLoop", "run_virtually", "settle"]

TURNS = 60
"""Turns of the loop after which everything that can run has run.

The reference was recorded with 12; awaits through a few more layers need a few more turns.
"""

MOST_TIMERS_A_STEP = 2_000


class _NeverBlockingSelector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> Any:
        """What is ready now: there is no network to wait for, and no time that passes."""
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Timers run only while `advance` moves the clock over them."""

    def __init__(self) -> None:
        """Begin at a round time that is not zero."""
        self._now_s = 1000.0
        self._timers: list[asyncio.TimerHandle] = []
        super().__init__(_NeverBlockingSelector())

    def time(self) -> float:
        """The time that the last `advance` reached, in seconds."""
        return self._now_s

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As in any loop; the timer is remembered so that the clock can stop at it."""
        timer = super().call_at(when, callback, *args, context=context)
        self._timers.append(timer)
        return timer

    async def advance(self, duration_ms: float) -> None:
        """Move the clock, stopping at each timer on the way until everything has run.

        Raises:
            RuntimeError: Timers keep setting timers without an end.
        """
        end_s = self._now_s + duration_ms / 1000
        for _ in range(MOST_TIMERS_A_STEP):
            due = [timer.when() for timer in self._timers if not timer.cancelled()]
            next_s = min(due, default=end_s + 1)
            if next_s > end_s + 1e-9:
                self._now_s = max(self._now_s, end_s)
                await settle()
                return
            self._now_s = max(self._now_s, next_s)
            # One that is due now runs in the very next turn.
            self._timers = [timer for timer in self._timers if timer.when() > self._now_s]
            await settle()
        raise RuntimeError(f"more than {MOST_TIMERS_A_STEP} timers within {duration_ms} ms")


async def settle(turns: int = TURNS) -> None:
    """Let everything run that can run without time passing."""
    for _ in range(turns):
        await asyncio.sleep(0)


def run_virtually(main: Callable[[VirtualLoop], Any]) -> None:
    """Run a coroutine function on a loop of its own, and leave nothing behind.

    Args:
        main: Gets the loop.
    """
    loop = VirtualLoop()
    try:
        loop.run_until_complete(main(loop))
    finally:
        loop.set_exception_handler(lambda loop, context: None)
        _cancel_rest(loop)
        loop.close()


def _cancel_rest(loop: VirtualLoop) -> None:
    rest = asyncio.all_tasks(loop)
    for task in rest:
        task.cancel()

    async def end() -> None:
        await settle()
        for task in rest:
            if task.done() and not task.cancelled():
                task.exception()  # told before, or of no interest after the end

    loop.run_until_complete(end())
    loop.run_until_complete(loop.shutdown_asyncgens())
