"""What one server event costs, from its text to the last listener.

A stream of turns like real ones goes through the shell of a transport with two middlewares and five
listeners. The table gives microseconds an event, by kind and in the mean, beside what `json.loads`
alone takes for the same texts in the same run. The mean is processor time over the whole stream; a
kind's is the median of its events. Both are those of the fastest round: others that work on the
machine only ever make it slower.

What is too slow is told apart from a slow machine by what `json.loads` takes: the limits are for a
machine on which it takes `JSON_US`, and grow in proportion where it takes longer.
"""
# ruff: noqa: D102 - a test, in a folder of scripts

from __future__ import annotations

import asyncio
import base64
import gc
import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

import pytest

from realtime_core.emitter import Emitter
from realtime_core.middleware import EventMiddleware
from realtime_transports.openai.protocol import ClientProtocol
from realtime_transports.openai.websocket_protocol import WebSocketProtocol
from tests.transports.bare import BareTransport

JsonObject = dict[str, Any]

TURNS = 20
ROUNDS = 15
DELTAS = 40
"""Of each kind, in a turn."""
BYTES_OF_20_MS = 960

MEAN_LIMIT_US = 17.0
KIND_LIMIT_US = 30.0
JSON_US = 2.0
"""What `json.loads` takes in the mean on an idle core of the machine that the limits are for."""
LISTENED_TO = (
    "*",
    "response.output_audio.delta",
    "audio",
    "audio_transcript_delta",
    "item_update",
)


class PassOn(EventMiddleware):
    """Looks at each event and lets it through."""

    def incoming(self, event: JsonObject) -> JsonObject:
        return event


class CountTypes(EventMiddleware):
    """Counts events by type."""

    def __init__(self) -> None:
        self.counts: defaultdict[str, int] = defaultdict(int)

    def incoming(self, event: JsonObject) -> JsonObject:
        self.counts[event["type"]] += 1
        return event


