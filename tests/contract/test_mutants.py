"""What is deliberately broken is caught, each by the right test of the suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from realtime_core.testing import (
    AudioSinkContract,
    AudioSourceContract,
    EventMiddlewareContract,
    TransportContract,
)
from realtime_core.testing.middlewares import MiddlewareCase
from realtime_core.testing.sinks import SinkCase
from realtime_core.testing.sources import SourceCase
from realtime_transports.memory import OpenAIRealtimeMemory, audio
from tests.contract.memory_harness import MemoryHarness
from tests.contract.mutants import connecting, middlewares, sinks, sources, using, with_others
from tests.contract.mutants.registry import Mutant, end_left_threads
from tests.contract.runner import failures

TRANSPORTS = [*connecting.MUTANTS.all, *using.MUTANTS.all, *with_others.MUTANTS.all]

ABOUT_KEYS = {
    "test_a_key_may_come_from_a_function_or_coroutine_function",
    "test_without_a_usable_key_connect_says_so",
}
"""A memory transport has no use for a key, so nothing is wrong with one that breaks these."""

QUICK_S = 0.5
"""How long a broken one is waited for."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(audio, "CLOSE_DEADLINE_S", 0.05)
    yield
    end_left_threads()


def parametrized(mutants: list[Mutant]) -> Any:
    return pytest.mark.parametrize("mutant", mutants, ids=lambda mutant: mutant.name)


def check_caught(suite: type, mutant: Mutant, fixture: Any) -> None:
    assert hasattr(suite, mutant.caught_by), f"the suite has no {mutant.caught_by}"
    caught = failures(suite, lambda: fixture, only=mutant.caught_by)
    assert caught, f"{mutant.make.__name__} is not caught by {mutant.caught_by}"


@parametrized(TRANSPORTS)
def test_a_broken_transport_is_caught(mutant: Mutant):
    check_caught(TransportContract, mutant, MemoryHarness(mutant.make, deadline_s=QUICK_S))


@parametrized(sources.MUTANTS.all)
def test_a_broken_source_is_caught(mutant: Mutant):
    case = SourceCase(mutant.make, make_unusable=mutant.make, deadline_s=QUICK_S)
    check_caught(AudioSourceContract, mutant, case)


@parametrized(sinks.MUTANTS.all)
def test_a_broken_sink_is_caught(mutant: Mutant):
    case = SinkCase(
        mutant.make,
        make_unusable=mutant.make,
        stored=lambda: sinks.Good.last.samples,
        deadline_s=QUICK_S,
    )
    check_caught(AudioSinkContract, mutant, case)


@parametrized(middlewares.MUTANTS.all)
def test_a_broken_middleware_is_caught(mutant: Mutant):
    check_caught(EventMiddlewareContract, mutant, MiddlewareCase(mutant.make))


def test_what_is_whole_passes(tmp_path: Path):
    assert not failures(
        TransportContract, lambda: MemoryHarness(OpenAIRealtimeMemory, deadline_s=5.0)
    )
    assert not failures(
        AudioSourceContract,
        lambda: SourceCase(sources.Good, make_unusable=sources.Unusable),
    )
    assert not failures(
        AudioSinkContract,
        lambda: SinkCase(
            sinks.Good, make_unusable=sinks.Unusable, stored=lambda: sinks.Good.last.samples
        ),
    )
    assert not failures(EventMiddlewareContract, lambda: MiddlewareCase(middlewares.Good))


@pytest.mark.parametrize(
    ("suite", "mutants", "idle"),
    [
        (TransportContract, TRANSPORTS, ABOUT_KEYS),
        (AudioSourceContract, sources.MUTANTS.all, set()),
        (AudioSinkContract, sinks.MUTANTS.all, set()),
        (EventMiddlewareContract, middlewares.MUTANTS.all, set()),
    ],
)
def test_every_test_of_a_suite_catches_something(
    suite: type, mutants: list[Mutant], idle: set[str]
):
    tests = {name for name in dir(suite) if name.startswith("test_")}
    assert tests - {mutant.caught_by for mutant in mutants} == idle
