"""Event middlewares: they see, change or drop wire events on their way, in both directions.

Besides the events a middleware may be told of the link's life, see the audio through a tap, and
watch the engine: what goes into the protocol and what it decides. All of this is optional.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from realtime_core.audio import AudioTap
    from realtime_core.events import Emit

__all__ = ["EngineStep", "EngineWatch", "EventMiddleware", "Passed"]

Passed: TypeAlias = dict[str, Any] | list[dict[str, Any]] | None
"""What a middleware lets through: an event, several in its place, or none."""


@dataclass(frozen=True, slots=True)
class EngineStep:
    """Something that goes into the engine: it has not happened yet."""

    name: str
    """The engine's method, such as ``receive`` or ``send_message``; an attribute that is set has a
    ``=`` behind its name, such as ``model=``."""
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    untaken: tuple[str, ...] = ()
    """What was not asked for since the step before: ``"sends"``, ``"emits"``."""
    now: float | None = None
    """The time that the engine was told before, by ``advance``; None where that has not changed.
    Nothing was due then: where something was, ``advance`` is a step of its own."""


class EngineWatch(Protocol):
    """Sees what goes into the engine and what it decides, in order. Must not block.

    With what it sees, the engine can be run again; `realtime_core.replay` does that.
    """

    def attached(self, engine: str) -> None:
        """What is watched, before anything else: a spec, by which a plugin makes its like.

        What this raises, whoever makes the transport gets.
        """

    def entered(self, step: EngineStep) -> None:
        """Something goes in."""

    def raised(self, error: Exception) -> None:
        """What went in last was refused."""

    def decided(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Client events that it wants to send, as one batch, before any middleware has seen them.

        When one cannot be sent, a step ``send_failed`` follows, and those behind it are dropped.
        """

    def told(self, emits: Sequence[Emit]) -> None:
        """Events for the program, as one batch, before any listener has heard them."""


class EventMiddleware:
    """Base of all middlewares: passes everything on. Override what you need.

    All methods are called on the event loop and must not block. `incoming` and `outgoing` get a
    copy of the event and may return it, changed or not, another one, a list of events that go on
    in its place, or None to drop it. A middleware that raises, or returns what is no event, is
    reported as `error` with its name, and the event goes on as it was.
    """

    @property
    def name(self) -> str:
        """What it is called in errors."""
        return type(self).__name__

    @property
    def tap(self) -> AudioTap | None:
        """What of it sees the conversation's audio, if anything. Asked for once a transport."""
        return None

    @property
    def watch(self) -> EngineWatch | None:
        """What of it watches the engine, if anything. Asked for once a transport."""
        return None

    def incoming(self, event: dict[str, Any]) -> Passed:
        """An event of the server, before the transport looks at it."""
        return event

    def outgoing(self, event: dict[str, Any]) -> Passed:
        """An event for the server, as the last thing before it is sent."""
        return event

    def link_opened(self, model: str) -> None:
        """A link carries events from now on; its configuration is about to be sent.

        Args:
            model: The model that is asked for.
        """

    def link_closed(self) -> None:
        """The link is gone. Comes once for each `link_opened`, whatever ended it."""

    def error_reported(self, error: Exception) -> None:
        """The transport tells the program of an error that no server event brought."""
