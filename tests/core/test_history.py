from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import UserError
from realtime_core.history import (
    diff_history,
    last_text_from_audio_output_message,
    remove_audio_from_content,
    truncated_item,
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


def spoken(item_id: str, **audio: Any) -> AssistantMessageItem:
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
    assert not {item.item_id for item in diff.moves} - items.keys()
    items.update((item.item_id, item) for item in (*diff.updates, *diff.additions))
    assert items == {item.item_id: item for item in new}


def test_comparing_long_histories_takes_no_time():
    # Comparing each with each would take minutes; benchmarks/test_history_bench.py measures.
    old = [user(f"item_{number}") for number in range(20_000)]
    new = [user(f"item_{number * 7919 % 20_011}") for number in range(20_000)]
    diff = diff_history(old, [item.model_copy() for item in new])
    assert len(diff.removals) == len(diff.additions)


@given(history=HISTORIES)
def test_a_history_does_not_differ_from_itself(history):
    diff = diff_history(history, [item.model_copy() for item in history])
    assert [*diff.removals, *diff.additions, *diff.updates] == []


def test_items_that_change_places_are_moved_as_few_as_can_be():
    diff = diff_history([user(i) for i in "abcde"], [user(i) for i in "bcaed"])
    assert len(diff.moves) == 2
    assert not [*diff.removals, *diff.additions, *diff.updates]


def test_speech_stays_where_it_is_and_others_move_around_it():
    old = [heard("u"), *map(user, "ab"), spoken("s", transcript="x")]
    new = [*map(user, "ab"), heard("u"), spoken("s", transcript="x")]
    assert ids(diff_history(old, new).moves) == ["a", "b"]


def test_speech_of_the_model_that_would_have_to_move_is_refused_or_becomes_text():
    one, two = spoken("s", transcript="one"), spoken("t", transcript="two")
    with pytest.raises(UserError, match="history item t cannot be replayed"):
        diff_history([one, two], [two, one])
    (moved,) = diff_history([one, two], [two, one], audio_as_transcript=True).moves
    assert moved.content == [OutputTextContent(text="two")]


def test_speech_becomes_text_in_mappings_too():
    fields = spoken("s", transcript="one").model_dump(exclude_unset=True)
    (added,) = diff_history([], [fields], audio_as_transcript=True).additions
    assert added["content"] == [{"type": "output_text", "text": "one"}]
    assert fields["content"][0]["type"] == "output_audio"


def test_up_to_where_speech_was_heard_is_no_difference():
    cut = spoken("s", transcript="one", audio_end_ms=500)
    whole = spoken("s", transcript="one")
    assert not diff_history([whole], [cut]).updates
    assert not diff_history([whole.model_dump()], [cut.model_dump()]).updates
    assert not diff_history([whole], [cut.model_dump()]).updates
    assert diff_history([user("a")], [user("a").model_dump() | {"status": "incomplete"}]).updates


@pytest.mark.parametrize(("other", "differs"), [(None, False), ("c1", False), ("c2", True)])
@pytest.mark.parametrize("dump", [lambda item: item, lambda item: item.model_dump()])
def test_a_call_id_is_a_difference_only_where_both_have_one(other, differs, dump):
    call = {"status": "completed", "arguments": "{}", "name": "f"}
    old = FunctionCallItem(item_id="f", call_id="c1", **call)
    new = FunctionCallItem(item_id="f", call_id=other, **call)
    assert bool(diff_history([dump(old)], [dump(new)]).updates) is differs
    assert bool(diff_history([dump(new)], [dump(old)]).updates) is differs


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


def test_a_transcription_is_of_the_part_that_it_names():
    parts = [InputAudioContent(), InputAudioContent()]
    item = UserMessageItem(item_id="u", status="in_progress", content=parts)
    event = {
        "type": "conversation.item.input_audio_transcription.completed",
        "item_id": "u",
        "content_index": 1,
        "transcript": "second",
    }
    (told,) = update_history((item,), event)
    assert [part.transcript for part in told.content] == [None, "second"]


def test_up_to_where_speech_was_heard_outlives_an_update():
    history = (truncated_item(spoken("s", transcript="hello"), 0, 300),)
    assert update_history(history, spoken("s"))[0].content[0].audio_end_ms == 300
    cut_again = spoken("s", audio_end_ms=100)
    assert update_history(history, cut_again)[0].content[0].audio_end_ms == 100


def test_only_speech_of_the_model_is_truncated():
    assert truncated_item(user("a"), 0, 300) == user("a")
    written = AssistantMessageItem(
        item_id="a", status="completed", content=[OutputTextContent(text="x")]
    )
    assert truncated_item(written, 0, 300) == written


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
