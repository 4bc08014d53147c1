"""Arguments for a function: values that its JSON schema allows, taken from what was said.

What a schema says with `not`, `if` and `dependentRequired` is not looked at.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from realtime_transports.local_server.responders.pattern_sample import is_found, sample_of
from realtime_transports.local_server.responders.slots import Slots

__all__ = ["arguments_for", "fitted"]

Schema = Mapping[str, Any]

MAX_DEPTH = 12
"""A schema may refer to itself; deeper than this, only what must be there is made."""

MAX_TRIES = 100
MAX_SIZE = 100
"""More members are not made, whatever a schema wants: they would take long."""

MAX_CHARS = 100_000

FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "duration": "PT1H",
    "email": "someone@example.com",
    "hostname": "example.com",
    "idn-email": "someone@example.com",
    "idn-hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "iri": "https://example.com/",
    "iri-reference": "/",
    "json-pointer": "/a",
    "regex": ".*",
    "relative-json-pointer": "0",
    "time": "12:00:00Z",
    "uri": "https://example.com/",
    "uri-reference": "/",
    "uri-template": "/{a}",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
"""Where the utterance has nothing of the format."""

NO = re.compile(r"\b(?:not|no|without|off|don't)\b", re.IGNORECASE)
SHAPES = {
    "date": r"\b\d{4}-\d{2}-\d{2}\b",
    "email": r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b",
    "uri": r"\bhttps?://\S+\b",
}
TYPES_BY_KEYWORD = {
    "properties": "object",
    "required": "object",
    "items": "array",
    "prefixItems": "array",
    "minItems": "array",
    "minimum": "number",
    "maximum": "number",
    "multipleOf": "number",
}


def arguments_for(schema: Schema, utterance: str) -> dict[str, Any]:
    """Arguments that the schema allows; the same for the same utterance.

    Args:
        schema: The function's `parameters`.
        utterance: What was said.
    """
    value = _Maker(schema, utterance).make({"type": "object", **schema}, "")
    return value if isinstance(value, dict) else {}


def fitted(arguments: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """The same arguments, where texts that should be numbers or booleans are."""
    properties = schema.get("properties") or {}
    return {name: _fit(value, properties.get(name) or {}) for name, value in arguments.items()}


def _fit(value: Any, schema: Schema) -> Any:
    if isinstance(value, dict):
        return fitted(value, schema)
    if not isinstance(value, str):
        return value
    text = value.strip()
    match _type_of(schema):
        case "integer" if re.fullmatch(r"[-+]?\d+", text):
            return int(text)
        case "number" if re.fullmatch(r"[-+]?\d+(\.\d+)?", text):
            return float(text)
        case "boolean" if text.lower() in ("true", "yes", "on", "false", "no", "off"):
            return text.lower() in ("true", "yes", "on")
    return value


class _Maker:
    """Makes one set of arguments."""

    def __init__(self, root: Schema, utterance: str) -> None:
        self._root = root
        self._slots = Slots(utterance)

    def make(self, schema: object, name: str, index: int = 0, depth: int = 0) -> Any:
        """A value.

        Args:
            schema: What it must be.
            name: The property's.
            index: Counts values that must differ.
            depth: How deep it is within the arguments.
        """
        if not isinstance(schema, Mapping):  # true allows everything
            return self._slots.take_text(name)
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if choices := schema.get("enum"):
            return self._choice(choices, index)
        makers: Mapping[str, Callable[[], Any]] = {
            "object": lambda: self._object(schema, depth),
            "array": lambda: self._array(schema, name, depth),
            "integer": lambda: self._number(schema, index, is_whole=True),
            "number": lambda: self._number(schema, index, is_whole=False),
            "boolean": lambda: (NO.search(self._slots.utterance) is None) ^ bool(index % 2),
            "null": lambda: None,
        }
        make = makers.get(_type_of(schema), lambda: self._string(schema, name, index))
        return make()

    def _resolved(self, schema: Schema, depth: int = 0) -> Schema:
        """Without references and alternatives: the first one that is not null is taken."""
        if depth > MAX_DEPTH:
            return {}
        merged: dict[str, Any] = {}
        if isinstance(schema.get("$ref"), str):
            merged = dict(self._resolved(self._referred(schema["$ref"]), depth + 1))
        parts = [part for part in schema.get("allOf") or () if isinstance(part, Mapping)]
        for keyword in ("anyOf", "oneOf"):
            options = [each for each in schema.get(keyword) or () if isinstance(each, Mapping)]
            options.sort(key=lambda each: each.get("type") == "null")
            parts += options[:1]
        for part in parts:
            merged = _joined(merged, self._resolved(part, depth + 1))
        own = {key: value for key, value in schema.items() if key not in COMBINING}
        return _joined(merged, own)

    def _referred(self, reference: str) -> Schema:
        found: Any = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            if key:
                found = found.get(key) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    def _choice(self, choices: Sequence[Any], index: int) -> Any:
        named = self._slots.choose(list(choices)) if index == 0 else None
        return choices[index % len(choices)] if named is None else named

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = [name for name in schema.get("required") or () if isinstance(name, str)]
        wanted = required or (list(properties) if depth < MAX_DEPTH // 2 else [])
        made = {name: self.make(properties.get(name, {}), name, 0, depth + 1) for name in wanted}
        for name, each in properties.items():
            choices = self._resolved(each).get("enum") if isinstance(each, Mapping) else None
            named = self._slots.choose(list(choices)) if choices else None
            if name not in made and named is not None:
                made[name] = named
        return self._filled_up(made, schema, depth)

    def _filled_up(self, made: dict[str, Any], schema: Schema, depth: int) -> dict[str, Any]:
        """With as many members as there must be."""
        properties = schema.get("properties") or {}
        spare = [name for name in properties if name not in made]
        extra = schema.get("additionalProperties", True)
        count = 0
        while len(made) < min(schema.get("minProperties", 0), MAX_SIZE):
            if spare:
                name = spare.pop(0)
                made[name] = self.make(properties[name], name, 0, depth + 1)
            else:
                count += 1
                made[f"extra{count}"] = self.make(extra, f"extra{count}", 0, depth + 1)
        return made

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        first = list(schema.get("prefixItems") or ())
        least = min(schema.get("minItems", len(first)), MAX_SIZE)
        wanted = max(least, 1 if depth < MAX_DEPTH else 0)
        count = min(wanted, schema.get("maxItems", wanted))
        rest = schema.get("items", {})
        if rest is False:
            count = min(count, len(first))
        schemas = (first + [rest] * count)[:count]
        singular = name.removesuffix("s")
        made: list[Any] = []
        for index, each in enumerate(schemas):
            value = self.make(each, singular, index, depth + 1)
            if schema.get("uniqueItems"):
                value = self._another(value, made, each, singular, depth)
            made.append(value)
        return made

    def _another(self, value: Any, taken: list[Any], schema: object, name: str, depth: int) -> Any:
        """A value that is not taken, as far as there is one."""
        for index in range(MAX_TRIES):
            # As JSON has them: to Python, true is 1.
            if json.dumps(value) not in map(json.dumps, taken):
                break
            value = self.make(schema, name, index, depth + 1)
        return value

    def _number(self, schema: Schema, index: int, *, is_whole: bool) -> float | int:
        step = schema.get("multipleOf") or (1 if is_whole else 0)
        said = self._slots.take_number()
        low, high = _bounds(schema, step or 1)
        start = said if said is not None else (low if low is not None else min(1, high or 1))
        value = float(start) if said is not None else float(start) + index * (step or 1)
        if high is not None:
            value = min(value, high)
        if low is not None:
            value = max(value, low)
        if step:
            value = _on_step(value, step, low)
        return int(value) if is_whole or value == int(value) else value

    def _string(self, schema: Schema, name: str, index: int) -> str:
        kind = schema.get("format")
        if kind in FORMATS:
            found = re.search(SHAPES.get(kind, r"(?!)"), self._slots.utterance)
            return found[0] if found else FORMATS[kind]
        shortest, longest = schema.get("minLength", 0), schema.get("maxLength")
        if pattern := schema.get("pattern"):
            return self._matching(pattern, name, shortest, longest)
        text = self._slots.take_text(name) + (f" {index + 1}" if index else "")
        if longest is not None:
            text = text[:longest] if not index else text[-longest:]
        return text.ljust(min(shortest, MAX_CHARS), ".")

    def _matching(self, pattern: str, name: str, shortest: int, longest: int | None) -> str:
        """A word of the utterance, or one made for the pattern."""
        whole = self._slots.utterance
        said = [*self._slots.candidates(name), *whole.split(), whole]
        for candidate in (form for each in said for form in (each.strip(".,;:?!"), each.upper())):
            fits = shortest <= len(candidate) <= (longest or len(candidate))
            if fits and is_found(pattern, candidate):
                return candidate
        return sample_of(pattern, shortest) or whole


COMBINING = frozenset({"$ref", "allOf", "anyOf", "oneOf"})


def _type_of(schema: Schema) -> str:
    kinds = schema.get("type")
    if isinstance(kinds, list):
        kinds = next((kind for kind in kinds if kind != "null"), "null")
    if isinstance(kinds, str):
        return kinds
    return next((kind for key, kind in TYPES_BY_KEYWORD.items() if key in schema), "string")


def _joined(first: Schema, second: Schema) -> dict[str, Any]:
    """Both schemas at once, as far as that can be said with one."""
    properties = {**(first.get("properties") or {}), **(second.get("properties") or {})}
    required = [*(first.get("required") or ()), *(second.get("required") or ())]
    joined = {**first, **second}
    if properties:
        joined["properties"] = properties
    if required:
        joined["required"] = list(dict.fromkeys(required))
    for keyword, strictest in (("minimum", max), ("maximum", min), ("minLength", max)):
        if keyword in first and keyword in second:
            joined[keyword] = strictest(first[keyword], second[keyword])
    return joined


def _bounds(schema: Schema, step: float) -> tuple[float | None, float | None]:
    """The least and the greatest value; what is excluded is left by half a step at most."""
    margin = step if step >= 1 else 1e-6
    lows = [schema["minimum"]] if "minimum" in schema else []
    highs = [schema["maximum"]] if "maximum" in schema else []
    low_limit, high_limit = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if isinstance(low_limit, int | float):
        lows.append(_just_above(low_limit, high_limit or schema.get("maximum"), margin))
    if isinstance(high_limit, int | float):
        highs.append(_just_below(high_limit, low_limit or schema.get("minimum"), margin))
    return max(lows, default=None), min(highs, default=None)


def _just_above(limit: float, other: float | None, margin: float) -> float:
    return limit + (margin if other is None else min(margin, (other - limit) / 2))


def _just_below(limit: float, other: float | None, margin: float) -> float:
    return limit - (margin if other is None else min(margin, (limit - other) / 2))


def _on_step(value: float, step: float, low: float | None) -> float:
    """The nearest multiple below, or above where that would be too low."""
    below = math.floor(value / step) * step
    return below if low is None or below >= low else math.ceil(value / step) * step
