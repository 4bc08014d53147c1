"""Event middlewares: they see, change or drop wire events on their way, in both directions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from realtime_core.errors import PluginError

__all__ = ["EventMiddleware", "MiddlewareChain"]


class EventMiddleware:
    """Base of all middlewares: passes everything on. Override what you need.

    Both methods are called on the event loop and must not block. They get a copy of the event and
    may return it, changed or not, another one, or None to drop it. One that raises, or returns
    what is no event, is reported as `error` with its name, and the event goes on as it was.
    """

    @property
    def name(self) -> str:
        """What it is called in errors."""
        return type(self).__name__

    def incoming(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """An event of the server, before the transport looks at it."""
        return event

    def outgoing(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """An event for the server, as the last thing before it is sent."""
        return event


class MiddlewareChain:
    """Middlewares in order: outgoing events pass from first to last, incoming from last to first.

    So the first is the nearest to the program, the last the nearest to the wire.
    """

    def __init__(
        self, middlewares: Iterable[EventMiddleware], report: Callable[[Exception], None]
    ) -> None:
        """Put middlewares in a row.

        Args:
            middlewares: The first is the nearest to the program.
            report: Gets a `PluginError` for each middleware that failed.
        """
        self._middlewares = tuple(middlewares)
        self._report = report

    def incoming(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """The event as the program sees it, or None when a middleware dropped it."""
        return self._pass(event, [(m, m.incoming) for m in reversed(self._middlewares)])

    def outgoing(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """The event as the server gets it, or None when a middleware dropped it."""
        return self._pass(event, [(m, m.outgoing) for m in self._middlewares])

    def _pass(
        self,
        event: dict[str, Any],
        steps: Iterable[tuple[EventMiddleware, Callable[[dict[str, Any]], dict[str, Any] | None]]],
    ) -> dict[str, Any] | None:
        for middleware, step in steps:
            try:
                changed = step(_copy(event))
                _check(changed, event)
            except Exception as exc:  # a middleware is foreign code
                error = PluginError(
                    f"middleware {middleware.name} failed with {type(exc).__name__}: {exc}",
                    plugin=middleware.name,
                )
                error.__cause__ = exc
                self._report(error)
                continue
            if changed is None:
                return None
            event = changed
        return event


def _copy(value: Any) -> Any:
    """A copy that can be changed without changing the original; what is no JSON is shared."""
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_copy(inner) for inner in value]
    return value


def _check(changed: object, event: dict[str, Any]) -> None:
    """Refuse what a middleware made of an event, unless it is an event or None.

    Raises:
        TypeError: It is something else.
    """
    if inspect.iscoroutine(changed):
        changed.close()
        raise TypeError("it is a coroutine function; middlewares are plain functions")
    if changed is not None and not isinstance(changed, dict):
        raise TypeError(f"it returned {type(changed).__name__} instead of an event")
    if changed is not None and "type" in event and not isinstance(changed.get("type"), str):
        raise TypeError("it returned an event without a type")
