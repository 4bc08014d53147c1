"""Runs a suite without pytest, to see which of its tests fail."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest


def failures(suite: type, make_fixture: Callable[[], Any], *, only: str | None = None) -> set[str]:
    """Names of the tests that fail.

    Args:
        suite: A contract.
        make_fixture: Makes what the tests get, the harness or the case.
        only: Just this test.
    """
    names = [name for name in dir(suite) if name.startswith("test_") and only in (None, name)]
    return {name for name in names if not _passes(getattr(suite(), name), make_fixture())}


def _passes(test: Callable[[Any], Any], fixture: Any) -> bool:
    try:
        outcome = test(fixture)
        if inspect.iscoroutine(outcome):
            asyncio.run(outcome)
    except pytest.skip.Exception:
        return True
    except Exception:  # whatever it is, the test fails
        return False
    return True
