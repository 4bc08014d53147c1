"""The session config of an agent: of openai-agents, of something shaped alike, or of a mapping."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from realtime_core.errors import UserError

__all__ = ["agent_config"]

Json = dict[str, Any]


async def agent_config(agent: object, context: object = None) -> Json:
    """What an agent says about its session.

    Args:
        agent: A `RealtimeAgent` of openai-agents, or an object or mapping with some of `name`,
            `instructions`, `voice`, `prompt`, `tools` and `handoffs`. Instructions, prompt and a
            tool's `is_enabled` may be functions or coroutine functions of context and agent.
        context: Given to these functions.

    Raises:
        UserError: A tool is of no kind that a realtime session can have.
    """
    config: Json = {}
    for name in ("instructions", "voice", "prompt"):
        value = await _settled(_member(agent, name), context, agent)
        if value is not None:
            config[name] = _prompt(value) if name == "prompt" else value
    tools = await _tools(agent, context)
    if tools:
        config["tools"] = tools
    return config


async def _tools(agent: object, context: object) -> list[Json]:
    tools = [
        _tool(tool)
        for tool in _member(agent, "tools") or ()
        if await _is_enabled(tool, context, agent)
    ]
    handoffs = [
        _handoff(handoff)
        for handoff in _member(agent, "handoffs") or ()
        if await _is_enabled(handoff, context, agent)
    ]
    return tools + handoffs


def _tool(tool: object) -> Json:
    if isinstance(tool, Mapping):
        return {"type": "function", **tool}
    hosted = getattr(tool, "tool_config", None)
    if isinstance(hosted, Mapping):
        return dict(hosted)
    parameters = getattr(tool, "params_json_schema", None)
    if parameters is None:
        name = getattr(tool, "name", type(tool).__name__)
        raise UserError(
            f"tool {name!r} is a {type(tool).__name__}; a realtime session has function tools and "
            "hosted MCP tools only"
        )
    return _function(_member(tool, "name"), _member(tool, "description"), parameters)


def _handoff(handoff: object) -> Json:
    """The function by which the model hands over: of a `Handoff`, or of the other agent itself."""
    tool_name = _member(handoff, "tool_name")
    if tool_name is not None:
        schema = _member(handoff, "input_json_schema") or {}
        return _function(tool_name, _member(handoff, "tool_description"), schema)
    name = str(_member(handoff, "name"))
    about = _member(handoff, "handoff_description") or ""
    return _function(
        re.sub(r"[^a-z0-9_]", "_", f"transfer_to_{name}".lower()),
        f"Handoff to the {name} agent to handle the request. {about}".rstrip(),
        {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    )


def _function(name: object, description: object, parameters: object) -> Json:
    function = {"type": "function", "name": name, "parameters": parameters}
    return function | ({"description": description} if description else {})


async def _is_enabled(tool: object, context: object, agent: object) -> bool:
    enabled = await _settled(_member(tool, "is_enabled"), context, agent)
    return enabled is None or bool(enabled)


async def _settled(value: object, context: object, agent: object) -> Any:
    """A value, or what a function gives for it."""
    if callable(value):
        value = value(context, agent)
    return await value if inspect.isawaitable(value) else value


def _prompt(prompt: object) -> object:
    """A stored prompt; openai-agents names its id `id`, as the API does."""
    if isinstance(prompt, Mapping) and "id" in prompt:
        return {"prompt_id": prompt["id"], **{k: v for k, v in prompt.items() if k != "id"}}
    return prompt


def _member(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
