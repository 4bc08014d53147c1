"""One response at a time: when a `response.create` may leave.

The default conversation holds one response at a time; a `response.create` sent while one runs is
answered by an error (`conversation_already_has_active_response`). So requests wait here.

In prose. A request leaves at once when no response runs, none was asked for and nobody waits before
it. It is then *in flight* until a response begins (accepted), an error refuses it, or nothing comes
for `ANSWER_TIMEOUT_S` (failed). A request is manual when it has options of its own; the others,
automatic ones, ask for nothing but an answer to all that was said so far. Hence one automatic
request stands for all automatic ones that wait directly behind it when it leaves: accepted or out
of time they are together, while an error refuses it alone and the next of them tries again.

*Accepted only for the time being.* `response.created` does not say which request it answers, and
the server's turn detection begins responses as well. If ours was refused because of such a one,
the error that names our event comes later. So those accepted last are remembered, and an error
about one of them still does to it what it does to one in flight. That another response is active
is no refusal: the request goes back to the head, with all it stood for.

*One runs.* The response that runs is known by its id, and ends with the `response.done` of this
id. Where either side has no id, any end is taken for its end: to send too early costs an error and
another wait, to wait for an end that never comes costs the conversation. A response that begins
shows that the one before is over. The end of an unknown response while a request is in flight
stands for the beginning too, which was lost.

*Beside it* run responses outside of the conversation (`"conversation": "none"`). Their requests
leave at once and never occupy the place of the one. How they are told apart: `responses_beside`.
Where a server does not say it, the beginning is that of whatever left first. In each kind responses
begin in the order asked.

*Interrupted* is what was in flight, or accepted for the response that ran, when the program
interrupted. It may still be refused, but is not sent again, for nobody wants to hear the answer.

*Cancellations* have no link on the wire, unless the program gives them one. While one of another
response has had no answer, an error about cancelling is taken for its answer.

*Lost messages.* Whatever waits behind a response for `END_TIMEOUT_S` leaves all the same; if that
response does run, the server says so, and the wait begins anew.

As a table. Running: the response in the conversation. In flight: the request for one in it.

    event                          condition            running       in flight
    -----------------------------  -------------------  ------------  ----------------------------
    a request is due               none runs, none in   -             it, for its run
                                   flight; or waited
                                   END_TIMEOUT_S
    response.created               beside               -             - (one beside is accepted)
    response.created               in the conversation  this one      accepted; if interrupted,
                                                                      response.cancel leaves
    response.done                  of one beside        -             -
    response.done                  of the running one   none          -
    response.done                  of an unknown one    -             accepted, and over
    error: another is active       about it             as it was,    waits again at the head, or
                                                        or unnamed    fails if interrupted
    error: another is active       about one accepted   -             - (that waits again, or no
                                                                      more if interrupted)
    error: other                   about either         -             fails; its run waits again, or
                                                                      fails too if interrupted
    begin_cancel_response          running, not yet     cancelled     interrupted
    begin_cancel_response          not running          -             interrupted
    error: nothing to cancel       cancelled            none          -
    error: other                   about the            not           -
                                   cancellation         cancelled
    ANSWER_TIMEOUT_S               in flight so long    -             fails, with its run
    END_TIMEOUT_S                  waited so long       doubted       the next leaves
    release_waiters                -                    none          fails, and all that wait

After each of them the next request leaves if it is due. All is O(1), amortised.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from realtime_core.errors import ResponseTimeoutError, TransportError
from realtime_transports.openai.response_cancels import OtherCancels
from realtime_transports.openai.response_errors import ServerError
from realtime_transports.openai.response_requests import (
    AcceptedRequests,
    Flight,
    ResponseRequest,
    Run,
    WaitingRequests,
)
from realtime_transports.openai.responses_beside import ResponsesBeside

__all__ = [
    "ANSWER_TIMEOUT_S",
    "END_TIMEOUT_S",
    "ResponseControl",
    "ResponseCreateSequencer",
    "ResponseRequest",
]

ANSWER_TIMEOUT_S = 10.0
"""A server begins a response within a second; after this time it has lost the request."""
END_TIMEOUT_S = 60.0
"""Longer than most responses take to generate. To ask too early does no harm."""


class ResponseControl(enum.StrEnum):
    """What the server was asked for and has not confirmed."""

    FREE = "free"
    CREATE_REQUESTED = "create_requested"
    CANCEL_REQUESTED = "cancel_requested"


@dataclass(slots=True, eq=False)
class _Running:
    response_id: str | None
    flight: Flight | None = None
    """The request that it seems to answer."""
    is_said_to_be_beside: bool = False
    """Whether the server said null of its conversation, which says nothing with some servers."""
    is_cancelled: bool = False
    """Whether the server was asked to end it."""
    cancel_event_id: str | None = None
    is_doubted: bool = False
    """Whether it may be over, for it takes too long."""


class ResponseCreateSequencer:
    """Decides when each `response.create` leaves.

    Synchronous: call what happened, then send what `take_sends` gives and tell what
    `take_failures` gives. What could not be sent is told to `send_failed` or `cancel_failed`.
    """

    def __init__(self, *, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self._answer_timeout_s = answer_timeout_s
        self._now = 0.0
        self._running: _Running | None = None
        self._in_flight: Flight | None = None
        self._waiting = WaitingRequests()
        self._send_anyway_at = math.inf
        self._accepted = AcceptedRequests()
        self._beside = ResponsesBeside()
        self._other_cancels = OtherCancels()
        self._sends: list[dict[str, Any]] = []
        self._failures: list[Exception] = []
        self._flights = 0
        self._event_ids_given = 0
        self._deadline = math.inf

    @property
    def ongoing_response(self) -> bool:
        """Whether a response runs in the conversation."""
        return self._running is not None

    def is_cancelled(self, response_id: str) -> bool:
        """Whether this response runs in the conversation and the server was asked to end it."""
        running = self._running
        return running is not None and running.is_cancelled and running.response_id == response_id

    @property
    def response_control(self) -> ResponseControl:
        """What the server was asked for and has not confirmed."""
        if self._in_flight:
            return ResponseControl.CREATE_REQUESTED
        if self._running and self._running.is_cancelled:
            return ResponseControl.CANCEL_REQUESTED
        return ResponseControl.FREE

    @property
    def pending_response_create_event_id(self) -> str | None:
        """The `event_id` of the request in flight."""
        return self._in_flight.event_id if self._in_flight else None

    @property
    def next_deadline(self) -> float | None:
        """When `expire` has something to do; None: never."""
        return None if self._deadline == math.inf else self._deadline

    def take_sends(self) -> list[dict[str, Any]]:
        """The events that are due; they are forgotten here.

        Each is a `response.create` with an `event_id`, or a `response.cancel`.
        """
        sends, self._sends = self._sends, []
        return sends

    def take_failures(self) -> list[Exception]:
        """Why requests failed of which nobody knows yet; forgotten here."""
        failures, self._failures = self._failures, []
        return failures

    # The program's calls

    def request_response_create(
        self, event: Mapping[str, Any], *, manual: bool = False
    ) -> ResponseRequest:
        """Ask for a response; the result is what `withdraw` takes.

        Args:
            event: The `response.create`. Its `event_id` is kept if it has one.
            manual: True when it must not be merged with others.
        """
        request = ResponseRequest(event, manual)
        if request.is_beside:
            self._beside.in_flight.append(self._let_out(deque([request])))
        else:
            self._waiting.append(request)
        self._go_on()
        return request

    def withdraw(self, request: ResponseRequest) -> None:
        """Take back the latest request: what it was to follow could not be sent."""
        flight = self._in_flight
        if flight and flight.run[0] is request:
            self._in_flight = None
            flight.run.popleft()
            self._waiting.put_back(flight.run)
        else:
            self._waiting.remove_last(request)
        self._go_on()

    def begin_cancel_response(self) -> bool:
        """Note that the response is to be cancelled; False when nothing is to be sent for it now.

        A response that was asked for is cancelled when it begins.
        """
        for flight in (self._in_flight, self._running.flight if self._running else None):
            if flight:
                flight.is_interrupted = True
        if self._running is None or self._running.is_cancelled:
            return False
        self._running.is_cancelled = True
        return True

    def note_cancel(self, event: Mapping[str, Any]) -> bool:
        """Look whether a `response.cancel` of the program is about the response that runs."""
        running = self._running
        response_id, event_id = event.get("response_id"), event.get("event_id")
        event_id = event_id if isinstance(event_id, str) else ""
        if running is None or response_id not in (None, running.response_id):
            if isinstance(response_id, str):
                until = self._now + self._answer_timeout_s
                self._other_cancels.add(response_id, event_id, until=until)
            return False
        running.is_cancelled = True
        running.cancel_event_id = event_id or None
        return True

    def cancel_failed(self) -> None:
        """The `response.cancel` could not be sent or was refused, so it may be tried again."""
        if self._running:
            self._running.is_cancelled = False
            self._running.cancel_event_id = None

    def send_failed(
        self, event_id: str, error: Exception | None = None, *, is_told: bool = False
    ) -> bool:
        """A `response.create` could not be sent; the request fails, and the next may be due.

        Args:
            event_id: Of the event that could not be sent.
            error: Why.
            is_told: Whether whoever is concerned knows already.

        Returns:
            Whether there was such a request.
        """
        flight = self._take_flight(event_id)
        if flight is None:
            return False
        error = error or TransportError("the response.create could not be sent")
        self._fail_first(flight, error, is_told=is_told)
        self._go_on()
        return True

    def release_waiters(self) -> None:
        """Forget everything: the link is gone. Event ids are not given a second time."""
        error = TransportError("the connection ended before the response began")
        flights = [*self._beside.in_flight, *([self._in_flight] if self._in_flight else [])]
        for request in [*(r for flight in flights for r in flight.run), *self._waiting]:
            request.handle.fail(error)
        self._running = self._in_flight = None
        self._waiting.clear()
        self._accepted.clear()
        self._beside.clear()
        self._other_cancels.clear()
        self._sends.clear()
        self._failures.clear()
        self._go_on()

    # The server's events

    def mark_response_created(
        self, response_id: str | None = None, *, in_conversation: bool | None = None
    ) -> None:
        """A response began.

        Args:
            response_id: None where it has none that can be read.
            in_conversation: Whether the server says that it belongs to the conversation.
        """
        if in_conversation:
            self._note_conversation()
        if self._beside.is_beside(in_conversation, self._in_flight):
            if answered := self._beside.begin(response_id):
                self._accept(answered, response_id)
        else:
            flight, self._in_flight = self._in_flight, None
            if flight:
                self._accept(flight, response_id)
            is_said_to_be_beside = in_conversation is False
            self._begin(_Running(response_id, flight, is_said_to_be_beside))
        self._go_on()

    def mark_response_done(
        self, response_id: str | None = None, *, in_conversation: bool | None = None
    ) -> None:
        """A response ended, however it ended.

        Args:
            response_id: None where it has none that can be read.
            in_conversation: Whether the server says that it belonged to the conversation.
        """
        running = self._running
        if response_id is not None:
            self._other_cancels.answered(response_id)
        if running and response_id is not None and running.response_id == response_id:
            self._end()
        elif not self._beside.end(response_id):
            self._end_unheard(response_id, in_conversation)
        self._go_on()

    def handle_response_create_error(self, event: Mapping[str, Any]) -> bool:
        """Look whether an `error` of the server is about a request or a cancellation.

        Returns:
            Whether it was.
        """
        error = ServerError(event)
        is_about = self._is_about_cancel(error) or self._is_about_request(error)
        self._go_on()
        return is_about

    # Time

    def expire(self, now: float) -> bool:
        """Take note of the time, and give up what has waited too long.

        Returns:
            Whether anything changed.
        """
        self._now = now
        if now < self._deadline:
            return False
        flight = self._in_flight
        if flight and flight.deadline <= now:
            self._in_flight = None
            self._time_out(flight)
        for beside in self._beside.take_expired(now):
            self._time_out(beside)
        if self._running and self._send_anyway_at <= now:
            self._running.is_doubted = True
        self._go_on()
        return True

    # Requests

    def _go_on(self) -> None:
        """Let the next request out if it is due. Comes last in whatever changes anything."""
        if self._in_flight or not self._waiting:
            self._send_anyway_at = math.inf
        elif self._running is None or self._running.is_doubted:
            self._send_anyway_at = math.inf
            self._in_flight = self._let_out(self._waiting.take_run())
        elif self._send_anyway_at == math.inf:
            self._send_anyway_at = self._now + END_TIMEOUT_S
        self._deadline = self._send_anyway_at
        if self._in_flight:
            self._deadline = min(self._deadline, self._in_flight.deadline)
        if self._beside.in_flight:
            self._deadline = min(self._deadline, self._beside.in_flight[0].deadline)

    def _let_out(self, run: Run) -> Flight:
        event = {**run[0].event, "event_id": self._event_id(run[0].event)}
        self._sends.append(event)
        self._flights += 1
        return Flight(event["event_id"], run, self._flights, self._now + self._answer_timeout_s)

    def _event_id(self, event: Mapping[str, Any]) -> str:
        given = event.get("event_id")
        if isinstance(given, str):
            return given
        self._event_ids_given += 1
        return f"realtime_response_create_{self._event_ids_given}"

    def _take_flight(self, event_id: str) -> Flight | None:
        flight = self._in_flight
        if flight and flight.event_id == event_id:
            self._in_flight = None
            return flight
        return self._beside.take(event_id)

    def _accept(self, flight: Flight, response_id: str | None) -> None:
        for request in flight.run:
            request.handle.settle(response_id)
        self._accepted.add(flight)

    def _fail_first(self, flight: Flight, error: Exception, *, is_told: bool) -> None:
        """The request that left has failed; those that it stood for try again."""
        self._fail(flight.run.popleft(), error, is_told=is_told)
        self._put_back(flight, error)

    def _put_back(self, flight: Flight, error: Exception) -> None:
        """What left waits again; if it was interrupted, it fails for the reason that was told."""
        if not flight.is_interrupted:
            self._waiting.put_back(flight.run)
            return
        for request in flight.run:
            self._fail(request, error, is_told=True)

    def _fail(self, request: ResponseRequest, error: Exception, *, is_told: bool) -> None:
        if not request.handle.fail(error) and not is_told:
            self._failures.append(error)

    def _time_out(self, flight: Flight) -> None:
        error = ResponseTimeoutError(
            f"the server began no response within {self._answer_timeout_s:g} s; "
            "ask again, or connect anew"
        )
        unknown = [request for request in flight.run if not request.handle.fail(error)]
        if unknown:
            self._failures.append(error)

    # Responses

    def _begin(self, running: _Running) -> None:
        self._running = running
        self._send_anyway_at = math.inf
        if running.flight and running.flight.is_interrupted:
            running.is_cancelled = True
            self._sends.append({"type": "response.cancel"})

    def _end(self) -> None:
        self._running = None
        self._send_anyway_at = math.inf

    def _end_unheard(self, response_id: str | None, in_conversation: bool | None) -> None:
        """A response ended that is not known to run."""
        is_beside, flight = self._beside.end_unheard(in_conversation)
        if is_beside:
            if flight:
                self._accept(flight, response_id)
        elif self._running and None in (response_id, self._running.response_id):
            self._end()
        elif self._in_flight:
            flight, self._in_flight = self._in_flight, None
            self._accept(flight, response_id)

    def _note_conversation(self) -> None:
        """The server names conversations, so what it said of the response that runs counts."""
        self._beside.note_conversation()
        running = self._running
        if running and running.is_said_to_be_beside and running.response_id is not None:
            self._beside.note_running(running.response_id)

    # Errors

    def _is_about_cancel(self, error: ServerError) -> bool:
        if self._other_cancels.take(error, self._now):
            return False
        running = self._running
        if running is None or not running.is_cancelled:
            return False
        if error.linked and error.linked != running.cancel_event_id:
            return False
        if error.says_nothing_to_cancel:
            self._end()
            return True
        if error.linked or error.mentions_cancelling:
            self.cancel_failed()
            return True
        return False

    def _is_about_request(self, error: ServerError) -> bool:
        event_id = error.linked or self._probably_about(error)
        if not event_id:
            return False
        if flight := self._take_flight(event_id):
            self._refuse(flight, error)
            return True
        flight = self._accepted.take(event_id)
        if flight and error.says_another_is_active:
            self._put_back(flight, error.as_refusal())
        elif flight:
            self._fail_first(flight, error.as_refusal(), is_told=True)
        return flight is not None

    def _probably_about(self, error: ServerError) -> str:
        """Which request an error without a link is about, so far as can be told."""
        if not error.mentions_creating:
            return ""
        if self._in_flight:
            return self._in_flight.event_id
        if error.says_another_is_active:
            return self._accepted.latest_event_id(self._now)
        return self._beside.in_flight[0].event_id if self._beside.in_flight else ""

    def _refuse(self, flight: Flight, error: ServerError) -> None:
        if not error.says_another_is_active:
            self._fail_first(flight, error.as_refusal(), is_told=True)
            return
        self._put_back(flight, error.as_refusal())
        if self._running is None:  # it has begun unheard
            self._begin(_Running(None, flight))
        else:
            self._running.is_doubted = False
