"""The history, as it is kept from the server's events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_core.events import FunctionCall
from realtime_core.items import FunctionCallItem
from realtime_transports.openai.item_order import ItemOrder
from realtime_transports.openai.protocol import ClientProtocol

CALL = FunctionCall(id="fc", call_id="c1", name="f", arguments="{}")


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "event_id": "e", **fields}


def item(item_id: str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "input_text", "text": "x"}]
    return {"id": item_id, "type": "message", "role": "user", "content": content, **fields}


def spoken(item_id: str, *transcripts: str) -> dict[str, Any]:
    content = [{"type": "output_audio", "transcript": transcript} for transcript in transcripts]
    return item(item_id, role="assistant", content=content)


def a_call(item_id: str = "fc", **fields: Any) -> dict[str, Any]:
    call = {"id": item_id, "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    return {**call, "status": "completed", **fields}


def an_output(item_id: str = "out", output: str = "sunny") -> dict[str, Any]:
    return {"id": item_id, "type": "function_call_output", "call_id": "c1", "output": output}


def added(item: dict[str, Any], *previous: str | None, moment: str = "added") -> dict[str, Any]:
    place = {"previous_item_id": previous[0]} if previous else {}
    return event(f"conversation.item.{moment}", item=item, **place)


def made(item: dict[str, Any], moment: str = "done", response: str = "r") -> dict[str, Any]:
    kind = f"response.output_item.{moment}"
    return event(kind, item=item, output_index=0, response_id=response)


def deleted(item_id: str) -> dict[str, Any]:
    return event("conversation.item.deleted", item_id=item_id)


def receive(protocol: ClientProtocol, *events: dict[str, Any]) -> list[Any]:
    """The payloads of the item updates told."""
    for each in events:
        protocol.receive(each)
    return [emit.args[0] for emit in protocol.take_emits() if emit.type == "item_update"]


def ids(protocol: ClientProtocol) -> list[str]:
    return [item.item_id for item in protocol.history]


# Places


def test_items_are_where_the_server_says(protocol):
    receive(
        protocol,
        added(item("a"), None),
        added(item("c"), "a"),
        added(item("b"), "a"),
        added(item("first"), None),
        added(item("unplaced")),
        added(item("lost"), "unknown"),
    )
    assert ids(protocol) == ["first", "a", "b", "c", "unplaced", "lost"]


def test_an_item_that_a_response_makes_gets_its_place_when_it_is_added(protocol):
    receive(protocol, added(item("a"), None), made(spoken("s"), "added"), added(item("b"), "a"))
    receive(protocol, added(spoken("s"), "a"))
    assert ids(protocol) == ["a", "s", "b"]


def test_an_item_keeps_its_place(protocol):
    receive(protocol, added(item("a"), None), added(item("b"), "a"))
    receive(protocol, added(item("a"), "b", moment="done"), added(item("b"), None))
    assert ids(protocol) == ["a", "b"]


def test_an_item_may_follow_one_that_is_not_shown(protocol):
    tools = {"id": "tools", "type": "mcp_list_tools", "server_label": "s", "tools": []}
    receive(protocol, added(item("a"), None), added(item("b"), "a"), added(tools, "a"))
    receive(protocol, added(item("c"), "tools"))
    assert ids(protocol) == ["a", "c", "b"]


def test_a_new_conversation_comes_after_the_one_before(protocol):
    receive(protocol, added(item("a"), None), added(item("b"), "a"))
    protocol.link_closed()
    protocol.link_opened(None)
    receive(protocol, added(item("c"), None), added(item("d"), None), added(item("e"), "b"))
    assert ids(protocol) == ["a", "b", "e", "d", "c"]


def test_the_last_of_the_old_conversation_may_go(protocol):
    receive(protocol, added(item("a"), None), added(item("b"), "a"))
    protocol.link_closed()
    receive(protocol, deleted("b"), added(item("c"), None))
    assert ids(protocol) == ["a", "c"]


def test_an_item_of_the_old_conversation_that_is_added_to_the_new_one_is_where_that_says(protocol):
    receive(protocol, added(item("a"), None), added(item("b"), "a"))
    protocol.link_closed()
    protocol.link_opened(None)
    receive(protocol, added(item("c"), None), added(item("b"), "c"), added(item("a"), "c"))
    assert ids(protocol) == ["c", "a", "b"]
    receive(protocol, added(item("first"), None))
    assert ids(protocol) == ["first", "c", "a", "b"]


@given(moves=st.lists(st.tuples(st.integers(0, 9), st.integers(-1, 9)), max_size=30))
@settings(deadline=None)
def test_an_order_is_that_of_a_list(moves):
    order, expected = ItemOrder(), []
    for number, after in moves:
        name, anchor = str(number), ItemOrder.FRONT if after < 0 else str(after)
        if anchor == name or (anchor and anchor not in expected):
            if name in expected:
                order.remove(name)
                expected.remove(name)
            continue
        order.put(name, anchor)
        if name in expected:
            expected.remove(name)
        expected.insert(expected.index(anchor) + 1 if anchor else 0, name)
        assert order.last == expected[-1]
    assert list(order) == expected
    assert all((name in order) == (name in expected) for name in map(str, range(10)))


# Going


def test_what_a_response_says_of_a_deleted_item_does_not_bring_it_back(protocol):
    receive(protocol, made(spoken("s"), "added"), added(spoken("s"), None), deleted("s"))
    (told,) = receive(protocol, made(spoken("s", "hello")))
    assert told.item_id == "s"  # as OpenAI Agents JS tells it
    assert ids(protocol) == []


def test_an_output_for_a_deleted_call_does_not_bring_it_back(protocol):
    receive(protocol, added(a_call(), None), made(a_call()), deleted("fc"))
    protocol.send_function_call_output(CALL, "sunny")
    assert ids(protocol) == []


def test_what_a_response_says_of_a_deleted_item_is_not_about_the_next_of_its_id(protocol):
    receive(protocol, added(spoken("s"), None), deleted("s"))
    receive(protocol, added(spoken("s", "again"), None), made(spoken("s", "before")))
    assert protocol.history[0].content[0].transcript == "again"


def test_an_item_that_was_deleted_may_be_added_again(protocol):
    receive(protocol, added(item("a"), None), added(item("b"), "a"), deleted("a"))
    receive(protocol, added(item("a"), "b"))
    assert ids(protocol) == ["b", "a"]


def test_a_response_beside_the_conversation_is_no_part_of_it(protocol):
    response = {"id": "r", "conversation_id": None}
    receive(protocol, event("response.created", response=response))
    told = receive(protocol, made(spoken("s"), "added"), made(spoken("s", "x")), made(a_call()))
    assert len(told) == 3
    protocol.send_function_call_output(CALL, "x")
    assert ids(protocol) == []
    receive(protocol, event("response.done", response=response), made(spoken("t"), response="r2"))
    assert ids(protocol) == ["t"]


@pytest.mark.parametrize("is_named_by_its_response_first", [True, False])
def test_an_item_that_is_added_is_part_of_the_conversation_whatever_its_response_says(
    protocol, is_named_by_its_response_first
):
    response = {"id": "r", "conversation_id": None}  # some servers say so of every response
    receive(protocol, event("response.created", response=response))
    announced = [made(spoken("s"), "added"), added(spoken("s"), None)]
    receive(protocol, *(announced if is_named_by_its_response_first else announced[::-1]))
    receive(protocol, made(spoken("s", "hello")), added(spoken("s", "hello"), None, moment="done"))
    assert protocol.history[0].content[0].transcript == "hello"


def test_an_item_beside_the_conversation_has_no_place_in_it(protocol):
    response = {"id": "r", "conversation_id": None}
    receive(protocol, event("response.created", response=response), made(spoken("s"), "added"))
    receive(protocol, added(spoken("s"), moment="done"), made(spoken("s", "hello")))
    assert ids(protocol) == []


# Function calls


def test_a_function_call_has_its_call_id_in_the_history_and_not_in_its_event(protocol):
    told = receive(protocol, added(a_call(status="in_progress", arguments=""), None))
    assert (told, ids(protocol)) == ([], [])
    (told,) = receive(protocol, made(a_call()))
    assert told.call_id is None
    assert protocol.history[0].call_id == "c1"


def test_a_function_call_that_a_client_created_is_in_the_history(protocol):
    receive(protocol, added(item("a"), None), added(a_call(), "a"), added(item("b"), "a"))
    assert ids(protocol) == ["a", "b", "fc"]
    expected = FunctionCallItem(item_id="fc", status="in_progress", name="f", arguments="{}")
    assert protocol.history[2].model_copy(update={"call_id": None}) == expected.model_copy(
        update={"output": None}
    )


def test_an_output_that_somebody_else_sent_completes_its_call(protocol):
    receive(protocol, added(a_call(), None), made(a_call()))
    (told,) = receive(protocol, added(an_output(), "fc"), added(an_output(), "fc", moment="done"))
    assert (told.output, told.status, told.call_id) == ("sunny", "completed", None)
    assert protocol.history[0].output == "sunny"


def test_an_output_that_this_client_sent_is_told_once(protocol):
    receive(protocol, added(a_call(), None), made(a_call()))
    protocol.send_function_call_output(CALL, "sunny")
    assert len(receive(protocol)) == 1
    assert receive(protocol, added(an_output(), "fc")) == []
    assert (protocol.history[0].output, protocol.history[0].call_id) == ("sunny", "c1")


def test_an_output_does_not_bring_back_how_the_call_once_was(protocol):
    receive(protocol, added(a_call(), None), made(a_call()), deleted("fc"))
    receive(protocol, added(a_call(arguments='"new"'), None))
    protocol.send_function_call_output(CALL, "sunny")
    assert (protocol.history[0].arguments, protocol.history[0].output) == ('"new"', "sunny")


def test_a_call_whose_output_is_deleted_is_open_again(protocol):
    receive(protocol, added(a_call(), None), added(an_output(), "fc"), deleted("out"))
    assert (protocol.history[0].output, protocol.history[0].status) == (None, "in_progress")


def test_a_call_that_is_created_again_still_has_its_output(protocol):
    receive(protocol, added(a_call(), None), added(an_output(), "fc"), deleted("fc"))
    receive(protocol, added(a_call(), None))
    assert protocol.history[0].output == "sunny"


def test_an_output_of_no_known_call_changes_nothing(protocol):
    no_call_id = {"id": "odd", "type": "function_call_output", "output": "x"}
    assert receive(protocol, added(an_output(), None), added(no_call_id, None)) == []
    assert ids(protocol) == []


def test_an_output_that_cannot_be_sent_leaves_the_call_as_it_was(protocol):
    receive(protocol, added(a_call(), None), made(a_call()))
    before = protocol.history
    protocol.send_function_call_output(CALL, "sunny")
    protocol.send_failed(protocol.take_sends()[0], OSError("full"))
    assert protocol.history == before
    assert receive(protocol) == []


# What was said and heard


def test_a_truncated_item_tells_up_to_where_it_was_heard_and_keeps_what_was_said(protocol):
    receive(protocol, added(spoken("s", "one", "two"), None))
    cut = event("conversation.item.truncated", item_id="s", content_index=1, audio_end_ms=1500)
    receive(protocol, cut)
    retrieved = item("s", role="assistant", content=[{"type": "output_audio"}] * 2)
    (told,) = receive(protocol, event("conversation.item.retrieved", item=retrieved))
    assert "audio_end_ms" not in told.model_dump(exclude_unset=True)["content"][1]
    first, second = protocol.history[0].content
    assert (first.transcript, first.audio_end_ms) == ("one", None)
    assert (second.transcript, second.audio_end_ms) == ("two", 1500)


@pytest.mark.parametrize("content_index", [-1, 1, 7])
def test_a_truncation_of_what_is_not_there_changes_nothing(protocol, content_index):
    receive(protocol, added(spoken("s", "one"), None))
    before = protocol.history
    for item_id in ("s", "nobody"):
        fields = {"item_id": item_id, "content_index": content_index, "audio_end_ms": 5}
        receive(protocol, event("conversation.item.truncated", **fields))
    assert protocol.history == before


def test_the_users_speech_gets_its_transcript(protocol):
    audio = item("u", status="in_progress", content=[{"type": "input_audio"}])
    receive(protocol, added(audio, None))
    completed = event(
        "conversation.item.input_audio_transcription.completed",
        item_id="u",
        content_index=0,
        transcript="hello",
    )
    receive(protocol, completed, {**completed, "item_id": "nobody"})
    assert protocol.history[0].content[0].transcript == "hello"
    assert protocol.history[0].status == "completed"


def test_each_part_of_the_users_speech_gets_its_own_transcript(protocol):
    content = [{"type": "input_audio"}, {"type": "input_text", "text": "x"}]
    receive(protocol, added(item("u", content=[*content, {"type": "input_audio"}]), None))
    for index, words in ((2, "second"), (0, "first")):
        completed = event(
            "conversation.item.input_audio_transcription.completed",
            item_id="u",
            content_index=index,
            transcript=words,
        )
        receive(protocol, completed)
    first, _, second = protocol.history[0].content
    assert (first.transcript, second.transcript) == ("first", "second")


def test_the_history_is_made_anew_only_when_it_has_changed(protocol):
    receive(protocol, added(item("a"), None))
    before = protocol.history
    delta = {"item_id": "a", "output_index": 0, "content_index": 0, "response_id": "r"}
    receive(protocol, event("response.output_audio.delta", delta="AAAA", **delta))
    assert protocol.history is before
    receive(protocol, added(item("b"), "a"))
    assert ids(protocol) == ["a", "b"]
    assert [i.item_id for i in before] == ["a"]
