"""Laws of the history: what a reset leads to, and that client and server never disagree."""

from __future__ import annotations

import base64
import itertools
import json
from collections import deque
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime_core.errors import UserError
from realtime_core.history import diff_history
from realtime_core.items import (
    AssistantMessageItem,
    FunctionCallItem,
    InputAudioContent,
    InputTextContent,
    OutputAudioContent,
    OutputTextContent,
    RealtimeItem,
    UserMessageItem,
    parse_item,
)
from realtime_transports.openai.history_requests import HistoryRequests
from realtime_transports.openai.history_store import HistoryStore
from realtime_transports.openai.protocol import ClientProtocol
from realtime_transports.openai.server_outputs import SendEvent, StartResponse
from realtime_transports.openai.server_protocol import Link, ServerProtocol
from realtime_transports.openai.server_session import SessionConfig
from realtime_transports.openai.websocket_protocol import WebSocketProtocol

# Thousands of conversations, on machines that may have other things to do.
pytestmark = pytest.mark.timeout(240)

# A server that knows no more than what deleting and creating mean


class SimulatedServer:
    """A list of items with the API's two ways to change it."""

    def __init__(self, items: list[RealtimeItem]) -> None:
        self.ids = [item.item_id for item in items]
        self.created: dict[str, dict[str, Any]] = {}
        self.deleted: list[str] = []

    def take(self, event: dict[str, Any]) -> None:
        if event["type"] == "conversation.item.delete":
            self.ids.remove(event["item_id"])
            self.deleted.append(event["item_id"])
            return
        assert event["type"] == "conversation.item.create"
        item = event["item"]
        assert item["id"] not in self.ids
        previous = event.get("previous_item_id")
        if previous is None:
            self.ids.append(item["id"])
        else:
            place = 0 if previous == "root" else self.ids.index(previous) + 1
            self.ids.insert(place, item["id"])
        self.created[item["id"]] = item

    def shown(self) -> list[str]:
        """The items of the history: outputs of functions belong to their calls."""
        outputs = {i for i, item in self.created.items() if item["type"] == "function_call_output"}
        return [item_id for item_id in self.ids if item_id not in outputs]


def an_item(item_id: str, variant: int) -> RealtimeItem:
    match variant:
        case 0 | 1:
            text = InputTextContent(text=f"{item_id}{variant}")
            return UserMessageItem(item_id=item_id, status="completed", content=[text])
        case 2:
            speech = OutputAudioContent(transcript=f"said {item_id}")
            return AssistantMessageItem(item_id=item_id, status="completed", content=[speech])
        case 3:
            heard = InputAudioContent(transcript=f"heard {item_id}")
            return UserMessageItem(item_id=item_id, status="completed", content=[heard])
        case _:
            return FunctionCallItem(
                item_id=item_id,
                call_id=f"call_{item_id}",
                status="completed",
                name="f",
                arguments="{}",
                output="o" if variant == 4 else None,
            )


LISTS = st.lists(
    st.tuples(st.sampled_from("abcdefg"), st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5])),
    unique_by=lambda pair: pair[0],
    max_size=7,
)


def is_lost_when_deleted(item: RealtimeItem) -> bool:
    return isinstance(item, UserMessageItem | AssistantMessageItem) and any(
        isinstance(part, InputAudioContent | OutputAudioContent) for part in item.content
    )


def fewest_deletions(old: list[RealtimeItem], new: list[RealtimeItem]) -> int | None:
    """Tried out: of all the ways to let items stay, the one that deletes least.

    None where each would delete, or would not have, what cannot be created.
    """
    places = {item.item_id: place for place, item in enumerate(old)}
    same = [item for item in new if item in old]
    needed = [item for item in new if is_lost_when_deleted(item)]
    for count in range(len(same), -1, -1):
        for stay in itertools.combinations(same, count):
            order = [places[item.item_id] for item in stay]
            if order == sorted(order) and all(item in stay for item in needed):
                return len(old) - count
    return None


