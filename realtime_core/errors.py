"""Everything this project raises on purpose, split by whose fault it is.

    RealtimeError
    ├── UserError               the caller: wrong argument, wrong moment
    │   └── ValidationError     the caller's data does not fit; the message names the field
    ├── TransportError          the network: the link cannot carry this
    │   ├── ConnectError        no connection came about; has the stage
    │   └── ConnectionLostError the connection is gone; has the silence before it
    ├── ProtocolError           the peer: it sent what cannot be understood
    ├── PluginError             a plugin, listener or middleware: foreign code that failed
    └── AudioError              the audio: it cannot be read, written or played

A message says what happened, with which value, and what to do. None holds a secret.
"""

from __future__ import annotations

import enum

__all__ = [
    "AudioError",
    "ConnectError",
    "ConnectStage",
    "ConnectionLostError",
    "PluginError",
    "ProtocolError",
    "RealtimeError",
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
    ) -> None:
        """Tell where and why the attempt ended.

        Args:
            stage: The stage that failed.
            message: What happened and what to do.
            status: The HTTP status, where a server answered with one that is no success.
            provider_message: The server's own explanation, if it sent one.
        """
        super().__init__(message)
        self.stage = stage
        self.status = status
        self.provider_message = provider_message

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
