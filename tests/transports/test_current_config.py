"""What an update of the session's config is merged into."""

import copy
import logging

import pytest
from hypothesis import given

from realtime_core.errors import TransportError, ValidationError
from realtime_transports.openai.current_config import CurrentConfig
from realtime_transports.openai.protocol import ClientProtocol
from realtime_transports.openai.session_config import (
    build_session_payload,
    merge_session_payloads,
    stated_session_payload,
)
from tests.transports.test_session_config import configs

VAD = {"type": "server_vad", "threshold": 0.3}
G711 = {"type": "audio/pcmu"}
INITIAL = {
    "instructions": "be kind",
    "output_modalities": ["text"],
    "tools": [{"type": "function", "name": "f"}],
    "audio": {
        "input": {
            "format": "g711_ulaw",
            "noise_reduction": {"type": "near_field"},
            "transcription": {"model": "whisper-1"},
            "turn_detection": VAD,
        },
        "output": {"voice": "marin", "speed": 1.5},
    },
}


def connected(initial=None):
    protocol = ClientProtocol(model="m")
    protocol.link_opened(initial)
    protocol.take_sends()
    return protocol


def payload_after(protocol, config):
    protocol.update_session_config(config)
    [event] = protocol.take_sends()
    return event["session"]


def update_of(current, config):
    return current.update(stated_session_payload(config))[0]


def leaves(payload):
    """The members that are merged, by their place; the rest are replaced as a whole."""
    found = {(key,): value for key, value in payload.items() if key != "audio"}
    audio = payload.get("audio")
    if not isinstance(audio, dict):
        return found | ({("audio",): audio} if "audio" in payload else {})
    for part, members in audio.items():
        if part in ("input", "output") and isinstance(members, dict):
            found |= {("audio", part, key): value for key, value in members.items()}
        else:
            found["audio", part] = members
    return found


def spoil(value):
    """Change everything in it that can be changed."""
    if isinstance(value, dict):
        for member in value.values():
            spoil(member)
        value["spoiled"] = True
    elif isinstance(value, list):
        for member in value:
            spoil(member)
        value.append("spoiled")


# Laws


@given(configs, configs, configs)
def test_two_updates_are_the_same_as_one_with_both_merged(initial, first, second):
    one_by_one, at_once = CurrentConfig(), CurrentConfig()
    for current in (one_by_one, at_once):
        current.begin(initial)
    update_of(one_by_one, first)
    both = merge_session_payloads(stated_session_payload(first), stated_session_payload(second))
    assert update_of(one_by_one, second) == at_once.update(both)[0]


@given(configs, configs)
def test_an_update_says_what_it_states_and_never_changes_the_rest(initial, config):
    current = CurrentConfig()
    before = leaves(current.begin(initial))
    stated = leaves(stated_session_payload(config))
    assert leaves(update_of(current, config)) == {**before, **stated}


@given(configs, configs)
def test_what_is_sent_shares_nothing_with_the_config_or_with_what_is_kept(initial, config):
    current = CurrentConfig()
    spoil(current.begin(initial))
    stated = stated_session_payload(config)
    before = copy.deepcopy(stated)
    sent, _ = current.update(stated)
    expected = copy.deepcopy(sent)
    spoil(sent)
    assert stated == before
    spoil(stated)
    assert current.update({})[0] == expected


@given(configs, configs)
def test_answers_do_not_change_what_was_asked_for(initial, config):
    current = CurrentConfig()
    current.begin(initial)
    sent = update_of(current, config)
    for _ in range(3):
        current.confirm()
        assert current.update({})[0] == sent


@given(configs, configs)
def test_an_update_that_is_taken_back_or_refused_leaves_no_trace(initial, config):
    current = CurrentConfig()
    before = current.begin(initial)
    current.update(stated_session_payload(config))[1]()
    assert current.update({})[0] == before
    current.confirm()
    current.confirm()
    update_of(current, config)
    current.note_error({"param": "session.audio.output.voice"})
    assert current.update({})[0] == before


# Updates


