"""Every recorded case is a test of its own.

Another folder of cases is run by ``CONFORMANCE_VECTORS=DIR pytest tests/conformance``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conformance.case import VECTORS, Case, load_folder, load_quirks
from tests.conformance.rules import RULES
from tests.conformance.run import Outcome, run_case

FOLDER = Path(os.environ.get("CONFORMANCE_VECTORS", VECTORS / "public"))
QUIRKS = load_quirks()
RULED = {rule.quirk for rule in RULES}


def _undecided(case: Case) -> list[str]:
    """Oddities that the case touches, that need not be kept, and that no rule is about."""
    return [
        quirk
        for quirk in case.quirks
        if quirk not in RULED and QUIRKS.get(quirk, {}).get("advice") in ("fix", "decide")
    ]


def _check(case: Case, outcome: Outcome) -> None:
    if outcome.kind in ("pending", "not_applicable"):
        pytest.skip(outcome.detail)
    if outcome.kind == "failed":
        undecided = _undecided(case)
        if undecided:
            pytest.skip(f"not decided yet: {', '.join(undecided)}")
        pytest.fail(outcome.detail, pytrace=False)


@pytest.mark.parametrize("case", list(load_folder(FOLDER)), ids=lambda case: case.name)
def test_transports_do_what_was_recorded(case: Case) -> None:
    _check(case, run_case(case))
