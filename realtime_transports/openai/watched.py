"""A protocol that is watched: whoever wants to run it again later sees all that it depends on.

The protocol decides by nothing but the calls it gets, so its calls, in order, are its whole
conversation. What stands before it here passes each on and tells of it, and of what comes out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from realtime_core.middleware import EngineStep

if TYPE_CHECKING:
    from realtime_core.events import Emit
    from realtime_core.middleware import EngineWatch
    from realtime_core.middleware_chain import MiddlewareChain
    from realtime_transports.openai.protocol import ClientProtocol

__all__ = ["ENGINE", "QUESTIONS", "watched"]

ENGINE = "openai"
"""What a watch is told is before it; `replay.make_engine` makes the same again."""

QUESTIONS = frozenset({"audio_format", "build_session_payload"})
"""Methods of protocols that change nothing."""

ProtocolT = TypeVar("ProtocolT", bound="ClientProtocol")


def watched(protocol: ProtocolT, middlewares: MiddlewareChain) -> ProtocolT:
    """The protocol, watched by what the middlewares bring; itself where that is nothing."""
    watch = middlewares.watch()
    if watch is None:
        return protocol
    return cast("ProtocolT", _Watched(protocol, watch))


class _Watched:
    """Passes everything on to a protocol. Has its attributes and methods, whichever it is."""

    _protocol: ClientProtocol
    _watch: EngineWatch
    _untaken: set[str]
    _now: float | None

    def __init__(self, protocol: ClientProtocol, watch: EngineWatch) -> None:
        # Not by assignment, which sets the protocol's attributes.
        vars(self).update(
            _protocol=protocol,
            _watch=watch,
            _untaken={"sends", "emits"},
            _now=None,
        )
        watch.attached(f"{ENGINE}:{type(protocol).__name__}")
        self._enter("model=", protocol.model)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._protocol, name)
        if not callable(value) or name.startswith("_") or name in QUESTIONS:
            return value
        return partial(self._call, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        self._enter(f"{name}=", value)
        setattr(self._protocol, name, value)

    def advance(self, now: float) -> None:
        deadline = self._protocol.next_deadline
        if deadline is not None and deadline <= now:
            self._call("advance", self._protocol.advance, now)
            return
        # Each event would be two steps if this were one. The next step tells it.
        vars(self)["_now"] = now
        self._protocol.advance(now)

    def take_sends(self) -> list[dict[str, Any]]:
        self._untaken.discard("sends")
        events = self._protocol.take_sends()
        if events:
            self._watch.decided(events)
        return events

    def take_emits(self) -> list[Emit]:
        self._untaken.discard("emits")
        emits = self._protocol.take_emits()
        if emits:
            self._watch.told(emits)
        return emits

    def _call(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._enter(name, *args, **kwargs)
        try:
            return method(*args, **kwargs)
        except Exception as exc:  # told and passed on
            self._watch.raised(exc)
            raise

    def _enter(self, name: str, *args: Any, **kwargs: Any) -> None:
        untaken = tuple(sorted(self._untaken))
        self._untaken.update(("sends", "emits"))
        self._watch.entered(EngineStep(name, args, kwargs, untaken, self._now))
        vars(self)["_now"] = None
