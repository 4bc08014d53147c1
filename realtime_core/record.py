"""The form of a record: one JSON object a line, the first of which says what it is.

What goes into an engine and comes out are Python values; `encode` gives them a form in JSON from
which `decode` makes the same again, apart from types that an engine does not tell apart: a model
or dataclass becomes a mapping, a tuple a list. What JSON has no form for stands in an object whose
only key begins with ``$``.

    {"$audio": "AAAA"}       bytes, base64
    {"$audio_bytes": 960}    bytes that were left out; zeros stand for them
    {"$base64_bytes": 960}   a base64 text that was left out; that of zeros stands for it
    {"$received": true}      the server event that came last
    {"$number": "inf"}       a float that JSON does not have: inf, -inf, nan
    {"$error": {...}}        an exception: class and message
    {"$object": {...}}       an object with a key that begins with ``$``
    {"$type": "Agent"}       something else; only its type is told
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from realtime_core.errors import RealtimeError, ValidationError
from realtime_core.masking import AUDIO_DELTAS, make_masking, mask_secrets

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "RecordError",
    "RecordForm",
    "RecordedError",
    "decode",
    "encode",
    "read_record",
]

FORMAT = "realtime-record"
FORMAT_VERSION = 1

MOST_LINE_CHARS = 64 * 1024 * 1024
"""Longer than any message that a link takes; what is longer is no record."""


PIECE = "[piece]"
"""Stands for a piece of text that was left out."""


class RecordError(RealtimeError):
    """A file is no record, or a defective one."""

    def __init__(self, message: str, *, line: int) -> None:
        """Say where.

        Args:
            message: What is wrong.
            line: The line's number, from 1.
        """
        super().__init__(f"line {line}: {message}")
        self.line = line


class RecordedError(RealtimeError):
    """Stands in for an exception that a record tells of."""

    def __init__(self, class_name: str, message: str) -> None:
        """Keep what is known of it."""
        super().__init__(message)
        self.class_name = class_name


def encode(value: Any) -> Any:
    """The value in JSON's types. Any value may be given; what it shares is not changed."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        fields = {str(key): encode(member) for key, member in value.items()}
        return {"$object": fields} if any(key.startswith("$") for key in fields) else fields
    if isinstance(value, list | tuple):
        return [encode(member) for member in value]
    return _encode_special(value)


