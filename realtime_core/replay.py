"""Feeds a record to an engine again and says where it now does something else.

No network, no clock, no listener: the record has every call that the engine got, in order, and
what it wanted sent and told after each. Lines of other kinds are for people and are passed over.

    in      the server event that the engine got              is done again
    call    any other call of the engine                      is done again
    out     a client event that it decided to send            is compared
    told    an event that it told the program                 is compared
    raised  what the call before it raised                  is compared

What an engine has left at the record's end is not compared: whoever wrote it may have been killed.
"""

from __future__ import annotations

import inspect
import json
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from realtime_core.record import RecordError, RecordForm, decode

__all__ = ["Difference", "Replay", "ReplayEngine", "ReplayResult"]

NOTHING = "nothing"


class ReplayEngine(Protocol):
    """What can be fed a record: any object whose public methods take what the record tells of."""

    def take_sends(self) -> list[dict[str, Any]]:
        """The client events to send; they are forgotten here."""

    def take_emits(self) -> list[Any]:
        """The events to tell, as `Emit`; they are forgotten here."""


@dataclass(frozen=True)
class Difference:
    """The first thing that is other than recorded."""

    line: int
    """The line of the record that shows it."""
    expected: Any
    """What the record says."""
    actual: Any
    """What the engine does."""

    def __str__(self) -> str:
        """For people, in one line."""
        return f"line {self.line}: recorded {self.expected}, now {self.actual}"


@dataclass(frozen=True)
class ReplayResult:
    """How far a replay came."""

    steps: int
    """Calls of the engine that were done again."""
    compared: int
    """Events that were as recorded."""
    difference: Difference | None = None


class _DifferentError(Exception):
    def __init__(self, line: int, expected: Any, actual: Any) -> None:
        super().__init__()
        self.difference = Difference(line, expected, actual)


