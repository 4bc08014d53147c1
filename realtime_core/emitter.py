"""Listeners, each isolated from the others.

Events are told in the order in which things happened, even if a listener makes more happen: an
event emitted while another is told waits in a queue until all listeners of that one have run.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple, TypeVar, overload

from realtime_core.errors import PluginError, TransportError
from realtime_core.events import Emit, ErrorEvent

__all__ = ["Emitter", "Listener"]

log = logging.getLogger(__name__)

Listener = Callable[..., Any]
"""A function or coroutine function; it gets the event's payload as positional arguments."""

ListenerT = TypeVar("ListenerT", bound=Listener)

EVENTS_BUFFER = 10_000
"""Events that an `Emitter.events` iterator holds for a consumer that is behind."""

LISTENER_DEADLINE_S = 5.0
"""How long the end of a transport waits for coroutine listeners that are still running."""


class _Registered(NamedTuple):
    listener: Listener
    once: bool


class Emitter:
    """Tells events to listeners; base of all transports."""

    def __init__(self) -> None:
        """Begin without listeners."""
        self._listeners: dict[str, list[_Registered]] = {}
        self._queue: deque[Emit] = deque()
        self._is_telling = False
        self._followers: list[Callable[[Emit], None]] = []
        self._listener_tasks: set[asyncio.Task[Any]] = set()
        self._listeners_at_end: set[asyncio.Task[Any]] = set()
        """Listeners that wait in `_finish_listeners` themselves."""

    @overload
    def on(self, event: str, listener: ListenerT) -> ListenerT: ...
    @overload
    def on(self, event: str) -> Callable[[ListenerT], ListenerT]: ...
    def on(self, event: str, listener: Listener | None = None) -> Any:
        """Call a listener at each such event.

        Without a listener it is a decorator. A listener added while the event is being told hears
        the next one first. Returns the listener.
        """
        return self._add(event, listener, once=False)

    @overload
    def once(self, event: str, listener: ListenerT) -> ListenerT: ...
    @overload
    def once(self, event: str) -> Callable[[ListenerT], ListenerT]: ...
    def once(self, event: str, listener: Listener | None = None) -> Any:
        """Call a listener at the next such event only; otherwise like `on`."""
        return self._add(event, listener, once=True)

    def off(self, event: str, listener: Listener) -> None:
        """Forget a listener, the one added last if it was added twice; unknown ones are ignored."""
        registered = self._listeners.get(event, [])
        for index in range(len(registered) - 1, -1, -1):
            # Bound methods are equal without being identical.
            if registered[index].listener == listener:
                del registered[index]
                return

    def emit(self, event: str, *args: Any) -> bool:
        """Tell an event to its listeners, and to whoever iterates over `events`.

        A listener that raises is reported as `error`, and the others run. An `error` that nobody
        hears is logged. A coroutine function needs a running event loop.

        Returns:
            Whether anybody listens to this event.
        """
        is_heard = bool(self._listeners.get(event) or self._followers)
        if self._is_telling:
            self._queue.append(Emit(event, args))
        elif is_heard:
            self._tell_all(event, args)
        elif event == "error":
            _log_unheard(args)
        return is_heard

    def has_listeners(self, event: str) -> bool:
        """Whether anybody listens to this event; an `events` iterator listens to all."""
        return bool(self._listeners.get(event) or self._followers)

    async def wait_for(self, event: str, *, timeout_s: float = 60.0) -> tuple[Any, ...]:
        """Wait for the next such event.

        Args:
            event: Its name.
            timeout_s: How long to wait, in seconds.

        Returns:
            The event's payload, as listeners get it.

        Raises:
            TransportError: It did not come in time, or the connection ended first.
        """
        told: asyncio.Future[Emit] = asyncio.get_running_loop().create_future()
        awaited = {event, "disconnected"}
        listeners = {name: _telling(told, name) for name in awaited}
        for name, listener in listeners.items():
            self.on(name, listener)
        try:
            async with asyncio.timeout(timeout_s):
                emit = await told
        except TimeoutError:
            raise TransportError(f"no {event!r} came within {timeout_s:g} s") from None
        finally:
            for name, listener in listeners.items():
                self.off(name, listener)
        if emit.type != event:
            raise TransportError(f"the connection ended before {event!r} came")
        return emit.args

    async def events(self) -> AsyncIterator[Emit]:
        """The transport's events as an iterator of `Emit(type, args)`, until `disconnected`.

        It begins with the first event after the iteration started.

        Raises:
            TransportError: The consumer is more than 10,000 events behind.
        """
        queue: deque[Emit] = deque()
        arrived = asyncio.Event()
        is_over = False

        def take(emit: Emit) -> None:
            nonlocal is_over
            if is_over:
                return  # what has a gap must not look whole again
            if len(queue) >= EVENTS_BUFFER:
                is_over = True
            else:
                queue.append(emit)
            arrived.set()

        self._followers.append(take)
        try:
            while True:
                while queue:
                    emit = queue.popleft()
                    yield emit
                    if emit.type == "disconnected":
                        return
                if is_over:
                    raise TransportError(
                        f"the consumer of events() is more than {EVENTS_BUFFER} events behind"
                    )
                arrived.clear()
                await arrived.wait()
        finally:
            self._followers.remove(take)

    def _add(self, event: str, listener: Listener | None, *, once: bool) -> Any:
        if listener is None:
            return lambda decorated: self._add(event, decorated, once=once)
        self._listeners.setdefault(event, []).append(_Registered(listener, once))
        return listener

    def _tell_all(self, event: str, args: tuple[Any, ...]) -> None:
        """Tell an event, and then what its listeners made happen."""
        self._is_telling = True
        try:
            self._dispatch(event, *args)
            while self._queue:
                event, args = self._queue.popleft()
                self._dispatch(event, *args)
        finally:
            self._is_telling = False

    def _dispatch(self, event: str, *args: Any) -> None:
        """Run the listeners of one event."""
        if self._followers:
            emit = Emit(event, args)
            for follower in list(self._followers):
                follower(emit)
        if event == "error" and not self.has_listeners("error"):
            _log_unheard(args)
        for entry in list(self._listeners.get(event, ())):
            if entry.once:
                self._forget(event, entry)
            self._call(event, entry.listener, args)

    def _forget(self, event: str, entry: _Registered) -> None:
        """Forget this registration; the same listener may have others."""
        registered = self._listeners[event]
        registered[:] = [other for other in registered if other is not entry]

    def _call(self, event: str, listener: Listener, args: tuple[Any, ...]) -> None:
        try:
            result = listener(*args)
            if result is not None and inspect.isawaitable(result):
                self._run_in_background(event, listener, result)
        # A listener is foreign code. One that asks a cancelled future for its result raises
        # CancelledError, although nobody cancels the task that emits.
        except (Exception, asyncio.CancelledError) as exc:
            self._report_listener(event, listener, exc)

    def _run_in_background(self, event: str, listener: Listener, awaitable: Any) -> None:
        async def run() -> None:
            try:
                await awaitable
            except Exception as exc:  # a listener is foreign code
                self._report_listener(event, listener, exc)

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            if inspect.iscoroutine(awaitable):
                awaitable.close()  # or Python warns that it was never awaited
            raise
        task = loop.create_task(run())
        self._listener_tasks.add(task)
        task.add_done_callback(self._listener_tasks.discard)

    def _report_listener(self, event: str, listener: Listener, exc: BaseException) -> None:
        name = getattr(listener, "__qualname__", repr(type(listener)))
        error = PluginError(
            f"listener {name} of {event!r} raised {type(exc).__name__}: {exc}", plugin=name
        )
        error.__cause__ = exc
        if event == "error":  # telling it again would go round for ever
            log.error("%s", error, exc_info=exc)
        else:
            self.emit("error", ErrorEvent(error))

    async def _finish_listeners(self) -> None:
        """Wait for coroutine listeners that still run, then cancel them.

        A listener may ask for it too. It waits neither for itself nor for other listeners that
        wait here: they would wait for each other.
        """
        caller = asyncio.current_task()
        if caller is None or caller not in self._listener_tasks:
            await self._wait_for_listeners(set())
            return
        self._listeners_at_end.add(caller)
        try:
            await self._wait_for_listeners(self._listeners_at_end)
        finally:
            self._listeners_at_end.discard(caller)

    async def _wait_for_listeners(self, besides: set[asyncio.Task[Any]]) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + LISTENER_DEADLINE_S
        while (tasks := self._listener_tasks - besides) and loop.time() < deadline_s:
            await asyncio.wait(
                tasks,
                timeout=deadline_s - loop.time(),
                return_when=asyncio.FIRST_COMPLETED,
            )
        for task in tasks:
            log.warning("a listener still ran %.0f s after the end", LISTENER_DEADLINE_S)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _telling(told: asyncio.Future[Emit], name: str) -> Callable[..., None]:
    def tell(*args: Any) -> None:
        if not told.done():
            told.set_result(Emit(name, args))

    return tell


def _log_unheard(args: tuple[Any, ...]) -> None:
    log.error("an error nobody listens to: %s", _describe_error(args))


def _describe_error(args: tuple[Any, ...]) -> str:
    error = getattr(args[0], "error", args[0]) if args else "unknown"
    return f"{type(error).__name__}: {error}" if isinstance(error, Exception) else str(error)
