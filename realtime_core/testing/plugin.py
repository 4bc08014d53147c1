"""The pytest plugin ``realtime``: fixtures for tests of whatever is built on this project.

It comes with the distribution (entry point ``pytest11``) and does nothing until a fixture is asked
for. ``realtime_leaks`` works with plain tests; with coroutine tests it needs pytest-asyncio, in
any mode.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import iscoroutinefunction

import pytest

__all__ = ["pytest_configure", "realtime_leaks"]


def pytest_configure(config: pytest.Config) -> None:
    """Add what needs pytest-asyncio, if it is there: it has been loaded by now."""
    if config.pluginmanager.hasplugin("asyncio"):
        from realtime_core.testing import loop_fixtures

        config.pluginmanager.register(loop_fixtures, "realtime-loop")


@pytest.fixture
def realtime_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a task, socket, thread or unretrieved exception.

    For a whole project, in ``conftest.py``::

        @pytest.fixture(autouse=True)
        def leaves_nothing(realtime_leaks):
            pass
    """
    if iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("realtime_leaks_in_loop")
        yield
        return
    from realtime_core.testing.leaks import LeakWatch

    watch = LeakWatch()
    yield
    if left := watch.find():
        pytest.fail(f"the test left {left}")