def test_an_update_of_the_instructions_repeats_the_rest():
    payload = payload_after(connected(INITIAL), {"instructions": "be brief"})
    whole = build_session_payload({**INITIAL, "instructions": "be brief"}, model="m")
    assert payload == whole
    assert payload["audio"]["input"]["turn_detection"] == VAD


def test_turn_detection_is_replaced_as_a_whole():
    protocol = connected(INITIAL)
    payload = payload_after(protocol, {"turn_detection": {"type": "semantic_vad"}})
    assert payload["audio"]["input"]["turn_detection"] == {"type": "semantic_vad"}
    assert payload["audio"]["input"]["format"] == G711


@pytest.mark.parametrize("key", ["noise_reduction", "transcription", "turn_detection"])
def test_none_switches_off_and_stays_off(key):
    protocol = connected(INITIAL)
    assert payload_after(protocol, {"audio": {"input": {key: None}}})["audio"]["input"][key] is None
    assert payload_after(protocol, {"speed": 1})["audio"]["input"][key] is None


def test_instructions_can_be_taken_back_by_none():
    assert payload_after(connected(INITIAL), {"instructions": None})["instructions"] is None


@pytest.mark.parametrize("key", ["tools", "output_modalities", "voice", "speed", "audio"])
def test_none_under_other_keys_leaves_what_was_said(key):
    protocol = connected(INITIAL)
    before = payload_after(protocol, {})
    assert payload_after(protocol, {key: None}) == before


@pytest.mark.parametrize(
    "key",
    [
        "prompt",
        "max_output_tokens",
        "tracing",
        "truncation",
        "reasoning",
        "tool_choice",
        "voice",
        "tools",
    ],
)
def test_an_update_in_which_none_says_nothing_is_told(key, caplog):
    protocol = connected({**INITIAL, key: None})
    with caplog.at_level(logging.WARNING):
        payload_after(protocol, {"turn_detection": None, "instructions": None, "audio": None})
        assert caplog.messages == []
        payload_after(protocol, {key: None})
        [message] = caplog.messages
    assert key in message
    assert "provider_data" in message


def test_tools_stay_until_an_empty_list_clears_them():
    protocol = connected(INITIAL)
    assert payload_after(protocol, {"voice": "ash"})["tools"] == INITIAL["tools"]
    assert payload_after(protocol, {"tools": []})["tools"] == []
    assert payload_after(protocol, {"voice": "ash"})["tools"] == []


def test_own_fields_are_kept_and_a_later_update_goes_over_them():
    protocol = connected({"provider_data": {"instructions": "own", "metadata": {"a": 1}}})
    payload = payload_after(protocol, {"instructions": "later", "provider_data": {"extra": 2}})
    assert payload["instructions"] == "later"
    assert (payload["metadata"], payload["extra"]) == ({"a": 1}, 2)


def test_own_fields_about_audio_are_merged_like_others():
    protocol = connected({"audio": {"input": {"format": "g711_ulaw"}}})
    own = {"audio": {"output": {"voice": {"id": "own"}}}}
    payload = payload_after(protocol, {"speed": 1.5, "provider_data": own})
    assert payload["audio"]["input"]["format"] == G711
    assert payload["audio"]["output"]["voice"] == {"id": "own"}
    assert payload["audio"]["output"]["speed"] == 1.5


def test_an_updates_model_stays_and_otherwise_the_current_one_is_sent():
    protocol = connected()
    protocol.model = "n"
    assert payload_after(protocol, {})["model"] == "n"
    assert payload_after(protocol, {"model": "o"})["model"] == "o"
    assert payload_after(protocol, {})["model"] == "o"


def test_an_event_of_the_programs_own_counts_too():
    protocol = connected(INITIAL)
    session = {"type": "realtime", "instructions": "own", "audio": {"output": {"voice": "own"}}}
    protocol.send_event({"type": "session.update", "session": session})
    assert protocol.take_sends() == [{"type": "session.update", "session": session}]
    payload = payload_after(protocol, {"speed": 1})
    assert payload["instructions"] == "own"
    assert payload["audio"]["output"]["voice"] == "own"


