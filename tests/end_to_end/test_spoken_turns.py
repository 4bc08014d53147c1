"""Many spoken turns over WebRTC: what is understood, how soon answers come, several at a time.

`benchmarks/spoken_turns.py` measures the same at length.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

pytest.importorskip("onnxruntime", reason="the extra local is not installed")

from realtime_core.testing import RunningServer
from tests.end_to_end.commands import Running
from tests.end_to_end.spoken_turns import SESSION, SpokenCaller, SpokenTurn, percentile, summary
from tests.end_to_end.stock_client import StockCaller
from tests.interop.required import lacking
from tests.speech_corpus import CorpusError, Recording, fetched_recordings, own_recordings

AT_A_TIME = 4
SENTENCES = 100
IDLE_CALLS = 12

MAX_WORD_ERROR_RATE = 0.07
MAX_DELAY_P50_S = 0.25
MAX_DELAY_P95_S = 0.7

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(600)]


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer(responder="speech") as server:
        yield server


@pytest.fixture
def server_apart() -> Iterator[str]:
    """A server in a process of its own, as many callers have it; its base URL."""
    with Running("serve", "--port", "0", "--json", "--responder", "speech") as running:
        yield json.loads(running.line())["url"]


async def converse(url: str, recordings: list[Recording]) -> list[SpokenTurn]:
    """One call in which all of them are said."""
    async with SpokenCaller() as caller:
        await caller.call(url, SESSION)
        turns = [await caller.turn(recording) for recording in recordings]
        assert not caller.of_type("error")
        return turns


async def test_a_hundred_sentences_are_understood_four_at_a_time(server: RunningServer) -> None:
    try:
        recordings = await asyncio.to_thread(fetched_recordings)
    except CorpusError as exc:
        lacking(str(exc))
    chosen = recordings[:: len(recordings) // SENTENCES]
    assert len(chosen) >= SENTENCES
    rows = await asyncio.gather(
        *(converse(server.base_url, chosen[number::AT_A_TIME]) for number in range(AT_A_TIME))
    )
    figures = summary([turn for row in rows for turn in row])
    assert figures["word_error_rate"] <= MAX_WORD_ERROR_RATE, figures
    assert figures["answered"] >= 0.98 * figures["turns"], figures


async def test_answers_come_soon(server: RunningServer) -> None:
    turns = await converse(server.base_url, own_recordings() * 3)
    delays = [turn.delay_s for turn in turns if turn.delay_s is not None]
    assert len(delays) == len(turns)
    # The figures themselves are measured by benchmarks/spoken_turns.py, on a quiet machine.
    assert percentile(delays, 0.5) <= 10 * MAX_DELAY_P50_S, delays
    assert percentile(delays, 0.95) <= 10 * MAX_DELAY_P95_S, delays


async def test_four_people_are_answered_at_once_while_twelve_calls_are_idle(
    server_apart: str,
) -> None:
    async with AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(StockCaller()) for _ in range(IDLE_CALLS)]
        await asyncio.gather(*(caller.call(server_apart, SESSION) for caller in idle))
        recordings = own_recordings()
        rows = await asyncio.gather(
            *(converse(server_apart, recordings[:4]) for _ in range(AT_A_TIME))
        )
        for caller in idle:
            assert caller.pc.connectionState == "connected"
            caller.send("conversation.item.retrieve", item_id="none")
            assert (await caller.wait("error"))["error"]["code"] == "item_retrieve_invalid_item_id"
    turns = [turn for row in rows for turn in row]
    assert all(turn.delay_s is not None for turn in turns)
    assert summary(turns)["word_error_rate"] <= 2 * MAX_WORD_ERROR_RATE  # few words
