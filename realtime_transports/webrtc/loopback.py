"""Loopback candidates for calls within one machine.

aioice never offers 127.0.0.1, as RFC 8445 section 5.1.1.1 asks. On a host whose only interface is
``lo`` nothing is left then, and a server and a client of the same machine cannot meet. Here is the
one place that changes this, for one connection at a time.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from realtime_core.errors import TransportError, UserError

if TYPE_CHECKING:
    from aiortc import RTCPeerConnection

__all__ = ["allow_loopback"]

LOOPBACK_ADDRESS = "127.0.0.1"
ICE_CONNECTION = "_connection"


def allow_loopback(pc: RTCPeerConnection) -> None:
    """Let this connection offer 127.0.0.1, and try it first.

    Addresses of other interfaces stay on offer: a browser on this machine never uses loopback
    itself. Other connections are not touched. Call it after tracks and data channels were added
    (for an answer: after `setRemoteDescription`) and before `setLocalDescription`, which gathers
    the candidates. Calling it twice is fine.

    Raises:
        UserError: The connection has no track and no data channel yet.
        TransportError: aioice gathers in another way than this knows.
    """
    connections = {id(found): found for found in _ice_connections(pc)}
    if not connections:
        raise UserError("add tracks and data channels before allowing loopback candidates")
    for connection in connections.values():
        _gather_loopback_too(connection)


def _ice_connections(pc: RTCPeerConnection) -> Iterator[Any]:
    """The aioice connections under a peer connection; bundled media share one."""
    dtls_transports = [transceiver.receiver.transport for transceiver in pc.getTransceivers()]
    if pc.sctp is not None:
        dtls_transports.append(pc.sctp.transport)
    for dtls_transport in dtls_transports:
        gatherer = dtls_transport.transport.iceGatherer
        connection = getattr(gatherer, ICE_CONNECTION, None)
        if connection is None:
            raise TransportError(
                "this release of aiortc hides its ICE connection; loopback candidates need another"
            )
        yield connection


def _gather_loopback_too(connection: Any) -> None:
    gather = getattr(connection, "get_component_candidates", None)
    if gather is None or "addresses" not in inspect.signature(gather).parameters:
        raise TransportError(
            "this release of aioice gathers candidates in another way; "
            "loopback candidates need another"
        )

    async def gather_with_loopback(component: int, addresses: list[str], **options: Any) -> Any:
        # aioice checks pairs of equal priority in the order in which they were gathered.
        others = [address for address in addresses if address != LOOPBACK_ADDRESS]
        return await gather(component=component, addresses=[LOOPBACK_ADDRESS, *others], **options)

    connection.get_component_candidates = gather_with_loopback
