"""Takes down what happens in a case, with the step in which it happens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Mapping
from typing import Any

from realtime_core.handles import Handle
from tests.conformance.names import from_payload
from tests.conformance.trace import Emitted, Failure, Got, HttpCall, Promise, Sent, Socket, Trace
from tests.conformance.values import plain

__all__ = ["Recorder"]


class Recorder:
    """What happened so far."""

    def __init__(self) -> None:
        """Begin before the first step."""
        self.trace = Trace()
        self.step = -1
        self.is_over = False
        """True after the last step: what closing brings about belongs to no step."""
        self._tasks: set[asyncio.Task[Any]] = set()

    def sent(self, conn: int, event: Any) -> None:
        """A client event left."""
        if not self.is_over:
            self.trace.sent.append(Sent(self.step, conn, event))

    def emitted(self, event: str, args: tuple[Any, ...]) -> None:
        """An event is about to be told."""
        if not self.is_over:
            payload = [from_payload(event, plain(arg)) for arg in args]
            self.trace.emitted.append(Emitted(self.step, event, payload))

    def got(self, kind: str, name: str, value: Any) -> None:
        """A value came back. Handles to wait for count as nothing."""
        if kind == "call" and (value is None or isinstance(value, Awaitable | Handle)):
            return
        self.trace.gets.append(Got(self.step, kind, name, plain(value)))

    def failed(
        self,
        where: str,
        error: BaseException,
        call: str | None = None,
        call_step: int | None = None,
    ) -> None:
        """An error came out somewhere."""
        if not self.is_over:
            self.trace.failures.append(Failure(self.step, where, error, call, call_step))

    def http(self, method: str, url: str, headers: Mapping[str, str], body: Any) -> None:
        """A request left."""
        lower = {name.lower(): value for name, value in headers.items()}
        text = bytes(body).decode() if isinstance(body, bytes | bytearray) else body
        self.trace.http.append(HttpCall(self.step, method, str(url), lower, text))

    def opened(self, conn: int, how: dict[str, Any]) -> None:
        """A WebSocket was made."""
        if not self.is_over:
            self.trace.sockets.append(Socket(self.step, conn, how))

    def watch(self, call: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run a call that takes time, and take down how it ends."""
        promise = Promise(call, self.step, None, "pending")
        self.trace.promises.append(promise)
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._settled(promise, done))

    def background(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run a handler that is a coroutine, as pyee does."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._handler_ended)

    def _settled(self, promise: Promise, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if self.is_over:
            if not task.cancelled():
                task.exception()
            return
        promise.settled = self.step
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        promise.outcome = "ok" if error is None else "error"
        if error is None:
            promise.value = plain(task.result())
        else:
            self.failed("reject", error, promise.call, promise.step)

    def _handler_ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.failed("listener", error)

    def uncaught(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        """The loop's exception handler."""
        error = context.get("exception") or RuntimeError(str(context.get("message")))
        self.failed("uncaught", error)
