"""Realtime sessions over WebRTC; the only package that knows aiortc."""

from realtime_transports.webrtc.options import ConnectTimeouts, IceServer
from realtime_transports.webrtc.transport import OpenAIRealtimeWebRTC, WebRTCConnectionState

__all__ = ["ConnectTimeouts", "IceServer", "OpenAIRealtimeWebRTC", "WebRTCConnectionState"]
