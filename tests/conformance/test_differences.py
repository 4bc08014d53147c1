"""Every known defect and oddity of the reference is answered, and shown by tests that exist."""

import ast
import functools
from pathlib import Path

import pytest

from tests.conformance.case import load_quirks
from tests.conformance.differences import PAGE, Row, load_rows, write_page
from tests.conformance.rules import RULES

ROOT = Path(__file__).parents[2]
QUIRKS = load_quirks()
ROWS: dict[str, Row] = {quirk: row for rows in load_rows().values() for quirk, row in rows.items()}


@functools.cache
def functions_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_defect_and_every_open_oddity_has_one_row():
    answered = [quirk for rows in load_rows().values() for quirk in rows]
    asked = [quirk for quirk, known in QUIRKS.items() if known["advice"] in {"fix", "decide"}]
    assert sorted(answered) == sorted(asked)


def test_no_defect_is_kept_and_no_decided_oddity_differs_by_a_rule():
    same = {quirk for quirk, row in ROWS.items() if row.same}
    assert not {quirk for quirk in same if QUIRKS[quirk]["advice"] == "fix"}
    assert not same & {rule.quirk for rule in RULES}


def test_every_rule_has_its_row():
    assert {rule.quirk for rule in RULES} <= ROWS.keys()


@pytest.mark.parametrize("quirk", ROWS)
def test_a_row_names_tests_that_exist(quirk):
    assert ROWS[quirk].tests
    for test in ROWS[quirk].tests:
        path, _, name = test.partition("::")
        assert name.startswith("test_")
        assert name in functions_of(path), f"{path} has no {name}"


def test_the_page_is_made_of_the_rows():
    assert PAGE.read_text("utf-8") == write_page(), (
        "run `python -m tests.conformance.differences` after changing a row"
    )
