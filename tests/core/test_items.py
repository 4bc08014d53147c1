from __future__ import annotations

import pytest
from pydantic import ValidationError

from realtime_core.items import (
    AssistantMessageItem,
    FunctionCallItem,
    InputImageContent,
    InputTextContent,
    McpApprovalRequestItem,
    OutputAudioContent,
    SystemMessageItem,
    UserMessageItem,
    parse_item,
)

MESSAGE = {"item_id": "a", "type": "message"}


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({**MESSAGE, "role": "system", "content": []}, SystemMessageItem),
        ({**MESSAGE, "role": "user", "status": "completed", "content": []}, UserMessageItem),
        (
            {**MESSAGE, "role": "assistant", "status": "incomplete", "content": []},
            AssistantMessageItem,
        ),
        (
            {
                "item_id": "a",
                "type": "function_call",
                "status": "in_progress",
                "name": "f",
                "arguments": "{}",
                "output": None,
            },
            FunctionCallItem,
        ),
        (
            {
                "item_id": "a",
                "type": "mcp_approval_request",
                "server_label": "s",
                "name": "f",
                "arguments": {"q": 1},
            },
            McpApprovalRequestItem,
        ),
    ],
)
def test_an_item_is_recognised_by_type_and_role_and_dumps_to_what_came(fields, kind):
    item = parse_item(fields)
    assert isinstance(item, kind)
    assert item.model_dump(exclude_unset=True) == fields


def test_the_first_item_differs_from_one_whose_place_is_unknown():
    fields = {**MESSAGE, "role": "system", "content": []}
    assert "previous_item_id" not in parse_item(fields).model_fields_set
    assert "previous_item_id" in parse_item({**fields, "previous_item_id": None}).model_fields_set


def test_unknown_fields_of_the_server_are_left_out():
    part = {"type": "input_text", "text": "x", "id": "c1"}
    item = parse_item(
        {**MESSAGE, "role": "user", "status": "completed", "content": [part], "object": "x"}
    )
    assert item.model_dump(exclude_unset=True)["content"] == [{"type": "input_text", "text": "x"}]
    assert "object" not in item.model_dump()


@pytest.mark.parametrize(
    "change",
    [
        {"role": "developer"},
        {"content": [{"type": "output_text", "text": "x"}]},
        {"content": [{"type": "input_text", "text": None}]},
        {"content": None},
        {"status": "new"},
        {"item_id": 5},
        {"type": "reasoning"},
    ],
)
def test_what_is_no_item_is_refused(change):
    fields = {**MESSAGE, "role": "user", "status": "completed", "content": []}
    with pytest.raises(ValidationError):
        parse_item({**fields, **change})


def test_items_can_be_made_without_their_fixed_fields_and_still_dump_them():
    item = UserMessageItem(
        item_id="a",
        status="completed",
        content=[InputTextContent(text="hi"), InputImageContent(image_url="data:,")],
    )
    assert parse_item(item.model_dump(exclude_unset=True)) == item


def test_a_transcript_cut_inside_a_character_is_kept():
    assert OutputAudioContent(transcript="\ud83d").transcript == "\ud83d"


def test_what_only_a_history_knows_is_left_out_until_it_is_known():
    call = parse_item(
        {
            "item_id": "a",
            "type": "function_call",
            "status": "completed",
            "name": "f",
            "arguments": "",
        }
    )
    assert "call_id" not in call.model_dump(exclude_unset=True)
    assert "audio_end_ms" not in OutputAudioContent(transcript="x").model_dump(exclude_unset=True)
    cut = OutputAudioContent(transcript="x", audio_end_ms=250.5)
    assert cut.model_dump(exclude_unset=True)["audio_end_ms"] == 250.5


def test_items_do_not_change():
    item = SystemMessageItem(item_id="a", content=[])
    with pytest.raises(ValidationError):
        item.item_id = "b"  # type: ignore[misc]
