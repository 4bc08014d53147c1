"""What a turn asks for, read out of the session and the conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from realtime_core.speech import SPEECH_RATE_HZ
from realtime_transports.local_server.responders.base import Turn

__all__ = ["Call", "Failure", "Reply", "Request", "ToolOutput", "request_of"]

MAX_TEXT_CHARS = 10_000
"""What a user says after that is not looked at, so that nobody waits for the rules."""

MAX_OUTPUT_CHARS = 50_000


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What one of the client's functions gave."""

    name: str
    """The function; empty where nobody knows."""
    output: str


@dataclass(frozen=True, slots=True)
class Request:
    """A turn, as far as rules look at it."""

    text: str
    """What the user wrote or said; empty if that was nothing, or not understood."""
    speech_s: float | None = None
    """How long the user spoke, in seconds; None when it was written."""
    outputs: Sequence[ToolOutput] = ()
    """What functions gave since the last answer; then `text` is empty."""
    has_image: bool = False
    tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The functions that may be called, with the JSON schema of their arguments."""
    demanded: str | None = None
    """The function that must be called; ``""`` is any of them."""


@dataclass(frozen=True, slots=True)
class Call:
    """A function to call."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """How an answer fails."""

    message: str
    code: str = "server_error"


@dataclass(frozen=True, slots=True)
class Reply:
    """What to do: wait, say, call, fail, in this order. Nothing of it is silence."""

    say: str = ""
    call: Call | None = None
    failure: Failure | None = None
    delay_s: float = 0.0


def request_of(turn: Turn) -> Request:
    """What a turn asks for."""
    tools = _functions(turn.session.get("tools") or ())
    last = turn.items[-1] if turn.items else {}
    if last.get("type") == "function_call_output":
        return Request("", outputs=_outputs(turn.items), tools=tools)
    is_users = last.get("role") == "user"
    spoken = turn.audio if is_users else None
    return Request(
        text=turn.text[:MAX_TEXT_CHARS] if is_users else "",
        speech_s=None if spoken is None else len(spoken) / SPEECH_RATE_HZ,
        has_image=is_users and _has_image(last),
        tools={} if turn.session.get("tool_choice") == "none" else tools,
        demanded=_demanded(turn.session.get("tool_choice"), tools),
    )


def _functions(tools: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {
        str(tool.get("name")): tool.get("parameters") or {}
        for tool in tools
        if tool.get("type") == "function"
    }


def _demanded(choice: object, tools: Mapping[str, Any]) -> str | None:
    if choice == "required" and tools:
        return ""
    name = choice.get("name") if isinstance(choice, Mapping) else None
    return str(name) if name in tools else None


def _outputs(items: Sequence[Mapping[str, Any]]) -> list[ToolOutput]:
    """Those at the end; there are several where functions were called side by side."""
    names = {item.get("call_id"): item.get("name") for item in items if "name" in item}
    found: list[ToolOutput] = []
    for item in reversed(items):
        if item.get("type") != "function_call_output":
            break
        name = names.get(item.get("call_id")) or ""
        found.append(ToolOutput(str(name), str(item.get("output", ""))[:MAX_OUTPUT_CHARS]))
    return found[::-1]


def _has_image(item: Mapping[str, Any]) -> bool:
    return any(part.get("type") == "input_image" for part in item.get("content", ()))