class Replay:
    """One replay of one record."""

    def __init__(
        self,
        lines: Iterable[tuple[int, Mapping[str, Any]]],
        make_engine: Callable[[str], ReplayEngine],
    ) -> None:
        """Take a record.

        Args:
            lines: As `read_record` gives them, the header first.
            make_engine: Gets the engine's spec.
        """
        self._lines = iter(lines)
        self._make_engine = make_engine
        self._sends: deque[dict[str, Any]] = deque()
        self._emits: deque[Any] = deque()
        self._sent: dict[int, dict[str, Any]] = {}
        self._received: dict[str, Any] | None = None
        self._taken: set[str] = set()
        """What the engine was asked for since the last step; asking twice would change it."""
        self._raised: str | None = None
        self._steps = self._compared = 0

    def run(self) -> ReplayResult:
        """Do it, up to the first difference.

        Raises:
            RecordError: A line of the record is defective.
            RealtimeError: There is no such engine.
        """
        number, header = next(self._lines)
        self._form = RecordForm.of_header(header)
        engine = header.get("engine")
        if not isinstance(engine, str):
            raise RecordError("the header names no engine", line=number)
        self._engine = self._make_engine(engine)
        try:
            for number, line in self._lines:
                self._take_line(number, line)
        except _DifferentError as exc:
            return ReplayResult(self._steps, self._compared, exc.difference)
        return ReplayResult(self._steps, self._compared)

    def _take_line(self, number: int, line: Mapping[str, Any]) -> None:
        kind = line.get("kind")
        if kind == "raised":
            self._expect(number, line, {"error": self._take_raised()})
            return
        if raised := self._take_raised():
            raise _DifferentError(number, NOTHING, {"error": raised})
        match kind:
            case "in" | "call" as kind:
                untaken = _strings(line.get("untaken", []), number)
                self._expect_nothing(number, {"sends", "emits"} - untaken)
                self._tell_time(number, line.get("now"))
                self._do(number, *_call(kind, line, number))
            case "out":
                self._expect(number, line, self._next_send(line, number))
            case "told":
                self._expect(number, line, self._next_emit())
            case str():
                return
            case _:
                raise RecordError("it has no kind", line=number)

    def _do(self, number: int, name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        if name == "receive" and args and isinstance(args[0], dict):
            self._received = args[0]
        if name in ("send_failed", "send_dropped") and args:
            args[0] = self._sent.get(args[0], {}) if isinstance(args[0], int) else args[0]
        self._steps += 1
        self._taken.clear()
        if name.endswith("="):
            self._set(number, name[:-1], args)
            return
        method = None if name.startswith("_") else getattr(self._engine, name, None)
        if not callable(method):
            raise RecordError(f"the engine has no method {name!r}", line=number)
        try:
            inspect.signature(method).bind(*args, **kwargs)
        except TypeError as exc:
            raise RecordError(f"{name} cannot be called so: {exc}", line=number) from exc
        try:
            method(*args, **kwargs)
        except Exception as exc:  # what the program did wrong, and what is wrong with the engine
            self._raised = type(exc).__name__

    def _tell_time(self, number: int, now: Any) -> None:
        """Tell the engine the time, as whoever recorded did before the step."""
        if now is None:
            return
        advance = getattr(self._engine, "advance", None)
        if not isinstance(now, int | float) or not callable(advance):
            raise RecordError(f"the engine cannot be told the time {now!r}", line=number)
        advance(now)

    def _take_raised(self) -> str | None:
        raised, self._raised = self._raised, None
        return raised

    def _set(self, number: int, name: str, args: list[Any]) -> None:
        if name.startswith("_") or not hasattr(self._engine, name) or len(args) != 1:
            raise RecordError(f"the engine has no attribute {name!r} to set", line=number)
        setattr(self._engine, name, args[0])

    def _next_send(self, line: Mapping[str, Any], number: int) -> Any:
        self._take("sends")
        if not self._sends:
            return NOTHING
        event = self._sends.popleft()
        if isinstance(send := line.get("send"), int):
            self._sent[send] = event
        elif send is not None:
            raise RecordError("its number is none", line=number)
        return {"event": self._form.write(event)}

    def _next_emit(self) -> Any:
        self._take("emits")
        return self._emit_form(self._emits.popleft()) if self._emits else NOTHING

    def _emit_form(self, emit: Any) -> dict[str, Any]:
        args = [self._form.write(each, self._received) for each in emit.args]
        return {"type": emit.type, "args": args}

    def _expect(self, number: int, line: Mapping[str, Any], actual: Any) -> None:
        expected = {key: line.get(key) for key in ("event", "type", "args", "error") if key in line}
        if _canonical(expected) != _canonical(actual):
            raise _DifferentError(number, expected, actual)
        self._compared += 1

    def _take(self, kind: str) -> None:
        if kind in self._taken:
            return
        self._taken.add(kind)
        if kind == "sends":
            self._sends.extend(self._engine.take_sends())
        else:
            self._emits.extend(self._engine.take_emits())

    def _expect_nothing(self, number: int, kinds: Collection[str]) -> None:
        """Whatever the engine has left over was not there when the record was taken."""
        for kind in kinds:
            self._take(kind)
        if "sends" in kinds:
            for event in self._sends:
                raise _DifferentError(number, NOTHING, {"event": self._form.write(event)})
        if "emits" in kinds:
            for emit in self._emits:
                raise _DifferentError(number, NOTHING, self._emit_form(emit))


def _canonical(value: Any) -> str:
    """A text that differs wherever JSON does; Python takes 1 and true for the same."""
    return json.dumps(value, sort_keys=True)


def _call(kind: Any, line: Mapping[str, Any], number: int) -> tuple[str, list[Any], dict[str, Any]]:
    name: Any = "receive"
    try:
        if kind == "in":
            args, kwargs = [decode(line.get("event"))], decode(line.get("with", {}))
            if not isinstance(args[0], dict):
                raise ValueError("it has no event")
        else:
            name = line.get("name")
            args, kwargs = decode(line.get("args", [])), decode(line.get("with", {}))
    except ValueError as exc:
        raise RecordError(str(exc), line=number) from exc
    if not (isinstance(name, str) and isinstance(args, list) and isinstance(kwargs, dict)):
        raise RecordError("it is no call", line=number)
    return name, args, kwargs


def _strings(value: Any, number: int) -> set[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise RecordError("'untaken' is no list of names", line=number)
    return set(value)
