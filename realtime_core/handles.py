"""What a call returns whose outcome comes later: a handle with a method that waits for it.

It may be ignored as well. A protocol settles it, without I/O; who waits is woken by the event loop.
A failure that nobody waits for when it comes is not lost: the protocol tells it as `error`.

A handle is no awaitable itself: a listener that is a plain function and returns one, as ``lambda``
does, would be taken for a coroutine function that waits for it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

__all__ = ["Handle", "HistoryResetHandle", "HistoryStep", "ResponseHandle"]

_T = TypeVar("_T")


class Handle(Generic[_T]):
    """An outcome that comes later. It is settled once; what comes after that changes nothing."""

    def __init__(self) -> None:
        self._result: list[_T] = []
        self._error: Exception | None = None
        self._is_heard = False
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def is_settled(self) -> bool:
        """Whether the outcome is known."""
        return bool(self._result) or self._error is not None

    @property
    def error(self) -> Exception | None:
        """Why it failed; None where it has not, or not yet."""
        return self._error

    @property
    def is_heard(self) -> bool:
        """Whether it failed and this was raised to somebody who waited. For transports."""
        return self._is_heard

    @property
    def result(self) -> _T | None:
        """What came of it; None where nothing has, or not yet."""
        return self._result[0] if self._result else None

    def settle(self, result: _T) -> None:
        """It went well. For protocols."""
        if not self.is_settled:
            self._result.append(result)
            self._wake()

    def fail(self, error: Exception) -> bool:
        """It failed. For protocols.

        Returns:
            Whether somebody learns of it by waiting, or has learnt of an earlier failure; if not,
            tell it as `error`. What went well and fails after all nobody learns of by waiting.
        """
        if self.is_settled:
            return self._error is not None
        self._error = error
        return self._wake()

    async def _wait(self) -> _T:
        if not self.is_settled:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)
        if self._error is not None:
            self._is_heard = True
            raise self._error
        return self._result[0]

    def _wake(self) -> bool:
        waiting = [future for future in self._waiting if not future.done()]
        for future in waiting:
            future.set_result(None)
        return bool(waiting)


class ResponseHandle(Handle[str | None]):
    """What `request_response` returns: the fate of a request for a response.

    It may be ignored. A failure for which nobody waits when it comes is told as `error`, unless the
    server's own `error` event has told it already; who waits later still gets it. Who waits as soon
    as the call returns is in time for a failure of the call itself. When the connection ends, only
    who waits is told.
    """

    async def wait_created(self) -> str | None:
        """Wait until a response has begun. Cancelling the wait cancels nothing else.

        A server does not say which request a response answers. When its turn detection begins one
        while the request is on its way, that one's id comes here, and the request, which the server
        then refuses, is sent again when that response has ended, unless it was interrupted.

        Returns:
            The response's id; None where the server did not tell it.

        Raises:
            ResponseError: The server refused it; also one that was interrupted, because another
                response was active.
            ResponseTimeoutError: The server did not begin it in time.
            TransportError: The request could not leave, or the connection ended first.
        """
        return await self._wait()


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """One request of a reset of the history, and what came of it.

    A function call with its output is two items on the server, so it has two steps.
    """

    kind: Literal["delete", "create"]
    item_id: str
    """The history's item."""
    error: Exception | None = None
    """Why it was not done; None if it was."""


class HistoryResetHandle(Handle[tuple[HistoryStep, ...]]):
    """What `reset_history` returns: what becomes of the reset.

    It may be ignored. A failure for which nobody waits when it comes is told as `error`, unless the
    server's own `error` event has told it already and all could be undone; who waits later still
    gets it. When the connection ends, only who waits is told.
    """

    async def wait_applied(self) -> tuple[HistoryStep, ...]:
        """Wait until the server has confirmed each step. Cancelling the wait cancels nothing else.

        Returns:
            The steps, in the order they were sent; none where nothing had to change.

        Raises:
            HistoryResetError: A step was refused, could not be sent or was not answered in time;
                what could be undone is undone by then.
            TransportError: The connection ended first.
        """
        return await self._wait()
