"""Every recorded case is a test of its own.

Another folder of cases is run by ``CONFORMANCE_VECTORS=DIR pytest tests/conformance``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conformance.case import VECTORS, Case, load_folder
from tests.conformance.run import run_case

FOLDER = Path(os.environ.get("CONFORMANCE_VECTORS", VECTORS / "public"))


@pytest.mark.parametrize("case", list(load_folder(FOLDER)), ids=lambda case: case.name)
def test_transports_do_what_was_recorded(case: Case) -> None:
    outcome = run_case(case)
    if outcome.kind == "not_applicable":
        pytest.skip(outcome.detail)
    if outcome.kind not in ("passed", "differs"):
        pytest.fail(outcome.detail, pytrace=False)
