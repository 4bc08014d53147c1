"""What a call's arguments become on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.conformance.case import Scene
from tests.conformance.rules.base import Rule, server_steps
from tests.conformance.trace import Sent, Trace
from tests.conformance.values import decode, without_undefined

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


def _configurations(scene: Scene, expected: Trace) -> Iterator[tuple[dict[str, Any], Any]]:
    """Each configuration that is given, with the session that is sent for it."""
    for index, step in enumerate(scene.steps):
        args = step.get("args") or [{}]
        config = None
        if step.get("call") == "updateSessionConfig":
            config = args[0]
        elif step.get("call") == "connect" and isinstance(args[0], dict):
            config = args[0].get("initialSessionConfig")
        if not isinstance(config, dict):
            continue
        sent = [s for s in expected.sent if s.step >= index and "session" in s.event]
        if sent:
            yield without_undefined(decode(config)), sent[0].event["session"]


def _empty_tools_are_sent(scene: Scene, expected: Trace) -> None:
    for config, session in _configurations(scene, expected):
        if config.get("tools") == []:
            session["tools"] = []


def _camel_case_tools_are_read(scene: Scene, expected: Trace) -> None:
    for config, session in _configurations(scene, expected):
        for tool, sent in zip(config.get("tools") or (), session.get("tools") or (), strict=False):
            if tool.get("type") == "mcp":
                sent.update({MCP_KEYS[key]: tool[key] for key in tool if key in MCP_KEYS})


def _both_shapes_count(scene: Scene, expected: Trace) -> None:
    for config, session in _configurations(scene, expected):
        if not DEPRECATED & config.keys():
            continue
        if config.get("outputModalities") is not None:
            session["output_modalities"] = config["outputModalities"]
        for part, members in (config.get("audio") or {}).items():
            for key, value in (members or {}).items():
                session["audio"][part][WIRE_NAMES.get(key, key)] = value


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
