"""Reads manifests: JSONL or CSV, each entry with the line it begins on.

Everything is looked at before anything runs, and all that is wrong is told at once.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pydantic
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from realtime_core.batch.job_ids import id_problem

__all__ = ["MANIFEST_SUFFIXES", "ManifestEntry", "ManifestTurn", "Problem", "read_manifest"]

MANIFEST_SUFFIXES = (".jsonl", ".ndjson", ".csv")

JSON_COLUMNS = ("tools", "tool_outputs", "session", "turns")
"""What has parts of its own; in a CSV file it is written as JSON."""

MAX_LINE_BYTES = 16 * 1024 * 1024

Problem = Callable[[int, str], None]
"""Takes the line's number and what is wrong there."""


class ManifestTurn(BaseModel):
    """One question of a job, as a manifest gives it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    audio: str = Field(min_length=1)
    expected: str | None = None
    said: str | None = None


class FunctionTool(BaseModel):
    """A tool, as far as it is looked at; the server knows the rest."""

    model_config = ConfigDict(extra="allow", strict=True)

    type: str
    name: str | None = None


class ManifestEntry(BaseModel):
    """One job, as a manifest gives it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str | None = None
    audio: str | None = Field(None, min_length=1)
    expected: str | None = None
    said: str | None = None
    turns: list[ManifestTurn] | None = Field(None, min_length=1)
    instructions: str | None = None
    tools: list[FunctionTool] | None = None
    tool_outputs: dict[str, JsonValue] | None = None
    session: dict[str, JsonValue] | None = None

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> ManifestEntry:
        if self.id is not None and (problem := id_problem(self.id)) is not None:
            raise ValueError(problem)
        if (self.audio is None) == (self.turns is None):
            raise ValueError("give either audio or turns")
        if self.turns is not None and not (self.expected is None and self.said is None):
            raise ValueError("with turns, expected and said belong into each turn")
        named = {tool.name for tool in self.tools or ()}
        for name in self.tool_outputs or ():
            if name not in named:
                raise ValueError(f"tool_outputs has {name!r}, and no tool is called so")
        return self

    def all_turns(self) -> list[ManifestTurn]:
        """The turns, of which there is at least one."""
        if self.turns is not None:
            return self.turns
        return [ManifestTurn(audio=self.audio or "", expected=self.expected, said=self.said)]


def read_manifest(path: Path, problem: Problem) -> Iterator[tuple[int, ManifestEntry]]:
    """The entries that are right, each with the line that it begins on, from 1.

    Args:
        path: The file; its suffix says what it is.
        problem: Told of everything that is wrong.
    """
    read = _read_csv if path.suffix.lower() == ".csv" else _read_json_lines
    try:
        for line, values in read(path, problem):
            entry = _checked(values, line, problem)
            if entry is not None:
                yield line, entry
    except OSError as exc:
        problem(0, f"it cannot be read: {exc.strerror or exc}")


def _checked(values: dict[str, Any], line: int, problem: Problem) -> ManifestEntry | None:
    try:
        return ManifestEntry.model_validate(values)
    except pydantic.ValidationError as exc:
        for error in exc.errors(include_url=False):
            problem(line, _described(error))
    return None


def _described(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = ManifestEntry if len(error["loc"]) == 1 else ManifestTurn
        return f"there is no column {where!r}; there are: {', '.join(known.model_fields)}"
    message = str(error["msg"]).removeprefix("Value error, ")
    message = f"{message[:1].lower()}{message[1:]}"
    return f"{where}: {message}" if where else message


def _read_json_lines(path: Path, problem: Problem) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES), b""), start=1):
            content = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
            if len(raw) == MAX_LINE_BYTES:
                problem(number, f"the line has more than {MAX_LINE_BYTES} bytes")
                return
            if not content.strip():
                continue
            value = _parsed(content, number, problem)
            if isinstance(value, dict):
                yield number, value
            elif value is not None:
                problem(number, f"it is a JSON {type(value).__name__}, not an object")


def _parsed(content: bytes | str, line: int, problem: Problem, column: str = "") -> Any:
    """The value of a JSON text; None after a problem was told."""
    where = f"{column}: " if column else ""
    try:
        text = content if isinstance(content, str) else content.decode()
        value = json.loads(text, object_pairs_hook=_without_repetition, parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        problem(line, f"{where}it is not UTF-8")
    except UnicodeEncodeError as exc:  # JSON can have it, and rows could not be written
        half = exc.object[exc.start]
        problem(line, f"{where}it has half of a character in it, {half!r}")
    except RecursionError:
        problem(line, f"{where}it is nested too deeply")
    except ValueError as exc:
        problem(line, f"{where}it is no JSON: {exc}")
    else:
        if value is None:
            problem(line, f"{where}it is null")
        return value
    return None


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice")
    return values


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number that JSON has")


def _read_csv(path: Path, problem: Problem) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, strict=True)
        line = 1
        try:
            columns = [name.strip() for name in next(rows, [])]
            if not _are_columns(columns, problem):
                return
            line = rows.line_num + 1
            for cells in rows:
                if any(cells):
                    values = _row_values(columns, cells, line, problem)
                    if values is not None:
                        yield line, values
                line = rows.line_num + 1
        except csv.Error as exc:
            problem(line, f"it is no CSV: {exc}")
        except UnicodeDecodeError:
            problem(line, "it is not UTF-8")


def _are_columns(columns: list[str], problem: Problem) -> bool:
    """Whether the first line names columns; one that is wrong is told once, not for each row."""
    unknown = [name for name in columns if name not in ManifestEntry.model_fields]
    for name in unknown:
        known = ", ".join(ManifestEntry.model_fields)
        problem(1, f"there is no column {name!r}; there are: {known}")
    twice = {name for name in columns if columns.count(name) > 1}
    for name in sorted(twice):
        problem(1, f"the column {name!r} is there twice")
    if not {"audio", "turns"} & set(columns):
        problem(1, "the first line must name the columns, and one of them is audio or turns")
        return False
    return not (unknown or twice)


def _row_values(
    columns: list[str], cells: list[str], line: int, problem: Problem
) -> dict[str, Any] | None:
    """The cells that are not empty, by column; None after a problem was told."""
    if len(cells) != len(columns):
        problem(line, f"there are {len(cells)} cells for {len(columns)} columns")
        return None
    values: dict[str, Any] = {}
    for column, cell in zip(columns, cells, strict=True):
        if not cell:
            continue
        values[column] = cell
        if column in JSON_COLUMNS:
            values[column] = _parsed(cell, line, problem, column)
            if values[column] is None:
                return None
    return values
