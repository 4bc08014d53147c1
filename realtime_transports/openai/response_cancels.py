"""Cancellations of other responses than the one that runs in the conversation."""

from __future__ import annotations

from realtime_transports.openai.response_errors import ServerError

__all__ = ["OtherCancels"]


class OtherCancels:
    """Those that the program sent and the server has not answered. All is O(1), amortised."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open: dict[str, tuple[str, float]] = {}
        """For each response the cancellation's `event_id`, and until when an answer may come."""

    def add(self, response_id: str, event_id: str, *, until: float) -> None:
        """The latest."""
        self._open.pop(response_id, None)
        self._open[response_id] = (event_id, until)

    def answered(self, response_id: str) -> None:
        """The response has ended."""
        self._open.pop(response_id, None)

    def take(self, error: ServerError, now: float) -> bool:
        """Whether an error is the answer to one; that one is forgotten.

        One that names none of them may be about the oldest.
        """
        while self._open and next(iter(self._open.values()))[1] < now:
            del self._open[next(iter(self._open))]
        if not (error.says_nothing_to_cancel or error.mentions_cancelling):
            return False
        ids = (
            response_id
            for response_id, (event_id, _) in self._open.items()
            if error.linked in ("", event_id)
        )
        response_id = next(ids, None)
        if response_id is None:
            return False
        del self._open[response_id]
        return True

    def clear(self) -> None:
        """Forget them."""
        self._open.clear()
