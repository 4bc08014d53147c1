"""What can be set about a WebRTC connection besides who talks to whom."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from realtime_core.errors import ConnectStage, UserError

if TYPE_CHECKING:
    from realtime_transports.webrtc.link import PeerConnection

__all__ = [
    "ConnectTimeouts",
    "IceServer",
    "make_peer_connection",
    "make_ssl_context",
    "prepare_peer_connection",
]


@dataclass(frozen=True)
class ConnectTimeouts:
    """How long each stage of a connection may take, in seconds."""

    key_s: float = 30.0
    """A function that gives the key may ask a server for it."""
    audio_s: float = 10.0
    http_s: float = 20.0
    sdp_s: float = 10.0
    """Gathering candidates takes 5 s when a STUN server is asked and silent."""
    ice_s: float = 15.0
    dtls_s: float = 10.0
    channel_s: float = 10.0
    session_s: float = 5.0
    """As in OpenAI Agents JS."""

    def of(self, stage: ConnectStage) -> float:
        """The deadline of a stage, in seconds."""
        deadline: float = getattr(self, f"{stage.value}_s")
        return deadline


@dataclass(frozen=True)
class IceServer:
    """A STUN or TURN server."""

    urls: str | Sequence[str]
    """``stun:host:port``, ``turn:host:port`` or ``turns:host:port`` (RFC 7064, RFC 7065)."""
    username: str | None = None
    credential: SecretStr | str | None = field(default=None, repr=False)
    """Kept as `SecretStr`, whatever it was given as."""

    def __post_init__(self) -> None:
        """Make a secret of the credential."""
        if isinstance(self.credential, str):
            object.__setattr__(self, "credential", SecretStr(self.credential))


def make_peer_connection(ice_servers: Sequence[IceServer]) -> PeerConnection:
    """A peer connection of aiortc's.

    Args:
        ice_servers: Asked while candidates are gathered. aiortc would ask a public STUN server by
            default, which costs 5 s where it is not reached; here none means none.
    """
    from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection

    servers = [
        RTCIceServer(
            urls=server.urls if isinstance(server.urls, str) else list(server.urls),
            username=server.username,
            credential=_reveal(server.credential),
        )
        for server in ice_servers
    ]
    peer_connection: Any = RTCPeerConnection(RTCConfiguration(iceServers=servers))
    return peer_connection  # type: ignore[no-any-return]


def _reveal(secret: SecretStr | str | None) -> str | None:
    return secret.get_secret_value() if isinstance(secret, SecretStr) else secret


def prepare_peer_connection(
    peer_connection: Any, *, loopback: bool, on_bad_message: Callable[[Exception], None]
) -> None:
    """Guard a connection against aiortc's defects, once its track and data channel are there.

    Connections of other makes are left alone.

    Args:
        peer_connection: The connection, before it gathers candidates.
        loopback: Whether it may use 127.0.0.1 too, for a server on this machine.
        on_bad_message: Told why a message on the data channel could not be read.
    """
    from aiortc import RTCPeerConnection

    from realtime_transports.webrtc.guards import drop_empty_rtp, survive_bad_messages
    from realtime_transports.webrtc.loopback import allow_loopback

    if not isinstance(peer_connection, RTCPeerConnection):
        return
    drop_empty_rtp(peer_connection)
    survive_bad_messages(peer_connection, on_bad_message)
    if loopback:
        allow_loopback(peer_connection)


def make_ssl_context(ca_file: str | None) -> ssl.SSLContext | None:
    """Trust in the certificates of a file, or None for the system's trust.

    Raises:
        UserError: The file cannot be read or holds no certificate.
    """
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as exc:
        raise UserError(f"ca_file {ca_file} cannot be used: {exc}") from exc
