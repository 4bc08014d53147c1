"""A server as far as responses go, over a link that delays and loses; for laws.

Written from the API's documentation, knowing nothing of the client. Requests are told apart by
``metadata.n`` of their response, or, where they have none, by their `event_id`.
"""

from __future__ import annotations

from collections import deque
from typing import Any

Event = dict[str, Any]


class ResponseServer:
    """Runs one response in its conversation, and any number beside it."""

    def __init__(
        self,
        *,
        tells_conversation: bool = True,
        says_null: bool = False,
        links: str = "always",
        loses: bool = True,
    ) -> None:
        self.up: deque[Event] = deque()
        self.down: deque[tuple[Event, str | None]] = deque()
        """Events, and which request each refuses."""
        self.executed: list[str] = []
        self.refused: set[str] = set()
        """For another reason than that one runs."""
        self.refusals_lost: set[str] = set()
        self.cancelled: list[str] = []
        self.running: str | None = None
        self.beside: list[str] = []
        self.refuses_next = False
        self._tells_conversation = tells_conversation
        self._says_null = says_null
        """Whether it says null of the conversation of every response."""
        self._links = links
        self.is_vague = links != "always"
        """Whether an error about the conversation may not say which request it is about. That no
        one can tell if messages are lost too and responses begin by themselves, or these begin
        again and again meanwhile."""
        self._loses = loses
        self._has_begun = False
        self._has_named_a_conversation = False
        self._count = 0
        self._errors = 0

    # What happens on its own

    def begin_by_itself(self) -> None:
        """Somebody spoke."""
        if self.running is None and not (self.is_vague and (self._has_begun or self._loses)):
            self._begin()
            self._has_begun = True

    def begin_beside_by_itself(self) -> None:
        """Another client asked for something. Of servers that do not tell it nobody can know.

        Nor until they have named a conversation; only links clear that up then.
        """
        is_clear = not self.is_vague or (self._has_named_a_conversation and not self._loses)
        if self._tells_conversation and not self._says_null and is_clear:
            self._begin(in_conversation=False)

    def end(self) -> None:
        if self.running is not None:
            response_id, self.running = self.running, None
            self._tell("response.done", response_id, in_conversation=True)

    def end_beside(self) -> None:
        if self.beside:
            self._tell("response.done", self.beside.pop(0), in_conversation=False)

    # The link

    def handle_next(self) -> None:
        if not self.up and not self.down:
            self._has_begun = False
        if not self.up:
            return
        event = self.up.popleft()
        if event["type"] == "response.cancel":
            self._cancel()
        elif event["type"] == "response.create":
            self._create(event)

    def lose_next(self) -> None:
        if self.down and (self._loses or not self.is_vague):
            _, refused = self.down.popleft()
            if refused is not None:
                self.refusals_lost.add(refused)

    # Inside

    def _create(self, event: Event) -> None:
        request = request_name(event)
        if self.refuses_next:
            self.refuses_next = False
            self.refused.add(request)
            self._refuse(event, "invalid_value", "response.create: invalid value")
        elif _is_beside(event):
            self.executed.append(request)
            self._begin(in_conversation=False)
        elif self.running is not None:
            code = "conversation_already_has_active_response"
            self._refuse(event, code, "Conversation already has an active response")
        else:
            self.executed.append(request)
            self._begin()

    def _cancel(self) -> None:
        if self.running is None:
            error = {"code": "response_cancel_not_active", "message": "no active response found"}
            self.down.append(({"type": "error", "event_id": "x", "error": error}, None))
            return
        self.cancelled.append(self.running)
        self.end()

    def _begin(self, *, in_conversation: bool = True) -> None:
        self._count += 1
        response_id = f"resp_{self._count}"
        if in_conversation:
            self.running = response_id
        else:
            self.beside.append(response_id)
        self._tell("response.created", response_id, in_conversation=in_conversation)

    def _tell(self, event_type: str, response_id: str, *, in_conversation: bool) -> None:
        response: Event = {"id": response_id}
        if self._tells_conversation:
            is_named = in_conversation and not self._says_null
            response["conversation_id"] = "conv_1" if is_named else None
            self._has_named_a_conversation |= is_named
        self.down.append(({"type": event_type, "event_id": "x", "response": response}, None))

    def _refuse(self, event: Event, code: str, message: str) -> None:
        error: Event = {"code": code, "message": message, "event_id": None}
        self._errors += 1
        is_linked = self._links == "always" or (self._links == "sometimes" and self._errors % 2)
        if is_linked or _is_beside(event):
            error["event_id"] = event["event_id"]
        self.down.append(({"type": "error", "event_id": "x", "error": error}, request_name(event)))


def request_name(event: Event) -> str:
    """Which request a `response.create` is for."""
    metadata = event.get("response", {}).get("metadata", {})
    return str(metadata.get("n") or event["event_id"])


def _is_beside(event: Event) -> bool:
    return bool(event.get("response", {}).get("conversation") == "none")
