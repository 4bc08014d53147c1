from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import ProtocolError, UserError, ValidationError
from realtime_core.events import (
    ErrorEvent,
    FunctionCall,
    ItemDeleted,
    McpToolsListed,
    TranscriptDelta,
)
from realtime_core.items import InputTextContent, UserMessageItem
from realtime_transports.openai.audio_labels import AudioLabel
from realtime_transports.openai.inbound import audio_event
from realtime_transports.openai.protocol import ClientProtocol

PCM = b"\x01\x02"


def event(type_: str, **fields: object) -> dict[str, Any]:
    return {"type": type_, "event_id": "e", **fields}


def message(item_id: str, text: str = "hi", **fields: object) -> dict[str, Any]:
    content = [{"type": "input_text", "text": text}]
    return {"id": item_id, "type": "message", "role": "user", "content": content, **fields}


def call(item_id: str = "fc", **fields: object) -> dict[str, Any]:
    return {
        "id": item_id,
        "type": "function_call",
        "status": "completed",
        "name": "f",
        "call_id": "call",
        "arguments": "{}",
        **fields,
    }


def output_item(item: dict[str, Any], moment: str = "done") -> dict[str, Any]:
    return event(f"response.output_item.{moment}", item=item, output_index=0, response_id="r")


def told(protocol: ClientProtocol) -> dict[str, Any]:
    """The last payload of each type that was told."""
    return {emit.type: emit.args[0] if emit.args else None for emit in protocol.take_emits()}


def types_told(protocol: ClientProtocol) -> list[str]:
    return [emit.type for emit in protocol.take_emits()]


def types_sent(protocol: ClientProtocol) -> list[str]:
    return [sent["type"] for sent in protocol.take_sends()]


# The link


def test_opening_the_link_sends_the_config_with_the_current_model():
    protocol = ClientProtocol(model="m1")
    protocol.link_opened({"model": "other", "instructions": "be kind"})
    (update,) = protocol.take_sends()
    assert update["type"] == "session.update"
    assert update["session"]["model"] == "m1"
    assert update["session"]["instructions"] == "be kind"


def test_a_closed_link_forgets_the_response_and_what_waited_but_not_the_history(protocol):
    protocol.receive(event("response.created", response={"id": "r"}))
    protocol.receive(event("conversation.item.done", item=message("a")))
    protocol.request_response()
    protocol.link_closed()
    protocol.link_opened(None)
    assert not protocol.ongoing_response
    assert types_sent(protocol) == ["session.update"]
    assert [item.item_id for item in protocol.history] == ["a"]


def test_tracing_is_asked_for_once_the_session_is_known(protocol):
    protocol.receive(event("session.created", session={"id": "s"}))
    assert protocol.take_sends() == [
        {"type": "session.update", "session": {"type": "realtime", "tracing": "auto"}}
    ]
    assert protocol.session == {"id": "s"}


def test_a_session_that_is_none_does_no_harm(protocol):
    protocol.receive(event("session.created", session=None))
    assert protocol.session is None


# What comes in


def test_a_known_event_is_told_raw_and_under_its_own_type(protocol):
    protocol.receive(event("input_audio_buffer.cleared"))
    assert types_told(protocol) == ["*", "input_audio_buffer.cleared"]


@pytest.mark.parametrize(
    "unknown", [event("brand.new"), event("response.created"), {"type": "response.done"}]
)
def test_an_event_that_is_not_known_is_told_raw_alone(protocol, unknown):
    protocol.receive(unknown)
    assert types_told(protocol) == ["*"]


def test_a_message_that_is_no_event_changes_nothing(protocol):
    protocol.receive_invalid(ProtocolError("not JSON"), "{")
    assert types_told(protocol) == []


def test_a_response_is_a_turn(protocol):
    protocol.receive(event("response.created", response={"id": "r"}))
    assert types_told(protocol) == ["*", "response.created", "turn_started"]
    usage = {"input_tokens": 2, "output_tokens": 3, "input_token_details": {"text_tokens": 2}}
    protocol.receive(event("response.done", response={"id": "r", "output": [1], "usage": usage}))
    events = told(protocol)
    assert list(events) == ["*", "response.done", "usage_update", "turn_done"]
    assert events["usage_update"].total_tokens == 5
    assert events["usage_update"].input_tokens_details == [{"text_tokens": 2}]
    assert events["turn_done"].response.output == [1]


