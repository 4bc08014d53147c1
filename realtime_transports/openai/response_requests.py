"""Requests for responses: one, those that wait, and those that left together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from realtime_core.handles import ResponseHandle

__all__ = ["AcceptedRequests", "Flight", "ResponseRequest", "Run", "WaitingRequests"]

REMEMBERED = 16
"""How many accepted requests are remembered. A server handles what it gets in order, so that an
error comes before the answer to the next request, and one or two would do."""


@dataclass(frozen=True, slots=True, eq=False)
class ResponseRequest:
    """A `response.create` that was asked for."""

    event: Mapping[str, Any]
    manual: bool
    """Whether it must have a response of its own."""
    handle: ResponseHandle = field(default_factory=ResponseHandle)
    """Settled when a response began, or when the request has failed."""

    @property
    def is_beside(self) -> bool:
        """Whether it is for a response outside of the conversation."""
        response = self.event.get("response")
        return isinstance(response, Mapping) and response.get("conversation") == "none"


Run = deque[ResponseRequest]
"""Requests that one response answers: a manual one, or automatic ones that follow each other."""


@dataclass(slots=True, eq=False)
class Flight:
    """What has left and has no answer yet: the first request of a run, for all of them."""

    event_id: str
    run: Run
    number: int
    """Which it is of all that have left."""
    deadline: float
    is_interrupted: bool = False
    """Whether its response is to be cancelled. Then none of its run is sent again."""


class WaitingRequests:
    """Requests in the order in which they are to leave. All is O(1), amortised."""

    def __init__(self) -> None:
        self._runs: deque[Run] = deque()

    def __bool__(self) -> bool:
        """Whether any wait."""
        return bool(self._runs)

    def __iter__(self) -> Iterator[ResponseRequest]:
        """All of them."""
        for run in self._runs:
            yield from run

    def append(self, request: ResponseRequest) -> None:
        """The latest request."""
        if request.manual or not self._runs or self._runs[-1][0].manual:
            self._runs.append(deque())
        self._runs[-1].append(request)

    def put_back(self, run: Run) -> None:
        """Those that had left come before all others again."""
        if run:
            self._runs.appendleft(run)

    def take_run(self) -> Run:
        """The next to leave."""
        run = self._runs.popleft()
        while self._runs and not (run[0].manual or self._runs[0][0].manual):
            run.extend(self._runs.popleft())
        return run

    def remove_last(self, request: ResponseRequest) -> None:
        """Take back the latest request; nothing happens if it is not this one."""
        if not self._runs or self._runs[-1][-1] is not request:
            return
        self._runs[-1].pop()
        if not self._runs[-1]:
            self._runs.pop()

    def clear(self) -> None:
        """Forget them."""
        self._runs.clear()


class AcceptedRequests:
    """What left last and was answered by the beginning of a response, perhaps of another one."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}

    def add(self, flight: Flight) -> None:
        """The latest."""
        self._flights.pop(flight.event_id, None)
        self._flights[flight.event_id] = flight
        if len(self._flights) > REMEMBERED:
            del self._flights[next(iter(self._flights))]

    def take(self, event_id: str) -> Flight | None:
        """The one with this `event_id`, if it is remembered."""
        return self._flights.pop(event_id, None)

    def latest_event_id(self, now: float) -> str:
        """That of the latest in the conversation about which an error may still come, or empty."""
        for flight in reversed(self._flights.values()):
            if now <= flight.deadline and not flight.run[0].is_beside:
                return flight.event_id
        return ""

    def clear(self) -> None:
        """Forget them."""
        self._flights.clear()
