"""What holds for every test: it leaves nothing behind."""

from __future__ import annotations

import gc
import logging
import signal
from collections.abc import Iterator

import hypothesis
import pytest

from realtime_core.cli.logs import FOREIGN
from tests.server_events import watch_server_events

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in its background so, and the commands under test would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile(
    "default",
    deadline=None,  # the machines that run this are shared
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("default")


def pytest_collection_finish() -> None:
    """Leave what was imported out of garbage collections: the leak check makes one a test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_keys_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests never use, nor show, the keys of whoever runs them."""
    for name in ("OPENAI_API_KEY", "REALTIME_API_KEY", "REALTIME_PLUGINS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def leaves_nothing(realtime_leaks: None) -> None:
    """Use our own plugin's check on each of our own tests."""


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command that runs in this process sets up its own, which must not talk in other tests."""
    root = logging.getLogger()
    loggers = [root, *(logging.getLogger(name) for name in FOREIGN)]
    levels = [logger.level for logger in loggers]
    handlers = list(root.handlers)
    yield
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture(autouse=True)
def server_events_are_the_apis(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test makes a server of ours send, the API could have sent."""
    problems = watch_server_events(monkeypatch)
    yield
    assert not problems, problems[0]