def test_a_response_that_ends_in_an_unknown_form_has_ended(protocol):
    protocol.receive(event("response.created", response={"id": "r"}))
    protocol.request_response()
    protocol.receive(event("response.done", response={"status": "brand_new"}))
    assert types_sent(protocol) == ["response.create"]


def test_state_has_changed_by_the_time_an_event_is_told(protocol):
    protocol.receive(event("response.created", response={"id": "r"}))
    assert protocol.ongoing_response
    protocol.receive(event("response.done", response={"id": "r"}))
    assert not protocol.ongoing_response
    protocol.receive(event("conversation.item.done", item=message("a")))
    assert [item.item_id for item in protocol.history] == ["a"]


def test_the_history_follows_the_events(protocol):
    protocol.receive(event("conversation.item.added", item=message("b")))
    protocol.receive(event("conversation.item.added", item=message("a"), previous_item_id=None))
    protocol.receive(event("conversation.item.retrieved", item=message("b", "changed")))
    assert [item.item_id for item in protocol.history] == ["a", "b"]
    assert protocol.history[1].content == [InputTextContent(text="changed")]
    protocol.receive(event("conversation.item.deleted", item_id="a"))
    assert [item.item_id for item in protocol.history] == ["b"]
    assert told(protocol)["item_deleted"] == ItemDeleted("a")


def test_an_image_of_the_user_reaches_the_history(protocol):
    content = [{"type": "input_image", "image_url": "data:,x"}]
    protocol.receive(event("conversation.item.done", item=message("a", content=content)))
    assert protocol.history[0].content[0].image_url == "data:,x"


@pytest.mark.parametrize(
    "item",
    [
        message("a", role="assistant"),
        message("a", content=[{"type": "item_reference", "id": "x"}]),
        {"type": "message", "role": "user", "content": []},
        {"id": "a", "type": "message", "content": []},
        {"id": "a", "type": "message", "role": "user"},
        {"id": "a", "type": "mcp_call", "arguments": "{}"},
        {"id": "a", "type": "mcp_approval_request", "name": "f"},
        {
            "id": "a",
            "type": "mcp_approval_request",
            "server_label": "s",
            "name": "f",
            "arguments": "{",
        },
    ],
)
def test_an_item_that_is_none_is_an_error_and_the_connection_goes_on(protocol, item):
    protocol.receive(event("conversation.item.done", item=item))
    error = told(protocol)["error"]
    assert isinstance(error, ErrorEvent)
    assert isinstance(error.error, ProtocolError)
    assert protocol.history == ()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "type", "item", "content", "role", "error", "event_id", "usage"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
SERVER_EVENTS = [
    event("error", error={"event_id": "x"}),
    event("session.created", session={"tracing": None}),
    event("conversation.item.done", item=message("a"), previous_item_id=None),
    event("response.done", response={"id": "r", "usage": {"input_tokens": 1}}),
    output_item(call()),
    event("output_audio_buffer.started", response_id="r"),
]


@given(base=st.sampled_from(SERVER_EVENTS), data=st.data())
def test_no_server_event_raises(base, data):
    protocol = ClientProtocol()
    protocol.link_opened(None)
    key = data.draw(st.sampled_from(sorted(base.keys() - {"type"})))
    protocol.receive({**base, key: data.draw(ANYTHING)})
    assert protocol.take_emits()[0].type == "*"


def test_an_error_of_the_server_is_told_with_its_event(protocol):
    failure = event("error", error={"message": "no"})
    protocol.receive(failure)
    assert told(protocol)["error"] == ErrorEvent(failure)


def test_what_the_model_says_is_told_piece_by_piece(protocol):
    delta = event(
        "response.output_audio_transcript.delta",
        item_id="i",
        content_index=0,
        output_index=0,
        response_id="r",
        delta="he",
    )
    protocol.receive(delta)
    assert told(protocol)["audio_transcript_delta"] == TranscriptDelta("he", "i", "r")


def test_an_item_that_changed_unseen_is_retrieved(protocol):
    protocol.receive(
        event("conversation.item.truncated", item_id="i", audio_end_ms=5, content_index=0)
    )
    protocol.receive(event("response.mcp_call.in_progress", item_id="m", output_index=0))
    protocol.receive({"type": "mcp_list_tools.in_progress"})
    assert protocol.take_sends() == [
        {"type": "conversation.item.retrieve", "item_id": "i"},
        {"type": "conversation.item.retrieve", "item_id": "m"},
    ]


