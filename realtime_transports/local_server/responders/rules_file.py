"""Reads rules from YAML; what is wrong is told with its line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pydantic
import yaml

from realtime_core.errors import ValidationError
from realtime_transports.local_server.responders.rules import RuleBook, RulesFile

__all__ = ["parse_rules", "read_rules"]

MAX_BYTES = 4 * 1024 * 1024
EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "float_type": "a number",
    "list_type": "a list",
    "model_type": "a mapping",
    "string_type": "a text, in quotation marks where YAML takes it for something else",
}
Place = tuple[str | int, ...]


def read_rules(path: str | Path) -> RuleBook:
    """The rules in a file.

    Raises:
        ValidationError: It cannot be read, or holds something else; each line of the message names
            a line of the file.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ValidationError(f"the rules {path} cannot be read: {exc}") from exc
    if len(content) > MAX_BYTES:
        raise ValidationError(f"the rules {path} are larger than {MAX_BYTES} bytes")
    return parse_rules(text, str(path))


def parse_rules(text: str, name: str = "rules") -> RuleBook:
    """The rules in a text.

    Args:
        text: YAML.
        name: What to call it in errors.

    Raises:
        ValidationError: It holds something else.
    """
    node, content = _load(text, name)
    if problems := list(_given_twice(node)):
        raise ValidationError("\n".join(f"{name}:{problem}" for problem in problems))
    try:
        return RuleBook(RulesFile.model_validate(content).rules)
    except pydantic.ValidationError as exc:
        problems = [_problem(error, node) for error in exc.errors(include_url=False)]
        raise ValidationError("\n".join(f"{name}:{problem}" for problem in problems)) from None


def _load(text: str, name: str) -> tuple[yaml.Node | None, Any]:
    """What it holds, and where."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        return node, None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line = mark.line + 1 if mark else 1
        raise ValidationError(f"{name}:{line}: this is no YAML: {exc.problem}") from exc
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        raise ValidationError(f"{name}:{line}: this is no YAML: {exc.reason}") from exc
    except (ValueError, RecursionError) as exc:  # a date such as 2026-99-99
        raise ValidationError(f"{name}:1: this is no YAML: {exc}") from exc


def _given_twice(node: yaml.Node | None, within: Sequence[yaml.Node] = ()) -> Iterator[str]:
    """YAML would quietly take the last of them."""
    if node in within:
        yield f"{_line(node)}: something here holds itself"
    elif isinstance(node, yaml.SequenceNode):
        for member in node.value:
            yield from _given_twice(member, (*within, node))
    elif isinstance(node, yaml.MappingNode):
        names = set()
        for key, member in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in names:
                    yield f"{_line(key)}: {key.value!r} is given twice"
                names.add(key.value)
            yield from _given_twice(member, (*within, node))


def _problem(error: Any, node: yaml.Node | None) -> str:
    place: Place = error["loc"]
    line, found = _find(node, place)
    rule = [f"rule {part + 1}" for part in found[1:2] if isinstance(part, int)]
    where = ", ".join([*rule, *(part for part in found[2:] if isinstance(part, str))])
    if error["type"] == "extra_forbidden":
        problem = "there is no such key"
    elif error["type"] == "missing":
        problem = f"{place[-1]!r} is missing"
    elif error["type"] in EXPECTED:
        problem = f"this should be {EXPECTED[error['type']]}, not {error['input']!r}"
    else:
        message = error["msg"].removeprefix("Value error, ")
        problem = message[:1].lower() + message[1:]
    return f"{line}: {where}: {problem}" if where else f"{line}: {problem}"


def _find(node: yaml.Node | None, place: Place) -> tuple[int, Place]:
    """The line of a place, or of what is next above it, and the place it is the line of."""
    line = _line(node)
    for depth, part in enumerate(place):
        if isinstance(node, yaml.MappingNode):
            members = {key.value: (key, value) for key, value in node.value}
            if part not in members:
                return line, place[:depth]
            key, node = members[part]
            line = _line(key)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = _line(node)
        else:
            return line, place[:depth]
    return line, place


def _line(node: yaml.Node | None) -> int:
    return node.start_mark.line + 1 if node is not None else 1