@given(before=LISTS, after=LISTS, as_mappings=st.booleans())
@settings(max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_reset_gives_the_new_history_with_the_fewest_deletions(before, after, as_mappings):
    old = [an_item(*pair) for pair in before]
    new = [an_item(*pair) for pair in after]
    server = SimulatedServer(old)
    requests = HistoryRequests(HistoryStore())
    wanted: list[Any] = [i.model_dump(exclude_unset=True) for i in new] if as_mappings else new
    fewest = fewest_deletions(old, new)
    if fewest is None:
        with pytest.raises(UserError):
            requests.reset(old, wanted)
        assert requests.take_sends() == []
        return
    requests.reset(old, wanted)
    for event in requests.take_sends():
        server.take(event)
    assert server.shown() == [item.item_id for item in new]
    assert len(server.deleted) == fewest
    for item in new:
        assert item in old or is_created_as(item, server.created)
        if item.item_id in server.created:
            assert is_created_as(item, server.created)


def is_created_as(item: RealtimeItem, created: dict[str, dict[str, Any]]) -> bool:
    entry = created[item.item_id]
    if not isinstance(item, FunctionCallItem):
        return bool(
            entry["content"] == [part.model_dump(exclude_unset=True) for part in item.content]
        )
    outputs = [
        other["output"]
        for other in created.values()
        if other["type"] == "function_call_output" and other["call_id"] == item.call_id
    ]
    return entry["call_id"] == item.call_id and outputs == [item.output] * (item.output is not None)


@given(before=LISTS, after=LISTS)
@settings(max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_applying_the_diff_gives_the_new_history_order_included(before, after):
    old = [an_item(*pair) for pair in before]
    new = [an_item(*pair) for pair in after]
    diff = diff_history(old, new, audio_as_transcript=True)
    leaving = {item.item_id for item in (*diff.removals, *diff.updates, *diff.moves)}
    created = {item.item_id: item for item in (*diff.additions, *diff.updates, *diff.moves)}
    staying = [item.item_id for item in old if item.item_id not in leaving]
    # Whoever stays keeps its place among those that stay; all others can be put anywhere.
    assert staying == [item.item_id for item in new if item.item_id not in created]
    assert not any(is_lost_when_deleted(item) for item in created.values())
    same = {item.item_id for item in new if item in old}
    assert {item.item_id for item in diff.moves} == same - set(staying)
    lasting = [item for item in new if item in old and is_lost_when_deleted(item)]
    if lasting == [item for item in old if item in lasting]:
        assert all(item.item_id in staying for item in lasting)


# Client and server, joined


class Call:
    """A client and a server with two wires between them, on which messages take their time."""

    def __init__(self, link: Link) -> None:
        self.client = ClientProtocol() if link is Link.WEBRTC else WebSocketProtocol()
        config = SessionConfig("sess")
        config.update({"audio": {"input": {"turn_detection": None}}})
        numbers = itertools.count()
        self.server = ServerProtocol(
            link, config, make_id=lambda prefix: f"{prefix}_{next(numbers)}"
        )
        self.up: deque[str] = deque()
        self.down: deque[str] = deque()
        self.responses: list[str] = []
        self.calls: list[Any] = []
        self.handles: list[Any] = []
        self.now = 0.0
        self.played = 0
        self.client.link_opened({"audio": {"input": {"turn_detection": None}}})
        self.deliver()

    def flush(self) -> None:
        while sends := self.client.take_sends():
            self.up.extend(json.dumps(send) for send in sends)
        for emit in self.client.take_emits():
            if emit.type == "function_call":
                self.calls.append(emit.args[0])
        for output in self.server.take_outputs():
            if isinstance(output, SendEvent):
                self.down.append(json.dumps(output.event))
            elif isinstance(output, StartResponse):
                self.responses.append(output.turn.response_id)

    def carry_up(self) -> None:
        self.flush()
        if self.up:
            self.server.receive(json.loads(self.up.popleft()), self.now)

    def carry_down(self) -> None:
        self.flush()
        if self.down:
            self.client.receive(json.loads(self.down.popleft()))

    def deliver(self) -> None:
        """Until nothing is on its way."""
        self.flush()
        while self.up or self.down:
            self.carry_up()
            self.carry_down()
            self.flush()
            if not self.up and not self.down:
                # Events that are bound to audio wait for it for half a second.
                self.now += 1
                self.server.advance(self.now)
                self.flush()

    def server_history(self) -> list[Any]:
        stored = list(self.server.conversation)
        outputs = {
            item.item["call_id"]: item.item["output"]
            for item in stored
            if item.item["type"] == "function_call_output"
        }
        return [told for item in stored if (told := server_item(item, outputs)) is not None]

    def client_history(self) -> list[Any]:
        return [client_item(item) for item in self.client.history]


def server_item(stored: Any, outputs: dict[str, str]) -> Any:
    item = stored.item
    match item["type"]:
        case "message":
            parts = [server_part(stored, index) for index in range(len(item["content"]))]
            return item["id"], item["role"], parts
        case "function_call":
            output = outputs.get(item["call_id"])
            return item["id"], item["call_id"], item["name"], item["arguments"], output
        case _:
            return None


def server_part(stored: Any, index: int) -> Any:
    part = stored.item["content"][index]
    if part["type"] == "output_audio" and "transcript" not in part:
        return "cut at", stored.audio_ms(index)
    return part["type"], part.get("text") or part.get("transcript") or part.get("image_url") or ""


def client_item(item: Any) -> Any:
    if isinstance(item, FunctionCallItem):
        return item.item_id, item.call_id, item.name, item.arguments, item.output
    return item.item_id, item.role, [client_part(part) for part in item.content]


def client_part(part: Any) -> Any:
    if getattr(part, "audio_end_ms", None) is not None:
        return "cut at", part.audio_end_ms
    text = getattr(part, "text", None) or getattr(part, "transcript", None)
    return part.type, text or getattr(part, "image_url", None) or ""


def tone(samples: int) -> Any:
    return np.full(samples, 1000, np.int16)


def changed_history(history: tuple[RealtimeItem, ...], number: int) -> list[Any]:
    """Another history made of one: items go, come, change and change places."""
    items: list[Any] = list(history)
    for bit in range(3):
        place = number // 7**bit % (len(items) + 1)
        match number // 5**bit % 5:
            case 0 if items:
                items.insert(place % len(items), items.pop())
            case 1 if items:
                del items[place % len(items)]
            case 2 if items:
                place %= len(items)
                if isinstance(items[place], FunctionCallItem):
                    items[place] = items[place].model_copy(update={"arguments": f'"{number}"'})
                else:
                    items[place] = items[place].model_copy(update={"content": said(items[place])})
            case 3:
                items.insert(place, an_item(f"own_{number}_{bit}", 0))
            case 4:
                items.insert(place, an_item(f"own_{number}_{bit}", 4))
    return items


def said(item: Any) -> list[Any]:
    if item.role == "assistant":
        return [OutputTextContent(text="other words")]
    return [InputTextContent(text="other words")]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("up", "down", "up", "down", "up", "down", "deliver"),
                *("message", "image", "respond", "words", "sound", "call", "done", "play"),
                *("output", "reset", "reset", "truncate", "delete", "interrupt", "speak", "beside"),
            ]
        ),
        st.integers(0, 10_000),
    ),
    min_size=5,
    max_size=40,
)


