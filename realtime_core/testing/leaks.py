"""What a piece of code left behind: tasks, threads, sockets, exceptions nobody asked for."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

__all__ = ["LeakWatch", "LoopLeakWatch", "long_lived"]

TRIES = 20
PAUSE_S = 0.05
"""Sockets and threads are released a moment after their owner says so."""

NOT_COUNTED = ("asyncio_", "pytest_timeout")
"""Threads that belong to the loop or the test runner."""


_long_lived_threads: WeakSet[threading.Thread] = WeakSet()
_long_lived_sockets: set[str] = set()


@contextmanager
def long_lived() -> Iterator[None]:
    """What is opened within is to outlive the test, and is no leak of it."""
    threads, sockets = _threads(), _sockets()
    yield
    _long_lived_threads.update(_threads() - threads)
    _long_lived_sockets.update(_sockets() - sockets)


class LeakWatch:
    """Compares threads and sockets before and after."""

    def __init__(self) -> None:
        """Look at what is there before."""
        self._threads = _threads()
        self._sockets = _sockets()

    def find(self) -> list[str]:
        """What is there now that was not; waits a moment for what is just ending."""
        pause = threading.Event()
        for _ in range(TRIES):
            if not (left := self._look()):
                break
            gc.collect()
            pause.wait(PAUSE_S)
        return left

    def _look(self) -> list[str]:
        threads = _threads() - self._threads - set(_long_lived_threads)
        sockets = _sockets() - self._sockets - _long_lived_sockets
        return [f"thread {thread.name}" for thread in threads] + sorted(sockets)


class LoopLeakWatch(LeakWatch):
    """The same within a running event loop, with its tasks and unretrieved exceptions.

    The loop's own sockets are there before and after.
    """

    def __init__(self, *, gc_generation: int = 2) -> None:
        """Look at what is there before, and listen to the loop.

        Args:
            gc_generation: How thoroughly garbage is looked for exceptions; 2 is all of it and
                takes some 50 ms, 1 what is young, in no time.
        """
        super().__init__()
        self._gc_generation = gc_generation
        self._loop = asyncio.get_running_loop()
        self._tasks = asyncio.all_tasks()
        self._unretrieved: list[str] = []
        self._handler_before = self._loop.get_exception_handler()
        self._loop.set_exception_handler(self._note)

    async def find_in_loop(self) -> list[str]:
        """What is left now; waits a moment for what is just ending. Ends the listening."""
        left: list[str] = []
        for attempt in range(TRIES):
            tasks = asyncio.all_tasks() - self._tasks - {asyncio.current_task()}
            left = [repr(task) for task in tasks] + self._look()
            if not left:
                break
            # What was cancelled or closed last needs a few turns of the loop.
            await asyncio.sleep(PAUSE_S if attempt else 0)
        gc.collect(
            self._gc_generation
        )  # an exception nobody asked for is told when its task is forgotten
        await asyncio.sleep(0)
        self._loop.set_exception_handler(self._handler_before)
        return left + [f"nobody asked for: {each}" for each in self._unretrieved]

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._unretrieved.append(str(context))


def _threads() -> set[threading.Thread]:
    # A loop's default executor lives as long as the loop, which ends after this.
    return {thread for thread in threading.enumerate() if not thread.name.startswith(NOT_COUNTED)}


def _sockets() -> set[str]:
    """Open sockets, where the system shows them."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        return set()
    found = set()
    for link in folder.iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue  # it was closed meanwhile
        if target.startswith("socket:"):
            found.add(target)
    return found
