"""What can be set about a WebRTC connection besides who talks to whom."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from realtime_core.hosts import is_loopback_host

if TYPE_CHECKING:
    from realtime_transports.webrtc.link import PeerConnection

__all__ = ["IceServer", "is_loopback_url", "make_peer_connection", "prepare_peer_connection"]


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


def is_loopback_url(url: str) -> bool:
    """Whether a URL's host is this machine's loopback address, by name or number."""
    return is_loopback_host(urlsplit(url).hostname or "")


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
) -> Callable[[], Awaitable[None]]:
    """Guard a connection against aiortc's defects, once its track and data channel are there.

    Connections of other makes are left alone.

    Args:
        peer_connection: The connection, before it gathers candidates.
        loopback: Whether it may use 127.0.0.1 too, for a server on this machine.
        on_bad_message: Told why a message on the data channel could not be read.

    Returns:
        A coroutine function to be awaited after the connection was closed; it ends what is left.
    """
    from aiortc import RTCPeerConnection

    from realtime_transports.webrtc.guards import (
        drop_empty_rtp,
        follow_connecting,
        survive_bad_messages,
    )
    from realtime_transports.webrtc.loopback import allow_loopback

    if not isinstance(peer_connection, RTCPeerConnection):
        return _do_nothing
    drop_empty_rtp(peer_connection)
    survive_bad_messages(peer_connection, on_bad_message)
    if loopback:
        allow_loopback(peer_connection)
    return follow_connecting(peer_connection)


async def _do_nothing() -> None:
    """Connections of other makes end what they began."""
