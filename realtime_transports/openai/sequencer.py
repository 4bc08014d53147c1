"""One response at a time: when a `response.create` may leave.

The default conversation holds one response at a time; a `response.create` sent while one runs is
answered by an error (`conversation_already_has_active_response`). So requests wait here.

In prose. A request goes out at once when nothing runs, nothing was asked for and nobody waits
before it. It is then *in flight* until `response.created` (accepted), `response.done` (accepted
too: the one event may be lost, but a response has ended) or an error (rejected). A request is
manual when it has options of its own; the others, automatic ones, ask for nothing but an answer to
all that was said so far. Hence one automatic request stands for all automatic ones that wait
directly behind it when it leaves: accepting it settles them all, while a rejection settles it
alone and the next of them tries again. A manual request settles only itself.

Somebody else can begin a response as well (the server's turn detection). Such a `response.created`
cannot be told from ours. When the server rejects ours because another is active, it is not lost:
it waits for that other response's end.

As a table: what an event does to `ongoing` and `control`, and to the request in flight.

    event                     condition             ongoing   control            in flight
    ------------------------  --------------------  --------  -----------------  -------------
    a request is due          not ongoing, free     -         create_requested   it
    response.created          -                     True      free               accepted
    response.done             -                     False     free               accepted
    error: another is active  create_requested      True      free               waits again
    error: other, about it    create_requested      -         free               rejected
    begin_cancel_response     ongoing, not yet      -         cancel_requested   -
    error: nothing to cancel  cancel_requested      False     free               -
    release_waiters           -                     False     free               forgotten, and
                                                                                 all that wait

After each of them the next request leaves if it is due. All is O(1) amortised: automatic requests
in a row are kept as one run, so that what a request stands for is the length of its run.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ResponseControl", "ResponseCreateSequencer", "ResponseRequest"]

_ACTIVE_RESPONSE_CODE = "conversation_already_has_active_response"
_CANCEL_NOT_ACTIVE_CODE = "response_cancel_not_active"


class ResponseControl(enum.StrEnum):
    """What the server was asked for and has not confirmed."""

    FREE = "free"
    CREATE_REQUESTED = "create_requested"
    CANCEL_REQUESTED = "cancel_requested"


@dataclass(frozen=True, slots=True, eq=False)
class ResponseRequest:
    """A `response.create` that was asked for."""

    event: Mapping[str, Any]
    manual: bool


@dataclass(frozen=True, slots=True)
class _InFlight:
    event_id: str
    stands_for: int
    """How many requests of the first run are settled when this one is accepted."""


class ResponseCreateSequencer:
    """Decides when each `response.create` leaves.

    Synchronous: call what happened, then send what `take_sends` gives. One that could not be sent
    is told to `send_failed`.
    """

    def __init__(self) -> None:
        self._ongoing = False
        self._control = ResponseControl.FREE
        self._runs: deque[deque[ResponseRequest]] = deque()
        self._in_flight: _InFlight | None = None
        self._sends: list[dict[str, Any]] = []
        self._event_ids_given = 0

    @property
    def ongoing_response(self) -> bool:
        """Whether a response runs."""
        return self._ongoing

    @property
    def response_control(self) -> ResponseControl:
        """What the server was asked for and has not confirmed."""
        return self._control

    @property
    def pending_response_create_event_id(self) -> str | None:
        """The `event_id` of the request in flight."""
        return self._in_flight.event_id if self._in_flight else None

    def take_sends(self) -> list[dict[str, Any]]:
        """The events that are due, each with an `event_id`; they are forgotten here."""
        sends, self._sends = self._sends, []
        return sends

    def request_response_create(
        self, event: Mapping[str, Any], *, manual: bool = False
    ) -> ResponseRequest:
        """Ask for a response; the result is what `withdraw` takes.

        Args:
            event: The `response.create`. Its `event_id` is kept if it has one.
            manual: True when it must not be merged with others.
        """
        request = ResponseRequest(event, manual)
        if manual or not self._runs or self._runs[-1][-1].manual:
            self._runs.append(deque())
        self._runs[-1].append(request)
        self._send_if_due()
        return request

    def withdraw(self, request: ResponseRequest) -> None:
        """Take back the latest request: what it was to follow could not be sent."""
        if not self._runs or self._runs[-1][-1] is not request:
            return
        if self._in_flight and self._runs[0][0] is request:
            self._reject()
            return
        self._runs[-1].pop()
        self._drop_empty_run(-1)

    def mark_response_created(self) -> None:
        """A response began."""
        self._ongoing = True
        self._accept()
        self._control = ResponseControl.FREE

    def mark_response_done(self) -> None:
        """A response ended, however it ended."""
        self._ongoing = False
        self._accept()
        self._control = ResponseControl.FREE
        self._send_if_due()

    def begin_cancel_response(self) -> bool:
        """Note that the response is to be cancelled; False when there is nothing to cancel."""
        if not self._ongoing or self._control is ResponseControl.CANCEL_REQUESTED:
            return False
        self._control = ResponseControl.CANCEL_REQUESTED
        return True

    def cancel_failed(self) -> None:
        """The `response.cancel` could not be sent, so it may be tried again."""
        if self._control is ResponseControl.CANCEL_REQUESTED:
            self._control = ResponseControl.FREE

    def send_failed(self, event_id: str) -> bool:
        """The event with this id could not be sent; False when it is not the one in flight."""
        if self.pending_response_create_event_id != event_id:
            return False
        self._reject()
        return True

    def handle_response_create_error(self, event: Mapping[str, Any]) -> bool:
        """Look whether an `error` of the server is about the request in flight.

        Returns:
            Whether it settled something: the request in flight, or a cancellation.
        """
        error = event.get("error")
        error = error if isinstance(error, Mapping) else {}
        if error.get("code") == _CANCEL_NOT_ACTIVE_CODE:
            return self._end_cancellation()
        if not self._in_flight or not self._is_about(error, self._in_flight.event_id):
            return False
        if error.get("code") == _ACTIVE_RESPONSE_CODE:
            self._wait_for_active_response()
        else:
            self._reject()
        return True

    def release_waiters(self) -> None:
        """Forget everything: the link is gone. Event ids are not given a second time."""
        self._ongoing = False
        self._control = ResponseControl.FREE
        self._in_flight = None
        self._runs.clear()
        self._sends.clear()

    def _send_if_due(self) -> None:
        if self._ongoing or self._control is not ResponseControl.FREE or not self._runs:
            return
        run = self._runs[0]
        event = {**run[0].event, "event_id": self._event_id(run[0].event)}
        self._control = ResponseControl.CREATE_REQUESTED
        self._in_flight = _InFlight(event["event_id"], len(run))
        self._sends.append(event)

    def _event_id(self, event: Mapping[str, Any]) -> str:
        given = event.get("event_id")
        if isinstance(given, str):
            return given
        self._event_ids_given += 1
        return f"realtime_response_create_{self._event_ids_given}"

    def _accept(self) -> None:
        if self._in_flight:
            self._settle(self._in_flight.stands_for)

    def _reject(self) -> None:
        self._settle(1)
        self._control = ResponseControl.FREE
        self._send_if_due()

    def _settle(self, count: int) -> None:
        for _ in range(count):
            self._runs[0].popleft()
        self._drop_empty_run(0)
        self._in_flight = None

    def _drop_empty_run(self, index: int) -> None:
        if not self._runs[index]:
            del self._runs[index]

    def _wait_for_active_response(self) -> None:
        self._in_flight = None
        self._ongoing = True
        self._control = ResponseControl.FREE

    def _end_cancellation(self) -> bool:
        if self._control is not ResponseControl.CANCEL_REQUESTED:
            return False
        self.mark_response_done()
        return True

    @staticmethod
    def _is_about(error: Mapping[str, Any], event_id: str) -> bool:
        linked = error.get("event_id")
        if isinstance(linked, str) and linked:
            return linked == event_id
        code, message = error.get("code"), error.get("message")
        if isinstance(code, str) and (code == _ACTIVE_RESPONSE_CODE or "response_create" in code):
            return True
        return isinstance(message, str) and "response.create" in message
