import copy
import json
import logging
import math
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from realtime_core.errors import UserError, ValidationError
from realtime_transports.openai.session_config import (
    DEFAULT_REALTIME_MODEL,
    DEFAULT_SESSION_CONFIG,
    build_session_payload,
    normalize_audio_format,
    stated_session_payload,
    to_new_session_config,
)
from realtime_transports.openai.tracing import tracing_update

PCM = {"type": "audio/pcm", "rate": 24_000}
DEFAULT_AUDIO = {
    "input": {
        "format": PCM,
        "noise_reduction": None,
        "transcription": {"model": "gpt-4o-mini-transcribe"},
        "turn_detection": {"type": "semantic_vad"},
    },
    "output": {"format": PCM, "speed": 1},
}


def mcp_tool(**members):
    return {"type": "mcp", "server_label": "srv", "server_url": "https://mcp.test", **members}


def only_tool(tool):
    [sent] = build_session_payload({"tools": [tool]})["tools"]
    return sent


def audio_of(config, part):
    return build_session_payload(config)["audio"][part]


# A small alphabet: the first text of all Unicode costs a second to prepare.
texts = st.text("aé", max_size=5)
# Keys that look like ours, so that a renaming which goes too deep is noticed.
keys = st.sampled_from(
    ["toolChoice", "tool_choice", "turnDetection", "createResponse", "serverLabel", "input", "id"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
user_data = st.dictionaries(keys, json_values, max_size=3)
formats = st.sampled_from(
    [None, "", "pcm16", "g711_ulaw", "g711_alaw", {}, {"type": "audio/pcm", "rate": 8_000}]
)
turn_detections = st.none() | st.fixed_dictionaries(
    {}, optional={"type": st.just("server_vad"), "threshold": st.floats(0, 1), "newKey": user_data}
)
inputs = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "format": formats,
        "noise_reduction": st.none() | st.just({"type": "near_field"}),
        "transcription": st.none() | user_data,
        "turn_detection": turn_detections,
    },
)
outputs = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "format": formats,
        "voice": st.none() | st.just("cedar"),
        "speed": st.none() | st.just(1.5),
    },
)
configs = st.fixed_dictionaries(
    {},
    optional={
        "model": st.none() | texts,
        "instructions": st.none() | texts,
        "output_modalities": st.none() | st.just(["text"]),
        "tool_choice": st.none() | st.just("auto"),
        "tools": st.none()
        | st.lists(user_data.map(lambda p: {"type": "function", "parameters": p})),
        "parallel_tool_calls": st.none() | st.booleans(),
        "reasoning": st.none() | st.just({"effort": "low"}),
        "tracing": st.none() | st.just("auto"),
        "prompt": st.none() | user_data.map(lambda v: {"prompt_id": "p", "variables": v}),
        "max_output_tokens": st.none() | st.just(100) | st.just("inf"),
        "truncation": st.none() | st.just("disabled"),
        "include": st.none() | st.just(["item.input_audio_transcription.logprobs"]),
        "provider_data": st.none() | user_data,
        "audio": st.none()
        | st.fixed_dictionaries({}, optional={"input": inputs, "output": outputs}),
        "modalities": st.none() | st.just(["audio"]),
        "input_audio_format": formats,
        "output_audio_format": formats,
        "input_audio_transcription": st.none() | user_data,
        "input_audio_noise_reduction": st.none() | st.just({"type": "far_field"}),
        "turn_detection": turn_detections,
        "voice": st.none() | st.just("marin"),
        "speed": st.none() | st.just(2),
    },
)


@given(configs)
def test_a_config_is_never_changed_by_reading_it(config):
    before = copy.deepcopy(config)
    build_session_payload(config)
    to_new_session_config(config)
    assert config == before


@given(configs)
def test_putting_a_config_into_the_new_shape_twice_is_the_same_as_once(config):
    new = to_new_session_config(config)
    assert to_new_session_config(new) == new


@given(configs)
def test_a_config_and_its_new_shape_give_the_same_payload(config):
    assert build_session_payload(to_new_session_config(config)) == build_session_payload(config)


@given(configs)
def test_a_payload_is_json_and_says_all_that_the_api_needs(config):
    payload = build_session_payload({**config, "provider_data": None})
    assert json.loads(json.dumps(payload)) == payload
    assert {"type", "model", "output_modalities", "audio"} <= payload.keys()
    assert payload["audio"]["input"].keys() == DEFAULT_AUDIO["input"].keys()
    assert {"format", "speed"} <= payload["audio"]["output"].keys()


