"""Connecting, losing the connection, and what may be sent when."""

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
    is_configuring,
    server_steps,
    tell,
    told,
)
from tests.conformance.trace import Emitted, Failure, Trace
from tests.conformance.values import ErrorShape

__all__ = ["RULES"]

EARLIEST_DEADLINE_MS = 10_000
"""The shortest deadline of a stage before the session's configuration."""

GRACE_MS = 5_000
"""How long a peer that was lost may take to come back, and a restart to bring it back."""

SENDING_CALLS = frozenset(
    {
        "sendEvent",
        "sendMessage",
        "addImage",
        "sendAudio",
        "requestResponse",
        "updateSessionConfig",
        "sendFunctionCallOutput",
        "sendMcpResponse",
        "resetHistory",
        "interrupt",
    }
)


def _no_key(scene: Scene, expected: Trace) -> None:
    steps = [c.step for c in expected.http if c.headers.get("authorization") == "Bearer undefined"]
    if not steps:
        return
    step = steps[0]
    expected.http = [call for call in expected.http if call.step != step]
    expected.sent = [sent for sent in expected.sent if sent.step < step]
    expected.emitted = [emitted for emitted in expected.emitted if emitted.step < step]
    fail_connect(expected, step, "UserError")
    disconnect(scene, expected, step)


def _channel_closes_when_connected(scene: Scene, expected: Trace) -> None:
    for index, step in enumerate(scene.steps):
        is_close = step.get("channel") == "close" and "conn" not in step
        if is_close and expected.status_before(index) == "connected":
            tell(expected, index, *DISCONNECTED, error_event("ConnectionLostError"))
            _stay_disconnected(scene, expected, index)
            return


def _stay_disconnected(scene: Scene, expected: Trace, index: int) -> None:
    """As `disconnect`, but sending fails anyhow on a link that is closed."""
    failures = {failure.step for failure in expected.failures if failure.where == "call"}
    until = expected.until
    disconnect(scene, expected, index)
    expected.until = until
    for later in range(index + 1, len(scene.steps)):
        step = scene.steps[later]
        is_known = step.keys() & {"get", "advanceMs", "pcState"} or later in failures
        if not is_known and step.get("call") not in ("close", "mute"):
            expected.forget_from(later)
            return


def _channel_closes_before_it_opens(scene: Scene, expected: Trace) -> None:
    for index, step in enumerate(scene.steps):
        if step.get("channel") != "close" or "conn" in step:
            continue
        is_connecting = expected.status_before(index) == "connecting"
        if (
            is_connecting
            and not is_configuring(scene, expected, index)
            and not told(expected, index)
        ):
            tell(expected, index, *DISCONNECTED, error_event("ConnectError"))
            fail_connect(expected, index, "ConnectError")
            disconnect(scene, expected, index)
            return


def _waits_for_ever(scene: Scene, expected: Trace) -> None:
    waited_ms = 0.0
    for index, step in enumerate(scene.steps):
        is_waiting = any(
            p.call == "connect" and p.step < index and (p.settled is None or p.settled > index)
            for p in expected.promises
        )
        if not is_waiting:
            waited_ms = 0.0
        elif "advanceMs" in step and not is_configuring(scene, expected, index):
            waited_ms += step["advanceMs"]
            if waited_ms >= EARLIEST_DEADLINE_MS:
                expected.forget_from(index)
                expected.requirements.append(("connect ends by itself", _connect_ends))
                return


def _connect_ends(actual: Trace) -> bool:
    return all(p.outcome != "pending" for p in actual.promises if p.call == "connect")


def _resolves_unconfirmed(scene: Scene, expected: Trace) -> None:
    for index, step in enumerate(scene.steps):
        changes = [e.args[0] for e in told(expected, index) if e.type == "connection_change"]
        is_unconfirmed = is_configuring(scene, expected, index) and changes[:1] == ["connected"]
        if "advanceMs" in step and is_unconfirmed and "disconnected" not in changes:
            expected.emitted = [e for e in expected.emitted if e.step != index]
            tell(expected, index, *DISCONNECTED, error_event("ConnectError"))
            fail_connect(expected, index, "ConnectError")
            disconnect(scene, expected, index)
            return


def _resolves_in_the_instant_of_the_loss(scene: Scene, expected: Trace) -> None:
    for index, step in enumerate(scene.steps):
        changes = [e.args[0] for e in told(expected, index) if e.type == "connection_change"]
        if "advanceMs" in step and changes == ["connected", "disconnected"]:
            expected.emitted = [e for e in expected.emitted if e.step != index]
            tell(expected, index, *DISCONNECTED)
            fail_connect(expected, index, "ConnectError")
            disconnect(scene, expected, index)
            return


def _refused_configuration(scene: Scene, expected: Trace) -> None:
    for index, event in server_steps(scene):
        if event.get("type") == "error" and is_configuring(scene, expected, index):
            tell(expected, index, *DISCONNECTED, error_event("ConnectError"))
            fail_connect(expected, index, "ConnectError")
            disconnect(scene, expected, index)
            return


def _rejects_with_an_event(scene: Scene, expected: Trace) -> None:
    failing = set()
    for failure in expected.failures:
        if failure.where == "reject" and _is_event(failure.error):
            failing.add(failure.step)
            failure.error = ErrorShape("ConnectError", ANY_ERROR)
    for emitted in expected.emitted:
        if emitted.step in failing or expected.status_before(emitted.step) == "connecting":
            _replace_event(emitted, "ConnectError")


def _tells_an_event(scene: Scene, expected: Trace) -> None:
    for emitted in expected.emitted:
        if expected.status_before(emitted.step) == "connected":
            _replace_event(emitted, "ConnectionLostError")


def _is_event(error: Any) -> bool:
    return isinstance(error, ErrorShape) and error.cls == "Event"


