"""The session's configuration: what clients may change, and what a strict server refuses."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_transports.openai.server_outputs import ClientEventError
from realtime_transports.openai.server_protocol import Link
from realtime_transports.openai.server_session import SessionConfig
from tests.transports.server_room import Room

TOOL = {
    "type": "function",
    "name": "look_up",
    "description": "looks up",
    "parameters": {"type": "object"},
}
MCP = {
    "type": "mcp",
    "server_label": "shop",
    "server_url": "https://shop.example/mcp",
    "authorization": "canary-key",
    "headers": {"X-Key": "canary-header"},
    "allowed_tools": {"tool_names": ["buy"], "read_only": True},
    "require_approval": {"never": {"tool_names": ["look"]}},
}

EVERYTHING = {
    "type": "realtime",
    "output_modalities": ["text"],
    "instructions": "be brief",
    "tools": [TOOL, MCP],
    "tool_choice": {"type": "function", "name": "look_up"},
    "parallel_tool_calls": True,
    "max_output_tokens": 4096,
    "prompt": {
        "id": "pmpt_1",
        "version": "2",
        "variables": {"city": "Ulm", "day": {"type": "input_text", "text": "Monday"}},
    },
    "reasoning": {"effort": "low"},
    "tracing": {"workflow_name": "w", "group_id": "g", "metadata": {"a": 1}},
    "truncation": {
        "type": "retention_ratio",
        "retention_ratio": 0.5,
        "token_limits": {"post_instructions": 1000},
    },
    "include": ["item.input_audio_transcription.logprobs"],
    "audio": {
        "input": {
            "format": {"type": "audio/pcma"},
            "noise_reduction": {"type": "far_field", "strength": 0.5},
            "transcription": {
                "model": "whisper-1",
                "language": "de",
                "languages": ["de"],
                "prompt": "p",
                "keywords": ["k"],
                "delay": "low",
            },
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.25,
                "prefix_padding_ms": 100,
                "silence_duration_ms": 200,
                "idle_timeout_ms": 6000,
                "create_response": False,
                "interrupt_response": False,
            },
        },
        "output": {"format": {"type": "audio/pcmu"}, "speed": 1.5, "voice": {"id": "voice_1"}},
    },
}
"""Every field of `RealtimeSessionCreateRequest`, none at its default."""

DEFAULTS: dict[str, Any] = {"type": "realtime", "model": "gpt-realtime-2.1"}


def test_every_field_of_a_session_can_be_set_and_is_shown() -> None:
    room = Room(Link.WEBSOCKET)
    room.update(**EVERYTHING)
    shown = room.of_type("session.updated")[0]["session"]
    shown_mcp = {k: v for k, v in MCP.items() if k not in ("authorization", "headers")}
    assert {k: shown[k] for k in EVERYTHING} == {**EVERYTHING, "tools": [TOOL, shown_mcp]}


def test_keys_for_mcp_servers_are_shown_to_nobody() -> None:
    room = Room(Link.WEBSOCKET)
    room.update(tools=[MCP])
    assert "canary" not in repr(room.events)


def test_tools_of_an_mcp_server_cannot_be_had_and_that_is_said_once() -> None:
    room = Room()
    told = room.update(tools=[MCP])
    assert told[1:] == ["mcp_list_tools.in_progress", "mcp_list_tools.failed"]
    assert room.events[-2]["item_id"] == room.last["item_id"]
    assert room.update(tools=[MCP, TOOL]) == ["session.updated"]


def test_an_update_changes_only_what_it_names() -> None:
    room = Room()
    before = room.protocol.config.to_dict()
    room.update(audio={"input": {"noise_reduction": {"type": "near_field"}}})
    after = room.protocol.config.to_dict()
    assert after["audio"]["input"].pop("noise_reduction") == {"type": "near_field"}
    before["audio"]["input"].pop("noise_reduction")
    assert after == before
    room.update(audio={"input": {"noise_reduction": None}})
    assert room.protocol.config.to_dict()["audio"]["input"]["noise_reduction"] is None


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"tools": [TOOL, {**TOOL, "meta": 1}]}, "unknown_parameter", "session.tools[1].meta"),
        ({"tools": [{"type": "function"}]}, "missing_required_parameter", "session.tools[0].name"),
        ({"tools": [{"type": "hammer"}]}, "invalid_value", "session.tools[0].type"),
        ({"tools": [{}]}, "missing_required_parameter", "session.tools[0].type"),
        ({"tools": {}}, "invalid_type", "session.tools"),
        ({"tool_choice": "perhaps"}, "invalid_value", "session.tool_choice"),
        (
            {"tool_choice": {"type": "function"}},
            "missing_required_parameter",
            "session.tool_choice.name",
        ),
        ({"tracing": "on"}, "invalid_value", "session.tracing"),
        ({"tracing": {"colour": 1}}, "unknown_parameter", "session.tracing.colour"),
        ({"truncation": "sometimes"}, "invalid_value", "session.truncation"),
        ({"include": ["everything"]}, "invalid_value", "session.include[0]"),
        ({"max_output_tokens": 1.5}, "invalid_type", "session.max_output_tokens"),
        ({"max_output_tokens": True}, "invalid_type", "session.max_output_tokens"),
        ({"max_output_tokens": 0}, "invalid_value", "session.max_output_tokens"),
        ({"audio": {"output": {"speed": 1.6}}}, "invalid_value", "session.audio.output.speed"),
        (
            {"audio": {"output": {"voice": {"name": "x"}}}},
            "missing_required_parameter",
            "session.audio.output.voice.id",
        ),
        (
            {"audio": {"input": {"transcription": {"model": 3}}}},
            "invalid_type",
            "session.audio.input.transcription.model",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 1.1}}}},
            "invalid_value",
            "session.audio.input.turn_detection.threshold",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": True}}}},
            "invalid_type",
            "session.audio.input.turn_detection.threshold",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "eagerness": "low"}}}},
            "unknown_parameter",
            "session.audio.input.turn_detection.eagerness",
        ),
        (
            {
                "audio": {
                    "input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 4_999}}
                }
            },
            "invalid_value",
            "session.audio.input.turn_detection.idle_timeout_ms",
        ),
        (
            {
                "audio": {
                    "input": {"turn_detection": {"type": "server_vad", "prefix_padding_ms": 0.5}}
                }
            },
            "invalid_type",
            "session.audio.input.turn_detection.prefix_padding_ms",
        ),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_what_has_another_shape_is_refused_by_its_path(
    change: dict[str, Any], code: str, param: str, strict: bool
) -> None:
    room = Room(strict=strict)
    session = {"type": "realtime", **change}
    assert room.send("session.update", session=session, event_id="mine") == ["error"]
    assert (room.error["code"], room.error["param"]) == (code, param)
    assert room.error["type"] == "invalid_request_error"
    assert room.error["event_id"] == "mine"


def test_an_unknown_parameter_is_worded_as_the_api_does() -> None:
    room = Room()
    room.send("session.update", session={"type": "realtime", "totally_made_up_field": 1})
    assert room.error["message"] == "Unknown parameter: 'session.totally_made_up_field'."


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"type": None}, "invalid_value", "session.type"),
        ({"model": "gpt-other"}, "invalid_value", "session.model"),
        ({"audio": {"output": {"voice": "bob"}}}, "invalid_value", "session.audio.output.voice"),
        ({"tools": [{**TOOL, "name": "look up"}]}, "invalid_value", "session.tools[0].name"),
        (
            {"tool_choice": {"type": "function", "name": "fly"}},
            "invalid_value",
            "session.tool_choice.name",
        ),
    ],
)
def test_a_strict_session_refuses_what_the_api_refuses(
    change: dict[str, Any], code: str, param: str
) -> None:
    room = Room(strict=True)
    before = room.protocol.config.to_dict()
    assert room.send("session.update", session={**DEFAULTS, **change}) == ["error"]
    assert (room.error["code"], room.error["param"]) == (code, param)
    assert room.protocol.config.to_dict() == before
    if "type" not in change:
        assert Room().send("session.update", session=change) == ["session.updated"]


def test_a_strict_session_wants_its_type_in_each_update() -> None:
    room = Room(strict=True)
    assert room.send("session.update", session={"instructions": "x"}) == ["error"]
    assert room.error["code"] == "missing_required_parameter"
    assert room.error["message"] == "Missing required parameter: 'session.type'."
    assert Room().send("session.update", session={"instructions": "x"}) == ["session.updated"]


def test_a_strict_session_takes_a_choice_of_a_tool_it_has() -> None:
    room = Room(strict=True)
    room.update(tools=[TOOL])
    room.update(tool_choice={"type": "function", "name": "look_up"})


def test_the_tracing_of_a_strict_session_stays_once_it_is_on() -> None:
    room = Room(strict=True)
    room.update(tracing="auto")
    room.update(tracing="auto")
    room.update(instructions="be brief")
    assert room.protocol.config.to_dict()["tracing"] == "auto"
    assert room.send("session.update", session={"type": "realtime", "tracing": None}) == ["error"]
    assert room.error["param"] == "session.tracing"


def test_a_strict_session_may_be_created_with_any_model() -> None:
    config = SessionConfig("sess_1", strict=True)
    config.update({"model": "gpt-realtime-mini"})
    assert config.to_dict()["model"] == "gpt-realtime-mini"


def test_the_end_of_a_session_is_shown_where_it_is_known() -> None:
    assert SessionConfig("sess_1", expires_at=17).to_dict()["expires_at"] == 17
    assert "expires_at" not in SessionConfig("sess_1").to_dict()


def test_a_custom_voice_is_fixed_by_its_id_too() -> None:
    config = SessionConfig("sess_1")
    config.update({"audio": {"output": {"voice": {"id": "voice_1"}}}})
    config.update({"audio": {"output": {"voice": {"id": "voice_1"}}}}, is_voice_fixed=True)
    with pytest.raises(ClientEventError) as raised:
        config.update({"audio": {"output": {"voice": {"id": "voice_2"}}}}, is_voice_fixed=True)
    assert raised.value.code == "cannot_update_voice"
    assert raised.value.message == (
        "Cannot update a conversation's voice if assistant audio is present."
    )


def test_a_response_names_a_custom_voice_by_its_id() -> None:
    room = Room()
    room.update(audio={"output": {"voice": {"id": "voice_1"}}})
    room.begin_answer()
    (created,) = room.of_type("response.created")
    assert created["response"]["audio"]["output"]["voice"] == "voice_1"