def test_audio_on_the_track_is_labelled(protocol):
    part = {"part": {"type": "audio"}, "item_id": "i", "content_index": 0, "output_index": 0}
    protocol.receive(event("response.content_part.added", response_id="r", **part))
    protocol.receive(event("output_audio_buffer.started", response_id="r"))
    assert protocol.current_audio == AudioLabel("r", "i", 0)
    protocol.link_closed()
    assert protocol.current_audio is None


def test_audio_in_an_event_can_be_read():
    delta = {
        "delta": base64.b64encode(PCM).decode(),
        "response_id": "r",
        "item_id": "i",
        "content_index": 0,
    }
    assert audio_event(delta).data == PCM
    with pytest.raises(ProtocolError):
        audio_event({**delta, "delta": "@"})


# Function calls and MCP


def test_a_function_call_is_told_once_however_often_the_server_tells_it(protocol):
    protocol.receive(output_item(call(), "added"))
    assert told(protocol)["function_call"] == FunctionCall("f", "{}", "call", "fc", "r")
    protocol.receive(output_item(call()))
    assert "function_call" not in told(protocol)


def test_a_function_call_is_told_without_a_response_id(protocol):
    done = output_item(call())
    del done["response_id"]
    protocol.receive(done)
    assert told(protocol)["function_call"].response_id is None


def test_a_function_call_that_is_not_complete_is_not_told(protocol):
    protocol.receive(output_item(call(status="in_progress"), "added"))
    assert types_told(protocol) == ["*", "response.output_item.added"]


def test_the_output_completes_the_call_and_asks_for_an_answer(protocol):
    protocol.receive(output_item(call()))
    function_call = told(protocol)["function_call"]
    protocol.send_function_call_output(function_call, "sunny")
    create, respond = protocol.take_sends()
    assert create["item"] == {"type": "function_call_output", "output": "sunny", "call_id": "call"}
    assert respond["type"] == "response.create"
    assert protocol.history[0].output == "sunny"
    assert told(protocol)["item_update"].status == "completed"


@pytest.mark.parametrize(
    ("function_call", "output"),
    [({"id": "fc", "name": "f"}, "x"), (FunctionCall("f", "{}", "call"), {"not": "text"})],
)
def test_an_output_that_cannot_be_matched_or_read_is_refused(protocol, function_call, output):
    with pytest.raises(ValidationError):
        protocol.send_function_call_output(function_call, output)
    assert types_sent(protocol) == []


def test_tools_of_an_mcp_server_are_told_even_without_description(protocol):
    item = {"id": "l", "type": "mcp_list_tools", "server_label": "s", "tools": [{"name": "t"}]}
    protocol.receive(event("conversation.item.done", item=item))
    assert told(protocol)["mcp_tools_listed"] == McpToolsListed("s", [{"name": "t"}])
    assert protocol.history == ()


def test_an_mcp_approval_is_answered(protocol):
    item = {"id": "m", "type": "mcp_approval_request", "server_label": "s", "name": "f"}
    protocol.receive(event("conversation.item.done", item={**item, "arguments": '{"q":1}'}))
    request = told(protocol)["mcp_approval_request"]
    assert request.arguments == {"q": 1}
    protocol.send_mcp_response(request, False, "no way")
    assert protocol.take_sends()[0]["item"] == {
        "type": "mcp_approval_response",
        "approval_request_id": "m",
        "approve": False,
        "reason": "no way",
    }


def test_a_finished_mcp_call_is_told(protocol):
    item = {"id": "m", "type": "mcp_call", "name": "f", "arguments": "{}", "output": "1"}
    protocol.receive(event("conversation.item.done", item=item))
    assert told(protocol)["mcp_tool_call_completed"].status == "completed"


# The program's calls


def test_a_message_asks_for_an_answer_unless_told_not_to(protocol):
    protocol.send_message("hi", trigger_response=False)
    assert types_sent(protocol) == ["conversation.item.create"]
    protocol.send_message("hi")
    assert types_sent(protocol) == ["conversation.item.create", "response.create"]