def _replace_event(emitted: Emitted, error_class: str) -> None:
    if emitted.type == "error" and _is_event(emitted.args[0].get("error")):
        emitted.args = error_event(error_class)[1]


def _late_timer(scene: Scene, expected: Trace) -> None:
    def is_late(emitted: Emitted) -> bool:
        if emitted.type != "error" or "advanceMs" not in scene.steps[emitted.step]:
            return False
        error = emitted.args[0].get("error")
        return isinstance(error, ErrorShape) and "acknowledged" in (error.message or "")

    expected.emitted = [emitted for emitted in expected.emitted if not is_late(emitted)]


def _call_id_of_a_path(scene: Scene, expected: Trace) -> None:
    if scene.transport != "webrtc":
        return
    answers = [step["http"] for step in scene.steps if isinstance(step.get("http"), dict)]
    headers = [dict(answer.get("headers") or {}).items() for answer in answers]
    locations = [str(v) for each in headers for name, v in each if name.lower() == "location"]
    meant = {location.rpartition("/")[2]: _last_segment(location) for location in locations}
    for got in expected.gets:
        if got.name == "callId" and isinstance(got.value, str):
            got.value = meant.get(got.value, got.value)
        elif got.name == "connectionState" and isinstance(got.value.get("callId"), str):
            call_id = got.value["callId"]
            got.value = {**got.value, "callId": meant.get(call_id, call_id)}


def _last_segment(location: str) -> str | None:
    path = location.partition("?")[0].partition("#")[0]
    return path.rstrip("/").rpartition("/")[2] or None


def _restarts_for_so_long(scene: Scene, expected: Trace) -> None:
    restarting_ms: float | None = None
    is_lost = False
    for index, step in enumerate(scene.steps):
        if expected.status_before(index) != "connected":
            restarting_ms, is_lost = None, False
        elif "pcState" in step and "conn" not in step:
            state = step["pcState"]
            restarting_ms = 0.0 if state == "connecting" and is_lost else None
            is_lost = state == "disconnected" or (state == "connecting" and is_lost)
        elif restarting_ms is not None and "advanceMs" in step:
            restarting_ms += step["advanceMs"]
            if restarting_ms >= GRACE_MS and not told(expected, index):
                tell(expected, index, *DISCONNECTED)
                disconnect(scene, expected, index)
                return


def _all_moves_to_the_other_connection(scene: Scene, expected: Trace) -> None:
    option = scene.options.get("changePeerConnection")
    if option == {"$changePeerConnection": "new"}:
        for sent in expected.sent:
            sent.conn += 1


def _refuses_before_confirmed(scene: Scene, expected: Trace) -> None:
    refused = [
        index
        for index, step in enumerate(scene.steps)
        if step.get("call") in SENDING_CALLS
        and is_configuring(scene, expected, index)
        and not any(f.step == index and f.where == "call" for f in expected.failures)
        and any(sent.step == index for sent in expected.sent)
    ]
    for index in refused:
        expected.sent = [sent for sent in expected.sent if sent.step != index]
        expected.emitted = [emitted for emitted in expected.emitted if emitted.step != index]
        error = ErrorShape("TransportError", ANY_ERROR)
        expected.failures.append(Failure(index, "call", error, scene.steps[index]["call"]))
    if refused:
        _forget_what_the_refused_brought_about(expected, refused[0])


def _forget_what_the_refused_brought_about(expected: Trace, refused: int) -> None:
    """What was not sent was not counted either, and no response is awaited."""
    depending = [
        sent.step
        for sent in expected.sent
        if sent.step > refused and str(sent.event.get("type")).startswith("response.")
    ]
    if depending:
        expected.forget_from(min(depending))


RULES = [
    Rule("bearer-undefined", "connect raises UserError when there is no key", _no_key),
    Rule(
        "channel-close-when-connected-unnoticed",
        "a data channel closed by the peer ends the connection with a ConnectionLostError",
        _channel_closes_when_connected,
    ),
    Rule(
        "channel-close-before-open-hangs",
        "a data channel closed before it opened ends the attempt",
        _channel_closes_before_it_opens,
    ),
    Rule("no-connect-deadline", "each stage of connecting has a deadline", _waits_for_ever),
    Rule(
        "ack-timeout-resolves-connect",
        "a session that is not confirmed in time fails the attempt",
        _resolves_unconfirmed,
    ),
    Rule(
        "disconnect-grace-vs-ack-timeout",
        "an attempt whose peer is lost never resolves",
        _resolves_in_the_instant_of_the_loss,
    ),
    Rule(
        "session-update-error-does-not-reject-connect",
        "an error of the server before the session is confirmed fails the attempt at once",
        _refused_configuration,
    ),
    Rule(
        "connect-rejects-with-event",
        "connect raises a ConnectError when the data channel fails",
        _rejects_with_an_event,
    ),
    Rule(
        "channel-error-event-object",
        "the `error` event of a failed data channel holds a ConnectionLostError",
        _tells_an_event,
    ),
    Rule(
        "ack-timer-survives-channel-error",
        "nothing of an attempt is told after it has failed",
        _late_timer,
    ),
    Rule(
        "location-parse",
        "the call id is the last segment of the path, without query and fragment",
        _call_id_of_a_path,
    ),
    Rule(
        "ice-restart-connecting",
        "a peer that restarts has as long to come back as one that is lost",
        _restarts_for_so_long,
    ),
    Rule(
        "replaced-pc-channel-on-old-pc",
        "data channel and track move to the connection that the caller put in place",
        _all_moves_to_the_other_connection,
    ),
    Rule(
        "sends-allowed-before-ack",
        "calls that send are refused until the session's configuration holds",
        _refuses_before_confirmed,
    ),
]
