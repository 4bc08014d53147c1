"""The session of a connection: what the client wants it to be, and what the server says it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from realtime_transports.openai.config_values import plain_object
from realtime_transports.openai.current_config import CurrentConfig
from realtime_transports.openai.session_config import SessionConfig, stated_session_payload
from realtime_transports.openai.tracing import tracing_update, warn_of_late_tracing

__all__ = ["ClientSession", "SessionUpdate"]

logger = logging.getLogger(__name__)

JsonObject = dict[str, Any]

SessionUpdate: TypeAlias = tuple[JsonObject, Callable[[], None]]
"""The `session` to send, without the model where the update names none, and what takes the update
back."""


class ClientSession:
    """The session, over any number of connections one after the other."""

    def __init__(self) -> None:
        """Begin without a connection."""
        self.described: JsonObject | None = None
        """As the server last described it."""
        self._config = CurrentConfig()
        self._tracing: object = "auto"

    def begin(self, initial: SessionConfig, *, model: str) -> JsonObject:
        """A connection begins.

        Args:
            initial: What its session is to be like.
            model: The model that it asked for, which is not the config's to say.

        Returns:
            The `session` to send, without the model.

        Raises:
            UserError: The config cannot be sent; nothing has changed.
        """
        config = plain_object(initial, field="initial session config")
        payload = self._config.begin(config)
        if config.get("model") not in (None, model):
            logger.warning("the initial config's model is not used; give it to connect as `model`")
        self._tracing = config.get("tracing", "auto")
        self.described = None
        return payload

    def update(self, change: SessionConfig) -> SessionUpdate:
        """Change what `change` says, and leave the rest as it is.

        Raises:
            UserError: The config cannot be sent; nothing has changed.
        """
        config = plain_object(change, field="session config")
        update = self._config.update(stated_session_payload(config, is_update=True))
        warn_of_late_tracing(config.get("tracing"), self._tracing)
        return update

    def note_update(self, session: Mapping[str, Any]) -> Callable[[], None]:
        """The program sends a `session.update` of its own; the result takes it back."""
        return self._config.update(session)[1]

    def created(self, event: JsonObject) -> SessionUpdate | None:
        """Take in a `session.created`; what is to be sent as it lacks it, if that is anything."""
        self._describe(event)
        current = self.described.get("tracing") if self.described else None
        session = tracing_update(current, self._tracing)
        return None if session is None else (session, self.note_update(session))

    def updated(self, event: JsonObject) -> None:
        """Take in a `session.updated`."""
        self._describe(event)
        self._config.confirm(self.described)

    def note_error(self, error: Mapping[str, Any]) -> None:
        """The server has told an error, perhaps about an update."""
        self._config.note_error(error)

    def _describe(self, event: JsonObject) -> None:
        session = event["session"]
        self.described = session if isinstance(session, dict) else None
