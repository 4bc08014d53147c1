"""Transports for realtime sessions: WebRTC, WebSocket, SIP, in memory; and a local server.

What they have in common is written in `realtime_core.RealtimeTransportLayer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_transports.azure import AzureRealtime
    from realtime_transports.local_server import LocalRealtimeServer
    from realtime_transports.memory import OpenAIRealtimeMemory
    from realtime_transports.sip import OpenAIRealtimeSIP
    from realtime_transports.webrtc import ConnectTimeouts, IceServer, OpenAIRealtimeWebRTC
    from realtime_transports.websocket import OpenAIRealtimeWebSocket

__all__ = [
    "AzureRealtime",
    "ConnectTimeouts",
    "IceServer",
    "LocalRealtimeServer",
    "OpenAIRealtimeMemory",
    "OpenAIRealtimeSIP",
    "OpenAIRealtimeWebRTC",
    "OpenAIRealtimeWebSocket",
]

_HOMES = {
    "AzureRealtime": "realtime_transports.azure",
    "ConnectTimeouts": "realtime_transports.webrtc",
    "IceServer": "realtime_transports.webrtc",
    "LocalRealtimeServer": "realtime_transports.local_server",
    "OpenAIRealtimeMemory": "realtime_transports.memory",
    "OpenAIRealtimeSIP": "realtime_transports.sip",
    "OpenAIRealtimeWebRTC": "realtime_transports.webrtc",
    "OpenAIRealtimeWebSocket": "realtime_transports.websocket",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Import a transport when it is first asked for, so that no other pays for it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
