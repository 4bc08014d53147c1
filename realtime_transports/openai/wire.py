"""Between the text on the link and the events in the program."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from types import NoneType
from typing import Any, NoReturn

from pydantic_core import from_json

from realtime_core.errors import ProtocolError, ValidationError

__all__ = ["MAX_DEPTH", "decode_audio", "dump", "encode_audio", "parse", "parse_value"]

MAX_DEPTH = 200
"""How many objects and lists may be within each other. Whoever looks through an event, here or in a
program, does it a call a level, and Python ends that at 1,000; real events have ten."""


def parse(data: str | bytes) -> dict[str, Any]:
    """The server event in a message.

    Args:
        data: A JSON text (RFC 8259); bytes are taken for UTF-8.

    Raises:
        ProtocolError: It is no JSON text, or no object with a `type`. The message tells no more of
            the content than where it goes wrong.
    """
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        event = _read(text)
    except ValueError as exc:
        raise ProtocolError(f"the server sent a message that is not JSON: {exc}") from exc
    if not isinstance(event, dict):
        raise ProtocolError(f"the server sent a JSON {type(event).__name__}, not an event object")
    if not isinstance(event.get("type"), str):
        raise ProtocolError("the server sent an event whose type is not a string")
    if not isinstance(event.get("event_id", ""), (str, NoneType)):
        raise ProtocolError(
            f"the server sent a {event['type']!r} event whose event_id is not a string"
        )
    if _may_be_deep(event, text) and _is_deeper(event, MAX_DEPTH):
        raise ProtocolError(
            f"the server sent a {event['type']!r} event nested deeper than {MAX_DEPTH} levels"
        )
    return event


def parse_value(data: str | bytes) -> object:
    """The value in a JSON text (RFC 8259); bytes are taken for UTF-8.

    Raises:
        ValueError: It is no JSON text, or an object nested deeper than `MAX_DEPTH` levels.
    """
    text = data.decode("utf-8") if isinstance(data, bytes) else data
    value = _read(text)
    if isinstance(value, dict) and _may_be_deep(value, text) and _is_deeper(value, MAX_DEPTH):
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
    return value


def dump(event: Mapping[str, Any]) -> str:
    """The text of a client event.

    None is sent as null; a member that is not to be sent must not be there. NaN and the infinities
    have no form in JSON and become null, as in `JSON.stringify`. All but ASCII is escaped, so that
    a string with a lone surrogate can be sent too.

    Raises:
        ValidationError: The event holds what JSON cannot express, or holds itself.
    """
    try:
        return _dumps(event)
    except ValueError:
        # Rare enough to look through the event only now: a float without a JSON form, or a cycle.
        pass
    except TypeError as exc:
        raise ValidationError(f"event cannot be sent as JSON: {exc}") from exc
    try:
        return _dumps(_without_nan(event))
    except (RecursionError, ValueError, TypeError) as exc:
        raise ValidationError(f"event cannot be sent as JSON: {exc}") from exc


def encode_audio(pcm: bytes) -> str:
    """Audio as the wire carries it: base64 (RFC 4648, section 4)."""
    return base64.b64encode(pcm).decode("ascii")


def decode_audio(text: str) -> bytes:
    """The audio in a base64 text; missing padding and white space do no harm.

    Raises:
        ProtocolError: It is no base64.
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # as nobody should send it; it may still say what was meant
        compact = "".join(text.split())
    padded = compact + "=" * (-len(compact) % 4)
    try:
        return base64.b64decode(padded, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ProtocolError(f"audio is not base64: {exc}") from exc


def _read(text: str) -> object:
    """The value in a JSON text.

    Raises:
        ValueError: It is none.
    """
    try:
        value: object = from_json(text, allow_inf_nan=False, cache_strings="keys")
    except (ValueError, TypeError):  # rare: it is no JSON, or has half of a surrogate pair
        try:
            value = _DECODER.decode(text)
        except RecursionError as exc:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels") from exc
    return value


def _may_be_deep(event: dict[str, Any], text: str) -> bool:
    """Whether it is worth while to look through an event: nearly always it is not."""
    if len(text) <= 2 * MAX_DEPTH:
        return False
    for value in event.values():
        if isinstance(value, (dict, list)):
            return text.count("{") + text.count("[") > MAX_DEPTH
    return False


def _is_deeper(value: dict[str, Any] | list[Any], depth: int) -> bool:
    """Whether there are more levels within each other than this."""
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, (dict, list)) and (depth <= 1 or _is_deeper(inner, depth - 1)):
            return True
    return False


def _refuse_constant(name: str) -> NoReturn:
    # `json` reads NaN and Infinity, which RFC 8259 does not know.
    raise ValueError(f"{name} is no JSON value")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
"""Made once: `json.loads` makes one for each text when it is given options."""


_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def _dumps(value: object) -> str:
    return _ENCODER.encode(value)


def _without_nan(value: object) -> object:
    match value:
        case float() if not math.isfinite(value):
            return None
        case Mapping():
            return {key: _without_nan(member) for key, member in value.items()}
        case list() | tuple():
            return [_without_nan(member) for member in value]
        case _:
            return value
