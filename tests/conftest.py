"""What holds for every test: it leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
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

SETTLE_S = 1.0
"""Sockets and threads are released a moment after their owner says so."""


@pytest.fixture(autouse=True)
def no_keys_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests never use, nor show, the keys of whoever runs them."""
    for name in ("OPENAI_API_KEY", "REALTIME_API_KEY", "REALTIME_PLUGINS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def leaves_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a task, socket, thread or unretrieved exception."""
    threads, sockets = _threads(), _sockets()
    if asyncio.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("leaves_no_task")
    yield
    left = _left(threads, sockets)
    assert not left, f"the test left {left}"


@pytest.fixture
async def leaves_no_task() -> AsyncIterator[None]:
    """Fail a test whose tasks outlive it, or fail without anybody asking."""
    unretrieved: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unretrieved.append(str(context)))
    yield
    for _ in range(20):  # what was cancelled last needs a few turns to end
        await asyncio.sleep(0)
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    gc.collect()
    await asyncio.sleep(0)
    assert not tasks, f"the test left tasks: {tasks}"
    assert not unretrieved, f"nobody asked for: {unretrieved}"


def _left(threads: set[threading.Thread], sockets: set[str]) -> list[str]:
    deadline = threading.Event()
    for _ in range(20):
        left = [thread.name for thread in _threads() - threads] + sorted(_sockets() - sockets)
        if not left:
            return []
        gc.collect()
        deadline.wait(SETTLE_S / 20)
    return left


def _threads() -> set[threading.Thread]:
    # A loop's default executor lives as long as the loop, which ends after this.
    return {
        thread
        for thread in threading.enumerate()
        if not thread.name.startswith(("asyncio_", "pytest_timeout"))
    }


def _sockets() -> set[str]:
    """Open sockets; the loop's own pair is there before and after."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        return set()
    found = set()
    for fd in os.listdir(folder):
        try:
            target = os.readlink(folder / fd)
        except OSError:
            continue  # it was closed meanwhile
        if target.startswith("socket:"):
            found.add(target)
    return found
