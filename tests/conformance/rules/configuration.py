"""What a call's arguments become on the wire."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import Scene
from tests.conformance.compare import ANY_ERROR
from tests.conformance.rules.base import (
    DISCONNECTED,
    Rule,
    disconnect,
    error_event,
    fail_connect,
    server_steps,
    tell,
)
from tests.conformance.rules.session_updates import (
    DETECTION_NAMES,
    FORMATS,
    ConfigUpdate,
    change_session,
    config_updates,
    drop_update,
    is_said,
    merge_what_is_said,
    on_the_wire,
)
from tests.conformance.trace import Failure, Sent, Trace
from tests.conformance.values import ErrorShape

__all__ = ["RULES"]

DEPRECATED = frozenset(
    {
        "modalities",
        "inputAudioFormat",
        "outputAudioFormat",
        "inputAudioTranscription",
        "turnDetection",
        "inputAudioNoiseReduction",
        "speed",
    }
)

MCP_KEYS = {
    "serverLabel": "server_label",
    "serverUrl": "server_url",
    "serverDescription": "server_description",
    "connectorId": "connector_id",
    "allowedTools": "allowed_tools",
    "requireApproval": "require_approval",
}

WIRE_NAMES = {"noiseReduction": "noise_reduction", "turnDetection": "turn_detection"}

FIRST_CLASS = {
    "maxOutputTokens": "max_output_tokens",
    "truncation": "truncation",
    "include": "include",
}

NOT_FOR_CALLS = ("threshold", "prefix_padding_ms", "silence_duration_ms")


def _change(expected: Trace, update: ConfigUpdate, **members: Any) -> None:
    change_session(expected, update.sent, {**update.sent.event["session"], **members})


def _change_audio(expected: Trace, update: ConfigUpdate, part: str, key: str, value: Any) -> None:
    audio = update.sent.event["session"]["audio"]
    _change(expected, update, audio={**audio, part: {**(audio.get(part) or {}), key: value}})


def _empty_tools_are_sent(scene: Scene, expected: Trace) -> None:
    for update in config_updates(scene, expected):
        if update.config.get("tools") == []:
            _change(expected, update, tools=[])


def _camel_case_tools_are_read(scene: Scene, expected: Trace) -> None:
    for update in config_updates(scene, expected):
        sent = update.sent.event["session"].get("tools") or []
        tools = [_with_camel_keys(*both) for both in zip(sent, _tools(update), strict=False)]
        if tools != sent:
            _change(expected, update, tools=tools)


def _tools(update: ConfigUpdate) -> list[dict[str, Any]]:
    return update.config.get("tools") or []


def _with_camel_keys(sent: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    if given.get("type") != "mcp":
        return sent
    return {**sent, **{MCP_KEYS[key]: given[key] for key in given if key in MCP_KEYS}}


def _both_shapes_count(scene: Scene, expected: Trace) -> None:
    for update in config_updates(scene, expected):
        config = update.config
        if not DEPRECATED & config.keys():
            continue
        if config.get("outputModalities") is not None:
            _change(expected, update, output_modalities=config["outputModalities"])
        for part, members in (config.get("audio") or {}).items():
            for key, value in (members or {}).items():
                if is_said(key, value):
                    wire = WIRE_NAMES.get(key, key)
                    _change_audio(expected, update, part, wire, on_the_wire(key, value))


def _null_is_said_in_camel_case(scene: Scene, expected: Trace) -> None:
    for update in config_updates(scene, expected):
        given = _new_or_flat(update.config, "input", "turnDetection", "turnDetection")
        if not isinstance(given, dict):
            continue
        if any(given.get(name, ...) is None for name in DETECTION_NAMES):
            detection = on_the_wire("turnDetection", given)
            _change_audio(expected, update, "input", "turn_detection", detection)


def _fields_of_the_api_are_taken(scene: Scene, expected: Trace) -> None:
    for update in config_updates(scene, expected):
        given, own_fields = update.config, update.config.get("providerData") or {}
        members = {
            wire: given[js]
            for js, wire in FIRST_CLASS.items()
            if given.get(js) is not None and wire not in own_fields
        }
        if members:
            _change(expected, update, **members)


def _unknown_formats_are_refused(scene: Scene, expected: Trace) -> None:
    for update in config_updates(scene, expected):
        for part in ("input", "output"):
            given = _new_or_flat(update.config, part, "format", f"{part}AudioFormat")
            if not given or isinstance(given, dict):
                continue
            if given in FORMATS:
                _change_audio(expected, update, part, "format", FORMATS[given])
            else:
                _refuse(scene, expected, update, "ZodError")
                return


def _calls_have_their_turn_detection(scene: Scene, expected: Trace) -> None:
    if scene.transport != "sip":
        return
    for update in config_updates(scene, expected):
        given = _new_or_flat(update.config, "input", "turnDetection", "turnDetection")
        if not isinstance(given, dict):
            continue
        if any(DETECTION_NAMES.get(name, name) in NOT_FOR_CALLS for name in given):
            _refuse(scene, expected, update, "UserError")
            return


def _new_or_flat(config: dict[str, Any], part: str, new: str, flat: str) -> Any:
    """What is said, in the shape that counts where both say something."""
    members = (config.get("audio") or {}).get(part) or {}
    return members[new] if new in members and is_said(new, members[new]) else config.get(flat)


def _refuse(scene: Scene, expected: Trace, update: ConfigUpdate, error_class: str) -> None:
    """Let the call fail that an update comes from, and the update not be sent."""
    step = update.sent.step
    if update.is_initial and scene.transport == "sip":
        _refuse_to_begin(expected, update, error_class)
        return
    if update.is_initial:
        expected.sent = [sent for sent in expected.sent if sent.step < step]
        expected.emitted = [
            e for e in expected.emitted if e.step < step or e.args == ["connecting"]
        ]
        # Over a WebSocket the failure of `connect` is not told a second time.
        errors = [error_event(error_class)] if scene.transport == "webrtc" else []
        tell(expected, step, *DISCONNECTED, *errors)
        fail_connect(expected, step, error_class)
        disconnect(scene, expected, step)
        return
    drop_update(expected, update.sent)
    error = ErrorShape(error_class, ANY_ERROR)
    expected.failures.append(Failure(step, "call", error, "updateSessionConfig"))


def _refuse_to_begin(expected: Trace, update: ConfigUpdate, error_class: str) -> None:
    """Let nothing come of a call of `connect`."""
    step = max(p.step for p in expected.promises if p.step <= update.sent.step)
    expected.sent = [sent for sent in expected.sent if sent.step < step]
    expected.emitted = [emitted for emitted in expected.emitted if emitted.step < step]
    expected.sockets = [socket for socket in expected.sockets if socket.step < step]
    fail_connect(expected, step, error_class)
    expected.forget_from(step + 1)


def _nothing_is_appended(scene: Scene, expected: Trace) -> None:
    expected.sent = [
        sent
        for sent in expected.sent
        if (sent.event.get("type"), sent.event.get("audio")) != ("input_audio_buffer.append", "")
    ]


def _type_and_item_stay(scene: Scene, expected: Trace) -> None:
    for index, step in enumerate(scene.steps):
        args = step.get("args") or []
        if step.get("call") != "sendMessage" or len(args) < 2 or not isinstance(args[1], dict):
            continue
        if args[1].keys() & {"type"} and "item" not in args[1]:
            sent = next((s for s in expected.sent if s.step == index), None)
            if sent is not None:
                sent.event = {**sent.event, "type": "conversation.item.create"}


def _known_tracing_is_left_alone(scene: Scene, expected: Trace) -> None:
    known = {
        index
        for index, event in server_steps(scene)
        if event.get("type") == "session.created"
        and isinstance((event.get("session") or {}).get("tracing"), dict)
    }

    def is_tracing(sent: Sent) -> bool:
        session = sent.event.get("session") or {}
        return session.keys() == {"type", "tracing"} and session["tracing"] == "auto"

    expected.sent = [s for s in expected.sent if not (s.step in known and is_tracing(s))]


def _only_fields_count(scene: Scene, expected: Trace) -> None:
    for index, step in enumerate(scene.steps):
        args = step.get("args") or []
        if step.get("call") != "resetHistory" or len(args) < 2:
            continue
        old = {item.get("itemId"): _fields(item) for item in args[0]}
        same = {i.get("itemId") for i in args[1] if old.get(i.get("itemId")) == _fields(i)}
        changed = [s for s in expected.sent if s.step == index and _item_id(s) in same]
        if changed:
            expected.sent = [s for s in expected.sent if s not in changed]
            _count_again(expected, changed)


def _fields(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != "previousItemId"}


def _item_id(sent: Sent) -> Any:
    return sent.event.get("item_id") or (sent.event.get("item") or {}).get("id")


def _count_again(expected: Trace, dropped: list[Sent]) -> None:
    """Ids are counted up, so those behind what is not sent are lower."""
    gone = [int(str(sent.event["event_id"]).rpartition("_")[2]) for sent in dropped]
    for sent in expected.sent:
        prefix, _, number = str(sent.event.get("event_id", "")).rpartition("_")
        if prefix in ("agents_delete", "agents_create"):
            lower = int(number) - sum(other < int(number) for other in gone)
            sent.event = {**sent.event, "event_id": f"{prefix}_{lower}"}


RULES = [
    Rule("empty-tools-not-sent", "an empty list of tools clears them", _empty_tools_are_sent),
    Rule(
        "mcp-camel-keys-dropped",
        "MCP tools are read in either spelling",
        _camel_case_tools_are_read,
    ),
    Rule(
        "mixed-shapes-drop-new",
        "a configuration may mix both shapes; the new one wins",
        _both_shapes_count,
    ),
    Rule(
        "camel-null-falls-through",
        "null under a camel-case key of turn detection is sent",
        _null_is_said_in_camel_case,
    ),
    Rule(
        "max-output-tokens-unsupported",
        "the API's output limit, truncation and include are keys of the configuration",
        _fields_of_the_api_are_taken,
    ),
    Rule(
        "unknown-format-becomes-pcm",
        "an audio format that is not known is refused, and the API's own names are known",
        _unknown_formats_are_refused,
    ),
    Rule(
        "sip-td-not-checked-on-connect",
        "turn detection that calls cannot have is refused wherever it is said",
        _calls_have_their_turn_detection,
    ),
    Rule(
        "update-resets-omitted-to-defaults",
        "an update changes what it says and repeats the rest",
        merge_what_is_said,
    ),
    Rule("empty-append-sent", "empty audio is not appended", _nothing_is_appended),
    Rule(
        "other-event-data-can-override",
        "other event data cannot replace the type",
        _type_and_item_stay,
    ),
    Rule(
        "auto-overrides-existing-tracing",
        "a session that has a tracing configuration keeps it",
        _known_tracing_is_left_alone,
    ),
    Rule(
        "json-stringify-key-order",
        "items are the same when their fields are, in whatever order",
        _only_fields_count,
    ),
]
