"""What it costs to compare long histories, and to keep one."""

from __future__ import annotations

import random
from typing import Any

import pytest

from realtime_core.history import diff_history
from realtime_core.items import (
    AssistantMessageItem,
    InputAudioContent,
    InputTextContent,
    OutputAudioContent,
    UserMessageItem,
)
from realtime_transports.openai.history_requests import HistoryRequests
from realtime_transports.openai.history_store import HistoryStore
from realtime_transports.openai.protocol import ClientProtocol

ITEMS = 4_000
LIMIT_S = 0.020
"""OpenAI Agents JS 0.20.0 takes 500 ms."""


def conversation(prefix: str = "item") -> list[Any]:
    """As they are: what was typed, heard and said, in turns."""
    return [an_item(f"{prefix}_{number}", number) for number in range(ITEMS)]


def an_item(item_id: str, number: int) -> Any:
    match number % 3:
        case 0:
            written = InputTextContent(text=f"text {number}")
            return UserMessageItem(item_id=item_id, status="completed", content=[written])
        case 1:
            heard = InputAudioContent(audio=None, transcript=f"heard {number}")
            return UserMessageItem(item_id=item_id, status="completed", content=[heard])
        case _:
            said = OutputAudioContent(audio=None, transcript=f"said {number}")
            return AssistantMessageItem(item_id=item_id, status="completed", content=[said])


def texts(prefix: str = "item") -> list[Any]:
    """Items that can be created."""
    return [an_item(f"{prefix}_{number}", 3 * number) for number in range(ITEMS)]


def shuffled(items: list[Any]) -> list[Any]:
    return random.Random(4).sample(items, len(items))


def dumped(items: list[Any]) -> list[Any]:
    return [item.model_dump(exclude_unset=True) for item in items]


PAIRS = {
    "the same items": lambda: (conversation(), conversation()),
    "the same objects": lambda: (items := conversation(), list(items)),
    "the same mappings": lambda: (dumped(conversation()), dumped(conversation())),
    "shuffled items": lambda: (texts(), shuffled(texts())),
    "shuffled mappings": lambda: (dumped(texts()), shuffled(dumped(texts()))),
    "reversed": lambda: (texts(), texts()[::-1]),
    "disjoint items": lambda: (texts(), texts("other")),
    "disjoint mappings": lambda: (dumped(texts()), dumped(texts("other"))),
    "items from which every tenth is gone": lambda: (
        conversation(),
        [item for number, item in enumerate(conversation()) if number % 10],
    ),
    "every item changed": lambda: (
        texts(),
        [item.model_copy(update={"status": "incomplete"}) for item in texts()],
    ),
}


@pytest.mark.benchmark(group="4,000 items against 4,000")
@pytest.mark.parametrize("pair", PAIRS)
def test_comparing_histories(benchmark, pair):
    old, new = PAIRS[pair]()
    benchmark.pedantic(diff_history, (old, new), rounds=20, warmup_rounds=1)
    if benchmark.stats is not None:  # None where measuring is turned off
        assert benchmark.stats.stats.min <= LIMIT_S


@pytest.mark.benchmark(group="4,000 items against 4,000, as requests")
@pytest.mark.parametrize("pair", ["the same items", "shuffled items", "disjoint items"])
def test_making_the_requests_of_a_reset(benchmark, pair):
    old, new = PAIRS[pair]()

    def reset() -> None:
        requests = HistoryRequests(HistoryStore())
        requests.reset(old, new)
        requests.take_sends()

    benchmark.pedantic(reset, rounds=10, warmup_rounds=1)


def message_added(number: int) -> dict[str, Any]:
    return {
        "type": "conversation.item.added",
        "event_id": "e",
        "previous_item_id": f"item_{number - 1}" if number else None,
        "item": {
            "id": f"item_{number}",
            "type": "message",
            "role": "user",
            "status": "completed",
            "content": [{"type": "input_text", "text": "x"}],
        },
    }


@pytest.mark.benchmark(group="an item event")
@pytest.mark.parametrize("length", [10, 10_000])
def test_an_event_costs_the_same_however_long_the_history_is(benchmark, length):
    protocol = ClientProtocol()
    for number in range(length):
        protocol.receive(message_added(number))
    protocol.take_emits()
    middle = length // 2
    changed = {**message_added(middle), "type": "conversation.item.done"}
    deleted = {"type": "conversation.item.deleted", "event_id": "e", "item_id": f"item_{middle}"}
    back = message_added(middle)

    def receive() -> None:
        for event in (changed, deleted, back):
            protocol.receive(event)
        protocol.take_emits()

    benchmark(receive)
