"""A stranger's tests, run as a stranger runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

STRANGER = '''
import asyncio
import pytest
from realtime_audio_plugins import ToneSource
from realtime_core.testing import AudioSourceContract, EventMiddlewareContract, TransportContract
from realtime_core.testing.middlewares import MiddlewareCase
from realtime_core.testing.sources import SourceCase
from realtime_core.middleware import EventMiddleware


class TestTone(AudioSourceContract):
    @pytest.fixture
    def case(self):
        return SourceCase(make=lambda: ToneSource(440, 0.2))


class Greedy(EventMiddleware):
    def incoming(self, event):
        return None if event["type"] == "contract.unknown" else event


class TestGreedy(EventMiddlewareContract):
    @pytest.fixture
    def case(self):
        return MiddlewareCase(make=Greedy)


class TestForgetful(TransportContract):
    """It has no fixture."""


@pytest.mark.asyncio
async def test_leaves_a_task(realtime_leaks):
    asyncio.get_running_loop().create_task(asyncio.sleep(30))
'''


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("stranger")
    (folder / "test_mine.py").write_text(STRANGER)
    options = ["asyncio_mode=strict", "asyncio_default_fixture_loop_scope=function"]
    command = ["-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    command += [argument for option in options for argument in ("-o", option)]
    chosen = "Tone or Greedy or leaves or (Forgetful and lost_link)"
    # Strict is what whoever has not set anything has.
    done = subprocess.run(
        [sys.executable, *command, "-k", chosen, "test_mine.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_only_what_is_broken_fails(output: str):
    failed = {line.split(" ")[1] for line in output.splitlines() if line.startswith("FAILED")}
    assert failed == {
        "test_mine.py::TestGreedy::test_what_it_has_nothing_to_do_with_passes_unchanged"
    }, output


def test_the_failure_teaches(output: str):
    for part in (
        "the contract: an event passes as it is unless the middleware is there to change it",
        "seen:         {'type': 'contract.unknown'",
        "documented:   realtime_core.middleware.EventMiddleware: Base of all middlewares",
    ):
        assert part in output


def test_a_missing_fixture_says_what_to_do(output: str):
    assert "TestForgetful must override the fixture `harness`" in output


def test_the_plugins_fixture_finds_a_leak(output: str):
    assert "ERROR test_mine.py::test_leaves_a_task" in output
    assert "the test left" in output


def test_the_plugin_starts_without_heavy_libraries():
    code = (
        "import realtime_core.testing.plugin, sys\n"
        "print(*{'numpy', 'pydantic', 'aiohttp', 'pytest_asyncio'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