def decode(value: Any) -> Any:
    """The value that `encode` was given, or its like.

    Raises:
        ValueError: It is none that `encode` makes.
    """
    if isinstance(value, list):
        return [decode(member) for member in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (key, inner), *_ = value.items()
        if key.startswith("$"):
            return _decode_special(key, inner)
    return {key: decode(member) for key, member in value.items()}


class RecordForm:
    """What is left out of a record, and how the rest is written.

    The same value always gets the same form, so a replay can compare what it gets.
    """

    def __init__(
        self, *, audio: bool = True, redact: Sequence[str] = (), pattern: str | None = None
    ) -> None:
        """Say what is left out; keys and tokens always are.

        Args:
            audio: Whether audio is kept.
            redact: Presets of `realtime_core.masking`, left out of all that is said. Texts that
                come in pieces (deltas) are left out whole then.
            pattern: A further regular expression.

        Raises:
            ValidationError: There is no such preset, or no such expression.
        """
        self.options: dict[str, Any] = {
            "audio": audio,
            "redact": list(redact),
            "pattern": pattern,
        }
        self._keeps_audio = audio
        self._masking = make_masking(redact, pattern) if redact or pattern else None

    @classmethod
    def of_header(cls, header: Mapping[str, Any]) -> RecordForm:
        """The form that a header tells of.

        Raises:
            RecordError: It tells of none.
        """
        try:
            return cls(**header.get("options", {}))
        except (TypeError, ValidationError) as exc:
            raise RecordError(f"its options cannot be used: {exc}", line=1) from exc

    def write(self, value: Any, received: Mapping[str, Any] | None = None) -> Any:
        """A value's form in the record.

        Args:
            value: Any value.
            received: The server event that came last, which is not written a second time.
        """
        if received is not None and value == received:
            return {"$received": True}
        form = encode(value)
        if not self._keeps_audio:
            form = _without_audio(form)
        if self._masking is not None:
            form = self._masking.mask_content(_without_pieces(form))
        return mask_secrets(form)

    def write_args(self, args: Sequence[Any]) -> list[Any]:
        """The form of a call's arguments, among which a bare string is something said."""
        return [
            self.write({"text": each})["text"] if isinstance(each, str) else self.write(each)
            for each in args
        ]


def read_record(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines of a record with their numbers, the header first.

    A last line without an end is left out: whoever wrote it was killed meanwhile.

    Raises:
        RecordError: It is no record, or of a version that this one does not know.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(MOST_LINE_CHARS):
            number += 1
            if not raw.endswith(b"\n") and number > 1 and len(raw) < MOST_LINE_CHARS:
                return
            line = _parse(raw, number)
            if number == 1:
                _check_header(line)
            yield number, line
    if number == 0:
        raise RecordError("the file is empty", line=1)


def _without_audio(form: Any) -> Any:
    """Audio replaced by its length, in the places where events and calls have it."""
    if isinstance(form, list):
        return [_without_audio(each) for each in form]
    if not isinstance(form, dict):
        return form
    if isinstance(audio := form.get("$audio"), str):
        return {"$audio_bytes": len(base64.b64decode(audio))}
    audio_key = "delta" if form.get("type") in AUDIO_DELTAS else "audio"
    return {
        key: _base64_length(inner) if key == audio_key else _without_audio(inner)
        for key, inner in form.items()
    }


def _base64_length(text: Any) -> Any:
    if not isinstance(text, str):
        return _without_audio(text)
    try:
        return {"$base64_bytes": len(base64.b64decode(text, validate=True))}
    except (binascii.Error, ValueError):
        return text  # the engine has something to say about it


def _without_pieces(form: Any) -> Any:
    """Texts in pieces replaced by a mark: a pattern cannot be found in a piece of its match."""
    if isinstance(form, list):
        return [_without_pieces(each) for each in form]
    if not isinstance(form, dict):
        return form
    is_audio = form.get("type") in AUDIO_DELTAS
    return {
        key: PIECE
        if key == "delta" and isinstance(inner, str) and not is_audio
        else _without_pieces(inner)
        for key, inner in form.items()
    }


def _parse(raw: bytes, number: int) -> dict[str, Any]:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise RecordError(f"it is no JSON: {exc}", line=number) from exc
    if not isinstance(line, dict):
        raise RecordError(f"it is a JSON {type(line).__name__}, not an object", line=number)
    return line


def _check_header(line: Mapping[str, Any]) -> None:
    if line.get("format") != FORMAT:
        raise RecordError(f"it is not the header of a record ({FORMAT!r})", line=1)
    if line.get("version") != FORMAT_VERSION:
        raise RecordError(
            f"the record has version {line.get('version')!r} of the format; "
            f"this program knows {FORMAT_VERSION}",
            line=1,
        )


def _encode_special(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else {"$number": str(value)}
        case bytes() | bytearray() | memoryview():
            return {"$audio": base64.b64encode(value).decode("ascii")}
        case BaseModel():
            return encode(value.model_dump(exclude_unset=True))
        case Exception():
            return {"$error": {"class": _class_name(value), "message": str(value)}}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return encode({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    return {"$type": type(value).__name__}


def _decode_special(key: str, inner: Any) -> Any:
    match key, inner:
        case "$audio", str():
            try:
                return base64.b64decode(inner, validate=True)
            except binascii.Error as exc:
                raise ValueError(f"$audio is not base64: {exc}") from exc
        case "$audio_bytes", int() if 0 <= inner <= MOST_LINE_CHARS:
            return bytes(inner)
        case "$base64_bytes", int() if 0 <= inner <= MOST_LINE_CHARS:
            return base64.b64encode(bytes(inner)).decode("ascii")
        case "$number", "inf" | "-inf" | "nan":
            return float(inner)
        case "$error", {"class": str(name), "message": str(message)}:
            return RecordedError(name, message)
        case "$object", dict():
            return {name: decode(member) for name, member in inner.items()}
        case "$type", str():
            raise ValueError(f"a {inner} has no form in a record, so this cannot be repeated")
    raise ValueError(f"there is no {key} of this form")


def _class_name(error: Exception) -> str:
    return error.class_name if isinstance(error, RecordedError) else type(error).__name__
