"""Finds what must not be seen in texts and events, and puts a mark in its place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from realtime_core.errors import ValidationError

__all__ = ["PRESETS", "SECRETS", "Masking", "Span", "make_masking", "mask_secrets"]

SECRETS = re.compile(
    r"(?<![A-Za-z0-9])(?:sk|ek|rk)[-_][A-Za-z0-9_-]{16,}|(?<![A-Za-z])[Bb]earer\s+[^\s\"']{8,}"
)
"""OpenAI's keys, long-lived and ephemeral, and bearer tokens, wherever they stand."""

SECRET_KEYS = frozenset({"api_key", "authorization", "client_secret"})
"""Members of events that are secret whatever they hold; so is all in ``headers`` of MCP tools."""

MASKED = "***"

CONTENT_KEYS = frozenset(
    {"arguments", "delta", "message", "output", "reason", "text", "transcript"}
)
"""Members of events, and arguments of calls, that hold what people, models and functions say. What
the developer wrote, instructions and descriptions of tools, is not among them."""

AUDIO_DELTAS = ("response.audio.delta", "response.output_audio.delta")
"""Events whose ``delta`` is audio, base64. A tuple: what is compared may not even be hashable."""


class Span(NamedTuple):
    """A place in a text."""

    start: int
    end: int
    name: str
    """Which pattern found it."""


def _is_card(digits: str) -> bool:
    """Whether the check digit fits (ISO/IEC 7812-1, annex B)."""
    numbers = [int(each) for each in reversed(digits) if each.isdecimal()]
    doubled = [sum(divmod(2 * each, 10)) for each in numbers[1::2]]
    return (sum(numbers[::2]) + sum(doubled)) % 10 == 0


_PHONE = (
    r"(?<![\w.])(?:(?:\+|\(?0|\()[0-9](?:[ ()/.-]{0,2}[0-9]){6,14}"
    r"|[0-9]{3}[ .-][0-9]{3}[ .-][0-9]{4})(?!\w)"
)
"""Numbers as they are dialled: with a country's code or a leading zero, or in the American way."""

PRESETS: dict[str, tuple[str, Callable[[str], bool] | None]] = {
    "card": (r"(?<![\d.])[0-9](?:[ -]?[0-9]){12,18}(?![\d.]\d)(?!\d)", _is_card),
    "email": (r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}", None),
    "phone": (_PHONE, None),
}
"""Patterns by name, and what a find must fulfil besides."""


class Masking:
    """Some patterns."""

    def __init__(
        self, patterns: Mapping[str, tuple[re.Pattern[str], Callable[[str], bool] | None]]
    ) -> None:
        """Take patterns by name, each with what a find must fulfil besides."""
        self._patterns = dict(patterns)

    def spans(self, text: str, start: int = 0) -> list[Span]:
        """The finds from `start` on, in order. Those that overlap are one, named after the first.

        What stands before `start` is seen by look-behinds.
        """
        found = sorted(self._finds(text, start), key=lambda span: (span.start, -span.end))
        merged: list[Span] = []
        for span in found:
            if merged and span.start < merged[-1].end:
                last = merged[-1]
                merged[-1] = Span(last.start, max(last.end, span.end), last.name)
            else:
                merged.append(span)
        return merged

    def mask(self, text: str, start: int = 0, end: int | None = None) -> str:
        """The text between two places that no find stands across, finds replaced by marks."""
        end = len(text) if end is None else end
        pieces, place = [], start
        for span in self.spans(text, start):
            if span.start >= end:
                break
            pieces += [text[place : span.start], f"[{span.name}]"]
            place = span.end
        return "".join([*pieces, text[place:end]])

    def mask_content(self, value: Any) -> Any:
        """A copy of JSON values in which whatever people and models say is masked."""
        match value:
            case dict():
                is_audio = value.get("type") in AUDIO_DELTAS
                return {
                    key: inner if is_audio and key == "delta" else self._mask_member(key, inner)
                    for key, inner in value.items()
                }
            case list():
                return [self.mask_content(inner) for inner in value]
        return value

    def mask_all(self, value: Any) -> Any:
        """A copy of JSON values in which all strings and numbers are masked."""
        match value:
            case str():
                return self.mask(value)
            case dict():
                return {key: self.mask_all(inner) for key, inner in value.items()}
            case list():
                return [self.mask_all(inner) for inner in value]
            case bool() | None:
                return value
        masked = self.mask(str(value))
        return value if masked == str(value) else masked

    def mask_text(self, text: str) -> str:
        """A text that may be JSON, as arguments of functions are; one that is stays so."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return self.mask(text)
        if not isinstance(value, dict | list):
            return self.mask(text)
        masked = self.mask_all(value)
        return text if masked == value else json.dumps(masked)

    def _mask_member(self, key: str, value: Any) -> Any:
        if isinstance(value, str) and key in CONTENT_KEYS:
            return self.mask_text(value)
        if key == "arguments":
            return self.mask_all(value)
        return self.mask_content(value)

    def _finds(self, text: str, start: int) -> Iterator[Span]:
        for name, (pattern, is_meant) in self._patterns.items():
            for found in pattern.finditer(text, start):
                if found.end() > found.start() and (is_meant is None or is_meant(found.group())):
                    yield Span(found.start(), found.end(), name)


def make_masking(presets: Iterable[str], pattern: str | None = None) -> Masking:
    """Patterns by their preset names, and one of the caller's.

    Raises:
        ValidationError: A name is unknown, or the pattern is no regular expression.
    """
    chosen: dict[str, tuple[re.Pattern[str], Callable[[str], bool] | None]] = {}
    for name in presets:
        if name not in PRESETS:
            raise ValidationError(f"there is no pattern {name!r}; there are: {', '.join(PRESETS)}")
        expression, is_meant = PRESETS[name]
        chosen[name] = re.compile(expression), is_meant
    if pattern:
        try:
            chosen["redacted"] = re.compile(pattern), None
        except re.error as exc:
            raise ValidationError(f"pattern {pattern!r} is no regular expression: {exc}") from exc
    return Masking(chosen)


def mask_secrets(value: Any, *, is_secret: bool = False) -> Any:
    """A copy of JSON values without keys and tokens."""
    match value:
        case str():
            return MASKED if is_secret else SECRETS.sub(MASKED, value)
        case dict():
            return {
                key: mask_secrets(inner, is_secret=is_secret or _is_secret(key, inner))
                for key, inner in value.items()
            }
        case list():
            return [mask_secrets(inner, is_secret=is_secret) for inner in value]
    return value


def _is_secret(key: str, value: Any) -> bool:
    return key in SECRET_KEYS or (key == "headers" and isinstance(value, dict))
