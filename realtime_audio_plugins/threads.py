"""Calls that may block, made outside the event loop and given up when they take too long."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from realtime_core.errors import AudioError

__all__ = ["Notifier", "call_in_thread"]

T = TypeVar("T")


class Notifier:
    """Lets a thread wake one waiter in the event loop."""

    def __init__(self) -> None:
        """Belong to the running loop."""
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Wake the waiter; from any thread."""
        # RuntimeError: the loop ended and nobody closed the device, so nobody waits either.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the next `notify` after the last `wait`; False when none came in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            # Where the loop itself stood still, both happened: then it was not the device.
            if not self._event.is_set():
                return False
        self._event.clear()
        return True


async def call_in_thread(
    function: Callable[[], T], *, undo: Callable[[T], object], timeout_s: float, what: str
) -> T:
    """What a function returns or raises that may block.

    The thread is a daemon, not one of the loop's executor: the executor is waited for when the loop
    ends, so one call that never returns would keep the program from ending.

    Args:
        function: Called once.
        undo: Called with the result where nobody waits for it any more; from any thread.
        timeout_s: When to give up, in seconds.
        what: What takes so long, for the error.

    Raises:
        AudioError: It took too long.
    """
    # Never marked as running, so that it can be cancelled until it has a result.
    future: concurrent.futures.Future[T] = concurrent.futures.Future()
    done = Notifier()
    future.add_done_callback(lambda _: done.notify())
    thread = threading.Thread(
        target=_call, args=(function, future, undo), name="realtime-audio-call", daemon=True
    )
    thread.start()
    try:
        is_done = await done.wait(timeout_s)
    except asyncio.CancelledError:
        if not future.cancel() and future.exception() is None:
            undo(future.result())
        raise
    if not is_done and future.cancel():
        raise AudioError(f"{what} did not answer within {timeout_s:g} s")
    return future.result()


def _call(
    function: Callable[[], T], future: concurrent.futures.Future[T], undo: Callable[[T], object]
) -> None:
    try:
        result = function()
    except Exception as exc:  # whatever it is, it belongs to the waiter
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            future.set_exception(exc)
        return
    try:
        future.set_result(result)
    except concurrent.futures.InvalidStateError:
        undo(result)
