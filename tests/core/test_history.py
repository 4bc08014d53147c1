from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import UserError
from realtime_core.history import (
    diff_history,
    last_text_from_audio_output_message,
    remove_audio_from_content,
    update_history,
)
from realtime_core.items import (
    AssistantMessageItem,
    FunctionCallItem,
    InputAudioContent,
    InputTextContent,
    OutputAudioContent,
    OutputTextContent,
    UserMessageItem,
)


def user(item_id: str, text: str = "x", **place: str | None) -> UserMessageItem:
    return UserMessageItem(
        item_id=item_id, status="completed", content=[InputTextContent(text=text)], **place
    )


def spoken(item_id: str, **audio: str | None) -> AssistantMessageItem:
    return AssistantMessageItem(
        item_id=item_id, status="completed", content=[OutputAudioContent(**audio)]
    )


def heard(item_id: str, **audio: str | None) -> UserMessageItem:
    return UserMessageItem(
        item_id=item_id, status="in_progress", content=[InputAudioContent(**audio)]
    )


def ids(history) -> list[str]:
    return [item.item_id for item in history]


HISTORIES = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["x", "y"])),
    unique_by=lambda pair: pair[0],
).map(lambda pairs: [user(item_id, text) for item_id, text in pairs])


@given(old=HISTORIES, new=HISTORIES)
def test_applying_the_diff_gives_the_items_of_the_new_history(old, new):
    diff = diff_history(old, new)
    removed = {item.item_id for item in diff.removals}
    items = {item.item_id: item for item in old if item.item_id not in removed}
    items.update((item.item_id, item) for item in (*diff.updates, *diff.additions))
    assert items == {item.item_id: item for item in new}


@given(history=HISTORIES)
def test_a_history_does_not_differ_from_itself(history):
    diff = diff_history(history, [item.model_copy() for item in history])
    assert [*diff.removals, *diff.additions, *diff.updates] == []


def test_the_place_an_item_came_with_is_no_difference():
    assert not diff_history([user("a")], [user("a", previous_item_id=None)]).updates


def test_the_order_of_keys_is_no_difference():
    fields = {"item_id": "a", "type": "message", "role": "user", "content": []}
    assert not diff_history([fields], [dict(reversed(fields.items()))]).updates


def test_speech_of_the_model_cannot_be_put_into_a_conversation():
    with pytest.raises(UserError, match="output_audio history item s cannot be replayed"):
        diff_history([], [spoken("s", transcript="hi")])


def test_speech_of_the_model_may_stay_and_may_go():
    speech = spoken("s", transcript="hi")
    assert not diff_history([speech], [speech]).updates
    assert diff_history([speech], []).removals == [speech]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({}, ["a", "b", "c"]),
        ({"previous_item_id": None}, ["c", "a", "b"]),
        ({"previous_item_id": "a"}, ["a", "c", "b"]),
        ({"previous_item_id": "unknown"}, ["a", "b", "c"]),
        ({"previous_item_id": ""}, ["a", "b", "c"]),
    ],
)
def test_a_new_item_goes_where_the_server_says(place, expected):
    assert ids(update_history((user("a"), user("b")), user("c", **place))) == expected


def test_a_known_item_keeps_its_place():
    history = update_history((user("a"), user("b")), user("a", "new", previous_item_id="b"))
    assert ids(history) == ["a", "b"]
    assert history[0] == user("a", "new", previous_item_id="b")


def test_a_history_is_not_changed_in_place():
    before = (user("a"),)
    update_history(before, user("b"))
    assert ids(before) == ["a"]


def test_audio_is_dropped_unless_asked_for():
    history = update_history((), heard("u", audio="AAAA", transcript=None))
    assert history[0].content[0].audio is None
    kept = update_history((), heard("u", audio="AAAA", transcript=None), keep_audio=True)
    assert kept[0].content[0].audio == "AAAA"


def test_a_transcript_outlives_an_update_without_one():
    history = update_history((), spoken("s", transcript="hello"))
    assert update_history(history, spoken("s"))[0].content[0].transcript == "hello"
    assert update_history(history, spoken("s", transcript="hi"))[0].content[0].transcript == "hi"


def test_a_completed_transcription_fills_the_users_speech():
    event = {
        "type": "conversation.item.input_audio_transcription.completed",
        "item_id": "u",
        "transcript": "done",
    }
    history = update_history((heard("u"), user("a")), event)
    assert history[0].content[0].transcript == "done"
    assert history[0].status == "completed"
    assert update_history((user("a"),), event) == (user("a"),)


def test_removing_audio_leaves_other_items_as_they_are():
    call = FunctionCallItem(item_id="f", status="completed", arguments="{}", name="f")
    assert remove_audio_from_content(call) is call
    assert remove_audio_from_content(user("a")) == user("a")
    assert remove_audio_from_content(spoken("s", audio="AAAA")).content[0].audio is None


def test_the_last_text_of_a_message_is_what_was_written_or_said():
    said = AssistantMessageItem(
        item_id="a",
        status="completed",
        content=[OutputTextContent(text="first"), OutputAudioContent(transcript="last")],
    )
    assert last_text_from_audio_output_message(said) == "last"
    assert last_text_from_audio_output_message(said.model_dump()) == "last"


@pytest.mark.parametrize(
    "thing", [None, 3, "text", {}, {"type": "message"}, {"type": "message", "content": [None]}]
)
def test_what_is_no_message_has_no_text(thing):
    assert last_text_from_audio_output_message(thing) is None
