"""Checks of what clients send: each gets a value and its path, and keeps it or refuses it.

Codes and wording are the API's. Those of unknown and missing parameters were recorded from it
(livekit/agents#3398; "GA validation fidelity" in swigerb/SonicAIDriveThru); the path of an element
is ``session.tools[2].meta`` there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

from realtime_transports.openai.server_outputs import ClientEventError, JsonObject

__all__ = [
    "BOOLEAN",
    "INTEGER",
    "NUMBER",
    "OBJECT",
    "STRING",
    "Check",
    "check_object",
    "either",
    "in_range",
    "invalid",
    "list_of",
    "map_of",
    "missing_parameter",
    "object_of",
    "of_type",
    "one_of",
    "or_null",
    "tagged",
    "too_long",
    "unknown_parameter",
    "wrong_type",
]

Check: TypeAlias = Callable[[object, str], Any]
"""Gets a value and its path; returns what is kept, or raises ClientEventError."""


def wrong_type(param: str, wanted: str, value: object) -> ClientEventError:
    """The error of a value of another JSON type."""
    return ClientEventError(
        f"Invalid type for '{param}': expected {wanted}, but got {_json_type(value)} instead.",
        code="invalid_type",
        param=param,
    )


def invalid(param: str, problem: str) -> ClientEventError:
    """The error of a value of the right type that cannot be."""
    return ClientEventError(f"Invalid '{param}': {problem}.", code="invalid_value", param=param)


def unknown_parameter(param: str) -> ClientEventError:
    """The error of a member that there is not."""
    return ClientEventError(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)


def missing_parameter(param: str) -> ClientEventError:
    """The error of a member that must be there."""
    return ClientEventError(
        f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param
    )


def too_long(param: str, max_length: int, length: int) -> ClientEventError:
    """The error of a string beyond its maximum length."""
    return ClientEventError(
        f"Invalid '{param}': string too long. Expected a string with maximum length {max_length}, "
        f"but got a string with length {length} instead.",
        code="string_above_max_length",
        param=param,
    )


def check_object(
    value: object, param: str, checks: Mapping[str, Check], required: Collection[str] = ()
) -> JsonObject:
    """What is kept of an object.

    Args:
        value: What came.
        param: Its path.
        checks: The check of each member that it may have.
        required: Names of members that it must have.

    Raises:
        ClientEventError: It is no object, or a member is wrong, unknown or missing.
    """
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    for name in required:
        if name not in value:
            raise missing_parameter(f"{param}.{name}")
    checked = {}
    for name, member in value.items():
        path = f"{param}.{name}"
        if name not in checks:
            raise unknown_parameter(path)
        checked[name] = checks[name](member, path)
    return checked


def of_type(wanted: str, *types: type) -> Check:
    """A value of some JSON type; a boolean is no number."""

    def check(value: object, param: str) -> object:
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise wrong_type(param, wanted, value)
        return value

    return check


def one_of(*choices: str) -> Check:
    """One of some strings."""

    def check(value: object, param: str) -> object:
        if value not in choices:
            supported = ", ".join(f"'{choice}'" for choice in choices)
            raise ClientEventError(
                f"Invalid value: '{value}'. Supported values are: {supported}.",
                code="invalid_value",
                param=param,
            )
        return value

    return check


def _integer(value: object, param: str) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)  # JavaScript has no other numbers
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(param, "an integer", value)
    return value


def in_range(low: float, high: float, check_number: Check | None = None) -> Check:
    """A number that is neither too small nor too large."""
    check_type = check_number or NUMBER

    def check(value: object, param: str) -> object:
        number = check_type(value, param)
        if not low <= number <= high:
            raise invalid(param, f"must be between {low:g} and {high:g}, not {number!r}")
        return number

    return check


def or_null(check: Check) -> Check:
    """What another check takes, or null."""
    return lambda value, param: None if value is None else check(value, param)


def object_of(checks: Mapping[str, Check], required: Collection[str] = ()) -> Check:
    """An object of these members; see `check_object`."""
    return lambda value, param: check_object(value, param, checks, required)


def list_of(check: Check) -> Check:
    """An array whose elements all pass a check."""

    def check_list(value: object, param: str) -> object:
        if not isinstance(value, list):
            raise wrong_type(param, "an array", value)
        return [check(element, f"{param}[{index}]") for index, element in enumerate(value)]

    return check_list


def map_of(check: Check) -> Check:
    """An object of any names whose values all pass a check."""

    def check_map(value: object, param: str) -> object:
        if not isinstance(value, dict):
            raise wrong_type(param, "an object", value)
        return {name: check(member, f"{param}.{name}") for name, member in value.items()}

    return check_map


def either(kind: type, check: Check, otherwise: Check) -> Check:
    """One check for values of a Python type, another for all others."""
    return lambda value, param: (check if isinstance(value, kind) else otherwise)(value, param)


def tagged(variants: Mapping[str, Check]) -> Check:
    """An object whose ``type`` says which check it has to pass."""
    check_tag = one_of(*variants)

    def check(value: object, param: str) -> object:
        if not isinstance(value, dict):
            raise wrong_type(param, "an object", value)
        if "type" not in value:
            raise missing_parameter(f"{param}.type")
        return variants[check_tag(value["type"], f"{param}.type")](value, param)

    return check


def _json_type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case list():
            return "an array"
        case _:
            return "an object"


STRING: Check = of_type("a string", str)
BOOLEAN: Check = of_type("a boolean", bool)
NUMBER: Check = of_type("a number", int, float)
OBJECT: Check = of_type("an object", dict)
INTEGER: Check = _integer
