"""The JSON spelling of values that JSON has not, and the plain form of what a transport gives."""

from __future__ import annotations

import base64
import dataclasses
import enum
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

__all__ = [
    "UNDEFINED",
    "Agent",
    "AudioElement",
    "Behaviour",
    "ChangedPeerConnection",
    "CreatedWebSocket",
    "ErrorShape",
    "Function",
    "MediaStream",
    "canonical_ids",
    "decode",
    "plain",
    "without_undefined",
]


class _Undefined(enum.Enum):
    """JavaScript's ``undefined``, where it is something else than ``null``."""

    UNDEFINED = "undefined"

    def __repr__(self) -> str:
        return "undefined"


UNDEFINED = _Undefined.UNDEFINED


@dataclasses.dataclass(frozen=True)
class ErrorShape:
    """An error as it was recorded: the class by its JavaScript name."""

    cls: str
    message: str | None


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """What a fake does when it is called."""

    kind: str
    """returns, resolves, throws, rejects or deferred."""
    value: Any
    after_ms: float = 0

    @classmethod
    def from_json(cls, spec: Any) -> Behaviour:
        """Read ``{"returns": v}`` and its siblings; anything else is returned as it is."""
        if isinstance(spec, Mapping):
            for kind in ("returns", "resolves", "throws", "rejects", "deferred"):
                if kind in spec:
                    return cls(kind, decode(spec[kind]), float(spec.get("afterMs", 0)))
        return cls("returns", decode(spec))


@dataclasses.dataclass(frozen=True)
class Function:
    """A function given as API key."""

    behaviour: Behaviour


@dataclasses.dataclass(frozen=True)
class MediaStream:
    """Audio that the caller brings and keeps."""

    tracks: int = 1


@dataclasses.dataclass(frozen=True)
class AudioElement:
    """The place in a web page where audio is played."""


@dataclasses.dataclass(frozen=True)
class ChangedPeerConnection:
    """A `change_peer_connection` function."""

    spec: Any


@dataclasses.dataclass(frozen=True)
class CreatedWebSocket:
    """A `create_web_socket` function."""

    behaviour: Behaviour | None
    """What it does before it gives a socket; None gives one at once."""


@dataclasses.dataclass(frozen=True)
class Agent:
    """An agent, with its members in JavaScript's spelling."""

    members: Mapping[str, Any]


def _number(spelling: Any) -> float:
    return float({"Infinity": "inf", "-Infinity": "-inf", "NaN": "nan"}[spelling])


def _error(spec: Mapping[str, Any]) -> ErrorShape:
    return ErrorShape(str(spec.get("class")), spec.get("message"))


def _media_stream(spec: Any) -> MediaStream:
    return MediaStream(int(spec.get("tracks", 1)) if isinstance(spec, Mapping) else 1)


_SPECIAL: dict[str, Any] = {
    "$undefined": lambda spec: UNDEFINED,
    "$number": _number,
    "$bytes": base64.b64decode,
    "$zeros": lambda spec: bytes(int(spec)),
    "$b64zeros": lambda spec: base64.b64encode(bytes(int(spec))).decode(),
    "$fn": lambda spec: Function(Behaviour.from_json(spec)),
    "$mediaStream": _media_stream,
    "$audioElement": lambda spec: AudioElement(),
    "$changePeerConnection": ChangedPeerConnection,
    "$error": _error,
    "$createWebSocket": lambda spec: CreatedWebSocket(
        None if spec is True else Behaviour.from_json(spec)
    ),
    "$agent": lambda spec: Agent(decode(spec)),
}


def decode(value: Any) -> Any:
    """Replace the spellings of special values by the values, at any depth."""
    if isinstance(value, dict):
        if len(value) == 1:
            ((key, spec),) = value.items()
            if key in _SPECIAL:
                return _SPECIAL[key](spec)
        return {key: decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return value


def without_undefined(value: Any) -> Any:
    """Drop the members of objects that are undefined, as JSON does; elsewhere they become None."""
    if isinstance(value, dict):
        return {k: without_undefined(v) for k, v in value.items() if v is not UNDEFINED}
    if isinstance(value, list):
        return [without_undefined(item) for item in value]
    return None if value is UNDEFINED else value


def plain(value: Any) -> Any:
    """Copy a payload into dicts, lists and scalars; exceptions stay what they are."""
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, enum.Enum) and value is not UNDEFINED:
        return plain(value.value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, BaseModel):
        return _plain_model(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value


def _plain_model(model: BaseModel) -> dict[str, Any]:
    """A field that was left out is undefined, one that was given as None is None."""
    fields = {name: getattr(model, name) for name in type(model).model_fields}
    fields.update(model.model_extra or {})
    return {
        name: UNDEFINED if item is None and name not in model.model_fields_set else plain(item)
        for name, item in fields.items()
    }


_OWN_ID = re.compile(r"^[A-Za-z][A-Za-z_]*?_(response_create|create|delete)_(\d+)$")
_RECORDED_ID = re.compile(r"^agents_(?:js_)?(response_create|create|delete)_(\d+)$")


def id_number(value: Any, *, recorded: bool = False) -> tuple[str, int] | None:
    """Kind and number of an id that a client counted up, if it is one."""
    pattern = _RECORDED_ID if recorded else _OWN_ID
    found = pattern.match(value) if isinstance(value, str) else None
    return (found[1], int(found[2])) if found else None


def canonical_ids(value: Any) -> Any:
    """Replace ids that a client counted up by their kind and number, at any depth."""
    if isinstance(value, dict):
        return {key: canonical_ids(item) for key, item in value.items()}
    if isinstance(value, list):
        return [canonical_ids(item) for item in value]
    numbered = id_number(value)
    return f"<{numbered[0]} {numbered[1]}>" if numbered else value