def test_a_message_may_be_an_item_or_parts(protocol):
    item = UserMessageItem(
        item_id="a", status="completed", content=[InputTextContent(text="from an item")]
    )
    image = {"type": "input_image", "image": "https://x/y.png", "provider_data": {"detail": "low"}}
    protocol.send_message(item, trigger_response=False)
    protocol.send_message({"content": [image]}, trigger_response=False)
    first, second = protocol.take_sends()
    assert first["item"]["content"] == [{"type": "input_text", "text": "from an item"}]
    assert second["item"]["content"] == [
        {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"}
    ]


def test_other_event_data_adds_to_a_message_and_replaces_nothing(protocol):
    protocol.send_message("hi", {"previous_item_id": "p", "type": "x", "item": {}})
    created = protocol.take_sends()[0]
    assert created["type"] == "conversation.item.create"
    assert created["previous_item_id"] == "p"
    assert created["item"]["content"][0]["text"] == "hi"


def test_a_message_without_parts_is_refused(protocol):
    with pytest.raises(ValidationError):
        protocol.send_message({"role": "user"})
    assert types_sent(protocol) == []


def test_audio_is_appended_and_committed(protocol):
    protocol.send_audio(PCM, commit=True)
    append, commit = protocol.take_sends()
    assert append == {"type": "input_audio_buffer.append", "audio": "AQI="}
    assert commit == {"type": "input_audio_buffer.commit"}


def test_no_audio_is_not_appended(protocol):
    protocol.send_audio(b"")
    assert types_sent(protocol) == []


def test_interrupting_cancels_the_response_once_and_stops_the_playback(protocol):
    protocol.receive(event("response.created", response={"id": "r"}))
    protocol.interrupt()
    assert types_sent(protocol) == ["response.cancel", "output_audio_buffer.clear"]
    protocol.interrupt()
    assert types_sent(protocol) == ["output_audio_buffer.clear"]


def test_a_response_whose_audio_is_done_can_still_be_cancelled(protocol):
    protocol.receive(event("response.created", response={"id": "r"}))
    done = {"item_id": "i", "content_index": 0, "output_index": 0, "response_id": "r"}
    protocol.receive(event("response.output_audio.done", **done))
    protocol.interrupt()
    assert types_sent(protocol) == ["response.cancel", "output_audio_buffer.clear"]


def test_interrupting_may_leave_cancelling_to_the_server(protocol):
    protocol.receive(event("response.created", response={"id": "r"}))
    protocol.interrupt(cancel_ongoing_response=False)
    assert types_sent(protocol) == ["output_audio_buffer.clear"]


def test_a_response_waits_for_the_one_that_was_cancelled(protocol):
    protocol.receive(event("response.created", response={"id": "r"}))
    protocol.send_event({"type": "response.cancel"})
    protocol.request_response({"instructions": "again"})
    assert types_sent(protocol) == ["response.cancel"]
    protocol.receive(event("response.done", response={"id": "r", "status": "cancelled"}))
    assert protocol.take_sends()[0]["response"] == {"instructions": "again"}


def test_any_other_event_is_sent_as_it_is(protocol):
    protocol.send_event({"type": "custom.event", "a": [1, None]})
    assert protocol.take_sends() == [{"type": "custom.event", "a": [1, None]}]


# What cannot be sent


def test_a_response_create_that_cannot_be_sent_is_an_error_and_the_next_one_leaves(protocol):
    failure = OSError("full")
    protocol.request_response({"n": 1})
    protocol.request_response({"n": 2})
    (first,) = protocol.take_sends()
    protocol.send_failed(first, failure)
    assert told(protocol)["error"] == ErrorEvent(failure)
    assert [sent["response"] for sent in protocol.take_sends()] == [{"n": 2}]


def test_a_message_that_cannot_be_sent_asks_for_no_answer(protocol):
    protocol.send_message("hi")
    create, _dropped = protocol.take_sends()
    protocol.send_failed(create, OSError("full"))
    assert types_told(protocol) == []
    protocol.request_response()
    assert types_sent(protocol) == ["response.create"]
    protocol.receive(event("response.created", response={"id": "r"}))
    protocol.receive(event("response.done", response={"id": "r"}))
    assert types_sent(protocol) == []


def test_an_output_that_cannot_be_sent_completes_nothing(protocol):
    protocol.send_function_call_output(FunctionCall("f", "{}", "call", "fc"), "sunny")
    create, _dropped = protocol.take_sends()
    protocol.send_failed(create, OSError("full"))
    assert protocol.history == ()
    assert types_told(protocol) == []


def test_a_cancellation_that_cannot_be_sent_is_tried_again(protocol):
    protocol.receive(event("response.created", response={"id": "r"}))
    protocol.interrupt()
    cancel, _dropped = protocol.take_sends()
    protocol.send_failed(cancel, OSError("full"))
    protocol.interrupt()
    assert types_sent(protocol) == ["response.cancel", "output_audio_buffer.clear"]


def test_a_response_create_kept_back_by_a_middleware_blocks_no_other(protocol):
    protocol.request_response({"n": 1})
    protocol.request_response({"n": 2})
    (first,) = protocol.take_sends()
    protocol.send_dropped(first)
    assert [sent["response"] for sent in protocol.take_sends()] == [{"n": 2}]
    assert types_told(protocol) == []


def test_a_message_kept_back_leaves_the_answer_asked_for(protocol):
    protocol.send_message("hi")
    create, respond = protocol.take_sends()
    protocol.send_dropped(create)
    protocol.receive(event("error", error={"event_id": respond["event_id"]}))
    protocol.request_response()
    assert types_sent(protocol) == ["response.create"]


def test_a_link_that_closes_while_it_is_written_to_leaves_nothing_to_take_back(protocol):
    protocol.request_response()
    (create,) = protocol.take_sends()
    protocol.link_closed()
    protocol.send_failed(create, OSError("closed"))
    protocol.send_dropped(create)
    assert types_told(protocol) == ["error"]


# The history on the server


def item(item_id: str, text: str = "x") -> UserMessageItem:
    return UserMessageItem(
        item_id=item_id, status="completed", content=[InputTextContent(text=text)]
    )


def reset(protocol: ClientProtocol, old: str, new: str) -> list[tuple[str, str, object]]:
    """Reset between histories of one-letter items; a capital is the changed item."""

    def items(letters: str) -> list[UserMessageItem]:
        return [item(c.lower(), "new" if c.isupper() else "old") for c in letters]

    protocol.reset_history(items(old), items(new))
    return [
        (
            sent["type"].rpartition(".")[2],
            sent.get("item_id") or sent["item"]["id"],
            sent.get("previous_item_id"),
        )
        for sent in protocol.take_sends()
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("ab", "ab", []),
        ("ab", "abc", [("create", "c", None)]),
        ("abc", "ac", [("delete", "b", None)]),
        ("ac", "abc", [("create", "b", "a")]),
        ("b", "ab", [("create", "a", "root")]),
        ("abc", "aBc", [("delete", "b", None), ("create", "b", "a")]),
        ("ab", "AB", [(k, i, None) for k in ("delete", "create") for i in "ab"]),
    ],
)
def test_a_history_is_reached_by_deleting_and_creating(protocol, old, new, expected):
    assert reset(protocol, old, new) == expected


