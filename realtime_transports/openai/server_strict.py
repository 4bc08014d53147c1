"""What the real API refuses besides what has the wrong shape; a strict server refuses it too.

Each rule names its source. Where only the refusal is documented and no error was seen, the code is
`invalid_value`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from realtime_transports.openai.server_checks import invalid, missing_parameter, too_long
from realtime_transports.openai.server_outputs import ClientEventError, JsonObject

__all__ = ["require_api_item", "require_api_response", "require_api_session", "require_api_update"]

VOICES = (
    "alloy",
    "ash",
    "ballad",
    "coral",
    "echo",
    "sage",
    "shimmer",
    "verse",
    "marin",
    "cedar",
)
"""`audio.output.voice` in `openai.types.realtime.RealtimeAudioConfigOutput`."""

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]+")

MAX_ID_LENGTH = 32
"""Of an item's `id` and `call_id`, as clients have seen: "Invalid 'item.id': string too long.
Expected a string with maximum length 32, but got a string with length 39 instead."."""


def require_api_update(changes: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Refuse what a running session may not be changed to.

    `type` must be there ("Missing required parameter: 'session.type'.", recorded in
    swigerb/SonicAIDriveThru). The model stays ("update any field except for `voice` and `model`"
    in `SessionUpdateEvent`), and so does tracing once it is on ("the configuration cannot be
    modified" in `RealtimeSessionCreateRequest`).

    Raises:
        ClientEventError: Something in the changes is refused.
    """
    if "type" not in changes:
        raise missing_parameter("session.type")
    if changes.get("model", current["model"]) != current["model"]:
        raise invalid("session.model", f"a running session keeps its model {current['model']}")
    tracing = current["tracing"]
    if tracing is not None and changes.get("tracing", tracing) != tracing:
        raise invalid("session.tracing", "the tracing of a session cannot be changed once it is on")


def require_api_session(changes: Mapping[str, Any], tools: Iterable[JsonObject]) -> None:
    """Refuse voices that there are not, tools of impossible names, choices of none of the tools.

    Args:
        changes: The `session` of an update, or what an option of a response has of it.
        tools: Those that hold then.

    Raises:
        ClientEventError: One of them is there.
    """
    _require_settings(changes, tools, "session")


def require_api_response(options: Mapping[str, Any], tools: Iterable[JsonObject]) -> None:
    """The same for the `response` of a response.create."""
    _require_settings(options, tools, "response")


def require_api_item(item: JsonObject, call_ids: Iterable[str]) -> None:
    """Refuse ids that are too long, outputs of unknown calls, and audio of the assistant's.

    `conversation.item.create` "cannot populate assistant audio messages"
    (`ConversationItemCreateEvent`).

    Args:
        item: What the client creates.
        call_ids: Of the calls in the conversation.

    Raises:
        ClientEventError: It is one of these.
    """
    for name in ("id", "call_id"):
        if len(item.get(name) or "") > MAX_ID_LENGTH:
            raise too_long(f"item.{name}", MAX_ID_LENGTH, len(item[name]))
    if item["type"] == "function_call_output" and item["call_id"] not in call_ids:
        raise ClientEventError(
            f"Tool call ID '{item['call_id']}' not found in conversation.",
            code="invalid_tool_call_id",
            param="item.call_id",
        )
    if item.get("role") == "assistant":
        for index, part in enumerate(item["content"]):
            if part.get("type") == "output_audio":
                raise invalid(
                    f"item.content[{index}].type", "assistant audio messages cannot be created"
                )


def _require_settings(given: Mapping[str, Any], tools: Iterable[JsonObject], prefix: str) -> None:
    voice = ((given.get("audio") or {}).get("output") or {}).get("voice", VOICES[0])
    if isinstance(voice, str) and voice not in VOICES:
        supported = ", ".join(f"'{name}'" for name in VOICES)
        raise ClientEventError(
            f"Invalid value: '{voice}'. Supported values are: {supported}.",
            code="invalid_value",
            param=f"{prefix}.audio.output.voice",
        )
    for index, tool in enumerate(given.get("tools") or ()):
        if tool["type"] == "function" and not TOOL_NAME.fullmatch(tool["name"]):
            raise invalid(
                f"{prefix}.tools[{index}].name",
                "string does not match pattern. Expected a string that matches the pattern "
                f"'^{TOOL_NAME.pattern}$'",
            )
    choice = given.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] == "function":
        names = [tool.get("name") for tool in tools]
        if choice["name"] not in names:
            raise invalid(f"{prefix}.tool_choice.name", f"there is no tool '{choice['name']}'")
