"""What becomes of one session's events where something is to go wrong.

It is decided here without I/O and without a clock; the session's door obeys.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from realtime_transports.local_server.faults import Faults
    from realtime_transports.openai.server_outputs import JsonObject

__all__ = [
    "Deliver",
    "Disconnect",
    "EventFaults",
    "FaultAction",
    "Send",
    "SendOversize",
    "SendText",
]

MALFORMED_TEXT = '{"type": "response.done", "response": {"id": '
"""Begins as an event does; a client must not only look at the first character."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """Give this event to the session, as if the client had sent it."""

    event: JsonObject


@dataclass(frozen=True, slots=True)
class Send:
    """Send this event to the client."""

    event: JsonObject


@dataclass(frozen=True, slots=True)
class SendText:
    """Send this message, which is no event."""

    text: str


@dataclass(frozen=True, slots=True)
class SendOversize:
    """Send an event of this size, or the largest that the link takes."""

    size_bytes: int
    event_id: str

    def event(self, size_bytes: int) -> JsonObject:
        """An event of a type that clients know, of this size as ASCII JSON."""
        content = {"type": "input_text", "text": ""}
        event = {
            "type": "conversation.item.retrieved",
            "event_id": self.event_id,
            "item": {
                "id": "item_fault",
                "object": "realtime.item",
                "type": "message",
                "status": "completed",
                "role": "system",
                "content": [content],
            },
        }
        content["text"] = "x" * max(0, size_bytes - len(json.dumps(event)))
        return event


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Drop the connection."""


FaultAction: TypeAlias = Deliver | Send | SendText | SendOversize | Disconnect


class EventFaults:
    """What becomes of one session's events."""

    def __init__(self, faults: Faults) -> None:
        """Begin a session."""
        self._faults = faults
        self._used: Counter[object] = Counter()
        self._sent = 0
        self._ids = itertools.count(1)

    def incoming(self, event: JsonObject) -> list[FaultAction]:
        """What to do instead of obeying a client event."""
        event_type = event.get("type")
        for index, fault in enumerate(self._faults.errors):
            if fault.type == event_type and self._use(("error", index), fault.times):
                return [Send(self._error(fault.code, event))]
        if event_type == "response.create" and self._use("race", self._faults.races):
            return [Deliver({"type": "response.create"}), Deliver(event)]
        return [Deliver(event)]

    def outgoing(self, event: JsonObject) -> list[FaultAction]:
        """What to do instead of sending a server event."""
        for index, fault in enumerate(self._faults.drop_acks):
            if fault.type == event["type"] and self._use(("drop", index), fault.times):
                return []
        self._sent += 1
        return [Send(event), *self._after(event["type"])]

    def _after(self, event_type: str) -> Iterator[FaultAction]:
        malformed, oversize = self._faults.malformed, self._faults.oversize
        if malformed is not None and malformed.after == event_type and self._use("malformed", 1):
            yield SendText(MALFORMED_TEXT)
        if oversize is not None and oversize.after == event_type and self._use("oversize", 1):
            yield SendOversize(oversize.size_bytes, self._next_id())
        disconnect = self._faults.disconnect
        if disconnect is None:
            return
        is_due = self._sent == disconnect.after_events or event_type == disconnect.after_type
        if is_due and self._use("disconnect", 1):
            yield Disconnect()

    def _use(self, what: object, times: int | None) -> bool:
        self._used[what] += 1
        return self._used[what] <= (math.inf if times is None else times)

    def _error(self, code: str, event: JsonObject) -> JsonObject:
        event_id = event.get("event_id")
        return {
            "type": "error",
            "event_id": self._next_id(),
            "error": {
                "type": "server_error" if code == "server_error" else "invalid_request_error",
                "code": code,
                "message": f"The server was told to fail {event['type']} with {code}.",
                "param": None,
                "event_id": event_id if isinstance(event_id, str) else None,
            },
        }

    def _next_id(self) -> str:
        return f"event_fault_{next(self._ids)}"