def test_an_item_whose_deletion_is_under_way_is_no_place_to_follow(protocol):
    reset(protocol, "abc", "ac")
    assert reset(protocol, "abc", "abdc") == [("create", "d", "a")]


def test_an_item_that_is_created_again_is_a_place_to_follow(protocol):
    reset(protocol, "abc", "ac")
    reset(protocol, "ac", "abc")
    assert reset(protocol, "abc", "abdc") == [("create", "d", "b")]


def test_a_deletion_that_was_refused_or_never_left_is_not_under_way(protocol):
    protocol.reset_history([item("a"), item("b"), item("c")], [item("a"), item("c")])
    (delete,) = protocol.take_sends()
    protocol.receive(event("error", error={"event_id": delete["event_id"]}))
    assert reset(protocol, "abc", "abdc") == [("create", "d", "b")]

    protocol.reset_history([item("a"), item("b"), item("c")], [item("a"), item("c")])
    protocol.send_failed(protocol.take_sends()[0], OSError("full"))
    assert reset(protocol, "abc", "abec") == [("create", "e", "b")]


def test_event_ids_are_not_given_twice(protocol):
    protocol.reset_history([item("a")], [])
    protocol.link_closed()
    protocol.link_opened(None)
    protocol.take_sends()
    protocol.reset_history([item("a")], [item("b")])
    event_ids = [sent["event_id"] for sent in protocol.take_sends()]
    assert event_ids == ["realtime_delete_2", "realtime_create_3"]


@pytest.mark.parametrize(
    "new",
    [
        [{"item_id": "m", "type": "mcp_call"}],
        [{"item_id": "a", "type": "message", "role": "user"}],
        [{"type": "message", "role": "user", "content": []}],
    ],
)
def test_what_the_server_cannot_take_is_refused_before_anything_is_sent(protocol, new):
    with pytest.raises(UserError):
        protocol.reset_history([item("x")], new)
    assert types_sent(protocol) == []
