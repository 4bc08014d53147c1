"""What the clients written in JavaScript need."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

from tests.interop.required import lacking, program

JAVASCRIPT = Path(__file__).parent / "js"
INSTALL_DEADLINE_S = 300


@pytest.fixture(scope="session")
def javascript() -> Path:
    """The folder of the clients, with what they import installed."""
    program("node")
    npm = program("npm")
    with FileLock(JAVASCRIPT / ".installing", timeout=INSTALL_DEADLINE_S):
        if not (JAVASCRIPT / "node_modules" / ".package-lock.json").exists():
            install(npm)
    return JAVASCRIPT


def install(npm: str) -> None:
    installed = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund"],
        cwd=JAVASCRIPT,
        capture_output=True,
        text=True,
        timeout=INSTALL_DEADLINE_S,
        check=False,
    )
    if installed.returncode:
        lacking(f"the SDK cannot be installed: {installed.stderr[-500:]}")
