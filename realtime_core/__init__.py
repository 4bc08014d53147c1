"""The contract: what a transport, an audio source or sink, and a middleware are.

It knows no network, codec or vendor.
"""

from realtime_core.audio import AudioFrame, AudioSink, AudioSource, AudioTap
from realtime_core.emitter import Emitter
from realtime_core.errors import (
    AudioError,
    ConnectError,
    ConnectionLostError,
    ConnectStage,
    PluginError,
    ProtocolError,
    RealtimeError,
    TransportError,
    UserError,
    ValidationError,
)
from realtime_core.events import (
    TRANSPORT_EVENTS,
    AudioEvent,
    Emit,
    ErrorEvent,
    FunctionCall,
    ItemDeleted,
    McpToolsListed,
    TextDelta,
    TranscriptDelta,
    TurnDone,
    TurnResponse,
    TurnStarted,
    TurnUsage,
    UsageUpdate,
)
from realtime_core.hookspecs import hookimpl
from realtime_core.middleware import EventMiddleware
from realtime_core.plugins import PluginManager
from realtime_core.transport import ConnectionState, RealtimeTransportLayer

__all__ = [
    "TRANSPORT_EVENTS",
    "AudioError",
    "AudioEvent",
    "AudioFrame",
    "AudioSink",
    "AudioSource",
    "AudioTap",
    "ConnectError",
    "ConnectStage",
    "ConnectionLostError",
    "ConnectionState",
    "Emit",
    "Emitter",
    "ErrorEvent",
    "EventMiddleware",
    "FunctionCall",
    "ItemDeleted",
    "McpToolsListed",
    "PluginError",
    "PluginManager",
    "ProtocolError",
    "RealtimeError",
    "RealtimeTransportLayer",
    "TextDelta",
    "TranscriptDelta",
    "TransportError",
    "TurnDone",
    "TurnResponse",
    "TurnStarted",
    "TurnUsage",
    "UsageUpdate",
    "UserError",
    "ValidationError",
    "hookimpl",
]