def test_each_connection_begins_anew():
    protocol = connected(INITIAL)
    payload_after(protocol, {"voice": "ash"})
    protocol.link_closed()
    protocol.link_opened({"instructions": "other"})
    [event] = protocol.take_sends()
    assert event["session"] == build_session_payload({"instructions": "other"}, model="m")
    assert payload_after(protocol, {}) == event["session"]


def test_an_update_that_cannot_be_sent_changes_nothing():
    protocol = connected(INITIAL)
    before = payload_after(protocol, {})
    with pytest.raises(ValidationError):
        protocol.update_session_config({"voice": "ash", "tools": 7})
    assert payload_after(protocol, {}) == before


def test_an_update_that_did_not_leave_is_taken_back():
    protocol = connected(INITIAL)
    protocol.update_session_config({"voice": "ash"})
    [event] = protocol.take_sends()
    protocol.send_failed(event, TransportError("full"))
    assert payload_after(protocol, {})["audio"]["output"]["voice"] == "marin"


def test_an_update_that_a_middleware_keeps_back_is_taken_back():
    protocol = connected(INITIAL)
    protocol.update_session_config({"voice": "ash"})
    [event] = protocol.take_sends()
    protocol.send_dropped(event)
    assert payload_after(protocol, {})["audio"]["output"]["voice"] == "marin"


def server_error(param):
    error = {"type": "invalid_request_error", "code": "x", "message": "m", "param": param}
    return {"type": "error", "event_id": "e", "error": {**error, "event_id": None}}


UPDATED = {"type": "session.updated", "event_id": "u", "session": {}}


def test_an_update_that_the_server_refuses_is_not_repeated():
    protocol = connected(INITIAL)
    protocol.receive(UPDATED)
    protocol.update_session_config({"voice": "nobody"})
    protocol.update_session_config({"speed": 1})
    protocol.take_sends()
    protocol.receive(server_error("session.audio.output.voice"))
    protocol.receive(UPDATED)
    output = payload_after(protocol, {})["audio"]["output"]
    assert (output["voice"], output["speed"]) == ("marin", 1)


@pytest.mark.parametrize("param", [None, "item.id", "sessions"])
def test_an_error_about_something_else_refuses_no_update(param):
    protocol = connected(INITIAL)
    protocol.receive(UPDATED)
    protocol.update_session_config({"voice": "ash"})
    protocol.take_sends()
    protocol.receive(server_error(param))
    assert payload_after(protocol, {})["audio"]["output"]["voice"] == "ash"


VOICE_REFUSED = {
    "type": "error",
    "event_id": "e",
    "error": {
        "type": "invalid_request_error",
        "code": "cannot_update_voice",
        "message": "Cannot update a conversation's voice if assistant audio is present.",
        "param": None,
        "event_id": None,
    },
}


def updated(**session):
    return {"type": "session.updated", "event_id": "u", "session": session}


def send_update(protocol, **session):
    protocol.send_event({"type": "session.update", "session": {"type": "realtime", **session}})
    protocol.take_sends()


def test_a_voice_that_is_refused_without_a_param_is_not_repeated():
    protocol = connected(INITIAL)
    protocol.receive(UPDATED)
    payload_after(protocol, {"voice": "cedar"})
    protocol.receive(VOICE_REFUSED)
    assert payload_after(protocol, {"speed": 1})["audio"]["output"]["voice"] == "marin"


def test_the_session_tells_which_update_an_error_without_a_param_refused():
    protocol = connected(INITIAL)
    protocol.receive(UPDATED)
    send_update(protocol, max_output_tokens=0)
    send_update(protocol, instructions="other")
    protocol.receive(server_error(None))
    protocol.receive(updated(instructions="other", max_output_tokens="inf"))
    payload = payload_after(protocol, {})
    assert payload["instructions"] == "other"
    assert "max_output_tokens" not in payload


