"""Items that clients create: which kinds there are and what each may hold.

Taken from `ConversationItem` in `openai.types.realtime`. What passes is shown in
conversation.item.added as it is, so nothing passes that those types do not have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from realtime_transports.openai.server_audio import pcm_from_base64
from realtime_transports.openai.server_checks import (
    BOOLEAN,
    INTEGER,
    OBJECT,
    STRING,
    Check,
    list_of,
    object_of,
    of_type,
    one_of,
    or_null,
    tagged,
)
from realtime_transports.openai.server_conversation import StoredItem
from realtime_transports.openai.server_outputs import JsonObject

__all__ = ["parse_item"]

_TEXT = or_null(STRING)
_INPUT_TEXT = object_of({"type": STRING, "text": STRING}, required=["text"])
_INPUT_AUDIO = object_of({"type": STRING, "audio": _TEXT, "transcript": _TEXT})
_INPUT_IMAGE = object_of(
    {
        "type": STRING,
        "image_url": STRING,
        "detail": or_null(one_of("auto", "low", "high")),
    },
    required=["image_url"],
)

CONTENT_CHECKS: Mapping[str, Check] = {
    "user": tagged(
        {"input_text": _INPUT_TEXT, "input_audio": _INPUT_AUDIO, "input_image": _INPUT_IMAGE}
    ),
    "system": tagged({"input_text": _INPUT_TEXT}),
    "assistant": tagged({"output_text": _INPUT_TEXT, "output_audio": _INPUT_AUDIO}),
}
"""A part of a message's content, by the message's role."""

_OWN: Mapping[str, Check] = {"type": STRING, "id": _TEXT}
_COMMON: Mapping[str, Check] = {
    **_OWN,
    "object": or_null(one_of("realtime.item")),
    "status": or_null(one_of("completed", "incomplete", "in_progress")),
}
_MCP_ERROR = tagged(
    {
        "protocol_error": object_of(
            {"type": STRING, "code": INTEGER, "message": STRING}, required=["code", "message"]
        ),
        "tool_execution_error": object_of({"type": STRING, "message": STRING}, ["message"]),
        "http_error": object_of(
            {"type": STRING, "code": INTEGER, "message": STRING}, required=["code", "message"]
        ),
    }
)
_MCP_TOOL = object_of(
    {
        "name": STRING,
        "input_schema": OBJECT,
        "description": _TEXT,
        "annotations": or_null(OBJECT),
    },
    required=["name", "input_schema"],
)
_MCP_CALL: Mapping[str, Check] = {
    **_OWN,
    "name": STRING,
    "arguments": STRING,
    "server_label": STRING,
}

ITEM_CHECKS: Mapping[str, Check] = {
    "message": object_of(
        {
            **_COMMON,
            "role": one_of(*CONTENT_CHECKS),
            "content": list_of(of_type("an object", dict)),
        },
        required=["role", "content"],
    ),
    "function_call": object_of(
        {**_COMMON, "name": STRING, "arguments": STRING, "call_id": _TEXT},
        required=["name", "arguments"],
    ),
    "function_call_output": object_of(
        {**_COMMON, "call_id": STRING, "output": STRING}, required=["call_id", "output"]
    ),
    "mcp_approval_response": object_of(
        {**_OWN, "approval_request_id": STRING, "approve": BOOLEAN, "reason": _TEXT},
        required=["approval_request_id", "approve"],
    ),
    "mcp_approval_request": object_of(_MCP_CALL, required=["name", "arguments", "server_label"]),
    "mcp_list_tools": object_of(
        {**_OWN, "server_label": STRING, "tools": list_of(_MCP_TOOL)},
        required=["server_label", "tools"],
    ),
    "mcp_call": object_of(
        {
            **_MCP_CALL,
            "approval_request_id": _TEXT,
            "error": or_null(_MCP_ERROR),
            "output": _TEXT,
        },
        required=["name", "arguments", "server_label"],
    ),
}
"""Every kind of item. Clients may create all of them: that is how a history is restored."""

_check_item = tagged(ITEM_CHECKS)


def parse_item(
    raw: object,
    make_id: Callable[[str], str],
    formats: Mapping[str, Mapping[str, Any]],
    param: str = "item",
) -> StoredItem:
    """The item that a client sent, checked.

    Args:
        raw: The item.
        make_id: Makes an id if the item has none.
        formats: The format of audio by the role whose it is.
        param: Its path in the event.

    Raises:
        ClientEventError: It is none that a client may create.
    """
    item: JsonObject = _check_item(raw, param)
    item["id"] = item.get("id") or make_id("item")
    kind = item["type"]
    if not kind.startswith("mcp_"):
        item.update(object="realtime.item", status=item.get("status") or "completed")
    if kind == "function_call":
        item["call_id"] = item.get("call_id") or make_id("call")
    stored = StoredItem(item)
    if kind == "message":
        _take_content(stored, formats.get(item["role"], {}), param)
    return stored


def _take_content(stored: StoredItem, audio_format: Mapping[str, Any], param: str) -> None:
    """Check a message's content and put its audio aside."""
    check_part = CONTENT_CHECKS[stored.item["role"]]
    parts = []
    for index, raw in enumerate(stored.item["content"]):
        path = f"{param}.content[{index}]"
        part = check_part(raw, path)
        audio = part.pop("audio", None)
        if audio is not None:
            stored.audio[index] = pcm_from_base64(audio, audio_format, f"{path}.audio")
        parts.append(part)
    stored.item["content"] = parts
