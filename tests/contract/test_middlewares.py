"""Every middleware that our plugins bring keeps the contract."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from realtime_core.middleware import EventMiddleware
from realtime_core.plugins import default_plugins
from realtime_core.testing import EventMiddlewareContract
from realtime_core.testing.middlewares import MiddlewareCase
from tests.contract.own import own_names


def make(spec: str) -> Callable[[], EventMiddleware]:
    return lambda: default_plugins().middleware(spec)


def make_record(folder: Path) -> Callable[[], EventMiddleware]:
    numbers = itertools.count(1)
    return lambda: default_plugins().middleware(f"record:{folder}/{next(numbers)}")


IN_PIECES = frozenset(
    f"response.{text}.{end}"
    for text in ("output_audio_transcript", "output_text")
    for end in ("delta", "done")
) | {"response.done"}
"""Held back by ``redact``, which must see where a text ends."""

CASES: dict[str, Callable[[Path], MiddlewareCase]] = {
    "log": lambda folder: MiddlewareCase(make=make("log")),
    "metrics": lambda folder: MiddlewareCase(make=make("metrics")),
    "otel": lambda folder: MiddlewareCase(make=make("otel")),
    "record": lambda folder: MiddlewareCase(make=make_record(folder)),
    "redact": lambda folder: MiddlewareCase(make=make("redact:email"), changes=IN_PIECES),
    "redact without pieces": lambda folder: MiddlewareCase(
        make=make("redact:email?deltas=drop"), changes=IN_PIECES
    ),
    "redact whole texts": lambda folder: MiddlewareCase(make=make("redact:email?deltas=pass")),
    "the base": lambda folder: MiddlewareCase(make=EventMiddleware),
}


def test_every_middleware_of_ours_is_here():
    assert {name.partition(" ")[0] for name in CASES} - {"the"} == own_names("middleware")


@pytest.mark.parametrize("name", CASES)
class TestMiddleware(EventMiddlewareContract):
    @pytest.fixture
    def case(self, name: str, tmp_path: Path) -> MiddlewareCase:
        return CASES[name](tmp_path)
