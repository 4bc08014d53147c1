"""What is sent of a session's configuration, and which configuration it was made of.

The first `session.update` on a connection is that of `connect`. What follows is an update of the
program's (`updateSessionConfig`), an event of its own making (`sendEvent`), or about tracing alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.conformance.case import Scene
from tests.conformance.trace import Emitted, Sent, Trace
from tests.conformance.values import decode, without_undefined

__all__ = [
    "DETECTION_NAMES",
    "FORMATS",
    "ConfigUpdate",
    "change_session",
    "config_updates",
    "drop_update",
    "is_said",
    "merge_what_is_said",
    "on_the_wire",
]

Json = dict[str, Any]

DEFAULT_AUDIO: Json = {
    "input": {
        "format": {"type": "audio/pcm", "rate": 24000},
        "noise_reduction": None,
        "transcription": {"model": "gpt-4o-mini-transcribe"},
        "turn_detection": {"type": "semantic_vad"},
    },
    "output": {"format": {"type": "audio/pcm", "rate": 24000}, "speed": 1},
}

DETECTION_NAMES = {
    "createResponse": "create_response",
    "interruptResponse": "interrupt_response",
    "prefixPaddingMs": "prefix_padding_ms",
    "silenceDurationMs": "silence_duration_ms",
    "idleTimeoutMs": "idle_timeout_ms",
    "modelVersion": "model_version",
}

FORMATS: dict[str, Json] = {
    "pcm16": {"type": "audio/pcm", "rate": 24000},
    "audio/pcm": {"type": "audio/pcm", "rate": 24000},
    "g711_ulaw": {"type": "audio/pcmu"},
    "audio/pcmu": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
    "audio/pcma": {"type": "audio/pcma"},
}

# Names in JavaScript and on the wire, and whether null is said or says nothing.
TOP_KEYS: tuple[tuple[str, str, bool], ...] = (
    ("instructions", "instructions", True),
    ("parallelToolCalls", "parallel_tool_calls", True),
    ("model", "model", False),
    ("outputModalities", "output_modalities", False),
    ("modalities", "output_modalities", False),
    ("toolChoice", "tool_choice", False),
    ("tools", "tools", False),
    ("reasoning", "reasoning", False),
    ("prompt", "prompt", False),
    ("maxOutputTokens", "max_output_tokens", False),
    ("truncation", "truncation", False),
    ("include", "include", False),
)
# The deprecated name, the part of `audio`, and the names there in JavaScript and on the wire.
AUDIO_KEYS: tuple[tuple[str, str, str, str], ...] = (
    ("inputAudioFormat", "input", "format", "format"),
    ("inputAudioNoiseReduction", "input", "noiseReduction", "noise_reduction"),
    ("inputAudioTranscription", "input", "transcription", "transcription"),
    ("turnDetection", "input", "turnDetection", "turn_detection"),
    ("outputAudioFormat", "output", "format", "format"),
    ("voice", "output", "voice", "voice"),
    ("speed", "output", "speed", "speed"),
)

NULLABLE = frozenset({"noiseReduction", "transcription", "turnDetection"})


@dataclass
class ConfigUpdate:
    """A `session.update` that the SDK makes of a configuration."""

    sent: Sent
    config: Json
    """As it was given, in JavaScript's spelling; empty where none was."""
    is_initial: bool


def config_updates(scene: Scene, expected: Trace) -> Iterator[ConfigUpdate]:
    """The updates that were sent, in their order."""
    configured: set[int] = set()
    for sent in expected.sent:
        if sent.event.get("type") != "session.update" or "model" not in _session(sent):
            continue
        step = scene.steps[sent.step]
        if sent.conn not in configured:
            configured.add(sent.conn)
            yield ConfigUpdate(sent, _initial_config(scene, expected, sent.step), is_initial=True)
        elif step.get("call") == "updateSessionConfig":
            yield ConfigUpdate(sent, _config(step.get("args")), is_initial=False)
        elif step.get("call") != "sendEvent":
            config = _config_of_observer(scene, sent)
            if config is not None:
                yield ConfigUpdate(sent, config, is_initial=False)


