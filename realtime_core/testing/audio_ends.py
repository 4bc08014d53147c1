"""What the suites of audio sources and sinks share: each is opened, closed and leaves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from realtime_core.errors import AudioError
from realtime_core.testing.demand import broken, require
from realtime_core.testing.leaks import LoopLeakWatch

__all__ = ["AudioEnd", "opened", "refuse_to_open", "watched"]


class AudioEnd(Protocol):
    """A source or a sink."""

    async def open(self) -> None:
        """Begin."""

    async def close(self) -> None:
        """Release everything."""


End = TypeVar("End", bound=AudioEnd)


@asynccontextmanager
async def watched(contract: type[Any], deadline_s: float) -> AsyncIterator[None]:
    """Sees that nothing waits for ever, and nothing is left.

    Args:
        contract: `AudioSource` or `AudioSink`.
        deadline_s: For all that is done within, in seconds.
    """
    watch = LoopLeakWatch(gc_generation=1)
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except TimeoutError:
        broken(
            "whatever is asked of it ends, opening and closing too",
            seen=f"something did not within {deadline_s:g} s",
            see=contract,
        )
    left = await watch.find_in_loop()
    require(not left, "close() releases everything", seen=left, see=contract.close)


@asynccontextmanager
async def opened(
    contract: type[Any], make: Callable[[], End], deadline_s: float
) -> AsyncIterator[End]:
    """One that is open, is closed and leaves nothing."""
    async with watched(contract, deadline_s):
        end = make()
        await end.open()
        try:
            yield end
        finally:
            await end.close()


async def refuse_to_open(
    contract: type[Any],
    make: Callable[[], End],
    deadline_s: float,
    close: Callable[[End], Awaitable[None]],
) -> None:
    """Sees that one that cannot be opened says so, and can be closed.

    Args:
        contract: `AudioSource` or `AudioSink`.
        make: Makes such a one.
        deadline_s: For all that is done, in seconds.
        close: Closes it, as after a failure.
    """
    async with watched(contract, deadline_s):
        end = make()
        try:
            await end.open()
        except AudioError as exc:
            require(str(exc), "the error says what to do", seen=exc, see=contract.open)
        except Exception as exc:  # of whoever wrote it
            broken("open() raises AudioError", seen=exc, see=contract.open)
        else:
            broken("open() raises AudioError", seen="no error", see=contract.open)
        await close(end)
