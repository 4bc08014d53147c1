"""A row of middlewares: what passes through them, and what of them fails.

Middlewares are foreign code. One that raises is reported with its name, and everything goes on as
if it were not there.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from realtime_core.errors import AudioError, PluginError, RealtimeError

if TYPE_CHECKING:
    from realtime_core.audio import AudioFrame, AudioTap
    from realtime_core.events import Emit
    from realtime_core.middleware import EngineStep, EngineWatch, EventMiddleware

__all__ = ["MiddlewareChain"]

log = logging.getLogger(__name__)

SLOW_S = 0.05
"""The audio of a call stutters when the event loop stands still for longer than this."""

_Direction: TypeAlias = Literal["incoming", "outgoing"]


class MiddlewareChain:
    """Middlewares in order: outgoing events pass from first to last, incoming from last to first.

    So the first is the nearest to the program, the last the nearest to the wire.
    """

    def __init__(
        self,
        middlewares: Iterable[EventMiddleware],
        report: Callable[[Exception], None],
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Put middlewares in a row.

        Args:
            middlewares: The first is the nearest to the program.
            report: Gets a `PluginError` for each middleware that failed.
            clock: Seconds, of any clock that only goes forward. With it, a middleware that takes
                long is named in a warning, once; None does not look.
        """
        self._middlewares = tuple(middlewares)
        self._inwards = self._middlewares[::-1]
        self._report = report
        self._clock = clock
        self._known_slow: set[int] = set()
        self._is_reporting = False

    def incoming(
        self, event: dict[str, Any], *, again: Callable[[], dict[str, Any]] | None = None
    ) -> list[dict[str, Any]]:
        """The event as the program sees it: usually one, none when a middleware dropped it.

        Args:
            event: It stays as it is, unless `again` is given.
            again: Makes the event anew, where nobody else holds it: saves a copy, and is needed
                only when a middleware fails.
        """
        if again is None:
            return self._pass([event], self._inwards, "incoming")
        if not self._inwards:
            return [event]
        events = self._take(self._inwards[0], "incoming", event)
        if events is None:
            events = [again()]
        return self._pass(events, self._inwards[1:], "incoming")

    def outgoing(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """The event as the server gets it: usually one, none when a middleware dropped it."""
        return self._pass([event], self._middlewares, "outgoing")

    def link_opened(self, model: str) -> None:
        """Tell all middlewares."""
        self._tell_all([(m, partial(m.link_opened, model)) for m in self._middlewares])

    def link_closed(self) -> None:
        """Tell all middlewares."""
        self._tell_all([(m, m.link_closed) for m in self._middlewares])

    def error_reported(self, error: Exception) -> None:
        """Tell all middlewares; what one of them raises at this is logged and not told again."""
        if self._is_reporting:
            log.error("while an error was told to the middlewares: %s", error)
            return
        self._is_reporting = True
        try:
            self._tell_all([(m, partial(m.error_reported, error)) for m in self._middlewares])
        finally:
            self._is_reporting = False

    def watch(self) -> EngineWatch | None:
        """One watch for all that the middlewares bring; None when they bring none.

        Raises:
            PluginError: A middleware fails when it is asked for its watch.
        """
        watches = list(self._parts("watch"))
        return _Watches(self, watches) if watches else None

    def with_tap(self, tap: AudioTap | None) -> AudioTap | None:
        """One tap for the given one and all that the middlewares bring.

        Raises:
            PluginError: A middleware fails when it is asked for its tap.
        """
        found = list(self._parts("tap"))
        if not found:
            return tap
        return _Taps(self, tap, found)

    def call(self, middleware: EventMiddleware, action: Callable[[], None]) -> bool:
        """Do something of a middleware's; False when it raised, which has been reported then."""
        began_s = self._clock() if self._clock else 0.0
        try:
            action()
        except Exception as exc:  # a middleware is foreign code
            self._report_failure(middleware, exc)
            return False
        finally:
            if self._clock is not None:
                duration_s = self._clock() - began_s
                if duration_s > SLOW_S:
                    self._note_slow(middleware, duration_s)
        return True

    def report_tap(self, tap: AudioTap, exc: Exception) -> None:
        """Report what the transport's own tap raised."""
        if isinstance(exc, AudioError):
            self._report(exc)
            return
        error = AudioError(f"tap {type(tap).__name__} raised {type(exc).__name__}: {exc}")
        error.__cause__ = exc
        self._report(error)

    def _parts(self, attribute: str) -> Iterator[tuple[EventMiddleware, Any]]:
        for middleware in self._middlewares:
            with _setting_up(middleware):
                part = getattr(middleware, attribute)
            if part is not None:
                yield middleware, part

    def _tell_all(self, calls: Iterable[tuple[EventMiddleware, Callable[[], None]]]) -> None:
        for middleware, action in calls:
            self.call(middleware, action)

    def _pass(
        self,
        events: list[dict[str, Any]],
        middlewares: Iterable[EventMiddleware],
        direction: _Direction,
    ) -> list[dict[str, Any]]:
        for middleware in middlewares:
            if len(events) == 1:  # nearly always
                passed = self._take(middleware, direction, _copy_object(events[0]))
                events = events if passed is None else passed
            else:
                events = [
                    each
                    for event in events
                    for each in self._pass([event], [middleware], direction)
                ]
        return events

    def _take(
        self, middleware: EventMiddleware, direction: _Direction, event: dict[str, Any]
    ) -> list[dict[str, Any]] | None:
        """What a middleware makes of an event that is its own; None when it fails."""
        # As in `call`, spelled out: it runs for each event of each middleware.
        began_s = self._clock() if self._clock else 0.0
        try:
            has_type = "type" in event  # asked before the middleware changes it
            passed = getattr(middleware, direction)(event)
            if isinstance(passed, dict) and isinstance(passed.get("type"), str):
                return [passed]
            return _checked(passed, needs_type=has_type)
        except Exception as exc:  # a middleware is foreign code
            self._report_failure(middleware, exc)
            return None
        finally:
            if self._clock is not None:
                duration_s = self._clock() - began_s
                if duration_s > SLOW_S:
                    self._note_slow(middleware, duration_s)

    def _report_failure(self, middleware: EventMiddleware, exc: Exception) -> None:
        self._report(_failure(middleware, exc))

    def _note_slow(self, middleware: EventMiddleware, duration_s: float) -> None:
        if id(middleware) not in self._known_slow:
            self._known_slow.add(id(middleware))
            log.warning(
                "middleware %s kept the event loop for %.0f ms; audio stutters meanwhile",
                _name(middleware),
                duration_s * 1000,
            )


class _Watches:
    """An `EngineWatch` in front of those that middlewares bring."""

    def __init__(
        self, chain: MiddlewareChain, watches: list[tuple[EventMiddleware, EngineWatch]]
    ) -> None:
        self._chain = chain
        self._watches = watches

    def attached(self, engine: str) -> None:
        for middleware, watch in self._watches:
            with _setting_up(middleware):
                watch.attached(engine)

    def entered(self, step: EngineStep) -> None:
        self._tell(lambda watch: watch.entered(step))

    def raised(self, error: Exception) -> None:
        self._tell(lambda watch: watch.raised(error))

    def decided(self, events: Sequence[Mapping[str, Any]]) -> None:
        self._tell(lambda watch: watch.decided(events))

    def told(self, emits: Sequence[Emit]) -> None:
        self._tell(lambda watch: watch.told(emits))

    def _tell(self, tell: Callable[[EngineWatch], None]) -> None:
        for middleware, watch in self._watches:
            self._chain.call(middleware, partial(tell, watch))


class _Taps:
    """An `AudioTap` in front of the transport's own and those that middlewares bring.

    One that raises is reported and not used any more; the others see the frame all the same.
    """

    def __init__(
        self,
        chain: MiddlewareChain,
        own: AudioTap | None,
        taps: list[tuple[EventMiddleware, AudioTap]],
    ) -> None:
        self._chain = chain
        self._own = own
        self._taps = taps

    def sent(self, frame: AudioFrame, at_s: float) -> None:
        self._show(lambda tap: tap.sent(frame, at_s))

    def heard(self, frame: AudioFrame, at_s: float) -> None:
        self._show(lambda tap: tap.heard(frame, at_s))

    def _show(self, show: Callable[[AudioTap], None]) -> None:
        self._taps = [
            (middleware, tap)
            for middleware, tap in self._taps
            if self._chain.call(middleware, partial(show, tap))
        ]
        if self._own is None:
            return
        try:
            show(self._own)
        except Exception as exc:  # a tap is foreign code
            own, self._own = self._own, None
            self._chain.report_tap(own, exc)


@contextlib.contextmanager
def _setting_up(middleware: EventMiddleware) -> Iterator[None]:
    """Name a middleware that fails while the transport is made: nobody listens yet."""
    try:
        yield
    except RealtimeError:
        raise
    except Exception as exc:  # a middleware is foreign code
        raise _failure(middleware, exc) from exc


def _failure(middleware: EventMiddleware, exc: Exception) -> PluginError:
    name = _name(middleware)
    error = PluginError(f"middleware {name} failed with {type(exc).__name__}: {exc}", plugin=name)
    error.__cause__ = exc
    return error


def _name(middleware: EventMiddleware) -> str:
    try:
        return str(middleware.name)
    except Exception:  # even its name is foreign code
        return type(middleware).__name__


def _copy_object(value: dict[str, Any]) -> dict[str, Any]:
    """A copy that can be changed without changing the original; what is no JSON is shared."""
    copied = dict(value)
    for key, inner in value.items():
        # Nearly all values are neither, and this runs for each of each event.
        if isinstance(inner, dict):
            copied[key] = _copy_object(inner)
        elif isinstance(inner, list):
            copied[key] = _copy_list(inner)
    return copied


def _copy_list(value: list[Any]) -> list[Any]:
    return [
        _copy_object(inner)
        if isinstance(inner, dict)
        else _copy_list(inner)
        if isinstance(inner, list)
        else inner
        for inner in value
    ]


def _checked(passed: object, *, needs_type: bool) -> list[dict[str, Any]]:
    """What a middleware made of an event, as a list of events.

    Raises:
        TypeError: It is something else.
    """
    if passed is None:
        return []
    if inspect.iscoroutine(passed):
        passed.close()
        raise TypeError("it is a coroutine function; middlewares are plain functions")
    events: list[Any] = passed if isinstance(passed, list) else [passed]
    for each in events:
        if not isinstance(each, dict):
            raise TypeError(f"it returned {type(each).__name__} instead of an event")
        if needs_type and not isinstance(each.get("type"), str):
            raise TypeError("it returned an event without a type")
    return events
