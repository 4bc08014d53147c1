"""Where this project and OpenAI Agents JS part, a row each, and the page made of the rows.

``python -m tests.conformance.differences`` writes ``docs/reference/differences.md``. The rows are
in the TOML files beside this module, by area; `load_rows` says what a row holds.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tests.conformance.case import load_quirks
from tests.conformance.rules import RULES

__all__ = ["AREAS", "PAGE", "Row", "load_rows", "write_page"]

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[2] / "docs" / "reference" / "differences.md"

AREAS = {
    "responses": "Asking for responses, and cancelling them",
    "history": "History",
    "events": "Server events",
    "interruption": "Interruption",
    "connection": "Connecting, closing, muting",
    "configuration": "Session configuration",
}

INTRODUCTION = """\
# Differences from OpenAI Agents JS

Transports here behave as those of OpenAI Agents JS 0.20.0, as far as 635 recorded cases tell,
except for what is on this page: each of its known defects and oddities, what happens here instead,
and the tests that show it. “Recorded cases” are those in `tests/conformance/vectors`, whose
expectation a rule in `tests/conformance/rules` rewrites where the behaviour shows; the rest of each
case is compared as it was recorded. Where a row says *the same*, the oddity was weighed and kept.

This page is written by `python -m tests.conformance.differences`.
"""


class Row(BaseModel):
    """A deliberate difference, or an oddity that was weighed and kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reference: str
    """What OpenAI Agents JS does."""
    here: str
    """What this project does."""
    why: str
    same: bool = False
    """Whether this project decided to do as the reference."""
    tests: tuple[str, ...] = ()
    """The tests that show it: ``file::function``."""


def load_rows() -> dict[str, dict[str, Row]]:
    """The rows by area, then by the id of the oddity."""
    return {
        area: {
            quirk: Row.model_validate(fields)
            for quirk, fields in tomllib.loads((FOLDER / f"{area}.toml").read_text()).items()
        }
        for area in AREAS
    }


def write_page() -> str:
    """The page, as it must be."""
    sections = [
        "\n".join([f"## {AREAS[area]}\n", *_table(rows)]) + "\n"
        for area, rows in load_rows().items()
    ]
    return "\n".join([INTRODUCTION, *sections])


def _table(rows: dict[str, Row]) -> list[str]:
    with_rules = {rule.quirk for rule in RULES}
    quirks = load_quirks()
    lines = [
        "| oddity | severity | OpenAI Agents JS | here | why | shown by |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for quirk, row in rows.items():
        here = f"*the same*: {row.here}" if row.same else row.here
        shown = [f"`{test}`" for test in row.tests]
        if quirk in with_rules:
            shown.append("recorded cases")
        cells = (row.reference, here, row.why, "<br>".join(shown))
        text = " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells)
        lines.append(f"| `{quirk}` | {quirks[quirk]['severity']} | {text} |")
    return lines
