"""Realtime sessions over WebRTC; the only package that knows aiortc."""

from realtime_transports.connecting import ConnectTimeouts
from realtime_transports.webrtc.options import IceServer
from realtime_transports.webrtc.transport import OpenAIRealtimeWebRTC, WebRTCConnectionState

__all__ = ["ConnectTimeouts", "IceServer", "OpenAIRealtimeWebRTC", "WebRTCConnectionState"]
