"""What it costs to send many requests for responses that wait, one after the other."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_transports.openai.protocol import ClientProtocol
from realtime_transports.openai.sequencer import ResponseCreateSequencer

WAITING = 800
LIMIT_S = 0.010
"""OpenAI Agents JS 0.20.0 takes 29 s for as many."""
MANY = 8_000

EVENT: dict[str, Any] = {"type": "response.create", "response": {"instructions": "one more"}}


def waiting(count: int) -> ResponseCreateSequencer:
    """A sequencer in which requests wait for a response to end."""
    sequencer = ResponseCreateSequencer()
    sequencer.mark_response_created("resp_0", in_conversation=True)
    for _ in range(count):
        sequencer.request_response_create(EVENT, manual=True)
    return sequencer


def drain(sequencer: ResponseCreateSequencer) -> int:
    """Let them leave, each when the one before has ended; how many did."""
    left = 0
    response_id = "resp_0"
    while True:
        sequencer.mark_response_done(response_id, in_conversation=True)
        if not sequencer.take_sends():
            return left
        left += 1
        response_id = f"resp_{left}"
        sequencer.mark_response_created(response_id, in_conversation=True)


@pytest.mark.benchmark(group="800 waiting requests")
def test_draining_the_sequencer(benchmark):
    left = benchmark.pedantic(drain, setup=lambda: ((waiting(WAITING),), {}), rounds=20)
    assert left == WAITING
    if benchmark.stats is not None:  # None where measuring is turned off
        assert benchmark.stats.stats.min <= LIMIT_S


@pytest.mark.benchmark(group="8,000 waiting requests")
def test_draining_ten_times_as_many(benchmark):
    left = benchmark.pedantic(drain, setup=lambda: ((waiting(MANY),), {}), rounds=5)
    assert left == MANY
    if benchmark.stats is not None:
        assert benchmark.stats.stats.min <= 10 * LIMIT_S


@pytest.mark.benchmark(group="time told")
def test_telling_the_protocol_the_time(benchmark):
    """What each server event costs for the sake of deadlines, with a request under way."""
    protocol = ClientProtocol()
    protocol.link_opened(None)
    protocol.request_response()
    protocol.take_sends()

    def tell_time() -> None:
        protocol.advance(1.0)
        assert protocol.next_deadline is not None

    benchmark(tell_time)
