"""The OpenAI Realtime protocol, without I/O, and the base of the transports that carry it."""

from __future__ import annotations

from realtime_transports.openai.audio_labels import AudioLabel
from realtime_transports.openai.protocol import ClientProtocol
from realtime_transports.openai.sequencer import ResponseControl, ResponseCreateSequencer
from realtime_transports.openai.session_config import DEFAULT_REALTIME_MODEL, DEFAULT_SESSION_CONFIG
from realtime_transports.openai.transport import OpenAIRealtimeBase
from realtime_transports.openai.websocket_protocol import WebSocketProtocol

__all__ = [
    "DEFAULT_REALTIME_MODEL",
    "DEFAULT_SESSION_CONFIG",
    "AudioLabel",
    "ClientProtocol",
    "OpenAIRealtimeBase",
    "ResponseControl",
    "ResponseCreateSequencer",
    "WebSocketProtocol",
]
