"""Everything this project raises on purpose, split by whose fault it is.

    RealtimeError
    ├── UserError               the caller: wrong argument, wrong moment
    │   └── ValidationError     the caller's data does not fit; the message names the field
    ├── TransportError          the network: the link cannot carry this
    │   ├── ConnectError        no connection came about; has the stage
    │   └── ConnectionLostError the connection is gone; has the silence before it
    ├── ProtocolError           the peer: it sent what cannot be understood
    ├── ResponseError           the peer: it refused to begin a response; has its code
    │   └── ResponseTimeoutError it began none in time
    ├── HistoryResetError       the peer: it did not do all that makes its history another one
    ├── PluginError             a plugin, listener or middleware: foreign code that failed
    └── AudioError              the audio: it cannot be read, written or played

A message says what happened, with which value, and what to do. None holds a secret.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from realtime_core.handles import HistoryStep

__all__ = [
    "AudioError",
    "ConnectError",
    "ConnectStage",
    "ConnectionLostError",
    "HistoryResetError",
    "PluginError",
    "ProtocolError",
    "RealtimeError",
    "ResponseError",
    "ResponseTimeoutError",
    "TransportError",
    "UserError",
    "ValidationError",
]


class RealtimeError(Exception):
    """Base of all errors that this project raises on purpose."""


class UserError(RealtimeError):
    """The caller asked for something that cannot be done as asked."""


class ValidationError(UserError):
    """Data given by the caller does not have the documented form."""


class TransportError(RealtimeError):
    """The link cannot be used for this now: not connected, too large a message, refused."""


class ConnectStage(enum.StrEnum):
    """How far a connection attempt had come."""

    KEY = "key"
    """The API key is asked for and checked."""
    AUDIO = "audio"
    """Source and sink are opened."""
    HTTP = "http"
    """The offer is posted and the answer read; or a WebSocket is opened."""
    SDP = "sdp"
    """Offer and answer are made and applied."""
    ICE = "ice"
    """A pair of addresses that reach each other is looked for (RFC 8445)."""
    DTLS = "dtls"
    """Keys are agreed on over that pair (RFC 8827)."""
    CHANNEL = "channel"
    """The data channel is opened."""
    SESSION = "session"
    """The server confirms the session's configuration."""


class ConnectError(TransportError):
    """No connection came about."""

    def __init__(
        self,
        stage: ConnectStage,
        message: str,
        *,
        status: int | None = None,
        provider_message: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """Tell where and why the attempt ended.

        Args:
            stage: The stage that failed.
            message: What happened and what to do.
            status: The HTTP status, where a server answered with one that is no success.
            provider_message: The server's own explanation, if it sent one.
            retry_after_s: How long the server asks to wait before the next attempt, if it does.
        """
        super().__init__(message)
        self.stage = stage
        self.status = status
        self.provider_message = provider_message
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[object, ...]:
        """Take the stage along, so that the error can come out of another process."""
        return type(self), (self.stage, str(self)), self.__dict__


class ConnectionLostError(TransportError):
    """A connection that had come about is gone."""

    def __init__(self, message: str, *, silent_for_s: float | None = None) -> None:
        """Tell what was seen of the loss.

        Args:
            message: What happened.
            silent_for_s: Seconds since the last packet of any kind came from the peer; None when
                the end was told by the peer rather than noticed.
        """
        super().__init__(message)
        self.silent_for_s = silent_for_s


class ProtocolError(RealtimeError):
    """The peer sent what cannot be understood. The connection stays."""


class ResponseError(RealtimeError):
    """A response that was asked for did not begin. The connection stays."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        """Tell what the server said.

        Args:
            message: What happened.
            code: The server's code, such as ``invalid_request_error``; None where it gave none.
        """
        super().__init__(message)
        self.code = code


class ResponseTimeoutError(ResponseError):
    """The server neither began the response in time nor refused it."""


class HistoryResetError(RealtimeError):
    """The server's conversation did not become the new history. The connection stays."""

    def __init__(
        self,
        steps: tuple[HistoryStep, ...] = (),
        unrestored: tuple[str, ...] = (),
        unclear: tuple[str, ...] = (),
    ) -> None:
        """Tell what was done, and what of it could not be undone.

        Args:
            steps: The steps in the order they were sent, with their errors.
            unrestored: Items that are not on the server as they were before.
            unclear: Items of which nobody knows, as the server did not answer.
        """
        failed = [step for step in steps if step.error is not None]
        first = f", first {failed[0].kind} {failed[0].item_id}: {failed[0].error}" if failed else ""
        undone = [
            f"these items are {how}: {', '.join(ids)}"
            for how, ids in (
                ("not as they were before", unrestored),
                ("unclear, as the server did not answer", unclear),
            )
            if ids
        ] or ["the old history is there again"]
        super().__init__(
            f"{len(failed)} of {len(steps)} steps of a reset of the history failed{first}; "
            + "; ".join(undone)
        )
        self.steps = steps
        self.unrestored = unrestored
        self.unclear = unclear

    def __reduce__(self) -> tuple[object, ...]:
        """Take the steps along, so that the error can come out of another process."""
        return type(self), (self.steps, self.unrestored, self.unclear), self.__dict__


class PluginError(RealtimeError):
    """A plugin could not be found, loaded or used, or a listener or middleware failed."""

    def __init__(self, message: str, *, plugin: str | None = None) -> None:
        """Name the culprit.

        Args:
            message: What happened.
            plugin: The culprit's name; None when no such plugin exists.
        """
        super().__init__(message)
        self.plugin = plugin


class AudioError(RealtimeError):
    """Audio cannot be read, written or played."""
