"""The contract's calls that send, each with fitting arguments and what it sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from realtime_core.events import FunctionCall
from realtime_core.items import McpApprovalRequestItem
from realtime_core.transport import RealtimeTransportLayer

__all__ = ["SENDING_CALLS", "SENT_BY"]

CALL = FunctionCall(name="look_up", arguments="{}", call_id="call_1", id="item_call")
REQUEST = McpApprovalRequestItem(
    item_id="item_1",
    type="mcp_approval_request",
    server_label="shop",
    name="buy",
    arguments={},
    approved=None,
)

SENDING_CALLS: dict[str, Callable[[RealtimeTransportLayer], Any]] = {
    "send_event": lambda transport: transport.send_event({"type": "contract.event"}),
    "send_message": lambda transport: transport.send_message("Hello"),
    "add_image": lambda transport: transport.add_image(
        "data:image/png;base64,AA==", trigger_response=False
    ),
    "send_audio": lambda transport: transport.send_audio(bytes(2)),
    "request_response": lambda transport: transport.request_response(),
    "update_session_config": lambda transport: transport.update_session_config(
        {"instructions": "Other"}
    ),
    "send_function_call_output": lambda transport: transport.send_function_call_output(
        CALL, "1", start_response=False
    ),
    "send_mcp_response": lambda transport: transport.send_mcp_response(REQUEST, True),
    "reset_history": lambda transport: transport.reset_history([], []),
}
"""All but `interrupt` and `mute`, which may do nothing without a connection."""

SENT_BY: dict[str, list[str]] = {
    "send_event": ["contract.event"],
    "send_message": ["conversation.item.create", "response.create"],
    "add_image": ["conversation.item.create"],
    "request_response": ["response.create"],
    "send_function_call_output": ["conversation.item.create"],
    "send_mcp_response": ["conversation.item.create"],
    "reset_history": [],
}
"""Types of the client events that a call sends when nothing else is under way."""
