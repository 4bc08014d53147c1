"""Resets of the history: what they ask for, what comes of it, and taking back what came half."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest

from realtime_core.errors import HistoryResetError, ProtocolError, TransportError, UserError
from realtime_core.handles import HistoryResetHandle, HistoryStep
from realtime_core.items import (
    AssistantMessageItem,
    FunctionCallItem,
    InputAudioContent,
    InputTextContent,
    McpCallItem,
    OutputAudioContent,
    UserMessageItem,
)
from realtime_transports.openai.history_requests import ANSWER_DEADLINE_S
from realtime_transports.openai.protocol import ClientProtocol


@pytest.fixture
def protocol() -> ClientProtocol:
    """A protocol whose link is open."""
    return opened()


def opened() -> ClientProtocol:
    protocol = ClientProtocol()
    protocol.link_opened(None)
    protocol.take_sends()
    return protocol


def text(item_id: str, words: str = "x") -> UserMessageItem:
    return UserMessageItem(
        item_id=item_id, status="completed", content=[InputTextContent(text=words)]
    )


def texts(ids: str) -> list[Any]:
    """One-letter items; a capital is the changed item."""
    return [text(i.lower(), "new" if i.isupper() else "old") for i in ids]


def speech(item_id: str, transcript: str | None = "said") -> AssistantMessageItem:
    part = OutputAudioContent(transcript=transcript)
    return AssistantMessageItem(item_id=item_id, status="completed", content=[part])


def heard(item_id: str, transcript: str | None = "heard") -> UserMessageItem:
    part = InputAudioContent(transcript=transcript)
    return UserMessageItem(item_id=item_id, status="completed", content=[part])


def call(item_id: str, **fields: Any) -> FunctionCallItem:
    return FunctionCallItem(
        item_id=item_id, **{"status": "completed", "name": "f", "arguments": "{}", **fields}
    )


def mcp(item_id: str) -> McpCallItem:
    return McpCallItem(item_id=item_id, status="completed", name="f", arguments="{}")


def sent(protocol: ClientProtocol) -> list[tuple[Any, ...]]:
    return [
        ("delete", event["item_id"])
        if "item_id" in event
        else ("create", event["item"]["id"], event.get("previous_item_id"))
        for event in protocol.take_sends()
    ]


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "event_id": "e", **fields}


def deleted(item_id: str) -> dict[str, Any]:
    return event("conversation.item.deleted", item_id=item_id)


def added(item: dict[str, Any], previous: str | None = None) -> dict[str, Any]:
    return event("conversation.item.added", item=item, previous_item_id=previous)


def message(item_id: str) -> dict[str, Any]:
    return {
        "id": item_id,
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [{"type": "input_text", "text": "x"}],
    }


def refused(event_id: str, why: str = "no such item") -> dict[str, Any]:
    return event(
        "error", error={"type": "invalid_request_error", "message": why, "event_id": event_id}
    )


def obey(protocol: ClientProtocol) -> list[dict[str, Any]]:
    """Do what is asked, as a server does."""
    events = protocol.take_sends()
    for each in events:
        if each["type"] == "conversation.item.delete":
            protocol.receive(deleted(each["item_id"]))
        else:
            protocol.receive(added(each["item"], each.get("previous_item_id")))
    return events


def errors_told(protocol: ClientProtocol) -> list[Any]:
    return [e.args[0].error for e in protocol.take_emits() if e.type == "error"]


async def failure(handle: HistoryResetHandle) -> HistoryResetError:
    with pytest.raises(HistoryResetError) as caught:
        await handle.wait_applied()
    return caught.value


# What is asked for


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("abc", "bca", [("delete", "a"), ("create", "a", None)]),
        ("abc", "cab", [("delete", "c"), ("create", "c", "root")]),
        ("abcd", "acbd", [("delete", "c"), ("create", "c", "a")]),
        ("abc", "Cab", [("delete", "c"), ("create", "c", "root")]),
    ],
)
def test_items_that_change_places_are_created_again(protocol, old, new, expected):
    protocol.reset_history(texts(old), texts(new))
    assert sent(protocol) == expected


def test_what_cannot_be_created_again_stays_and_the_others_move_around_it(protocol):
    protocol.reset_history([speech("s"), *texts("ab")], [*texts("ab"), speech("s")])
    assert sent(protocol) == [
        ("delete", "a"),
        ("delete", "b"),
        ("create", "a", "root"),
        ("create", "b", "a"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ([speech("s"), speech("t")], [speech("t"), speech("s")], "item [st] "),
        ([mcp("m"), mcp("n")], [mcp("n"), mcp("m")], "item [mn] .*change its place"),
        ([], [speech("spoken")], "item spoken"),
        ([], [heard("unheard")], "item unheard"),
        ([], [heard("unheard").model_dump()], "item unheard"),
        ([text("u")], [heard("u")], "item u"),
        ([], [call("fc")], "item fc has no call_id"),
        ([], [{"item_id": "odd", "type": "novelty"}], "item odd"),
        ([], [text("twice"), text("twice", "y")], "twice"),
        ([], [{"item_id": "m", "type": "message", "role": "user"}], "has no content"),
    ],
)
def test_what_the_server_cannot_be_brought_to_is_refused_and_named(protocol, old, new, name):
    with pytest.raises(UserError, match=name):
        protocol.reset_history([*old, text("z")], new)
    assert protocol.take_sends() == []


def test_speech_becomes_text_where_it_is_asked_for_and_only_where_it_must(protocol):
    stays, new = speech("stays"), [heard("u"), speech("stays"), speech("s")]
    protocol.reset_history([stays], new, audio_as_transcript=True)
    first, last = protocol.take_sends()
    assert first["item"]["content"] == [{"type": "input_text", "text": "heard"}]
    assert last["item"]["content"] == [{"type": "output_text", "text": "said"}]


@pytest.mark.parametrize("silent", [speech("s", None), heard("s", None), speech("s", "")])
def test_speech_without_a_transcript_is_refused_even_then(protocol, silent):
    with pytest.raises(UserError, match="item s "):
        protocol.reset_history([], [silent], audio_as_transcript=True)


def test_speech_of_the_user_can_be_created_with_its_audio(protocol):
    item = UserMessageItem(
        item_id="u", status="completed", content=[InputAudioContent(audio="AAAA")]
    )
    protocol.reset_history([], [item])
    (create,) = protocol.take_sends()
    assert create["item"]["content"] == [{"type": "input_audio", "audio": "AAAA"}]


def test_a_function_call_is_created_with_its_output(protocol):
    new = [call("fc", call_id="c1", output="sunny"), text("after"), text("stays")]
    protocol.reset_history([text("stays")], new)
    first, second, third = protocol.take_sends()
    assert first["item"] == {
        "type": "function_call",
        "id": "fc",
        "call_id": "c1",
        "name": "f",
        "arguments": "{}",
    }
    output_id = second["item"].pop("id")
    assert second["item"] == {"type": "function_call_output", "call_id": "c1", "output": "sunny"}
    assert [e["previous_item_id"] for e in (first, second, third)] == ["root", "fc", output_id]
    assert len(output_id) <= 32


def test_a_function_call_without_output_is_created_alone(protocol):
    protocol.reset_history([], [call("fc", call_id="c1")])
    (create,) = protocol.take_sends()
    assert create["item"]["type"] == "function_call"


OUTPUT = {"id": "out", "type": "function_call_output", "call_id": "c1", "output": "sunny"}


def answered_call(protocol: ClientProtocol) -> None:
    """A call of the model whose output is on the server too."""
    item = {**message("fc"), "type": "function_call", "name": "f", "arguments": "{}"}
    item["call_id"] = "c1"
    protocol.receive(added(item))
    protocol.receive(event("response.output_item.done", item=item, output_index=0))
    protocol.receive(added(OUTPUT, "fc"))
    protocol.receive(added(message("m"), "out"))
    protocol.take_sends()


def test_a_function_call_goes_with_its_output(protocol):
    answered_call(protocol)
    protocol.reset_history(protocol.history, protocol.history[1:])
    assert sent(protocol) == [("delete", "out"), ("delete", "fc")]


def test_nothing_follows_an_output_that_goes(protocol):
    answered_call(protocol)
    protocol.receive(deleted("out"))
    protocol.receive(added({**OUTPUT, "id": "late"}, "m"))
    protocol.receive(added(message("last"), "late"))
    call_, before, after = protocol.history
    protocol.reset_history([call_, before, after], [before, text("new"), after])
    assert sent(protocol) == [("delete", "late"), ("delete", "fc"), ("create", "new", "m")]


def test_what_follows_a_function_call_follows_its_output(protocol):
    answered_call(protocol)
    first, last = protocol.history
    protocol.reset_history([first, last], [first, text("new"), last])
    assert sent(protocol) == [("create", "new", "out")]


def test_a_function_call_told_without_call_id_is_created_with_the_one_the_history_has(protocol):
    answered_call(protocol)
    protocol.reset_history([call("fc", output="sunny")], [call("fc", output="rainy")])
    creates = [e["item"] for e in protocol.take_sends() if "item" in e]
    assert [item["call_id"] for item in creates] == ["c1", "c1"]


# Items that the server has deleted


def test_an_item_whose_deletion_is_confirmed_is_no_place_to_follow(protocol):
    protocol.reset_history(texts("abc"), texts("ac"))
    obey(protocol)
    protocol.reset_history(texts("abc"), texts("abdc"))
    assert sent(protocol) == [("create", "d", "a")]


def test_an_item_that_the_server_deleted_unasked_is_no_place_to_follow(protocol):
    protocol.receive(deleted("b"))
    protocol.reset_history(texts("abc"), texts("abdc"))
    assert sent(protocol) == [("create", "d", "a")]


def test_an_item_that_is_there_again_is_a_place_to_follow(protocol):
    protocol.receive(deleted("b"))
    protocol.receive(added(message("b"), "a"))
    protocol.reset_history(texts("abc"), texts("abdc"))
    assert sent(protocol) == [("create", "d", "b")]


def test_a_deleted_item_that_both_histories_hold_is_neither_brought_back_nor_moved(protocol):
    protocol.receive(deleted("c"))
    protocol.reset_history(texts("abc"), texts("cab"))
    assert sent(protocol) == []


def test_a_new_connection_begins_with_nothing_deleted(protocol):
    protocol.receive(deleted("b"))
    protocol.link_closed()
    protocol.link_opened(None)
    protocol.take_sends()
    protocol.reset_history(texts("abc"), texts("abdc"))
    assert sent(protocol) == [("create", "d", "b")]


def connected_again(protocol: ClientProtocol) -> tuple[Any, ...]:
    """A history whose first two items are of the connection before."""
    protocol.receive(added(message("old1")))
    protocol.receive(added(message("old2"), "old1"))
    protocol.link_closed()
    protocol.link_opened(None)
    protocol.receive(added(message("now")))
    protocol.take_sends()
    protocol.take_emits()
    return protocol.history


def test_an_item_of_the_connection_before_is_no_place_to_follow(protocol):
    old1, old2, now = connected_again(protocol)
    protocol.reset_history((old1, old2, now), (old1, old2, text("x"), now))
    assert sent(protocol) == [("create", "x", "root")]


def test_an_item_of_the_connection_before_leaves_the_history_without_the_server(protocol):
    history = connected_again(protocol)
    handle = protocol.reset_history(history, history[1:])
    assert (handle.is_settled, protocol.take_sends()) == (True, [])
    assert [item.item_id for item in protocol.history] == ["old2", "now"]
    (told,) = protocol.take_emits()
    assert (told.type, told.args[0].item_id) == ("item_deleted", "old1")


def test_what_is_of_the_connection_before_stays_until_the_reset_is_applied(protocol):
    history = connected_again(protocol)
    protocol.reset_history(history, (*history[1:], text("x")))
    (create,) = protocol.take_sends()
    protocol.receive(refused(create["event_id"]))
    assert (protocol.take_sends(), protocol.history) == ([], history)
    protocol.reset_history(history, (*history[1:], text("x")))
    protocol.receive(added(message("x"), "now"))
    assert [item.item_id for item in protocol.history] == ["old2", "now", "x"]


async def test_an_item_of_the_connection_before_that_changes_is_created_and_undone():
    protocol = opened()
    old1, old2, now = connected_again(protocol)
    handle = protocol.reset_history((old1, old2, now), (old1, text("old2", "y"), now, text("x")))
    first, second = protocol.take_sends()
    assert (first["item"]["id"], first["previous_item_id"]) == ("old2", "root")
    protocol.receive(added(first["item"]))
    assert [item.item_id for item in protocol.history] == ["old1", "old2", "now"]
    protocol.receive(refused(second["event_id"]))
    assert [e.get("item_id") for e in obey(protocol)] == ["old2"]
    assert (await failure(handle)).unrestored == ("old2",)  # what was shown of it is gone


def test_what_is_of_the_connection_before_can_be_brought_to_the_new_one(protocol):
    old1, old2, now = connected_again(protocol)
    protocol.reset_history((now,), (old2, old1, now))
    assert sent(protocol) == [("create", "old2", "root"), ("create", "old1", "old2")]
    protocol.receive(added(message("old2"), None))
    protocol.receive(added(message("old1"), "old2"))
    assert [item.item_id for item in protocol.history] == ["old2", "old1", "now"]
    history = protocol.history
    protocol.reset_history(history, history[1:])
    assert sent(protocol) == [("delete", "old2")]


# What comes of it


async def test_a_reset_is_applied_when_each_step_is_confirmed():
    protocol = opened()
    handle = protocol.reset_history(texts("ab"), texts("bc"))
    waiting = asyncio.ensure_future(handle.wait_applied())
    _, create = protocol.take_sends()
    protocol.receive(deleted("a"))
    assert not handle.is_settled
    protocol.receive(added(create["item"], "b"))
    assert await waiting == (HistoryStep("delete", "a"), HistoryStep("create", "c"))
    assert [item.item_id for item in protocol.history] == ["c"]
    assert errors_told(protocol) == []


async def test_a_reset_that_has_nothing_to_do_is_applied_at_once():
    handle = opened().reset_history(texts("ab"), texts("ab"))
    assert await handle.wait_applied() == ()


async def test_older_servers_confirm_creations_otherwise():
    protocol = opened()
    handle = protocol.reset_history([], [text("a")])
    protocol.take_sends()
    protocol.receive(event("conversation.item.created", item=message("a")))
    assert await handle.wait_applied() == (HistoryStep("create", "a"),)


@pytest.mark.parametrize("item", [None, "a", {}, {"id": 3}])
def test_a_confirmation_of_nothing_does_no_harm(protocol, item):
    handle = protocol.reset_history([], [text("a")])
    protocol.receive(event("conversation.item.created", item=item))
    assert not handle.is_settled


async def test_a_refused_step_fails_the_reset_and_the_others_are_undone():
    protocol = opened()
    handle = protocol.reset_history(texts("abcd"), texts("acdE"))
    waiting = asyncio.ensure_future(failure(handle))
    _, create = protocol.take_sends()
    protocol.receive(deleted("b"))
    protocol.receive(refused(create["event_id"], "too long"))
    (back,) = obey(protocol)
    assert (back["item"]["id"], back["previous_item_id"]) == ("b", "a")
    error = await waiting
    assert [(s.kind, s.item_id, type(s.error)) for s in error.steps] == [
        ("delete", "b", type(None)),
        ("create", "e", ProtocolError),
    ]
    assert error.unrestored == ()
    assert "too long" in str(error)
    assert "the old history is there again" in str(error)


async def test_undoing_brings_back_places_and_contents():
    protocol = opened()
    handle = protocol.reset_history(texts("abcd"), texts("dAbe"))
    events = protocol.take_sends()
    for each in events[:-1]:
        protocol.receive(
            deleted(each["item_id"]) if "item_id" in each else added(each["item"], None)
        )
    protocol.receive(refused(events[-1]["event_id"]))
    # The server now holds what the applied steps made of abcd.
    order = list("abcd")
    for each in (*events[:-1], *obey(protocol)):
        if "item_id" in each:
            order.remove(each["item_id"])
            continue
        previous = each.get("previous_item_id")
        place = len(order) if previous is None else 0
        if previous not in (None, "root"):
            place = order.index(previous) + 1
        order.insert(place, each["item"]["id"])
    assert order == list("abcd")
    assert (await failure(handle)).unrestored == ()


async def test_undoing_knows_what_followed_the_output_of_a_function():
    protocol = opened()
    answered_call(protocol)
    first, last = protocol.history
    new = [call("new", call_id="c2", output="o"), first, text("b"), last, text("c")]
    handle = protocol.reset_history([first, last], new)
    *done, failed = protocol.take_sends()
    for each in done:
        protocol.receive(added(each["item"], each["previous_item_id"]))
    protocol.receive(refused(failed["event_id"]))
    deletions = [e["item_id"] for e in obey(protocol)]
    assert len(deletions) == 3
    assert deletions[1:] == ["new", "b"]
    assert (await failure(handle)).unrestored == ()
    assert protocol.history == (first, last)


async def test_what_cannot_be_undone_is_named():
    protocol = opened()
    handle = protocol.reset_history([speech("s"), text("a")], [text("a"), text("b")])
    _, create = protocol.take_sends()
    protocol.receive(deleted("s"))
    protocol.receive(refused(create["event_id"]))
    assert protocol.take_sends() == []
    error = await failure(handle)
    assert error.unrestored == ("s",)
    assert "not as they were before: s" in str(error)
    told = errors_told(protocol)
    assert told[-1] is error  # the server's own error does not say that


async def test_undoing_may_fail_too():
    protocol = opened()
    handle = protocol.reset_history(texts("ab"), texts("bc"))
    _, create = protocol.take_sends()
    protocol.receive(deleted("a"))
    protocol.receive(refused(create["event_id"]))
    (back,) = protocol.take_sends()
    protocol.receive(refused(back["event_id"]))
    assert (await failure(handle)).unrestored == ("a",)
    assert protocol.take_sends() == []


async def test_undoing_that_is_not_answered_leaves_it_unclear():
    protocol = opened()
    handle = protocol.reset_history(texts("ab"), texts("bc"))
    _, create = protocol.take_sends()
    protocol.receive(deleted("a"))
    protocol.receive(refused(create["event_id"]))
    protocol.take_sends()
    protocol.advance(ANSWER_DEADLINE_S)
    error = await failure(handle)
    assert (error.unrestored, error.unclear) == ((), ("a",))
    assert errors_told(protocol)[-1] is error


async def test_a_reset_of_which_nothing_was_answered_does_not_claim_that_all_is_as_before():
    protocol = opened()
    handle = protocol.reset_history(texts("ab"), texts("b"))
    protocol.take_sends()
    protocol.advance(ANSWER_DEADLINE_S)
    error = await failure(handle)
    assert (error.unrestored, error.unclear) == ((), ("a",))
    assert "is there again" not in str(error)


def test_a_failure_that_the_servers_error_told_is_not_told_again(protocol):
    protocol.reset_history([], [text("a")])
    (create,) = protocol.take_sends()
    protocol.receive(refused(create["event_id"]))
    (told,) = errors_told(protocol)
    assert not isinstance(told, Exception)


async def test_a_deletion_refused_as_the_item_is_gone_has_what_it_wanted():
    protocol = opened()
    protocol.receive(deleted("b"))
    handle = protocol.reset_history(texts("ab"), texts("a"))
    (delete,) = protocol.take_sends()
    protocol.receive(refused(delete["event_id"]))
    assert await handle.wait_applied() == (HistoryStep("delete", "b"),)


async def test_a_reset_is_not_undone_once_another_has_begun():
    protocol = opened()
    first = protocol.reset_history(texts("ab"), texts("ac"))
    _, create = protocol.take_sends()
    protocol.reset_history(texts("ac"), texts("acd"))
    protocol.take_sends()
    protocol.receive(deleted("b"))
    protocol.receive(refused(create["event_id"]))
    assert protocol.take_sends() == []
    assert (await failure(first)).unrestored == ("b",)


# What cannot be sent


async def test_what_was_sent_before_a_failure_to_send_is_undone():
    protocol = opened()
    handle = protocol.reset_history(texts("abc"), texts("cd"))
    _, second, _ = protocol.take_sends()
    protocol.send_failed(second, OSError("full"))
    assert protocol.take_sends() == []
    protocol.receive(deleted("a"))
    (back,) = obey(protocol)
    assert (back["item"]["id"], back["previous_item_id"]) == ("a", "root")
    error = await failure(handle)
    assert [type(step.error) for step in error.steps] == [
        type(None),
        TransportError,
        TransportError,
    ]
    assert errors_told(protocol) == []  # the call has raised


def test_a_request_kept_back_on_purpose_is_told(protocol):
    protocol.reset_history([], [text("a")])
    (create,) = protocol.take_sends()
    protocol.send_dropped(create)
    (error,) = errors_told(protocol)
    assert isinstance(error, HistoryResetError)


async def test_a_reset_that_the_server_does_not_answer_fails_and_is_not_undone():
    protocol = opened()
    protocol.advance(100)
    handle = protocol.reset_history(texts("ab"), texts("ac"))
    protocol.take_sends()
    protocol.receive(deleted("b"))
    assert protocol.next_deadline == 100 + ANSWER_DEADLINE_S
    protocol.advance(99 + ANSWER_DEADLINE_S)
    assert not handle.is_settled
    protocol.advance(100 + ANSWER_DEADLINE_S)
    error = await failure(handle)
    assert (error.unrestored, error.unclear, protocol.take_sends()) == (("b",), ("c",), [])
    assert "not as they were before: b" in str(error)
    assert "unclear, as the server did not answer: c" in str(error)
    assert errors_told(protocol) == [error]
    assert protocol.next_deadline is None


async def test_a_reset_ends_with_the_connection():
    protocol = opened()
    handle = protocol.reset_history(texts("ab"), texts("ac"))
    waiting = asyncio.ensure_future(handle.wait_applied())
    await asyncio.sleep(0)
    protocol.link_closed()
    with pytest.raises(TransportError, match="connection ended"):
        await waiting
    assert protocol.next_deadline is None
    assert errors_told(protocol) == []


def test_the_error_keeps_its_steps_on_the_way_to_another_process():
    error = HistoryResetError(
        (HistoryStep("delete", "a", OSError("x")),), unrestored=("a",), unclear=("b",)
    )
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (str(copy), copy.unrestored, len(copy.steps)) == (str(error), ("a",), 1)
    assert copy.unclear == ("b",)