@given(user_data)
def test_no_key_of_user_data_is_renamed(data):
    payload = build_session_payload(
        {
            "tools": [{"type": "function", "parameters": data}, mcp_tool(headers=data)],
            "prompt": {"prompt_id": "p", "variables": data},
            "provider_data": {"metadata": data},
            "reasoning": data,
            "audio": {"input": {"transcription": data}},
        }
    )
    function, mcp = payload["tools"]
    assert function["parameters"] == mcp["headers"] == data
    assert payload["prompt"] == {"id": "p", "variables": data}
    assert payload["metadata"] == payload["reasoning"] == data
    assert payload["audio"]["input"]["transcription"] == data


@given(configs)
def test_defaults_only_fill_in_what_was_not_said(config):
    payload = build_session_payload(config)
    said = build_session_payload(config, defaults={})
    for part, members in said.pop("audio", {}).items():
        assert {key: payload["audio"][part][key] for key in members} == members
    assert {key: payload[key] for key in said} == said


def test_an_empty_config_gives_the_defaults():
    assert build_session_payload({}) == {
        "type": "realtime",
        "model": DEFAULT_REALTIME_MODEL,
        "output_modalities": ["audio"],
        "audio": DEFAULT_AUDIO,
    }


def test_changing_a_payload_changes_neither_the_config_nor_the_defaults():
    config = {"provider_data": {"metadata": {}}}
    payload = build_session_payload(config)
    payload["metadata"]["a"] = 1
    payload["audio"]["input"]["turn_detection"]["a"] = 1
    payload["audio"]["output"]["format"]["a"] = 1
    assert config == {"provider_data": {"metadata": {}}}
    assert DEFAULT_SESSION_CONFIG["audio"] == DEFAULT_AUDIO


def test_without_defaults_only_what_was_said_is_sent():
    payload = build_session_payload({"voice": "marin", "instructions": "x"}, model="m", defaults={})
    assert payload == {
        "type": "realtime",
        "model": "m",
        "instructions": "x",
        "audio": {"output": {"voice": "marin"}},
    }


def test_the_model_of_the_config_comes_before_the_current_one():
    assert build_session_payload({"model": "a"}, model="b")["model"] == "a"
    assert build_session_payload({"model": ""}, model="b")["model"] == ""
    assert build_session_payload({"model": None}, model="b")["model"] == "b"


@pytest.mark.parametrize(
    "key", ["tool_choice", "tools", "reasoning", "prompt", "provider_data", "audio", "voice"]
)
def test_none_under_most_keys_says_nothing(key):
    assert build_session_payload({key: None}) == build_session_payload({})


@pytest.mark.parametrize("key", ["instructions", "parallel_tool_calls"])
def test_none_is_sent_where_it_means_something(key):
    assert build_session_payload({key: None})[key] is None


@pytest.mark.parametrize("key", ["noise_reduction", "transcription", "turn_detection"])
def test_none_switches_a_step_of_the_input_off(key):
    assert audio_of({"audio": {"input": {key: None}}}, "input")[key] is None


def test_deprecated_keys_go_to_their_place_in_the_new_shape():
    config = {
        "modalities": ["text"],
        "input_audio_format": "g711_ulaw",
        "output_audio_format": "g711_alaw",
        "input_audio_transcription": {"model": "whisper-1"},
        "input_audio_noise_reduction": {"type": "far_field"},
        "turn_detection": None,
        "voice": "marin",
        "speed": 1.5,
    }
    assert to_new_session_config(config) == {
        "output_modalities": ["text"],
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "noise_reduction": {"type": "far_field"},
                "transcription": {"model": "whisper-1"},
                "turn_detection": None,
            },
            "output": {"format": {"type": "audio/pcma"}, "voice": "marin", "speed": 1.5},
        },
    }


def test_a_deprecated_key_does_not_hide_what_the_new_shape_says():
    config = {
        "speed": 1.5,
        "output_modalities": ["text"],
        "audio": {"input": {"turn_detection": None}, "output": {"voice": "cedar"}},
    }
    payload = build_session_payload(config)
    assert payload["output_modalities"] == ["text"]
    assert payload["audio"]["input"]["turn_detection"] is None
    assert payload["audio"]["output"] == {"format": PCM, "voice": "cedar", "speed": 1.5}


def test_where_both_shapes_say_something_the_new_one_counts():
    config = {
        "modalities": ["audio"],
        "turn_detection": {"type": "server_vad"},
        "speed": 2,
        "voice": "marin",
        "output_modalities": ["text"],
        "audio": {"input": {"turn_detection": None}, "output": {"speed": 1.5, "voice": "cedar"}},
    }
    payload = build_session_payload(config)
    assert payload["output_modalities"] == ["text"]
    assert payload["audio"]["input"]["turn_detection"] is None
    assert payload["audio"]["output"] == {"format": PCM, "voice": "cedar", "speed": 1.5}