def change_session(expected: Trace, sent: Sent, session: Json) -> None:
    """Let another session be sent, and told of where the server answers with what it got."""
    for answer in _answers(expected, sent):
        answer.args = [{**answer.args[0], "session": copy.deepcopy(session)}]
    sent.event = {**sent.event, "session": session}


def drop_update(expected: Trace, sent: Sent) -> None:
    """Let an update not be sent; the server counts its answers, so later ones have lower ids."""
    answers = _answers(expected, sent)
    expected.sent = [other for other in expected.sent if other is not sent]
    expected.emitted = [other for other in expected.emitted if other not in answers]
    for later in expected.emitted if answers else ():
        if later.step > sent.step and _is_answer(later):
            prefix, _, number = later.args[0]["event_id"].rpartition("_")
            later.args = [{**later.args[0], "event_id": f"{prefix}_{int(number) - 1}"}]


def _answers(expected: Trace, sent: Sent) -> list[Emitted]:
    """What is told of the server's answer, which has the session as it was sent."""
    return [
        emitted
        for emitted in expected.emitted
        if emitted.step == sent.step
        and _is_answer(emitted)
        and emitted.args[0]["session"] == _session(sent)
    ]


def _is_answer(emitted: Emitted) -> bool:
    event = emitted.args[0] if emitted.args else None
    return isinstance(event, dict) and str(event.get("event_id")).startswith("evt_auto_ack")


def merge_what_is_said(scene: Scene, expected: Trace) -> None:
    """Let each update be what was sent before with what its configuration says."""
    updates = {id(update.sent): update for update in config_updates(scene, expected)}
    merging = _Merging()
    for happens in _in_order(expected):
        if not isinstance(happens, Sent):
            merging.take_answer(happens)
            continue
        update = updates.get(id(happens))
        if update is None:
            merging.add(copy.deepcopy(_session(happens)))
        elif update.is_initial:
            session = _merged({"audio": DEFAULT_AUDIO}, {**_session(happens), **_said(update)})
            merging.begin(session, has_own_model=_names_a_model(update))
            change_session(expected, happens, session)
        else:
            change_session(expected, happens, merging.update(update))


class _Merging:
    """What the client has asked of a connection's session, less what the server refused."""

    def __init__(self) -> None:
        self._base: Json = {}
        self._changes: list[Json] = []

    def begin(self, session: Json, *, has_own_model: bool) -> None:
        kept = {k: v for k, v in session.items() if k != "model" or has_own_model}
        self._base, self._changes = {}, [_without_tracing(kept)]
        self._take()

    def update(self, update: ConfigUpdate) -> Json:
        said = _said(update)
        self.add(said)
        model = {"model": _session(update.sent)["model"]}
        tracing = {key: said[key] for key in said if key == "tracing"}
        return _merged({**model, **self._current()}, tracing)

    def add(self, change: Json) -> None:
        self._changes.append(_without_tracing(change))

    def take_answer(self, event: Json) -> None:
        error = event.get("error")
        if event.get("type") == "session.updated":
            self._take()
        elif isinstance(error, Mapping) and str(error.get("param")).split(".")[0] == "session":
            self._changes = self._changes[1:]

    def _take(self) -> None:
        if self._changes:
            self._base = _merged(self._base, self._changes.pop(0))

    def _current(self) -> Json:
        current = self._base
        for change in self._changes:
            current = _merged(current, change)
        return current


def _in_order(expected: Trace) -> list[Any]:
    """What was sent, and what the server said of sessions, as they came.

    In a step of the program's the server answers last, and in one of the server's it begins.
    """
    sent = [
        (each.step, 1, each)
        for each in expected.sent
        if each.event.get("type") == "session.update" and isinstance(_session(each), dict)
    ]
    told = [
        (each.step, 2 if _is_answer(each) else 0, each.args[0])
        for each in expected.emitted
        if each.type == "*" and isinstance(each.args[0], dict)
    ]
    happenings: list[tuple[int, int, Any]] = [*sent, *told]
    return [what for _, _, what in sorted(happenings, key=lambda entry: entry[:2])]


def _session(sent: Sent) -> Any:
    return sent.event.get("session") or {}


