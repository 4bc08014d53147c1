"""What is particular to links whose audio comes in events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from tests.conformance.case import Scene
from tests.conformance.compare import ANY_ERROR
from tests.conformance.rules.base import Rule, error_event, server_steps, tell, told
from tests.conformance.rules.connection import SENDING_CALLS
from tests.conformance.trace import Failure, Sent, Trace
from tests.conformance.values import ErrorShape

__all__ = ["RULES"]

DEFAULT_MODEL_URL = "wss://api.openai.com/v1/realtime?model="

CANCEL = {"type": "response.cancel"}


def _arguments(step: Mapping[str, Any]) -> dict[str, Any]:
    args = step.get("args") or [{}]
    return args[0] if isinstance(args[0], dict) else {}


def _kind(step: Mapping[str, Any]) -> Any:
    return step["server"].get("type") if isinstance(step.get("server"), dict) else None


def _is_interrupted(step: Mapping[str, Any]) -> bool:
    return step.get("call") == "interrupt" or _kind(step) == "input_audio_buffer.speech_started"


def _sent(expected: Trace, step: int, event_type: str) -> list[Sent]:
    return [s for s in expected.sent if s.step == step and s.event.get("type") == event_type]


def _is_over_socket(scene: Scene) -> bool:
    return scene.transport in ("websocket", "sip")


# Audio


def _late_audio_is_dropped(scene: Scene, expected: Trace) -> None:
    cut_off: set[Any] = set()
    for index, step in enumerate(scene.steps):
        if any(emitted.type == "disconnected" for emitted in told(expected, index)):
            cut_off.clear()
        late = [e for e in told(expected, index) if e.type == "audio"]
        if late and step["server"].get("item_id") in cut_off:
            expected.emitted = [e for e in expected.emitted if e not in late]
            expected.forget_from(index + 1)
            return
        cut_off |= {
            sent.event["item_id"] for sent in _sent(expected, index, "conversation.item.truncate")
        }


def _interrupts_what_is_not_heard_yet(scene: Scene, expected: Trace) -> None:
    if scene.transport != "websocket":
        return
    is_running = is_cancelled = False
    for index, step in enumerate(scene.steps):
        is_read = any(emitted.type == _kind(step) for emitted in told(expected, index))
        if _kind(step) in ("response.created", "response.done") and is_read:
            is_running, is_cancelled = _kind(step) == "response.created", False
        elif any(e.type == "disconnected" for e in told(expected, index)):
            is_running = is_cancelled = False
        cancels = _sent(expected, index, "response.cancel")
        if cancels and is_cancelled:
            expected.sent = [sent for sent in expected.sent if sent not in cancels]
        elif cancels:
            is_cancelled = True
        elif is_running and not is_cancelled and _interrupts_fully(expected, index, step):
            _insert_cancel(expected, index)
            is_cancelled = True


def _interrupts_fully(expected: Trace, index: int, step: Mapping[str, Any]) -> bool:
    is_connected = expected.status_before(index) == "connected"
    return step.get("call") == "interrupt" and step.get("args") != [False] and is_connected


def _insert_cancel(expected: Trace, step: int) -> None:
    at = sum(sent.step < step for sent in expected.sent)
    conn = max(sent.conn for sent in expected.sent if sent.step < step)
    expected.sent.insert(at, Sent(step, conn, dict(CANCEL)))


def _server_interrupts_by_default(scene: Scene, expected: Trace) -> None:
    detection: Any = None
    left_running = False
    for index, step in enumerate(scene.steps):
        if any(emitted.type == "disconnected" for emitted in told(expected, index)):
            detection, left_running = None, False
        if _kind(step) in ("session.created", "session.updated") and told(expected, index):
            detection = _turn_detection(step["server"])
        if left_running and _is_interrupted(step):
            expected.forget_from(index)
            return
        is_default = isinstance(detection, dict) and "interrupt_response" not in detection
        cancels = _sent(expected, index, "response.cancel")
        if _kind(step) == "input_audio_buffer.speech_started" and is_default and cancels:
            expected.sent = [sent for sent in expected.sent if sent not in cancels]
            left_running = True


def _turn_detection(event: Mapping[str, Any]) -> Any:
    value: Any = event.get("session")
    for key in ("audio", "input", "turn_detection"):
        value = value.get(key) if isinstance(value, dict) else None
    return value


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
            separator = "&" if "?" in given["url"] else "?"
            call_id = quote(given["callId"], safe="")
            socket.how["url"] = f"{given['url']}{separator}call_id={call_id}"


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
        "ws-interrupt-noop-before-audio",
        "interrupt cancels a response of which nothing is heard yet",
        _interrupts_what_is_not_heard_yet,
    ),
    Rule(
        "interrupt-response-default-false",
        "where the session leaves it open, the server interrupts and the client does not cancel",
        _server_interrupts_by_default,
    ),
    Rule(
        "late-delta-after-interrupt",
        "audio of an item that was cut off is dropped",
        _late_audio_is_dropped,
    ),
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
    Rule("url-not-encoded", "model and call id are encoded in the URL", _url_is_encoded),
    Rule(
        "sip-build-no-tracing",
        "the config for a call has what was said about tracing",
        _built_config_has_tracing,
    ),
]