def test_turn_detection_may_be_spelled_either_way_and_keeps_what_is_not_known():
    detection = {
        "type": "server_vad",
        "silenceDurationMs": 100,
        "prefix_padding_ms": 2,
        "idleTimeoutMs": None,
        "newField": 1,
    }
    sent = audio_of({"audio": {"input": {"turn_detection": detection}}}, "input")["turn_detection"]
    assert sent == {
        "type": "server_vad",
        "silence_duration_ms": 100,
        "prefix_padding_ms": 2,
        "idle_timeout_ms": None,
        "newField": 1,
    }


def test_null_may_be_said_in_camel_case():
    detection = {"type": "server_vad", "createResponse": None, "create_response": True}
    sent = audio_of({"turn_detection": detection}, "input")["turn_detection"]
    assert sent == {"type": "server_vad", "create_response": None}


def test_empty_turn_detection_says_nothing():
    assert audio_of({"turn_detection": {}}, "input")["turn_detection"] == {"type": "semantic_vad"}
    both = {"turn_detection": {"type": "server_vad"}, "audio": {"input": {"turn_detection": {}}}}
    assert audio_of(both, "input")["turn_detection"] == {"type": "server_vad"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_output_tokens", 100),
        ("truncation", {"type": "retention_ratio", "retention_ratio": 0.5}),
        ("include", ["item.input_audio_transcription.logprobs"]),
    ],
)
def test_fields_of_the_api_are_sent_as_they_are(key, value):
    assert build_session_payload({key: value})[key] == value
    assert build_session_payload({key: None}) == build_session_payload({})


def test_a_payload_holds_what_was_stated_and_no_more():
    assert stated_session_payload({}) == {}
    stated = stated_session_payload({"voice": "ash", "model": "m", "provider_data": {"a": 1}})
    assert stated == {"model": "m", "a": 1, "audio": {"output": {"voice": "ash"}}}


def test_provider_data_goes_over_all_but_prompt_and_tools():
    payload = build_session_payload(
        {
            "prompt": {"prompt_id": "p"},
            "tools": [],
            "provider_data": {"prompt": 1, "tools": 1, "model": "m", "max_output_tokens": 5},
        }
    )
    assert (payload["prompt"], payload["tools"]) == ({"id": "p"}, [])
    assert (payload["model"], payload["max_output_tokens"]) == ("m", 5)


def test_tracing_is_not_part_of_the_payload():
    assert "tracing" not in build_session_payload({"tracing": {"workflow_name": "w"}})


def test_an_unknown_key_is_left_out_and_told(caplog):
    with caplog.at_level(logging.WARNING):
        payload = build_session_payload(
            {"temperature": 0.7, "audio": {"input": {"turnDetection": None}}}
        )
    assert payload == build_session_payload({})
    temperature, turn_detection = caplog.messages
    assert "temperature left out of the session config" in temperature
    assert "turnDetection left out of audio.input" in turn_detection


def test_any_mapping_and_any_model_will_do():
    class Tool(BaseModel):
        type: str = "function"
        name: str
        description: str | None = None

    config = MappingProxyType({"tools": (Tool(type="function", name="f"),)})
    assert build_session_payload(config)["tools"] == [{"type": "function", "name": "f"}]


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ("no config", "session config"),
        ({"audio": "pcm16"}, "audio"),
        ({"audio": {"input": ["pcm16"]}}, r"audio\.input"),
        ({"audio": {"input": {"turn_detection": "server_vad"}}}, "turn_detection"),
        ({"provider_data": "x"}, "provider_data"),
        ({"prompt": "p"}, "prompt"),
        ({"tools": {"type": "function"}}, "tools"),
        ({"tools": [{}, "f"]}, r"tools\.1"),
    ],
)
def test_a_member_that_is_no_mapping_is_refused_by_name(config, field):
    with pytest.raises(ValidationError, match=f"^{field} must be a"):
        build_session_payload(config)


def test_a_refusal_does_not_show_the_value():
    with pytest.raises(ValidationError) as caught:
        build_session_payload({"provider_data": "canary"})
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("pcm16", PCM),
        ("g711_ulaw", {"type": "audio/pcmu"}),
        ("g711_alaw", {"type": "audio/pcma"}),
        ("audio/pcmu", {"type": "audio/pcmu"}),
        ("", None),
        (None, None),
        ({}, {}),
        ({"type": "audio/pcm", "rate": 16_000}, {"type": "audio/pcm", "rate": 16_000}),
        ({"type": "audio/pcm", "rate": "24000"}, {"type": "audio/pcm", "rate": "24000"}),
        ({"type": "audio/pcm", "rate": math.inf}, PCM),
        ({"type": "audio/pcm", "rate": math.nan}, PCM),
        ({"type": "audio/future"}, {"type": "audio/future"}),
    ],
)
def test_an_audio_format_may_be_written_in_several_ways(written, normal):
    assert normalize_audio_format(written) == normal


