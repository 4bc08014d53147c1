"""No message of a server raises out of the transport, loses the link or wedges what comes after."""

from __future__ import annotations

import base64
import itertools
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from realtime_core.items import AssistantMessageItem, RealtimeItem
from realtime_core.middleware import EventMiddleware
from realtime_transports.memory import OpenAIRealtimeMemory
from realtime_transports.openai.protocol import ClientProtocol
from realtime_transports.openai.server_events import _SHAPES
from realtime_transports.openai.websocket_protocol import SipProtocol, WebSocketProtocol
from tests.conformance.case import VECTORS, load_folder
from tests.transports.bare import BareTransport
from tests.transports.mutations import Mutations

BATCH = 500
"""Messages on one connection."""

PROTOCOLS = [ClientProtocol, WebSocketProtocol, SipProtocol]


class PassOn(EventMiddleware):
    """Looks at every event."""

    def incoming(self, event: dict[str, Any]) -> dict[str, Any]:
        return event


def recorded_events() -> Iterator[dict[str, Any]]:
    """What the server sends in the vectors."""
    for case in load_folder(VECTORS / "public"):
        for step in case.raw["steps"]:
            if isinstance(step.get("server"), dict) and "$" not in json.dumps(step["server"]):
                yield step["server"]


async def events_of_our_server() -> list[dict[str, Any]]:
    """What the local server sends in a short conversation."""
    events: list[dict[str, Any]] = []
    async with OpenAIRealtimeMemory(responder=["Hello!", "Goodbye!"]) as transport:
        transport.on("*", events.append)
        await transport.connect()
        for text in ("Hi", "Bye"):
            transport.send_message(text)
            await transport.wait_for("turn_done")
    return events


RARE_EVENTS = (
    {
        "type": "conversation.item.input_audio_transcription.segment",
        "event_id": "event_1",
        "item_id": "item_1",
        "content_index": 0,
        "id": "seg_1",
        "text": "hello",
        "speaker": "speaker_1",
        "start": 0.0,
        "end": 0.4,
    },
    {
        "type": "input_audio_buffer.dtmf_event_received",
        "event_id": "event_2",
        "event": "9",
        "received_at": 1763605109,
    },
)
"""As OpenAI's API reference shows them; neither the recorded cases nor our server has them."""


async def real_events() -> list[dict[str, Any]]:
    """Every event once, and of each type that is known at least one."""
    events = [*recorded_events(), *await events_of_our_server(), *turn(0), *RARE_EVENTS]
    by_text = {json.dumps(event, sort_keys=True): event for event in events}
    assert {event["type"] for event in by_text.values()} >= _SHAPES.keys() - {
        "input_audio_buffer.committed",
        "response.output_text.delta",
    }
    return [by_text[text] for text in sorted(by_text)]


def refuse(*_payload: Any) -> None:
    """A listener that always fails."""
    raise ValueError("a listener that fails")


async def fail_later(*_payload: Any) -> None:
    """A coroutine listener that always fails."""
    raise ValueError("a coroutine listener that fails")


def turn(number: int) -> list[dict[str, Any]]:
    """A normal turn that the server starts."""
    response_id, item_id = f"sane_resp_{number}", f"sane_item_{number}"
    place = {"response_id": response_id, "item_id": item_id, "output_index": 0}
    item = {"id": item_id, "type": "message", "role": "assistant", "status": "in_progress"}
    said = {**item, "status": "completed"}
    said["content"] = [{"type": "output_audio", "transcript": "Sane."}]
    pcm = base64.b64encode(bytes(960)).decode()
    in_part = {**place, "content_index": 0}
    fields: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": {"id": response_id, "status": "in_progress"}}),
        ("response.output_item.added", {**place, "item": {**item, "content": []}}),
        ("response.output_audio_transcript.delta", {**in_part, "delta": "Sane."}),
        ("response.output_audio.delta", {**in_part, "delta": pcm}),
        ("response.output_audio.done", in_part),
        ("response.output_item.done", {**place, "item": said}),
        ("response.done", {"response": {"id": response_id, "status": "completed"}}),
    ]
    return [{"type": kind, "event_id": "e", **rest} for kind, rest in fields]


def check_turn(transport: BareTransport, number: int) -> None:
    """A normal turn is told as ever and reaches the history."""
    transport.told.clear()
    for event in turn(number):
        transport.get(event)
    told = [kind for kind, _ in transport.told]
    assert told.count("turn_started") == told.count("turn_done") == 1
    assert "audio_transcript_delta" in told
    item = next(i for i in transport.history if i.item_id == f"sane_item_{number}")
    assert isinstance(item, AssistantMessageItem)
    assert item.content[0].transcript == "Sane."  # type: ignore[union-attr]


def check_history(history: tuple[RealtimeItem, ...]) -> None:
    """Items, each once."""
    ids = [item.item_id for item in history]
    assert len(set(ids)) == len(ids)
    assert all(isinstance(item_id, str) for item_id in ids)


def check_request(transport: BareTransport, number: int) -> None:
    """On a new link a response can be asked for, is sent at once and ends."""
    transport.written.clear()
    transport.request_response()
    assert [event["type"] for event in transport.written] == ["response.create"]
    check_turn(transport, number)
    transport.request_response()
    assert [event["type"] for event in transport.written] == ["response.create"] * 2


async def feed(protocol_class: type[ClientProtocol], messages: int, seed: int) -> None:
    mutations = iter(Mutations(await real_events(), seed))
    transport = BareTransport([PassOn()], protocol=protocol_class())
    for event in ("*", "item_update", "audio", "turn_done", "function_call", "response.created"):
        transport.on(event, refuse)
    transport.on("error", lambda event: (event.message, event.code, event.event_id, event.param))
    for number in range(messages // BATCH):
        transport.open()
        for message in itertools.islice(mutations, BATCH):
            transport._receive_message(message)
            assert transport.status == "connected"
        check_history(transport.history)
        check_turn(transport, 2 * number)
        transport.close()
        transport.open()
        check_request(transport, 2 * number + 1)
        check_history(transport.history)
        transport.close()


@pytest.mark.parametrize("protocol_class", PROTOCOLS)
async def test_no_message_of_a_server_does_harm(
    protocol_class: type[ClientProtocol], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    await feed(protocol_class, 2_000, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("protocol_class", PROTOCOLS)
async def test_none_of_many_messages_of_a_server_does_harm(
    protocol_class: type[ClientProtocol], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    await feed(protocol_class, 34_000, seed=2)
