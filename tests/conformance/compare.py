"""Compares what happened with what should have happened.

Levels, strongest first (vectors/README.md): what is sent, requested and opened, exactly; then the
events, values and outcomes; then errors, with their class by a table and their message only where
it is part of the contract. Interleaving of sent and told within a step is not compared.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from realtime_core.errors import (
    AudioError,
    ConnectError,
    ConnectionLostError,
    PluginError,
    ProtocolError,
    RealtimeError,
    TransportError,
    UserError,
    ValidationError,
)
from tests.conformance.trace import Failure, Promise, Trace
from tests.conformance.values import ErrorShape, canonical_ids, id_number

__all__ = ["ANY_ERROR", "difference", "matches"]

ANY_ERROR = "any"
"""Stands for the class or the message of an error about which nothing is said."""

USER_AGENT_HEADERS = frozenset({"user-agent", "x-openai-agents-sdk", "sec-websocket-protocol"})

CLIENT_PROTOCOL = "openai-agents-sdk."
"""Begins the subprotocol in which the reference names itself."""

_Classes = tuple[type[BaseException], ...]

ERROR_CLASSES: Mapping[str, _Classes] = {
    "Error": (TransportError, ProtocolError, AudioError, RuntimeError, OSError),
    "UserError": (UserError,),
    "TypeError": (TypeError, ValidationError, TransportError),
    "RangeError": (ValueError, ValidationError),
    "SyntaxError": (ValueError, ProtocolError),
    "ZodError": (ValidationError, ProtocolError),
    "DOMException": (ValueError, ProtocolError),
    "NotAllowedError": (AudioError, ConnectError),
    "Event": (),  # a raw event object; nothing of ours is one
    # Of this project; only rules name them.
    "PluginError": (PluginError,),
    "RealtimeError": (RealtimeError,),
    "TransportError": (TransportError,),
    "ConnectError": (ConnectError,),
    "ConnectionLostError": (ConnectionLostError,),
    "ProtocolError": (ProtocolError,),
    ANY_ERROR: (Exception,),
}
"""Which of our classes stand for a class of JavaScript."""

_CONTRACT_MESSAGE = "Realtime call request failed"


def difference(expected: Trace, actual: Trace) -> str:
    """What differs, a line each; empty when nothing does."""
    unmet = [what for what, is_met in expected.requirements if not is_met(actual)]
    until, free_from = expected.until, expected.resets_free_from
    expected, actual = expected.before(until), actual.before(until)
    parts = [
        *(f"required: {what}" for what in unmet),
        *_compare_sent(expected, actual, free_from),
        *_compare_lists("http", _requests(expected), _requests(actual)),
        *_compare_lists("sockets", _sockets(expected), _sockets(actual)),
        *_compare_lists("emitted", _dicts(expected.emitted), _dicts(actual.emitted)),
        *_compare_lists("gets", _dicts(expected.gets), _dicts(actual.gets)),
        *_compare_lists("async", _promises(expected), _promises(actual)),
        *_compare_lists("errors", _failures(expected), _failures(actual)),
    ]
    return "\n".join(parts)


def matches(shape: ErrorShape, error: BaseException) -> bool:
    """Whether an error of ours stands for a recorded one."""
    classes = ERROR_CLASSES.get(shape.cls, ERROR_CLASSES["Error"])
    if not isinstance(error, classes):
        return False
    message = shape.message
    if message is None or message == ANY_ERROR:
        return True
    if shape.cls == "UserError" or message.startswith(_CONTRACT_MESSAGE):
        return _same_message(message, str(error))
    return True


def _same_message(recorded: str, own: str) -> bool:
    """Whether two messages say the same, apart from how names and sentences are spelled."""
    return _spelled_alike(recorded) == _spelled_alike(own)


def _spelled_alike(message: str) -> str:
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", message)
    return snake.lower().rstrip(".")


def _compare_sent(expected: Trace, actual: Trace, free_from: int | None) -> Iterator[str]:
    if free_from is not None:
        expected, actual = (
            dataclasses.replace(
                trace,
                sent=[e for e in trace.sent if e.step < free_from or not _is_of_a_reset(e.event)],
            )
            for trace in (expected, actual)
        )
    for conn in sorted({e.conn for e in (*expected.sent, *actual.sent)}):
        yield from _compare_lists(
            f"sent on link {conn}",
            [{"step": e.step, "event": e.event} for e in expected.sent if e.conn == conn],
            [{"step": e.step, "event": e.event} for e in actual.sent if e.conn == conn],
        )


def _is_of_a_reset(event: Any) -> bool:
    numbered = id_number(event.get("event_id")) if isinstance(event, Mapping) else None
    return numbered is not None and numbered[0] in ("create", "delete")


def _dicts(entries: list[Any]) -> list[Any]:
    return [
        {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}
        for entry in entries
    ]


def _sockets(trace: Trace) -> list[Any]:
    """What was opened, and how, apart from what names the client."""
    return [{**entry, "how": _how_opened(entry["how"])} for entry in _dicts(trace.sockets)]


def _how_opened(how: dict[str, Any]) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in how.get("headers", {}).items()}
    protocols = how.get("protocols", [])
    return {
        **how,
        "headers": {k: v for k, v in headers.items() if k not in USER_AGENT_HEADERS},
        "protocols": [name for name in protocols if not name.startswith(CLIENT_PROTOCOL)],
    }


def _requests(trace: Trace) -> list[Any]:
    return [
        {
            **entry,
            "headers": {k: v for k, v in entry["headers"].items() if k not in USER_AGENT_HEADERS},
        }
        for entry in _dicts(trace.http)
    ]


def _promises(trace: Trace) -> list[Any]:
    def order(promise: Promise) -> tuple[int, str]:
        return promise.step, promise.call

    return _dicts(sorted(trace.promises, key=order))


def _failures(trace: Trace) -> list[Any]:
    def order(failure: Failure) -> tuple[int, str, int]:
        return failure.step, failure.call or "", failure.call_step or 0

    return [
        {
            "step": failure.step,
            # A method that is a coroutine raises when it is awaited.
            "where": "call" if failure.where == "reject" else failure.where,
            "call": failure.call,
            "error": failure.error,
        }
        for failure in sorted(trace.failures, key=order)
    ]


def _compare_lists(name: str, expected: list[Any], actual: list[Any]) -> Iterator[str]:
    """The first entry that differs, and how many there are if that differs too."""
    for index, (want, have) in enumerate(zip(expected, actual, strict=False)):
        where = _where(canonical_ids(want), canonical_ids(have), "")
        if where is not None:
            yield f"{name}[{index}]{where}\n  expected {_show(want)}\n  actual   {_show(have)}"
            return
    if len(expected) > len(actual):
        yield f"{name}[{len(actual)}] is missing: {_show(expected[len(actual)])}"
    if len(actual) > len(expected):
        yield f"{name}[{len(expected)}] is too much: {_show(actual[len(expected)])}"


def _where(expected: Any, actual: Any, path: str) -> str | None:
    """The path to the first difference; None when there is none."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return _where_in_dicts(expected, actual, path)
    if isinstance(expected, list) and isinstance(actual, list):
        for index, (want, have) in enumerate(zip(expected, actual, strict=False)):
            where = _where(want, have, f"{path}[{index}]")
            if where is not None:
                return where
        return None if len(expected) == len(actual) else f"{path}.length"
    return None if _is_same(expected, actual) else path


def _where_in_dicts(expected: dict[str, Any], actual: dict[str, Any], path: str) -> str | None:
    for key in sorted({*expected, *actual}, key=str):
        inner = f"{path}.{key}"
        if key not in expected or key not in actual:
            return inner
        where = _where(expected[key], actual[key], inner)
        if where is not None:
            return where
    return None


def _is_same(expected: Any, actual: Any) -> bool:
    if isinstance(expected, ErrorShape):
        return isinstance(actual, BaseException) and matches(expected, actual)
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(expected, float) and isinstance(actual, float) and math.isnan(expected):
        return math.isnan(actual)
    return bool(expected == actual)


def _show(value: Any) -> str:
    return json.dumps(value, default=repr, ensure_ascii=True)[:1500]