@given(texts | st.integers() | formats)
def test_normalizing_an_audio_format_twice_is_the_same_as_once(value):
    normal = normalize_audio_format(value)
    assert normalize_audio_format(normal) == normal


@pytest.mark.parametrize("value", ["opus", "PCM16", 24_000, ["pcm16"], False])
@pytest.mark.parametrize(
    ("config_with", "field"),
    [
        (lambda value: {"input_audio_format": value}, "input_audio_format"),
        (lambda value: {"audio": {"output": {"format": value}}}, r"audio\.output\.format"),
    ],
)
def test_an_unknown_audio_format_is_refused_by_name(config_with, field, value):
    with pytest.raises(ValidationError, match=f"^{field} is "):
        build_session_payload(config_with(value))


def test_a_function_tool_keeps_the_fields_of_the_api():
    parameters = {"type": "object", "properties": {"toolChoice": {"type": "string"}}}
    tool = {"type": "function", "name": "f", "parameters": parameters}
    assert only_tool({**tool, "strict": True}) == tool


def test_an_empty_list_of_tools_is_sent_so_that_tools_can_be_taken_away():
    assert build_session_payload({"tools": []})["tools"] == []


def test_an_mcp_tool_may_be_spelled_in_camel_case():
    tool = {
        "type": "mcp",
        "serverLabel": "srv",
        "serverUrl": "https://mcp.test",
        "requireApproval": {"always": {"toolNames": ["x"], "readOnly": False}},
    }
    assert only_tool(tool) == mcp_tool(
        require_approval={"always": {"tool_names": ["x"], "read_only": False}}
    )


def test_an_mcp_tool_keeps_its_own_fields_and_their_nulls():
    tool = mcp_tool(headers=None, allowed_tools={"tool_names": ["x"]}, authorization="token")
    assert only_tool({**tool, "junk": 1}) == tool


@pytest.mark.parametrize(
    "approval",
    [
        "always",
        "never",
        {"never": {"tool_names": []}},
        {"always": {"tool_names": ["a"]}, "never": {"read_only": True, "tool_names": ["b"]}},
    ],
)
def test_approval_rules_that_the_api_knows_are_sent(approval):
    assert only_tool(mcp_tool(require_approval=approval))["require_approval"] == approval


@pytest.mark.parametrize(
    ("approval", "why"),
    [
        ("sometimes", 'string value must be "always" or "never", got "sometimes"'),
        (None, 'value must be "always", "never", or an object with always/never filters'),
        ({}, "object value must include at least one of always or never"),
        ({"maybe": {}}, 'object value has unsupported key "maybe"'),
        ({"never": None}, "never must be an object with toolNames or readOnly"),
        ({"never": {}}, "never must include toolNames or readOnly"),
        ({"never": {"names": []}}, 'never has unsupported key "names"'),
        ({"never": {"tool_names": "a"}}, "never.toolNames must be an array"),
        ({"never": {"tool_names": [""]}}, "never.toolNames must contain only non-empty strings"),
        ({"always": {"read_only": "no"}}, "always.readOnly must be a boolean"),
        (
            {"always": {"toolNames": [], "tool_names": []}},
            "always must not specify both toolNames and tool_names",
        ),
        (
            {"always": {"tool_names": ["a", "b"]}, "never": {"tool_names": ["b"]}},
            'tool "b" cannot be listed in both always and never',
        ),
    ],
)
def test_approval_rules_that_cannot_be_understood_are_refused(approval, why):
    with pytest.raises(UserError) as caught:
        build_session_payload({"tools": [mcp_tool(require_approval=approval)]})
    assert str(caught.value) == f"Invalid hosted MCP requireApproval: {why}."


@pytest.mark.parametrize("current", [None, "auto"])
@pytest.mark.parametrize("wanted", ["auto", None, {"workflow_name": "w"}, {}])
def test_tracing_is_set_where_the_session_has_no_configuration_of_its_own(current, wanted):
    assert tracing_update(current, wanted) == {"type": "realtime", "tracing": wanted}


@pytest.mark.parametrize(
    "wanted", ["auto", {"workflow_name": "w"}, {"workflow_name": "w", "group_id": None}]
)
def test_a_session_that_traces_as_wanted_is_left_alone_in_silence(wanted, caplog):
    assert tracing_update({"workflow_name": "w"}, wanted) is None
    assert caplog.messages == []


@pytest.mark.parametrize("wanted", [None, "manual", {"workflow_name": "other"}])
def test_tracing_that_can_no_longer_be_changed_is_told(wanted, caplog):
    assert tracing_update({"workflow_name": "w"}, wanted) is None
    [message] = caplog.messages
    assert "cannot be changed" in message
