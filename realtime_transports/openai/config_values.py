"""Reading configuration that a caller wrote: plain copies, checked kinds, both spellings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar, cast

from pydantic import BaseModel

from realtime_core.errors import ValidationError

Json: TypeAlias = dict[str, object]
Value = TypeVar("Value")

_UNCHANGING = frozenset({str, int, float, bool})


def plain(value: object) -> object:
    """A copy of dicts and lists only, which shares nothing that can change with `value`.

    Mappings of any kind become dicts, tuples become lists, and pydantic models become dicts of the
    fields that were set. Everything else is taken as it is.
    """
    if value is None or type(value) in _UNCHANGING:  # most are, and the questions below take long
        return value
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, Mapping):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    return value


def copied(value: Value) -> Value:
    """A copy of JSON values, which shares nothing that can change; `copy.deepcopy` takes longer."""
    copy: Any = value
    if isinstance(value, dict):
        copy = {
            key: member if type(member) in _UNCHANGING else copied(member)
            for key, member in value.items()
        }
    elif isinstance(value, list):
        copy = [copied(member) for member in value]
    return cast("Value", copy)


def plain_object(value: object, *, field: str) -> Json:
    """`plain` of a mapping or model.

    Raises:
        ValidationError: `value` is something else. The message names `field`, never the value,
            which may hold a secret.
    """
    copy = plain(value)
    if not isinstance(copy, dict):
        raise ValidationError(f"{field} must be a mapping, not {type(value).__name__}")
    return copy


def member(value: object, *path: str) -> object:
    """What is under the keys of `path`, one inside the other; None where there is no such thing."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def snake_spelled(value: Mapping[str, object], names: Mapping[str, str]) -> Json:
    """`value` with the keys that `names` lists renamed; all others are kept.

    Where both spellings are given, the one in `names` wins.
    """
    kept = {key: member for key, member in value.items() if key not in names}
    return kept | {names[key]: member for key, member in value.items() if key in names}
