"""Event middlewares: they see, change or drop wire events on their way, in both directions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from realtime_core.errors import PluginError

__all__ = ["EventMiddleware", "MiddlewareChain"]


class EventMiddleware:
    """Base of all middlewares: passes everything on. Override what you need.

    Both methods are called on the event loop and must not block. They may return the event they
    got, changed or not, another one, or None to drop it. One that raises is reported as `error`
    with its name, and the event goes on as it was given to it.
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
            report: Gets a `PluginError` for each middleware that raised.
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
                changed = step(event)
            except Exception as exc:  # a middleware is foreign code
                error = PluginError(
                    f"middleware {middleware.name} raised {type(exc).__name__}: {exc}",
                    plugin=middleware.name,
                )
                error.__cause__ = exc
                self._report(error)
                continue
            if changed is None:
                return None
            event = changed
        return event