def _config(args: Any) -> Json:
    config = without_undefined(decode(args or [{}]))[0]
    return config if isinstance(config, dict) else {}


def _initial_config(scene: Scene, expected: Trace, step: int) -> Json:
    """That of the attempt which leads to a connection's configuration in a step."""
    config: Json = {}
    busy_until = -1
    for promise in expected.promises:
        if promise.call != "connect" or promise.step > step or promise.step < busy_until:
            continue
        if expected.status_before(promise.step) == "disconnected":
            busy_until = len(scene.steps) if promise.settled is None else promise.settled
            options = (scene.steps[promise.step].get("args") or [{}])[0]
            given = options.get("initialSessionConfig") if isinstance(options, dict) else None
            config = _config([given])
    return config


def _config_of_observer(scene: Scene, sent: Sent) -> Json | None:
    """A listener's update: the first whose configuration says all that is not the default's."""
    calls = [o["do"] for o in scene.observers if o["do"].get("call") == "updateSessionConfig"]
    recorded = _session(sent)
    for call in calls:
        config = _config(call.get("args"))
        said = _said(ConfigUpdate(sent, config, is_initial=False))
        plain: Json = {"output_modalities": ["audio"], "audio": DEFAULT_AUDIO}
        if _merged({"type": "realtime", "model": recorded["model"], **plain}, said) == recorded:
            return config
    return None


def _said(update: ConfigUpdate) -> Json:
    """What a configuration says, as it was recorded or, where it was not, as it is sent."""
    config, recorded = update.config, _session(update.sent)
    said: Json = {}
    for js, wire, is_nullable in TOP_KEYS:
        is_model = wire == "model" and update.is_initial
        if js in config and (is_nullable or config[js] is not None) and not is_model:
            said[wire] = recorded.get(wire)
    own_fields = config.get("providerData") or {}
    audio = _said_audio(config, recorded if "audio" not in own_fields else None)
    if audio:
        said["audio"] = audio
    goes_over = {key: said[key] for key in ("prompt", "tools") if key in said}
    return _merged(said, {**own_fields, **goes_over})


def _said_audio(config: Json, recorded: Json | None) -> Json:
    """What a configuration says about audio; as it is sent where it was not recorded."""
    said: Json = {}
    audio = config.get("audio") or {}
    for flat, part, js, wire in AUDIO_KEYS:
        members = audio.get(part) or {}
        for given, key in ((config, flat), (members, js)):
            if key in given and is_said(js, given[key]):
                value = on_the_wire(js, given[key])
                if recorded is not None:
                    value = recorded["audio"][part].get(wire)
                said.setdefault(part, {})[wire] = value
    return said


def on_the_wire(key: str, value: Any) -> Any:
    """A member of audio's input or output, as the API takes it."""
    if key == "format" and isinstance(value, str):
        return FORMATS.get(value, FORMATS["pcm16"])
    if key == "turnDetection" and isinstance(value, dict):
        camel = {DETECTION_NAMES[name]: value[name] for name in value if name in DETECTION_NAMES}
        return {name: value[name] for name in value if name not in DETECTION_NAMES} | camel
    return value


def is_said(key: str, value: Any) -> bool:
    """Whether a member of audio's input or output, which is given, says something."""
    if key == "turnDetection" and value == {}:
        return False
    if key == "format" and value == "":
        return False
    return key in NULLABLE or value is not None


def _names_a_model(update: ConfigUpdate) -> bool:
    return "model" in _said(update)


def _merged(current: Json, change: Json) -> Json:
    """Of objects, only `audio`, its `input` and its `output` are merged."""
    merged = copy.deepcopy({**current, **change})
    audios = current.get("audio"), change.get("audio")
    if all(isinstance(audio, dict) for audio in audios):
        former, latter = audios
        merged["audio"] = {**former, **latter}
        for part in ("input", "output"):
            if isinstance(former.get(part), dict) and isinstance(latter.get(part), dict):
                merged["audio"][part] = {**former[part], **latter[part]}
    return copy.deepcopy(merged)


def _without_tracing(session: Json) -> Json:
    return {key: value for key, value in session.items() if key != "tracing"}
