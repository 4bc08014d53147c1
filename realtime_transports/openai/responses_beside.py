"""Responses outside of the conversation, which run beside those in it.

OpenAI's server tells them by a `conversation_id` of null, also those that another client of the
session asked for (`openai.types.realtime.RealtimeResponse`). Other servers say null of every
response, and if theirs were taken for foreign ones, no request would ever be answered. So null
counts where the server has named the conversation of a response that began, or where a request for
one beside has had no answer yet; otherwise it says nothing.
"""

from __future__ import annotations

from collections import deque

from realtime_transports.openai.response_requests import Flight

__all__ = ["ResponsesBeside"]


class ResponsesBeside:
    """Those that run, and the requests for such that are on their way."""

    def __init__(self) -> None:
        """Begin with none."""
        self.in_flight: deque[Flight] = deque()
        """In the order in which they left."""
        self._running: set[str] = set()
        self._given_up = 0
        """How many requests had no answer in time, which may still come."""
        self._names_conversations = False

    def clear(self) -> None:
        """Forget them, and what the server is like: the link is gone."""
        self.in_flight.clear()
        self._running.clear()
        self._given_up = 0
        self._names_conversations = False

    def note_conversation(self) -> None:
        """The server has named the conversation of a response that began."""
        self._names_conversations = True

    def is_beside(self, in_conversation: bool | None, in_flight: Flight | None) -> bool:
        """Whether a response that began is one beside.

        Args:
            in_conversation: What the server says.
            in_flight: The request for one in the conversation.
        """
        if in_conversation is False and self._is_null_telling():
            return True
        if in_conversation is not None or not self.in_flight:
            return False
        return not in_flight or self.in_flight[0].number < in_flight.number

    def begin(self, response_id: str | None) -> Flight | None:
        """One began; the request that it answers, or None: somebody else's, or one given up."""
        if response_id is not None:
            self._running.add(response_id)
        return self._answered()

    def note_running(self, response_id: str) -> None:
        """What was taken for one in the conversation is one of them."""
        self._running.add(response_id)

    def end(self, response_id: str | None) -> bool:
        """Whether one of those that run has ended by this."""
        if response_id not in self._running:
            return False
        self._running.remove(response_id)
        return True

    def end_unheard(self, in_conversation: bool | None) -> tuple[bool, Flight | None]:
        """Whether one that ended and had no known beginning was beside, and whose answer it was."""
        if in_conversation is not False or not self._is_null_telling():
            return False, None
        return True, self._answered()

    def take(self, event_id: str) -> Flight | None:
        """The request on its way with this `event_id`, if there is one."""
        for flight in self.in_flight:
            if flight.event_id == event_id:
                self.in_flight.remove(flight)
                return flight
        return None

    def take_expired(self, now: float) -> list[Flight]:
        """The requests that have had no answer in time."""
        expired: list[Flight] = []
        while self.in_flight and self.in_flight[0].deadline <= now:
            expired.append(self.in_flight.popleft())
        self._given_up += len(expired)
        return expired

    def _is_null_telling(self) -> bool:
        return bool(self._names_conversations or self.in_flight or self._given_up)

    def _answered(self) -> Flight | None:
        if self.in_flight:
            return self.in_flight.popleft()
        self._given_up = max(0, self._given_up - 1)
        return None
