"""What is particular to links whose audio comes in events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from tests.conformance.case import Scene
from tests.conformance.compare import ANY_ERROR
from tests.conformance.rules.base import Rule, error_event, server_steps, tell
from tests.conformance.rules.connection import SENDING_CALLS
from tests.conformance.trace import Failure, Trace
from tests.conformance.values import ErrorShape

__all__ = ["RULES"]

DEFAULT_MODEL_URL = "wss://api.openai.com/v1/realtime?model="


def _arguments(step: Mapping[str, Any]) -> dict[str, Any]:
    args = step.get("args") or [{}]
    return args[0] if isinstance(args[0], dict) else {}


def _is_over_socket(scene: Scene) -> bool:
    return scene.transport in ("websocket", "sip")


# Audio


def _bad_audio_is_told(scene: Scene, expected: Trace) -> None:
    for index, event in server_steps(scene):
        failures = [
            f
            for f in expected.failures
            if f.step == index and isinstance(f.error, ErrorShape) and f.error.cls == "DOMException"
        ]
        if failures and event.get("type") == "response.output_audio.delta":
            expected.failures = [f for f in expected.failures if f not in failures]
            tell(expected, index, error_event("ProtocolError"))


# Connecting


def _configures_first(scene: Scene, expected: Trace) -> None:
    if not _is_over_socket(scene):
        return
    for conn in {sent.conn for sent in expected.sent}:
        first, *rest = (sent for sent in expected.sent if sent.conn == conn)
        configuring = [s for s in rest if "model" in (s.event.get("session") or {})]
        if "session" not in first.event and configuring and configuring[0].step == first.step:
            expected.sent.remove(configuring[0])
            expected.sent.insert(expected.sent.index(first), configuring[0])


def _takes_an_open_socket(scene: Scene, expected: Trace) -> None:
    is_open = scene.fakes.get("socketOpenAtCreation")
    if not is_open or scene.options.get("skipOpenEventListeners"):
        return
    steps = [index for index, step in enumerate(scene.steps) if step.get("call") == "connect"]
    if steps:
        expected.forget_from(steps[0])
        expected.requirements.append(("connect succeeds", _first_connect_succeeds))


def _first_connect_succeeds(actual: Trace) -> bool:
    return [p.outcome for p in actual.promises if p.call == "connect"][:1] == ["ok"]


def _refuses_while_connecting(scene: Scene, expected: Trace) -> None:
    for emitted in list(expected.emitted):
        call = scene.steps[emitted.step].get("call")
        shape = emitted.args[0].get("error") if emitted.type == "error" else None
        message = shape.message if isinstance(shape, ErrorShape) else None
        if call in SENDING_CALLS and (message or "").startswith("WebSocket is not open"):
            expected.emitted.remove(emitted)
            error = ErrorShape("TransportError", ANY_ERROR)
            expected.failures.append(Failure(emitted.step, "call", error, call))


def _audio_is_refused_without_a_connection(scene: Scene, expected: Trace) -> None:
    for index, step in enumerate(scene.steps):
        if scene.transport != "websocket" or step.get("call") != "sendAudio":
            continue
        is_refused = any(f.step == index and f.where == "call" for f in expected.failures)
        if expected.status_before(index) != "connected" and not is_refused:
            error = ErrorShape("TransportError", ANY_ERROR)
            expected.failures.append(Failure(index, "call", error, "sendAudio"))


def _refuses_while_closing(scene: Scene, expected: Trace) -> None:
    is_closing = False
    for index, step in enumerate(scene.steps):
        if not _is_over_socket(scene) or expected.status_before(index) != "connected":
            is_closing = False
        elif step.get("socket") == "closing" and "conn" not in step:
            is_closing = True
        elif is_closing and step.get("call") in SENDING_CALLS:
            expected.emitted = [e for e in expected.emitted if e.step != index]
            error = ErrorShape("TransportError", ANY_ERROR)
            if not any(f.step == index and f.where == "call" for f in expected.failures):
                expected.failures.append(Failure(index, "call", error, step["call"]))
            expected.forget_from(index + 1)
            return
        elif is_closing and isinstance(step.get("server"), dict):
            expected.forget_from(index)  # it may be answered, which then fails
            return


def _url_is_for_one_connection(scene: Scene, expected: Trace) -> None:
    if not _is_over_socket(scene):
        return
    for socket in expected.sockets:
        given = _arguments(scene.steps[socket.step])
        if scene.steps[socket.step].get("call") != "connect" or given.keys() & {"url", "callId"}:
            continue
        own = scene.options.get("url")
        models = [
            sent.event["session"]["model"]
            for sent in expected.sent
            if sent.conn == socket.conn and "model" in (sent.event.get("session") or {})
        ]
        if own or models:
            socket.how["url"] = own or f"{DEFAULT_MODEL_URL}{models[0]}"
        elif not socket.how["url"].startswith(DEFAULT_MODEL_URL):
            expected.forget_from(socket.step)
            return


def _url_names_the_call(scene: Scene, expected: Trace) -> None:
    for socket in expected.sockets:
        given = _arguments(scene.steps[socket.step])
        if given.get("url") and given.get("callId"):
            socket.how["url"] = _at_endpoint(given["url"], given["callId"])


def _url_of_the_option_names_the_call(scene: Scene, expected: Trace) -> None:
    own = scene.options.get("url")
    for socket in expected.sockets:
        given = _arguments(scene.steps[socket.step])
        if own and given.get("callId") and not given.get("url"):
            socket.how["url"] = _at_endpoint(own, given["callId"])


def _at_endpoint(url: str, call_id: str) -> str:
    """The address of a call at an endpoint, whose own model or call gives way."""
    endpoint, _, query = url.partition("?")
    kept = [pair for pair in query.split("&") if pair and not _names_what_is_wanted(pair)]
    call = f"call_id={quote(call_id, safe='')}"
    return f"{endpoint}?{'&'.join([*kept, call])}"


def _names_what_is_wanted(pair: str) -> bool:
    return pair.partition("=")[0] in ("model", "call_id")


def _url_is_encoded(scene: Scene, expected: Trace) -> None:
    for socket in expected.sockets:
        for name in ("model", "call_id"):
            endpoint, separator, value = socket.how["url"].partition(f"/v1/realtime?{name}=")
            if separator and endpoint == "wss://api.openai.com":
                socket.how["url"] = f"{endpoint}{separator}{quote(value, safe='')}"


def _built_config_has_tracing(scene: Scene, expected: Trace) -> None:
    names = {"workflowName": "workflow_name", "groupId": "group_id", "traceMetadata": "metadata"}
    for promise in expected.promises:
        args = scene.steps[promise.step].get("args") or []
        options = args[1] if promise.call == "buildInitialConfig" and len(args) > 1 else {}
        if "workflowName" in options and not options.get("tracingDisabled") and promise.value:
            tracing = {python: options[js] for js, python in names.items() if js in options}
            promise.value = {**promise.value, "tracing": tracing}


RULES = [
    Rule(
        "invalid-base64-throws",
        "audio that cannot be read is told as `error`",
        _bad_audio_is_told,
    ),
    Rule(
        "message-before-session-update",
        "the session's configuration is the first event on a connection",
        _configures_first,
    ),
    Rule(
        "already-open-socket-hangs",
        "a socket that is open already is used as it is",
        _takes_an_open_socket,
    ),
    Rule(
        "ws-send-while-connecting",
        "calls that send are refused until the connection is there",
        _refuses_while_connecting,
    ),
    Rule(
        "ws-audio-dropped-silently",
        "audio is refused without a connection, as all else is",
        _audio_is_refused_without_a_connection,
    ),
    Rule("ws-closing-drops", "calls that send fail on a closing socket", _refuses_while_closing),
    Rule(
        "connect-url-sticks",
        "the URL given to connect is for that connection",
        _url_is_for_one_connection,
    ),
    Rule(
        "connect-url-drops-callid",
        "a call is attached to at the URL that is given",
        _url_names_the_call,
    ),
    Rule(
        "callid-beats-option-url",
        "a call is attached to at the URL of the options",
        _url_of_the_option_names_the_call,
    ),
    Rule("url-not-encoded", "model and call id are encoded in the URL", _url_is_encoded),
    Rule(
        "sip-build-no-tracing",
        "the config for a call has what was said about tracing",
        _built_config_has_tracing,
    ),
]
