"""The tools of a session config as the Realtime API takes them.

A tool that the program runs keeps the fields the API documents. A tool of a remote MCP server,
which the API calls by itself, is a set of connection settings plus rules on which calls need the
user's approval.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypedDict

from realtime_core.errors import UserError, ValidationError
from realtime_transports.openai.config_values import Json, plain_object, snake_spelled

_FUNCTION_FIELDS: Final[tuple[str, ...]] = ("type", "name", "description", "parameters")
_MCP_FIELDS: Final[tuple[str, ...]] = (
    "type",
    "server_label",
    "server_url",
    "server_description",
    "connector_id",
    "authorization",
    "headers",
    "allowed_tools",
    "require_approval",
)
_MCP_CAMEL_CASE: Final = {
    "serverLabel": "server_label",
    "serverUrl": "server_url",
    "serverDescription": "server_description",
    "connectorId": "connector_id",
    "allowedTools": "allowed_tools",
    "requireApproval": "require_approval",
}
_APPROVALS: Final = ("always", "never")
_FILTER_CAMEL_CASE: Final = {"toolNames": "tool_names", "readOnly": "read_only"}
_FILTER_FIELDS: Final = frozenset({*_FILTER_CAMEL_CASE, *_FILTER_CAMEL_CASE.values()})


def tools_payload(tools: object) -> list[Json]:
    """The `tools` of a session payload, in the order given.

    Args:
        tools: A list of mappings. MCP tools may be spelled in snake_case or camelCase.

    Raises:
        ValidationError: No list, or a tool that is no mapping.
        UserError: An MCP tool whose `require_approval` cannot be understood.
    """
    if not isinstance(tools, list | tuple):
        raise ValidationError(f"tools must be a list, not {type(tools).__name__}")
    return [
        _tool_payload(plain_object(tool, field=f"tools.{index}"))
        for index, tool in enumerate(tools)
    ]


def _tool_payload(tool: Json) -> Json:
    if tool.get("type") != "mcp":
        return {field: tool[field] for field in _FUNCTION_FIELDS if field in tool}
    tool = snake_spelled(tool, _MCP_CAMEL_CASE)
    payload = {field: tool[field] for field in _MCP_FIELDS if field in tool}
    if "require_approval" in payload:
        payload["require_approval"] = _approval_payload(payload["require_approval"])
    return payload


def _approval_payload(approval: object) -> str | Json:
    if isinstance(approval, Mapping):
        return _approvals_by_tool(approval)
    if not isinstance(approval, str):
        raise _refused('value must be "always", "never", or an object with always/never filters')
    if approval not in _APPROVALS:
        raise _refused(f'string value must be "always" or "never", got "{approval}"')
    return approval


def _approvals_by_tool(approval: Mapping[str, object]) -> Json:
    if not approval:
        raise _refused("object value must include at least one of always or never")
    for key in approval:
        if key not in _APPROVALS:
            raise _refused(f'object value has unsupported key "{key}"')
    filters = {kind: _filter(approval[kind], kind) for kind in _APPROVALS if kind in approval}
    always, never = (filters.get(kind, _Filter()).get("tool_names", []) for kind in _APPROVALS)
    for name in always:
        if name in never:
            raise _refused(f'tool "{name}" cannot be listed in both always and never')
    return dict(filters)


class _Filter(TypedDict, total=False):
    """The calls that a rule is about: those that fit all that is given."""

    tool_names: list[str]
    read_only: bool


def _filter(value: object, kind: str) -> _Filter:
    if not isinstance(value, Mapping):
        raise _refused(f"{kind} must be an object with toolNames or readOnly")
    for key in value:
        if key not in _FILTER_FIELDS:
            raise _refused(f'{kind} has unsupported key "{key}"')
    for camel, snake in _FILTER_CAMEL_CASE.items():
        if camel in value and snake in value:
            raise _refused(f"{kind} must not specify both {camel} and {snake}")
    given = snake_spelled(value, _FILTER_CAMEL_CASE)
    if not given:
        raise _refused(f"{kind} must include toolNames or readOnly")
    result = _Filter()
    if "tool_names" in given:
        result["tool_names"] = _tool_names(given["tool_names"], kind)
    if "read_only" in given:
        result["read_only"] = _read_only(given["read_only"], kind)
    return result


def _tool_names(value: object, kind: str) -> list[str]:
    if not isinstance(value, list):
        raise _refused(f"{kind}.toolNames must be an array")
    names = [name for name in value if isinstance(name, str) and name]
    if len(names) < len(value):
        raise _refused(f"{kind}.toolNames must contain only non-empty strings")
    return names


def _read_only(value: object, kind: str) -> bool:
    if not isinstance(value, bool):
        raise _refused(f"{kind}.readOnly must be a boolean")
    return value


def _refused(why: str) -> UserError:
    # The words of OpenAI Agents JS, whose users look for them; hence the stop at the end.
    return UserError(f"Invalid hosted MCP requireApproval: {why}.")
