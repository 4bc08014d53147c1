"""The contract: what a transport, an audio source or sink, and a middleware are.

It knows no network, codec or vendor.
"""

import importlib
from typing import TYPE_CHECKING, Any

from realtime_core.emitter import Emitter
from realtime_core.errors import (
    AudioError,
    ConnectError,
    ConnectionLostError,
    ConnectStage,
    HistoryResetError,
    PluginError,
    ProtocolError,
    RealtimeError,
    ResponseError,
    ResponseTimeoutError,
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
from realtime_core.handles import HistoryResetHandle, HistoryStep, ResponseHandle
from realtime_core.hookspecs import hookimpl
from realtime_core.middleware import EventMiddleware
from realtime_core.plugins import PluginManager, default_plugins
from realtime_core.transport import (
    ApiKey,
    ConnectionState,
    ConnectionStatus,
    RealtimeTransportLayer,
)

if TYPE_CHECKING:
    from realtime_core.audio import AudioFrame, AudioRecorder, AudioSink, AudioSource, AudioTap
    from realtime_core.history import HistoryDiff, diff_history
    from realtime_core.items import (
        AssistantMessageItem,
        FunctionCallItem,
        McpApprovalRequestItem,
        McpCallItem,
        MessageItem,
        RealtimeItem,
        SystemMessageItem,
        UserMessageItem,
        parse_item,
    )
    from realtime_core.resample import StreamingResampler
    from realtime_core.specs import SpecFactory, SpecOptions
    from realtime_core.speech import SpeechDetector, SpeechEngine
    from realtime_core.turn import Turn, TurnFailedError, TurnResult, TurnTaking

_HOMES = {
    "audio": ("AudioFrame", "AudioRecorder", "AudioSink", "AudioSource", "AudioTap"),
    "history": ("HistoryDiff", "diff_history"),
    "items": (
        "AssistantMessageItem",
        "FunctionCallItem",
        "McpApprovalRequestItem",
        "McpCallItem",
        "MessageItem",
        "RealtimeItem",
        "SystemMessageItem",
        "UserMessageItem",
        "parse_item",
    ),
    "resample": ("StreamingResampler",),
    "specs": ("SpecFactory", "SpecOptions"),
    "speech": ("SpeechDetector", "SpeechEngine"),
    "turn": ("Turn", "TurnFailedError", "TurnResult", "TurnTaking"),
}
"""Names imported when they are first asked for: numpy and pydantic cost more than all the rest, and
the pytest plugin is in this package."""


__all__ = [
    "TRANSPORT_EVENTS",
    "ApiKey",
    "AssistantMessageItem",
    "AudioError",
    "AudioEvent",
    "AudioFrame",
    "AudioRecorder",
    "AudioSink",
    "AudioSource",
    "AudioTap",
    "ConnectError",
    "ConnectStage",
    "ConnectionLostError",
    "ConnectionState",
    "ConnectionStatus",
    "Emit",
    "Emitter",
    "ErrorEvent",
    "EventMiddleware",
    "FunctionCall",
    "FunctionCallItem",
    "HistoryDiff",
    "HistoryResetError",
    "HistoryResetHandle",
    "HistoryStep",
    "ItemDeleted",
    "McpApprovalRequestItem",
    "McpCallItem",
    "McpToolsListed",
    "MessageItem",
    "PluginError",
    "PluginManager",
    "ProtocolError",
    "RealtimeError",
    "RealtimeItem",
    "RealtimeTransportLayer",
    "ResponseError",
    "ResponseHandle",
    "ResponseTimeoutError",
    "SpecFactory",
    "SpecOptions",
    "SpeechDetector",
    "SpeechEngine",
    "StreamingResampler",
    "SystemMessageItem",
    "TextDelta",
    "TranscriptDelta",
    "TransportError",
    "Turn",
    "TurnDone",
    "TurnFailedError",
    "TurnResponse",
    "TurnResult",
    "TurnStarted",
    "TurnTaking",
    "TurnUsage",
    "UsageUpdate",
    "UserError",
    "UserMessageItem",
    "ValidationError",
    "default_plugins",
    "diff_history",
    "hookimpl",
    "parse_item",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
