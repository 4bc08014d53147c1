"""Realtime sessions over WebSocket."""

from realtime_transports.websocket.connection import WebSocketConnectionState
from realtime_transports.websocket.endpoint import DEFAULT_SOCKET_URL
from realtime_transports.websocket.settings import ConnectionOptions
from realtime_transports.websocket.socket import (
    AiohttpWebSocket,
    SocketEvents,
    SocketRequest,
    WebSocket,
)
from realtime_transports.websocket.transport import OpenAIRealtimeWebSocket

__all__ = [
    "DEFAULT_SOCKET_URL",
    "AiohttpWebSocket",
    "ConnectionOptions",
    "OpenAIRealtimeWebSocket",
    "SocketEvents",
    "SocketRequest",
    "WebSocket",
    "WebSocketConnectionState",
]
