"""The pytest plugin ``realtime``: fixtures for tests of whatever is built on this project.

It comes with the distribution (entry point ``pytest11``) and does nothing until a fixture is asked
for. ``realtime_leaks`` works with plain tests; with coroutine tests it needs pytest-asyncio, in
any mode.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from realtime_core.testing.running_server import RunningServer
    from realtime_core.testing.server_fixture import ServerPool

__all__ = ["pytest_addoption", "pytest_configure", "realtime_leaks", "realtime_server"]

SCOPES = ("function", "session")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's settings."""
    parser.addini(
        "realtime_server_scope",
        "how long a server of the fixture realtime_server lives: function (the default), or "
        "session, where tests with the same options share one",
        default="function",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Add what needs pytest-asyncio, if it is there: it has been loaded by now."""
    config.addinivalue_line(
        "markers",
        "realtime_server(responder, rules, faults, seed, strict, api_key, ...): how the fixture "
        "realtime_server behaves",
    )
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


@pytest.fixture(scope="session")
def realtime_server_pool(pytestconfig: pytest.Config) -> Iterator[ServerPool | None]:
    """The servers that tests share, where they do."""
    scope = pytestconfig.getini("realtime_server_scope")
    if scope not in SCOPES:
        raise pytest.UsageError(f"realtime_server_scope is {' or '.join(SCOPES)}, not {scope!r}")
    if scope == "function":
        yield None
        return
    from realtime_core.testing.server_fixture import ServerPool

    pool = ServerPool()
    yield pool
    pool.close()


@pytest.fixture
def realtime_server(
    request: pytest.FixtureRequest, realtime_server_pool: ServerPool | None
) -> Iterator[RunningServer]:
    """A local Realtime server for this test, in a thread of its own.

    How it behaves says a marker::

        @pytest.mark.realtime_server(rules="rules.yaml", faults=["latency=200ms"], seed=1)
        def test_my_agent(realtime_server):
            agent = MyAgent(base_url=realtime_server.base_url, api_key=realtime_server.api_key)
    """
    from realtime_core.testing.server_fixture import read_marker, serve_test

    with serve_test(read_marker(request.node), realtime_server_pool) as server:
        yield server
