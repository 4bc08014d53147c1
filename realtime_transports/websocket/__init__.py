"""Realtime sessions over WebSocket."""

from realtime_transports.websocket.endpoint import DEFAULT_SOCKET_URL
from realtime_transports.websocket.socket import (
    AiohttpWebSocket,
    SocketEvents,
    SocketRequest,
    WebSocket,
)
from realtime_transports.websocket.transport import (
    OpenAIRealtimeWebSocket,
    WebSocketConnectionState,
)

__all__ = [
    "DEFAULT_SOCKET_URL",
    "AiohttpWebSocket",
    "OpenAIRealtimeWebSocket",
    "SocketEvents",
    "SocketRequest",
    "WebSocket",
    "WebSocketConnectionState",
]
