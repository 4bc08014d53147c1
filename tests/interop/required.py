"""Programs that interop needs and a machine may lack."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

REQUIRED_VARIABLE = "REALTIME_REQUIRE_INTEROP"
"""Set where everything must be there, as in continuous integration: lack is a failure then."""


def lacking(what: str) -> NoReturn:
    """Skip the test, or fail it where nothing may lack."""
    if os.environ.get(REQUIRED_VARIABLE):
        pytest.fail(f"{what}, and {REQUIRED_VARIABLE} is set")
    pytest.skip(what)


def program(*names: str) -> str:
    """The path of the first of these programs that is there."""
    for name in names:
        if path := shutil.which(name):
            return path
    lacking(f"no {' or '.join(names)} on this machine")
