"""The session config that a client has asked for: what an update is merged into.

It begins with each connection as the defaults and the initial config. An update counts as soon as
it is asked for, for the next one may follow before the server has answered. It is taken back if it
did not leave or if the server refused it; otherwise one bad value would make the server refuse
every later update too.

The server answers updates in their order, and its answers carry no id of theirs: `session.updated`
answers the oldest, and so does an error about a parameter of the session, or with a code that only
updates get. Other errors that name neither an event nor a parameter raise a doubt: they may be
about an update or about something else. A doubt is settled

* by the next `session.updated`, if its session does not show what the oldest update asked for but
  shows what a later one did: those before that one were refused;
* by one such error, all of one code, for each of several updates that wait: as each payload repeats
  what the former ones asked for, all were refused.

What another client of the same session changes is not known here.
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

_REFUSING_CODES: Final = frozenset({"cannot_update_voice"})
"""Codes of errors that are about an update although they name no parameter."""

_OTHER_CODES: Final = frozenset(
    {
        "response_cancel_not_active",
        "conversation_already_has_active_response",
        "input_audio_buffer_commit_empty",
    }
)
"""Codes of errors that never are."""

_NOT_REPEATED: Final = frozenset({"tracing"})
"""What the API takes only once, so that it is not part of later updates."""


class CurrentConfig:
    """What the session is to be like, as a payload without the model unless an update named one."""

    def __init__(self) -> None:
        self._answered: Json = {}
        self._unanswered: deque[Json] = deque()
        self._doubts: list[object] = []
        """The codes of errors since the last answer that may be about an update."""

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
        self._doubts.clear()
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

    def confirm(self, session: object = None) -> None:
        """The server has taken the oldest update that waits for an answer and was not refused.

        Args:
            session: As the server describes it now; None when it does not.
        """
        for _ in range(self._refused_before(session)):
            self._unanswered.popleft()
        self._doubts.clear()
        if self._unanswered:
            change = self._unanswered.popleft()
            self._answered = merge_session_payloads(self._answered, change)

    def note_error(self, error: Mapping[str, Any]) -> None:
        """The server has told an error, which may refuse an update."""
        if not self._unanswered:
            return
        param, code = error.get("param"), error.get("code")
        if str(param).partition(".")[0] == "session" or code in _REFUSING_CODES:
            self._unanswered.popleft()
            self._doubts.clear()
        elif param is None and error.get("event_id") is None and code not in _OTHER_CODES:
            self._doubts.append(code)
            waiting = len(self._unanswered)
            if 1 < waiting == self._doubts[-waiting:].count(code):
                self._unanswered.clear()
                self._doubts.clear()

    def _refused_before(self, session: object) -> int:
        """How many of the oldest updates errors have refused, by what the session shows."""
        for count, change in enumerate(self._unanswered):
            asked = {key: value for key, value in change.items() if key != "type"}
            if count > len(self._doubts):
                break
            if _shows(session, asked) and (asked or count == 0):
                return count
        return 0

    def _current(self) -> Json:
        current = self._answered
        for change in self._unanswered:
            current = merge_session_payloads(current, change)
        return current


def _shows(shown: object, asked: object) -> bool:
    """Whether a value that the server shows is what was asked for; it may have added members."""
    if isinstance(asked, Mapping):
        members = shown if isinstance(shown, Mapping) else {}
        return all(_shows(members.get(key), member) for key, member in asked.items())
    if isinstance(asked, list) and isinstance(shown, list):
        return len(asked) == len(shown) and all(map(_shows, shown, asked))
    return shown == asked


def _repeated(payload: Json) -> Json:
    return {key: value for key, value in payload.items() if key not in _NOT_REPEATED}


def _copy(payload: Mapping[str, object]) -> Json:
    return plain_object(payload, field="session")
