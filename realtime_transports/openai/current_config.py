"""The session config that a client has asked for: what an update is merged into.

It begins with each connection as the defaults and the initial config. An update counts as soon as
it is asked for, for the next one may follow before the server has answered. It is taken back if it
did not leave or if the server refused it; otherwise one bad value would make the server refuse
every later update too.

The server answers updates in their order, and its answers carry no id of theirs: `session.updated`
answers the oldest, and so does an error about a parameter of the session. What another client of
the same session changes is not known here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from realtime_transports.openai.config_values import Json, plain_object
from realtime_transports.openai.session_config import (
    DEFAULT_SESSION_CONFIG,
    SessionConfig,
    merge_session_payloads,
    stated_session_payload,
)

__all__ = ["CurrentConfig"]

_MAX_UNANSWERED: Final = 64
"""Updates that wait for their answer; a server that answers none must not make the list grow."""

_NOT_REPEATED: Final = frozenset({"tracing"})
"""What the API takes only once, so that it is not part of later updates."""


class CurrentConfig:
    """What the session is to be like, as a payload without the model unless an update named one."""

    def __init__(self) -> None:
        self._answered: Json = {}
        self._unanswered: deque[Json] = deque()

    def begin(self, initial: SessionConfig) -> Json:
        """Begin anew, with the defaults and what `initial` says but its model.

        Returns:
            The payload to send, a copy.

        Raises:
            UserError: The config cannot be sent; nothing has changed.
        """
        config = plain_object(initial, field="initial session config")
        payload: Json = {"type": "realtime"}
        for stated in (DEFAULT_SESSION_CONFIG, {**config, "model": None}):
            payload = merge_session_payloads(payload, stated_session_payload(stated))
        self._answered = _repeated(payload)
        self._unanswered = deque([{}])
        return _copy(payload)

    def update(self, change: Mapping[str, object]) -> tuple[Json, Callable[[], None]]:
        """Take in an update.

        Args:
            change: As `stated_session_payload` gives it.

        Returns:
            The whole payload to send, a copy; and what takes the update back.
        """
        whole = merge_session_payloads(self._current(), change)
        if len(self._unanswered) == _MAX_UNANSWERED:
            self.confirm()
        kept = _repeated(_copy(change))
        self._unanswered.append(kept)

        def take_back() -> None:
            self._unanswered = deque(other for other in self._unanswered if other is not kept)

        return _copy(whole), take_back

    def confirm(self) -> None:
        """The server has taken the oldest update that waits for an answer."""
        if self._unanswered:
            change = self._unanswered.popleft()
            self._answered = merge_session_payloads(self._answered, change)

    def note_error(self, error: Mapping[str, Any]) -> None:
        """The server has told an error; one about the session refuses the oldest update."""
        is_about_session = str(error.get("param")).partition(".")[0] == "session"
        if is_about_session and self._unanswered:
            self._unanswered.popleft()

    def _current(self) -> Json:
        current = self._answered
        for change in self._unanswered:
            current = merge_session_payloads(current, change)
        return current


def _repeated(payload: Json) -> Json:
    return {key: value for key, value in payload.items() if key not in _NOT_REPEATED}


def _copy(payload: Mapping[str, object]) -> Json:
    return plain_object(payload, field="session")
