"""What the network did to a session, where its transport can tell."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from realtime_core.batch.results import Packets

if TYPE_CHECKING:
    from realtime_core.transport import RealtimeTransportLayer

__all__ = ["read_packets"]

DEADLINE_S = 2.0


async def read_packets(transport: RealtimeTransportLayer) -> Packets | None:
    """The statistics of a transport that has a peer connection (W3C, "webrtc-stats").

    None where it has none, or tells nothing in time: no job fails for its statistics.
    """
    connection = getattr(transport.connection_state, "peer_connection", None)
    get_stats = getattr(connection, "getStats", None)
    if get_stats is None:
        return None
    try:
        async with asyncio.timeout(DEADLINE_S):
            report = await get_stats()
    except Exception:  # the peer connection is of whoever made the transport
        return None
    figures = _figures(report)
    return Packets(**figures) if figures else None


def _figures(report: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for stats in dict(report).values():
        match getattr(stats, "type", None):
            case "outbound-rtp":
                found["sent"] = getattr(stats, "packetsSent", None)
            case "inbound-rtp":
                found["received"] = getattr(stats, "packetsReceived", None)
                found["lost"] = getattr(stats, "packetsLost", None)
                found["jitter_ms"] = _jitter_ms(getattr(stats, "jitter", None))
            case "remote-inbound-rtp":
                found["round_trip_ms"] = _ms(getattr(stats, "roundTripTime", None))
    return found


def _jitter_ms(jitter: Any) -> float | None:
    """Aiortc has it in units of RTP's clock, others in seconds as the standard says."""
    if isinstance(jitter, int):
        return round(jitter / 48, 3)
    return _ms(jitter)


def _ms(seconds: Any) -> float | None:
    return round(seconds * 1000, 3) if isinstance(seconds, int | float) else None
