"""Server messages as no server should send them, made of real ones."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Mutations"]

ODD_VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    -0.0,
    2**63,
    10**400,
    float("inf"),
    "",
    "root",
    "x" * 5000,
    "\x00",
    "\ud800",
    "item_1",
    "in_progress",
    "[1]",
    "[" * 500,
    "Infinity",
    [],
    [None],
    [[]],
    {},
    {"type": None},
    {"id": 7},
    {"type": "audio/pcm", "rate": 0},
    {"type": "audio/pcm", "rate": 0.5},
    {"type": "audio/pcm", "rate": float("inf")},
    {"type": ["audio/pcmu"]},
    {"input_tokens": 10**400, "output_tokens": 0.5},
]
ODD_KEYS = [
    "type",
    "event_id",
    "item",
    "id",
    "item_id",
    "previous_item_id",
    "call_id",
    "response",
    "response_id",
    "conversation_id",
    "error",
    "session",
    "audio",
    "usage",
    "output",
    "content",
    "status",
    "delta",
    "\ud800",
    "",
]

MESSAGES_OF_AN_AGE = 40
"""So many messages are about the same items and responses."""

Container = dict[str, Any] | list[Any]


class Mutations:
    """Mutated messages without end, the same each time for the same seed."""

    def __init__(self, events: list[dict[str, Any]], seed: int) -> None:
        """Take real events."""
        self._events = events
        self._texts: dict[str, list[str]] = {}
        for event in events:
            self._texts.setdefault(event["type"], []).append(json.dumps(event))
        self._random = random.Random(seed)  # noqa: S311  nothing is secret here
        self._made = 0
        self._structural: list[Callable[[Container, Any], None]] = [
            self._drop,
            self._replace,
            self._retype,
            self._nest,
            self._copy_over,
            self._add,
            self._graft,
        ]
        self._textual: list[Callable[[bytes], bytes]] = [
            self._truncate,
            self._flip,
            self._insert,
            self._repeat_key,
            self._nest_deep,
            lambda data: data + data,
            lambda data: b"\xef\xbb\xbf" + data,
            lambda data: data.replace(b'":', b'":NaN,"', 1),
        ]

    def __iter__(self) -> Iterator[str | bytes]:
        while True:
            yield self._next()

    def _next(self) -> str | bytes:
        event = json.loads(self._real())
        self._made += 1
        _rename(event, f".{self._made // MESSAGES_OF_AN_AGE}")
        # Some stay as they are: what a wrong event has left behind shows in those that follow.
        for _ in range(self._random.choice((0, 0, 1, 1, 1, 2, 3, 8))):
            self._mutate(event)
        text = json.dumps(event)
        if self._random.random() < 0.8:
            text = text.replace("Infinity", "1e400")  # which JSON can say
        if self._random.random() < 0.1:
            data = self._random.choice(self._textual)(text.encode())
            return data if self._random.random() < 0.5 else data.decode("utf-8", "replace")
        return text

    def _real(self) -> str:
        # By type first: there are many recorded items, and few pieces of audio.
        return self._random.choice(self._texts[self._random.choice(list(self._texts))])

    def _mutate(self, event: dict[str, Any]) -> None:
        if self._random.random() < 0.1:
            # A known type whose event has the form of another one.
            event["type"] = self._random.choice(list(self._texts))
            return
        containers = list(_containers(event))
        container = self._random.choice(containers)
        keys = list(container) if isinstance(container, dict) else list(range(len(container)))
        if container is event and self._random.random() < 0.8:
            keys = [key for key in keys if key not in ("type", "event_id")]  # or it is nothing
        if keys:
            self._random.choice(self._structural)(container, self._random.choice(keys))
        else:
            self._add(container, None)

    # Structure

    def _drop(self, container: Container, key: Any) -> None:
        del container[key]

    def _replace(self, container: Container, key: Any) -> None:
        fitting = [each for each in ODD_VALUES if type(each) is type(container[key])]
        fitting += [0.5, float("inf")] if isinstance(container[key], int) else []
        # What looks right goes further.
        is_fitting = fitting and self._random.random() < 0.5
        container[key] = copy.deepcopy(self._random.choice(fitting if is_fitting else ODD_VALUES))

    def _retype(self, container: Container, key: Any) -> None:
        value = container[key]
        forms = [str(value), [value], {"type": value}, {str(value): value}, bool(value), 17]
        container[key] = self._random.choice(forms)

    def _nest(self, container: Container, key: Any) -> None:
        for _ in range(self._random.choice((1, 3, 100))):
            inner = container[key]
            container[key] = {"item": inner} if self._random.random() < 0.5 else [inner]

    def _copy_over(self, container: Container, key: Any) -> None:
        other = self._random.choice(ODD_KEYS)
        if isinstance(container, dict):
            container[other] = container[key]
        else:
            container.append(container[key])

    def _add(self, container: Container, _key: Any) -> None:
        if isinstance(container, dict):
            container[self._random.choice(ODD_KEYS)] = self._odd_value()
        else:
            container.append(self._odd_value())

    def _graft(self, container: Container, key: Any) -> None:
        other = self._random.choice(self._events)
        container[key] = copy.deepcopy(self._random.choice(list(_containers(other))))

    def _odd_value(self) -> Any:
        return copy.deepcopy(self._random.choice(ODD_VALUES))

    # Text

    def _truncate(self, data: bytes) -> bytes:
        return data[: self._random.randrange(len(data))]

    def _flip(self, data: bytes) -> bytes:
        at = self._random.randrange(len(data))
        return data[:at] + self._random.randbytes(1) + data[at + 1 :]

    def _insert(self, data: bytes) -> bytes:
        at = self._random.randrange(len(data))
        return data[:at] + self._random.randbytes(self._random.randrange(1, 9)) + data[at:]

    def _nest_deep(self, data: bytes) -> bytes:
        depth = self._random.choice((100, 190, 250, 900, 5000))
        return data[:-1] + b',"extra":' + b"[" * depth + b"]" * depth + b"}"

    def _repeat_key(self, data: bytes) -> bytes:
        key = self._random.choice(ODD_KEYS)
        value = json.dumps(self._odd_value())
        return b"{" + json.dumps(key).encode() + b":" + value.encode() + b"," + data[1:]


def _rename(event: dict[str, Any], suffix: str) -> None:
    """Let it be about other items and responses; what is over for one is not for the next."""
    for container in (event, event.get("item"), event.get("response")):
        for key in ("id", "item_id", "response_id", "previous_item_id"):
            if isinstance(container, dict) and isinstance(container.get(key), str):
                container[key] += suffix


def _containers(value: Container) -> Iterator[Container]:
    """It, and all objects and lists in it that are not too deep inside."""
    waiting = [value]
    for _ in range(200):
        if not waiting:
            return
        container = waiting.pop()
        yield container
        inner = container.values() if isinstance(container, dict) else container
        waiting += [each for each in inner if isinstance(each, (dict, list))]
