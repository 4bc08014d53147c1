"""The client events that a program's calls become. Plain functions: arguments in, event out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, TypeAlias

from pydantic import BaseModel
from pydantic import ValidationError as PydanticValidationError

from realtime_core.errors import ValidationError
from realtime_core.events import FunctionCall
from realtime_core.items import FunctionCallItem, McpApprovalRequestItem
from realtime_transports.openai import wire

__all__ = [
    "ApprovalRequest",
    "Message",
    "ToolCall",
    "append_audio",
    "completed_call",
    "create_mcp_response",
    "create_message",
    "create_response",
    "function_call_output",
    "image_message",
    "require_mapping",
    "retrieve_item",
]

JsonObject = dict[str, Any]

Message: TypeAlias = str | Mapping[str, Any] | BaseModel
"""A text, or something with `content`: a list of parts as the API takes them, except that an image
may also be written ``{"type": "input_image", "image": url, "provider_data": {...}}``."""

ToolCall: TypeAlias = FunctionCall | Mapping[str, Any]
"""A `function_call` event, or a mapping with its fields."""

ApprovalRequest: TypeAlias = McpApprovalRequestItem | Mapping[str, Any]
"""An `mcp_approval_request`, or a mapping with its `item_id`."""


def create_message(message: Message, other_event_data: Mapping[str, Any] | None) -> JsonObject:
    """`conversation.item.create` with a message of the user.

    Args:
        message: What the user says.
        other_event_data: Further fields of the event, such as `previous_item_id`. They cannot
            replace its type or its item.

    Raises:
        ValidationError: The message has no list of parts, or the fields are no mapping.
    """
    if other_event_data is not None:
        require_mapping(other_event_data, "other_event_data")
    item = {"type": "message", "role": "user", "content": _content(message)}
    return {**(other_event_data or {}), "type": "conversation.item.create", "item": item}


def image_message(image: str) -> JsonObject:
    """A message of one image, for `create_message`.

    Raises:
        ValidationError: It is no text.
    """
    if not isinstance(image, str):
        raise ValidationError(f"image must be a data: or https: URL, not {_kind(image)}")
    return {"content": [{"type": "input_image", "image": image}]}


def append_audio(pcm: bytes) -> JsonObject:
    """`input_audio_buffer.append`.

    Raises:
        ValidationError: It is not of bytes.
    """
    if not isinstance(pcm, (bytes, bytearray, memoryview)):
        raise ValidationError(
            f"pcm must be bytes, not {_kind(pcm)}; an array of int16 gives them by tobytes()"
        )
    return {"type": "input_audio_buffer.append", "audio": wire.encode_audio(pcm)}


def create_response(response: Mapping[str, Any] | None) -> JsonObject:
    """`response.create`, with the options of the response if there are any.

    Raises:
        ValidationError: They are no mapping.
    """
    options = {} if response is None else {"response": dict(require_mapping(response, "response"))}
    return {"type": "response.create", **options}


def retrieve_item(item_id: str) -> JsonObject:
    """`conversation.item.retrieve`."""
    return {"type": "conversation.item.retrieve", "item_id": item_id}


def function_call_output(tool_call: ToolCall, output: str) -> JsonObject:
    """`conversation.item.create` with the output of a function.

    Raises:
        ValidationError: The output is no string, or the call is none or has no `call_id` to match
            it with.
    """
    if not isinstance(output, str):
        raise ValidationError(
            f"output of a function call must be a string, not {type(output).__name__}; "
            "use json.dumps for data"
        )
    call_id = _tool_call_fields(tool_call).get("call_id")
    if not isinstance(call_id, str):
        raise ValidationError("tool_call has no call_id, so its output cannot be matched to it")
    item = {"type": "function_call_output", "output": output, "call_id": call_id}
    return {"type": "conversation.item.create", "item": item}


def completed_call(tool_call: ToolCall, output: str) -> FunctionCallItem | None:
    """The history's item of a call that has its output; None where the call is too sparse."""
    fields = _tool_call_fields(tool_call)
    item = {
        name: fields[name] for name in ("previous_item_id", "arguments", "name") if name in fields
    }
    try:
        return FunctionCallItem.model_validate(
            {**item, "item_id": fields.get("id"), "status": "completed", "output": output}
        )
    except PydanticValidationError:
        return None


def create_mcp_response(
    approval_request: ApprovalRequest, approved: bool, reason: str | None
) -> JsonObject:
    """`conversation.item.create` with the answer to an MCP server's request.

    Raises:
        ValidationError: The request is none, or has no `item_id`.
    """
    if isinstance(approval_request, Mapping):
        request_id = approval_request.get("item_id")
    elif hasattr(approval_request, "item_id"):
        request_id = approval_request.item_id
    else:
        raise ValidationError(
            "approval_request must be an mcp_approval_request or a mapping, "
            f"not {_kind(approval_request)}"
        )
    if not isinstance(request_id, str):
        raise ValidationError("approval_request has no item_id, so it cannot be answered")
    item: JsonObject = {
        "type": "mcp_approval_response",
        "approval_request_id": request_id,
        "approve": approved,
    }
    if reason is not None:
        item["reason"] = reason
    return {"type": "conversation.item.create", "previous_item_id": request_id, "item": item}


def require_mapping(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The same.

    Raises:
        ValidationError: It is something else.
    """
    if not isinstance(value, Mapping):
        raise ValidationError(f"{name} must be a mapping, not {_kind(value)}")
    return value


def _content(message: Message) -> list[Any]:
    if isinstance(message, str):
        return [{"type": "input_text", "text": message}]
    if isinstance(message, BaseModel):
        message = message.model_dump(exclude_unset=True)
    if not isinstance(message, Mapping):
        raise ValidationError(
            f"message must be a text, or have a list of parts under 'content', not {_kind(message)}"
        )
    parts = message.get("content")
    if not isinstance(parts, Sequence) or isinstance(parts, (str, bytes, bytearray)):
        raise ValidationError(
            f"message must have a list of parts under 'content', not {_kind(parts)}"
        )
    return [_content_part(part) for part in parts]


def _content_part(part: object) -> object:
    if isinstance(part, BaseModel):
        part = part.model_dump(exclude_unset=True)
    if not isinstance(part, Mapping):
        raise ValidationError(f"a part of message must be a mapping, not {_kind(part)}")
    if part.get("type") != "input_image" or "image" not in part:
        return part
    more = require_mapping(part.get("provider_data") or {}, "provider_data of an image")
    return {"type": "input_image", "image_url": part["image"], **more}


def _tool_call_fields(tool_call: ToolCall) -> Mapping[str, Any]:
    if isinstance(tool_call, Mapping):
        return tool_call
    if not is_dataclass(tool_call) or isinstance(tool_call, type):
        raise ValidationError(
            f"tool_call must be a function_call or a mapping, not {_kind(tool_call)}"
        )
    return asdict(tool_call)


def _kind(value: object) -> str:
    return type(value).__name__
