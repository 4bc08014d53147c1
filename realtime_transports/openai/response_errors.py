"""What an `error` of the server says of a request for a response, or of a cancellation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from realtime_core.errors import ResponseError

__all__ = ["ServerError"]


class ServerError:
    """The `error` member of an `error` event, whatever its form."""

    def __init__(self, event: Mapping[str, Any]) -> None:
        error = event.get("error")
        self._error: Mapping[str, Any] = error if isinstance(error, Mapping) else {}
        self.linked = self._text("event_id")
        """The `event_id` of the client event that it is about; empty where it names none."""

    @property
    def says_another_is_active(self) -> bool:
        """Whether the conversation has a response already."""
        return self._text("code") == "conversation_already_has_active_response"

    @property
    def says_nothing_to_cancel(self) -> bool:
        """Whether no response runs."""
        return self._text("code") == "response_cancel_not_active"

    @property
    def mentions_creating(self) -> bool:
        """Whether it seems to be about a `response.create`."""
        return self.says_another_is_active or self._mentions("response_create", "response.create")

    @property
    def mentions_cancelling(self) -> bool:
        """Whether it seems to be about a `response.cancel`."""
        return self._mentions("response_cancel", "response.cancel")

    def as_refusal(self) -> ResponseError:
        """The same for whoever asked for the response."""
        code = self._text("code") or self._text("type")
        reason = self._text("message") or code or "no reason was given"
        return ResponseError(f"the server refused to begin a response: {reason}", code=code or None)

    def _mentions(self, in_code: str, in_message: str) -> bool:
        return in_code in self._text("code") or in_message in self._text("message")

    def _text(self, name: str) -> str:
        value = self._error.get(name)
        return value if isinstance(value, str) else ""
