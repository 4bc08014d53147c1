"""What happened in a case, or should happen: the same form for both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from tests.conformance.names import from_config, from_item, from_payload
from tests.conformance.values import UNDEFINED, ErrorShape, decode

__all__ = ["Emitted", "Failure", "Got", "HttpCall", "Promise", "Sent", "Socket", "Trace"]


@dataclasses.dataclass
class Sent:
    """A client event on its way to the server."""

    step: int
    conn: int
    """The link it left on, counted from 1; 0 where there is none."""
    event: Any


@dataclasses.dataclass
class Emitted:
    """An event of the transport."""

    step: int
    type: str
    args: list[Any]


@dataclasses.dataclass
class Got:
    """The value of a property, or what a call returned."""

    step: int
    kind: str
    """get, call or util."""
    name: str
    value: Any


@dataclasses.dataclass
class Failure:
    """An error that reached the program, or nobody."""

    step: int
    where: str
    """call, reject, listener, timer, uncaught or constructor."""
    error: ErrorShape | BaseException
    call: str | None = None
    call_step: int | None = None


@dataclasses.dataclass
class Promise:
    """The outcome of a call that takes time."""

    call: str
    step: int
    settled: int | None
    outcome: str
    """ok, error or pending."""
    value: Any = None
    """What it gave."""


@dataclasses.dataclass
class HttpCall:
    """A request."""

    step: int
    method: str
    url: str
    headers: dict[str, str]
    body: Any


@dataclasses.dataclass
class Socket:
    """A WebSocket that was opened."""

    step: int
    conn: int
    how: dict[str, Any]


@dataclasses.dataclass
class Trace:
    """Everything that is compared."""

    sent: list[Sent] = dataclasses.field(default_factory=list)
    emitted: list[Emitted] = dataclasses.field(default_factory=list)
    gets: list[Got] = dataclasses.field(default_factory=list)
    failures: list[Failure] = dataclasses.field(default_factory=list)
    promises: list[Promise] = dataclasses.field(default_factory=list)
    http: list[HttpCall] = dataclasses.field(default_factory=list)
    sockets: list[Socket] = dataclasses.field(default_factory=list)
    until: int | None = None
    """The first step that is not compared any more; None means that all are."""

    resets_free_from: int | None = None
    """The first step from which requests of history resets are judged by a requirement, and not
    compared; None means never."""

    requirements: list[tuple[str, Callable[[Trace], bool]]] = dataclasses.field(
        default_factory=list
    )
    """What must hold of all that happened, besides: what it is, and whether it does."""

    def forget_from(self, step: int) -> None:
        """Compare only what comes before this step."""
        self.until = step if self.until is None else min(step, self.until)

    def before(self, until: int | None) -> Trace:
        """The part that comes before a step; a promise that settles later is pending."""
        if until is None:
            return self
        promises = [
            p if p.settled is not None and p.settled < until else _pending(p)
            for p in self.promises
            if p.step < until
        ]
        return Trace(
            sent=[e for e in self.sent if e.step < until],
            emitted=[e for e in self.emitted if e.step < until],
            gets=[e for e in self.gets if e.step < until],
            failures=[e for e in self.failures if e.step < until],
            promises=promises,
            http=[e for e in self.http if e.step < until],
            sockets=[e for e in self.sockets if e.step < until],
        )

    def status_before(self, step: int) -> str:
        """The connection's status when a step begins."""
        changes = [
            e.args[0] for e in self.emitted if e.type == "connection_change" and e.step < step
        ]
        return str(changes[-1]) if changes else "disconnected"

    @classmethod
    def from_json(cls, expect: Mapping[str, Any]) -> Trace:
        """Read what was recorded."""
        return cls(
            sent=[Sent(e["step"], e["conn"], decode(e["event"])) for e in expect.get("sent", ())],
            emitted=[_emitted(e) for e in expect.get("emitted", ())],
            gets=[_got(e) for e in expect.get("gets", ())],
            failures=[_failure(e) for e in expect.get("errors", ())],
            promises=[
                Promise(
                    e["call"], e["step"], e.get("settled"), e["outcome"], decode(e.get("value"))
                )
                for e in expect.get("async", ())
            ],
            http=[
                HttpCall(e["step"], e["method"], e["url"], e["headers"], e["body"])
                for e in expect.get("http", ())
            ],
            sockets=[
                Socket(e["step"], e["conn"], {k: e[k] for k in e if k not in ("step", "conn")})
                for e in expect.get("sockets", ())
            ],
        )


def _pending(promise: Promise) -> Promise:
    return Promise(promise.call, promise.step, None, "pending")


def _emitted(entry: Mapping[str, Any]) -> Emitted:
    event = entry["type"]
    return Emitted(entry["step"], event, [from_payload(event, decode(a)) for a in entry["args"]])


def _got(entry: Mapping[str, Any]) -> Got:
    kind = next(kind for kind in ("get", "call", "util") if kind in entry)
    name = entry[kind]
    return Got(entry["step"], kind, name, _python_value(kind, name, decode(entry.get("value"))))


def _python_value(kind: str, name: str, value: Any) -> Any:
    if kind == "get" and name == "muted":
        # JavaScript keeps what it was given; null is said where there is nothing to mute.
        return None if value is None else value is not UNDEFINED and bool(value)
    if kind == "util" and "History" in name:
        return _items(value)
    if name == "toNewSessionConfig":
        return from_config(value)
    if kind == "util" and isinstance(value, Mapping):
        return from_item(value)
    return None if value is UNDEFINED else value


def _items(value: Any) -> Any:
    if isinstance(value, list):
        return [from_item(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _items(item) for key, item in value.items()}
    return value


def _failure(entry: Mapping[str, Any]) -> Failure:
    shape = ErrorShape(str(entry["class"]), entry.get("message"))
    return Failure(entry["step"], entry["where"], shape, entry.get("call"), entry.get("callStep"))
