"""What holds for every test: it leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "default",
    deadline=None,  # the machines that run this are shared
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("default")

TRIES = 20
PAUSE_S = 0.05
"""Sockets and threads are released a moment after their owner says so."""


@pytest.fixture(autouse=True)
def no_keys_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests never use, nor show, the keys of whoever runs them."""
    for name in ("OPENAI_API_KEY", "REALTIME_API_KEY", "REALTIME_PLUGINS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def leaves_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a task, socket, thread or unretrieved exception."""
    if asyncio.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("leaves_nothing_in_loop")
        yield
        return
    threads, sockets = _threads(), _sockets()
    yield
    pause = threading.Event()
    for _ in range(TRIES):
        if not (left := _left(threads, sockets)):
            return
        gc.collect()
        pause.wait(PAUSE_S)
    pytest.fail(f"the test left {left}")


@pytest.fixture
async def leaves_nothing_in_loop() -> AsyncIterator[None]:
    """The same for a test in an event loop, whose own sockets are there before and after."""
    unretrieved: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unretrieved.append(str(context)))
    threads, sockets = _threads(), _sockets()
    yield
    left: list[str] = []
    for attempt in range(TRIES):
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        left = [repr(task) for task in tasks] + _left(threads, sockets)
        if not left:
            break
        # What was cancelled or closed last needs a few turns of the loop.
        await asyncio.sleep(PAUSE_S if attempt else 0)
    gc.collect()  # an exception nobody asked for is told when its task is forgotten
    await asyncio.sleep(0)
    assert not left, f"the test left {left}"
    assert not unretrieved, f"nobody asked for: {unretrieved}"


def _left(threads: set[threading.Thread], sockets: set[str]) -> list[str]:
    return [thread.name for thread in _threads() - threads] + sorted(_sockets() - sockets)


def _threads() -> set[threading.Thread]:
    # A loop's default executor lives as long as the loop, which ends after this.
    return {
        thread
        for thread in threading.enumerate()
        if not thread.name.startswith(("asyncio_", "pytest_timeout"))
    }


def _sockets() -> set[str]:
    """Open sockets, where the system shows them."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        return set()
    found = set()
    for link in folder.iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue  # it was closed meanwhile
        if target.startswith("socket:"):
            found.add(target)
    return found
