"""What a transport tells: the payloads of its events.

Names and fields are those of OpenAI Agents JS (`RealtimeTransportLayer`), in Python's spelling.
Every event of the server also comes raw, as a dict, under its own type and under ``"*"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

__all__ = [
    "TRANSPORT_EVENTS",
    "AudioEvent",
    "Emit",
    "ErrorEvent",
    "FunctionCall",
    "ItemDeleted",
    "McpToolsListed",
    "TextDelta",
    "TranscriptDelta",
    "TurnDone",
    "TurnResponse",
    "TurnStarted",
    "TurnUsage",
    "UsageUpdate",
]

JsonObject = dict[str, Any]

TRANSPORT_EVENTS: dict[str, str] = {
    "*": "every server event, raw",
    "error": "`ErrorEvent`",
    "connection_change": "the new status: connecting, connected or disconnected",
    "connected": "nothing",
    "disconnected": "nothing",
    "audio": "`AudioEvent`",
    "audio_done": "nothing",
    "audio_interrupted": "nothing",
    "audio_transcript_delta": "`TranscriptDelta`",
    "output_text_delta": "`TextDelta`",
    "function_call": "`FunctionCall`",
    "item_update": "the item (`realtime_core.items`)",
    "item_deleted": "`ItemDeleted`",
    "usage_update": "`UsageUpdate`",
    "turn_started": "`TurnStarted`",
    "turn_done": "`TurnDone`",
    "mcp_tools_listed": "`McpToolsListed`",
    "mcp_tool_call_completed": "the call (`McpCallItem`)",
    "mcp_approval_request": "the request (`McpApprovalRequestItem`)",
}
"""The transport's own events and what their listeners get."""


class Emit(NamedTuple):
    """An event on its way to the listeners."""

    type: str
    args: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """Something went wrong; unless the status changes too, the connection stays."""

    error: Exception | JsonObject
    """An exception of ours, or the server's `error` event as it came."""
    type: Literal["error"] = "error"

    @property
    def message(self) -> str:
        """What went wrong, whoever tells it."""
        if isinstance(self.error, Exception):
            return str(self.error) or type(self.error).__name__
        return self._text("message") or "the server gave no message"

    @property
    def code(self) -> str | None:
        """The server's code for it, such as ``response_cancel_not_active``, if there is one."""
        return self._text("code")

    @property
    def param(self) -> str | None:
        """Which parameter the server complains of, if it is one."""
        return self._text("param")

    @property
    def event_id(self) -> str | None:
        """The client event that the server complains of, if it is one."""
        return self._text("event_id")

    def _text(self, name: str) -> str | None:
        if isinstance(self.error, Exception):
            value = getattr(self.error, name, None)
        else:
            details = self.error.get("error")
            value = details.get(name) if isinstance(details, Mapping) else None
        return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class AudioEvent:
    """Audio of the model."""

    data: bytes = field(repr=False)
    """PCM: int16, little endian, mono, 24 kHz."""
    response_id: str | None
    item_id: str | None = None
    content_index: int | None = None
    type: Literal["audio"] = "audio"


@dataclass(frozen=True, slots=True)
class TranscriptDelta:
    """A further piece of the transcript of what the model says."""

    delta: str
    item_id: str
    response_id: str
    type: Literal["transcript_delta"] = "transcript_delta"


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A further piece of the text that the model writes."""

    delta: str
    item_id: str
    response_id: str
    type: Literal["output_text_delta"] = "output_text_delta"


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """The model calls a function; answer with `send_function_call_output`."""

    name: str
    arguments: str
    """JSON, as the model wrote it."""
    call_id: str
    id: str | None = None
    """The item's id."""
    response_id: str | None = None
    type: Literal["function_call"] = "function_call"


@dataclass(frozen=True, slots=True)
class ItemDeleted:
    """The server deleted an item of the conversation."""

    item_id: str


@dataclass(frozen=True, slots=True)
class UsageUpdate:
    """What a response cost."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: list[JsonObject] = field(default_factory=list)
    output_tokens_details: list[JsonObject] = field(default_factory=list)
    requests: int = 1


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """A response began."""

    provider_data: JsonObject
    """The server's `response.created`."""
    type: Literal["response_started"] = "response_started"


@dataclass(frozen=True, slots=True)
class TurnUsage:
    """Tokens of one response; the details are as the server names them."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    input_tokens_details: JsonObject = field(default_factory=dict)
    output_tokens_details: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TurnResponse:
    """A finished response."""

    id: str
    output: list[JsonObject] = field(default_factory=list)
    """The server's output items, raw."""
    usage: TurnUsage = field(default_factory=TurnUsage)


@dataclass(frozen=True, slots=True)
class TurnDone:
    """A response ended: completed, cancelled, incomplete or failed."""

    response: TurnResponse
    type: Literal["response_done"] = "response_done"


@dataclass(frozen=True, slots=True)
class McpToolsListed:
    """An MCP server told its tools."""

    server_label: str
    tools: list[JsonObject]