def test_an_update_that_the_session_shows_was_not_what_an_error_refused():
    protocol = connected(INITIAL)
    protocol.receive(UPDATED)
    detection = {"type": "server_vad", "threshold": None, "idle_timeout_ms": None}
    send_update(protocol, audio={"input": {"turn_detection": detection}})
    send_update(protocol, instructions="other")
    protocol.receive(server_error(None))
    shown = {"type": "server_vad", "threshold": None, "silence_duration_ms": 500}
    protocol.receive(updated(audio={"input": {"turn_detection": shown}}, instructions="be kind"))
    protocol.receive(server_error("session.instructions"))
    payload = payload_after(protocol, {})
    assert payload["audio"]["input"]["turn_detection"] == detection
    assert payload["instructions"] == "be kind"


@pytest.mark.parametrize("shown", [{}, {"instructions": "quite another"}])
def test_a_session_that_shows_no_update_tells_nothing_about_an_error(shown):
    protocol = connected(INITIAL)
    protocol.receive(UPDATED)
    send_update(protocol, max_output_tokens=7)
    send_update(protocol, instructions="other")
    protocol.receive(server_error(None))
    protocol.receive(updated(**shown))
    payload = payload_after(protocol, {})
    assert (payload["max_output_tokens"], payload["instructions"]) == (7, "other")


def test_an_update_that_is_refused_again_with_the_next_one_is_not_repeated_for_ever():
    protocol = connected(INITIAL)
    protocol.receive(UPDATED)
    payload_after(protocol, {"max_output_tokens": 0})
    protocol.receive(server_error(None))
    payload_after(protocol, {"speed": 1})
    protocol.receive(server_error(None))
    payload = payload_after(protocol, {})
    assert "max_output_tokens" not in payload
    assert payload["audio"]["output"]["speed"] == 1.5


@pytest.mark.parametrize(
    "about_another", [{"event_id": "mine"}, {"code": "response_cancel_not_active"}]
)
def test_errors_about_other_events_refuse_no_update(about_another):
    protocol = connected(INITIAL)
    protocol.receive(UPDATED)
    for _ in range(2):
        payload_after(protocol, {"voice": "ash"})
    error = {**server_error(None)["error"], **about_another}
    for _ in range(2):
        protocol.receive({"type": "error", "event_id": "e", "error": error})
    assert payload_after(protocol, {})["audio"]["output"]["voice"] == "ash"


def test_the_answer_to_the_update_of_tracing_is_not_taken_for_the_next_ones():
    protocol = connected()
    protocol.receive({"type": "session.created", "event_id": "c", "session": {}})
    protocol.update_session_config({"voice": "nobody"})
    protocol.take_sends()
    protocol.receive(UPDATED)  # the initial config
    protocol.receive(UPDATED)  # tracing
    protocol.receive(server_error("session.audio.output.voice"))
    assert "voice" not in payload_after(protocol, {})["audio"]["output"]


def test_a_server_that_never_answers_does_not_make_the_client_remember_ever_more():
    current = CurrentConfig()
    current.begin({})
    for number in range(200):
        current.update({"number": number})
    assert len(current._unanswered) == 64
    assert current.update({})[0]["number"] == 199


# What cannot be updated


def test_tracing_is_sent_as_an_own_field_only_once():
    protocol = connected()
    own = {"provider_data": {"tracing": "auto"}}
    assert payload_after(protocol, own)["tracing"] == "auto"
    assert "tracing" not in payload_after(protocol, {})


def test_an_update_of_tracing_is_left_out_and_told(caplog):
    wanted = {"workflow_name": "w"}
    protocol = connected({"tracing": wanted})
    with caplog.at_level(logging.WARNING):
        assert "tracing" not in payload_after(protocol, {"tracing": {**wanted, "group_id": None}})
        assert caplog.messages == []
        assert "tracing" not in payload_after(protocol, {"tracing": {"workflow_name": "x"}})
    [message] = caplog.messages
    assert "initial config" in message


def test_a_model_in_the_initial_config_is_not_used_and_told(caplog):
    protocol = ClientProtocol(model="m")
    with caplog.at_level(logging.WARNING):
        protocol.link_opened({"model": "m"})
        assert caplog.messages == []
        protocol.link_opened({"model": "other"})
    assert [event["session"]["model"] for event in protocol.take_sends()] == ["m", "m"]
    [message] = caplog.messages
    assert "`model`" in message