class Turn:
    """The events of one answer, with ids as long as real ones."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.events = 0
        self.place = {
            "response_id": f"resp_{number:021d}",
            "item_id": f"item_{number:021d}",
            "output_index": 0,
        }
        self.response: JsonObject = {
            "object": "realtime.response",
            "id": self.place["response_id"],
            "status": "in_progress",
            "status_details": None,
            "output": [],
            "conversation_id": "conv_000000000000000000001",
            "output_modalities": ["audio"],
            "max_output_tokens": "inf",
            "audio": {
                "output": {"format": {"type": "audio/pcm", "rate": 24_000}, "voice": "marin"}
            },
            "usage": None,
            "metadata": None,
        }
        self.item: JsonObject = {
            "id": self.place["item_id"],
            "object": "realtime.item",
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }

    def event(self, kind: str, **fields: Any) -> JsonObject:
        self.events += 1
        return {"type": kind, "event_id": f"event_{self.number:010d}{self.events:011d}", **fields}

    def of_part(self, kind: str, **fields: Any) -> JsonObject:
        return self.event(kind, **self.place, content_index=0, **fields)

    def of_item(self, kind: str, item: JsonObject) -> JsonObject:
        return self.event(kind, response_id=self.place["response_id"], output_index=0, item=item)

    def __iter__(self) -> Iterator[JsonObject]:
        yield self.event("response.created", response=self.response)
        yield self.of_item("response.output_item.added", self.item)
        words = [f" word{index}" for index in range(DELTAS)]
        pcm = base64.b64encode(random.Random(self.number).randbytes(BYTES_OF_20_MS)).decode()
        for word in words:
            yield self.of_part("response.output_audio_transcript.delta", delta=word)
            yield self.of_part("response.output_audio.delta", delta=pcm)
        yield self.of_part("response.output_audio.done")
        content = [{"type": "output_audio", "transcript": "".join(words)}]
        item = {**self.item, "status": "completed", "content": content}
        yield self.of_item("response.output_item.done", item)
        usage = {
            "total_tokens": 300,
            "input_tokens": 100,
            "output_tokens": 200,
            "input_token_details": {"text_tokens": 50, "audio_tokens": 50, "cached_tokens": 0},
            "output_token_details": {"text_tokens": 50, "audio_tokens": 150},
        }
        response = {**self.response, "status": "completed", "output": [item], "usage": usage}
        yield self.event("response.done", response=response)


def stream() -> list[tuple[str, str]]:
    """Kind and text of each event."""
    events = [event for number in range(TURNS) for event in Turn(number)]
    return [(event["type"], json.dumps(event, separators=(",", ":"))) for event in events]


def spoken(number: int) -> JsonObject:
    """An item of the conversation before."""
    item = {
        "id": f"before_{number}",
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [{"type": "input_audio", "transcript": "and then?"}],
    }
    previous = f"before_{number - 1}" if number else None
    return {
        "type": "conversation.item.added",
        "event_id": "e",
        "previous_item_id": previous,
        "item": item,
    }


def listened_to(protocol: ClientProtocol, items_before: int) -> BareTransport:
    """A transport in conversation, with all that costs time."""
    transport = BareTransport([PassOn(), CountTypes()], protocol=protocol)
    # What this transport takes down for tests is no part of what is measured.
    transport.emit = partial(Emitter.emit, transport)  # type: ignore[method-assign]
    transport.open()
    for event in LISTENED_TO:
        transport.on(event, lambda *_payload: None)
    for number in range(items_before):
        transport.get(spoken(number))
    return transport


def time_each(take: Callable[[str], object], texts: list[tuple[str, str]]) -> dict[str, float]:
    """The time of each kind, in microseconds, and of all under ``"mean"``."""
    began = time.process_time()
    for _, text in texts:
        take(text)
    mean_us = (time.process_time() - began) / len(texts) * 1e6
    times: defaultdict[str, list[float]] = defaultdict(list)
    clock = time.perf_counter
    for kind, text in texts:
        began = clock()
        take(text)
        times[kind].append(clock() - began)
    return {kind: median(each) * 1e6 for kind, each in times.items()} | {"mean": mean_us}


def fastest(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {kind: min(each[kind] for each in rounds) for kind in rounds[0]}


def table(title: str, ours: dict[str, float], parsing: dict[str, float]) -> str:
    lines = [f"{title}, microseconds an event:", f"{'':42}{'here':>8}{'json':>8}{'ratio':>8}"]
    for kind, spent in ours.items():
        alone = parsing[kind]
        lines.append(f"{kind:42}{spent:8.1f}{alone:8.1f}{spent / alone:8.1f}")
    return "\n".join(lines)


@pytest.mark.parametrize("items_before", [0, 2000])
@pytest.mark.parametrize("protocol_class", [WebSocketProtocol, ClientProtocol])
def test_one_event_from_its_text_to_the_last_listener(
    benchmark: Any,
    capsys: pytest.CaptureFixture[str],
    protocol_class: type[ClientProtocol],
    items_before: int,
) -> None:
    texts = stream()
    ours: list[dict[str, float]] = []
    parsing: list[dict[str, float]] = []

    async def measure() -> None:
        transport = listened_to(protocol_class(), items_before)
        take = transport._receive_message  # noqa: SLF001  where links put messages

        def one_round() -> None:
            ours.append(time_each(take, texts))

        one_round()
        ours.clear()
        for _ in range(ROUNDS):
            parsing.append(time_each(json.loads, texts))
            gc.collect()
            one_round()
        benchmark.pedantic(one_round, rounds=3)
        transport.close()

    asyncio.run(measure())
    best, alone = fastest(ours), fastest(parsing)
    benchmark.extra_info.update(mean_us=best["mean"], json_us=alone["mean"])
    title = f"{protocol_class.__name__} after {items_before} items"
    with capsys.disabled():
        print(f"\n{table(title, best, alone)}")  # noqa: T201  the table is what this is for
    slowness = max(1.0, alone["mean"] / JSON_US)
    limits = dict.fromkeys(best, KIND_LIMIT_US * slowness) | {"mean": MEAN_LIMIT_US * slowness}
    assert not {kind: spent for kind, spent in best.items() if spent > limits[kind]}