@given(link=st.sampled_from(list(Link)), steps=STEPS)
@settings(max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_client_and_server_never_disagree_about_the_history(link, steps):
    call = Call(link)
    for name, number in steps:
        STEP[name](call, number)
    call.deliver()
    while call.responses:
        do_done(call, 0)
        call.deliver()
    assert call.client_history() == call.server_history()
    assert all(handle.is_settled for handle in call.handles)
    for item in call.client.history:
        assert parse_item(item.model_dump(exclude_unset=True)) == item


def do_message(call: Call, number: int) -> None:
    history = call.client.history
    place = {}
    if history and number % 3 == 0:
        place = {"previous_item_id": history[number % len(history)].item_id}
    elif number % 7 == 0:
        place = {"previous_item_id": "root"}
    call.client.send_message(f"message {number}", place, trigger_response=number % 2 == 0)


def do_image(call: Call, number: int) -> None:
    call.client.add_image(f"data:,{number}", trigger_response=False)


def do_respond(call: Call, _number: int) -> None:
    call.client.request_response()


def do_beside(call: Call, _number: int) -> None:
    call.client.request_response({"conversation": "none"})


def do_words(call: Call, number: int) -> None:
    if call.responses:
        call.server.answer_text(call.responses[number % len(call.responses)], f"word {number} ")


def do_sound(call: Call, number: int) -> None:
    if call.responses:
        response = call.responses[number % len(call.responses)]
        call.server.answer_audio(response, tone(number % 5000 + 480))


def do_call(call: Call, number: int) -> None:
    if call.responses:
        call.server.answer_call(call.responses[number % len(call.responses)], "f", f'"{number}"')


def do_done(call: Call, number: int) -> None:
    if call.responses:
        response = call.responses.pop(number % len(call.responses))
        call.server.answer_done(response, call.now)


def do_play(call: Call, number: int) -> None:
    call.played += number % 5000
    call.now += 0.2
    call.server.played(call.played, call.now)


def do_output(call: Call, number: int) -> None:
    if call.calls:
        told = call.calls.pop(number % len(call.calls))
        call.client.send_function_call_output(told, f"output {number}", number % 2 == 0)


def do_reset(call: Call, number: int) -> None:
    old = call.client.history
    new = changed_history(old, number)
    try:
        handle = call.client.reset_history(old, new, audio_as_transcript=number % 3 > 0)
    except UserError:
        return
    call.handles.append(handle)


def do_truncate(call: Call, number: int) -> None:
    spoken = [i for i in call.client.history if isinstance(i, AssistantMessageItem)]
    if spoken:
        call.client.send_event(
            {
                "type": "conversation.item.truncate",
                "item_id": spoken[number % len(spoken)].item_id,
                "content_index": 0,
                "audio_end_ms": number % 100,
            }
        )


def do_delete(call: Call, number: int) -> None:
    stored = list(call.server.conversation)
    if stored:
        item_id = stored[number % len(stored)].id
        call.client.send_event({"type": "conversation.item.delete", "item_id": item_id})


def do_interrupt(call: Call, number: int) -> None:
    call.client.interrupt(number % 4 > 0)


def do_speak(call: Call, number: int) -> None:
    audio = base64.b64encode(tone(2400 + number % 5000).tobytes()).decode()
    call.client.send_event({"type": "input_audio_buffer.append", "audio": audio})
    call.client.send_event({"type": "input_audio_buffer.commit"})


STEP: dict[str, Any] = {
    "up": lambda call, _number: call.carry_up(),
    "down": lambda call, _number: call.carry_down(),
    "deliver": lambda call, _number: call.deliver(),
    "message": do_message,
    "image": do_image,
    "respond": do_respond,
    "beside": do_beside,
    "words": do_words,
    "sound": do_sound,
    "call": do_call,
    "done": do_done,
    "play": do_play,
    "output": do_output,
    "reset": do_reset,
    "truncate": do_truncate,
    "delete": do_delete,
    "interrupt": do_interrupt,
    "speak": do_speak,
}
