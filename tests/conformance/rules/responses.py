"""When a response is asked for and cancelled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.conformance.case import Scene
from tests.conformance.rules.base import Rule, error_event, server_steps, tell, told
from tests.conformance.rules.request_slots import Moment, Request, error_of, moments, requests_of
from tests.conformance.trace import Sent, Trace

__all__ = ["RULES"]

CANCEL = {"type": "response.cancel"}

ACTIVE = "conversation_already_has_active_response"
NOT_ACTIVE = "response_cancel_not_active"

ANSWER_TIMEOUT_MS = 10_000
END_TIMEOUT_MS = 60_000
REMEMBERED = 16


def _is_interrupt(step: dict[str, Any]) -> bool:
    return step.get("call") == "interrupt"


def _sent_types(expected: Trace, step: int) -> list[Any]:
    return [sent.event.get("type") for sent in expected.sent if sent.step == step]


def _insert_cancel(expected: Trace, step: int) -> None:
    at = next(
        i
        for i, sent in enumerate(expected.sent)
        if sent.step == step and sent.event.get("type") == "output_audio_buffer.clear"
    )
    expected.sent.insert(at, Sent(step, expected.sent[at].conn, dict(CANCEL)))


def _cancels_after_audio_is_done(scene: Scene, expected: Trace) -> None:
    is_running = is_audio_done = is_cancelled = False
    for index, step in enumerate(scene.steps):
        kind = step["server"].get("type") if isinstance(step.get("server"), dict) else None
        # Only what the reference could read changes its state.
        is_read = any(emitted.type == kind for emitted in told(expected, index))
        if kind in ("response.created", "response.done") and is_read:
            is_running = kind == "response.created"
            is_audio_done = is_cancelled = False
        elif kind == "response.output_audio.done" and is_read:
            is_audio_done = True
        elif any(e.type == "disconnected" for e in told(expected, index)):
            is_running = False
        sent = _sent_types(expected, index)
        is_late = is_running and is_audio_done and not is_cancelled
        if _is_interrupt(step) and is_late and sent == ["output_audio_buffer.clear"]:
            _insert_cancel(expected, index)
            sent = ["response.cancel"]
        is_cancelled = is_cancelled or "response.cancel" in sent


def _cancels_again_after_a_failed_send(scene: Scene, expected: Trace) -> None:
    specs = [s for s in scene.fakes.get("sendFails", ()) if s.get("type") == "response.cancel"]
    messages = {spec["message"] for spec in specs}
    is_open = False
    for index, step in enumerate(scene.steps):
        failed = [f for f in expected.failures if f.step == index and f.call == "interrupt"]
        if any(getattr(f.error, "message", None) in messages for f in failed):
            is_open = True
        elif isinstance(step.get("server"), dict) and told(expected, index):
            is_open = is_open and step["server"].get("type") != "response.done"
        elif is_open and _is_interrupt(step):
            if _sent_types(expected, index) == ["output_audio_buffer.clear"]:
                _insert_cancel(expected, index)
            is_open = False


def _leaves_the_response_running(scene: Scene, expected: Trace) -> None:
    kept: list[int] = []
    for index, step in enumerate(scene.steps):
        if not _is_interrupt(step):
            continue
        if step.get("args") == [False] and "response.cancel" in _sent_types(expected, index):
            expected.sent = [s for s in expected.sent if (s.step, s.event) != (index, CANCEL)]
            kept.append(index)
        elif kept:  # the response still runs, so this one may cancel it
            expected.forget_from(index)
            return


def _ends_a_cancelled_response(scene: Scene, expected: Trace) -> None:
    for index, event in server_steps(scene):
        error = event.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        is_cancelled = any(s.event.get("type") == "response.cancel" for s in expected.sent)
        if code == "response_cancel_not_active" and is_cancelled:
            _goes_on_from(scene, expected, index)
            return


def _goes_on_from(scene: Scene, expected: Trace, step: int) -> None:
    """From here on requests leave that the reference keeps for ever."""
    expected.forget_from(step + 1)
    asking = [
        index
        for index, later in enumerate(scene.steps)
        if index > step and later.get("call") in ("requestResponse", "sendMessage")
    ]
    if asking:

        def is_sent(actual: Trace) -> bool:
            return any(
                s.event.get("type") == "response.create" and step <= s.step <= asking[-1]
                for s in actual.sent
            )

        expected.requirements.append(("a later request leaves", is_sent))


def _ends_with_any_response_done(scene: Scene, expected: Trace) -> None:
    for index, event in server_steps(scene):
        is_unread = [emitted.type for emitted in told(expected, index)] == ["*"]
        if event.get("type") == "response.done" and is_unread:
            if _is_its_end(scene, expected, index):
                tell(expected, index, ("turn_done", [_turn_read(event)]))
            conns = [sent.conn for sent in expected.sent]
            waiting = _waiting_request(scene, expected, index)
            if waiting is not None:
                at = sum(sent.step <= index for sent in expected.sent)
                expected.sent.insert(at, Sent(index, conns[-1], waiting))
            _goes_on_from(scene, expected, index)
            return


def _is_its_end(scene: Scene, expected: Trace, step: int) -> bool:
    """Whether the `response.done` in a step ends the response that runs."""
    now = next(now for now in moments(scene, expected) if now.step == step)
    response = scene.steps[step]["server"].get("response")
    response_id = response.get("id") if isinstance(response, dict) else None
    is_named = isinstance(response_id, str) and now.response_id is not None
    return now.is_running and (not is_named or response_id == now.response_id)


def _turn_read(event: Mapping[str, Any]) -> dict[str, Any]:
    """What `turn_done` can say of a `response.done` that has no known form."""

    def read(fields: Mapping[str, Any], name: str, empty: Any) -> Any:
        return fields[name] if type(fields.get(name)) is type(empty) else empty

    response: dict[str, Any] = read(event, "response", {})
    usage: dict[str, Any] = read(response, "usage", {})
    counts = {f"{side}_tokens": read(usage, f"{side}_tokens", 0) for side in ("input", "output")}
    details = {
        f"{side}_tokens_details": read(usage, f"{side}_token_details", {})
        for side in ("input", "output")
    }
    spent = {**counts, "total_tokens": sum(counts.values()), **details}
    turn = {"id": read(response, "id", ""), "output": read(response, "output", []), "usage": spent}
    return {"type": "response_done", "response": turn}


def _waiting_request(scene: Scene, expected: Trace, step: int) -> dict[str, Any] | None:
    """The `response.create` that waits for the end of the response, if one does."""
    asked = [
        later
        for later in scene.steps[:step]
        if later.get("call") in ("requestResponse", "sendMessage")
    ]
    created = [
        sent
        for sent in expected.sent
        if sent.step <= step and sent.event.get("type") == "response.create"
    ]
    if len(asked) <= len(created):
        return None
    return {
        "type": "response.create",
        "event_id": f"agents_js_response_create_{len(created) + 1}",
    }


def _begins_and_ends_in_any_form(scene: Scene, expected: Trace) -> None:
    _ends_with_any_response_done(scene, expected)
    for index, event in server_steps(scene):
        is_unread = [emitted.type for emitted in told(expected, index)] == ["*"]
        if event.get("type") == "response.created" and is_unread:
            expected.forget_from(index + 1)
            return


def _waits_for_the_other_response(scene: Scene, expected: Trace) -> None:
    for now in moments(scene, expected):
        if not _is_error(now, ACTIVE) or now.in_flight is None:
            continue
        if now.linked in (None, now.in_flight.event_id):
            _said(expected, now.step, value=True)
            _keep_back(expected, now.step)
            if now.in_flight.is_interrupted:  # what was to be cancelled is the other response
                _send(expected, now.step, dict(CANCEL))
            expected.forget_from(now.step + 1)
            return


def _remembers_what_was_accepted(scene: Scene, expected: Trace) -> None:
    for now in moments(scene, expected):
        request = _refused_late(now)
        if request is None:
            continue
        _said(expected, now.step, value=True)
        now.accepted.remove(request)
        is_active = error_of(now.event).get("code") == ACTIVE
        # What was to be sent and failed is not recorded, so who stood for whom is not known then.
        if is_active or request.stands_for > 1 or _failing_sends(scene):
            # What is put back leaves at once where nothing runs.
            expected.forget_from(now.step + 1 if now.is_running else now.step)
            return


def _refused_late(now: Moment) -> Request | None:
    if now.kind != "error":
        return None
    late = now.accepted[-REMEMBERED:][::-1]
    if now.linked is not None:
        if now.in_flight and now.in_flight.event_id == now.linked:
            return None
        return next((each for each in late if each.event_id == now.linked), None)
    if not _is_error(now, ACTIVE) or now.in_flight:
        return None
    return next((r for r in late if now.now_ms - r.left_at_ms <= ANSWER_TIMEOUT_MS), None)


def _cancels_when_it_begins(scene: Scene, expected: Trace) -> None:
    is_cancelled = False
    for now in moments(scene, expected):
        if now.kind in ("response.created", "response.done", "closed"):
            is_cancelled = False
        for got in expected.gets:
            if is_cancelled and got.step == now.step and got.name == "responseControl":
                got.value = "cancel_requested"
        if is_cancelled and now.kind == "interrupt":
            expected.sent = [s for s in expected.sent if (s.step, s.event) != (now.step, CANCEL)]
            _said(expected, now.step, value=False)
        if is_cancelled and now.kind == "error" and _is_about_cancel(now):
            expected.forget_from(now.step)
            return
        if now.kind == "response.created" and now.in_flight and now.in_flight.is_interrupted:
            if any(each["type"] in ("*", CANCEL["type"]) for each in _failing_sends(scene)):
                expected.forget_from(now.step)
                return
            _send(expected, now.step, dict(CANCEL))
            is_cancelled = True


def _failing_sends(scene: Scene) -> list[dict[str, Any]]:
    return list(scene.fakes.get("sendFails", ()))


def _gives_up_in_time(scene: Scene, expected: Trace) -> None:
    waits_since: float | None = None
    for now in moments(scene, expected):
        flight = now.in_flight
        if flight and now.now_ms - flight.left_at_ms >= ANSWER_TIMEOUT_MS:
            if now.waiting or now.kind:
                expected.forget_from(now.step)
                return
            tell(expected, now.step, error_event("RealtimeError"))
            _goes_on_from(scene, expected, now.step)
            return
        is_waiting = now.is_running and bool(now.waiting) and flight is None
        if not is_waiting or now.kind in ("response.created", "response.done"):
            waits_since = None
        elif waits_since is None:
            waits_since = now.now_ms
        elif now.now_ms - waits_since >= END_TIMEOUT_MS:
            expected.forget_from(now.step)
            return


def _runs_beside(scene: Scene, expected: Trace) -> None:
    for index, step in enumerate(scene.steps):
        if not any(is_beside for _, is_beside in requests_of(scene, step)):
            continue
        if any(f.step == index for f in expected.failures):
            continue
        if "response.create" not in _sent_types(expected, index):
            first = step["args"][0]
            event = first if first.get("type") == "response.create" else _creation(first)
            _send(expected, index, {"event_id": _next_event_id(expected, index), **event})
        expected.forget_from(index + 1)
        return


def _creation(response: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.create", "response": response}


def _next_event_id(expected: Trace, step: int) -> str:
    prefix = "agents_js_response_create_"
    given = [s for s in expected.sent if str(s.event.get("event_id")).startswith(prefix)]
    return f"{prefix}{1 + sum(s.step <= step for s in given)}"


def _ends_by_its_id(scene: Scene, expected: Trace) -> None:
    for now in moments(scene, expected):
        if now.kind != "response.done" or not now.is_running:
            continue
        response = now.event.get("response")
        done_id = response.get("id") if isinstance(response, dict) else None
        ids = (done_id, now.response_id)
        if all(isinstance(each, str) for each in ids) and len(set(ids)) > 1:
            _keep_back(expected, now.step)
            expected.forget_from(now.step + 1)
            return


def _ends_what_was_cancelled(scene: Scene, expected: Trace) -> None:
    _ends_a_cancelled_response(scene, expected)
    for now in moments(scene, expected):
        if now.is_cancelled and now.kind == "error" and _is_about_cancel(now):
            _said(expected, now.step, value=True)
            # Whatever waits leaves now.
            expected.forget_from(now.step if now.waiting else now.step + 1)
            return


def _is_about_cancel(now: Moment) -> bool:
    error = error_of(now.event)
    if now.linked is not None:
        return False
    code, message = str(error.get("code")), str(error.get("message"))
    return code == NOT_ACTIVE or "response_cancel" in code or "response.cancel" in message


def _is_error(now: Moment, code: str) -> bool:
    return now.kind == "error" and error_of(now.event).get("code") == code


def _said(expected: Trace, step: int, *, value: bool) -> None:
    """Let the call of a step, if one was recorded, have given this."""
    for got in expected.gets:
        if got.step == step and got.kind == "call":
            got.value = value


def _keep_back(expected: Trace, step: int) -> None:
    """Let no request leave in a step."""
    expected.sent = [
        s for s in expected.sent if s.step != step or s.event.get("type") != "response.create"
    ]


def _send(expected: Trace, step: int, event: dict[str, Any]) -> None:
    """Let an event leave last in a step."""
    at = sum(sent.step <= step for sent in expected.sent)
    conn = expected.sent[at - 1].conn if at else 0
    expected.sent.insert(at, Sent(step, conn, event))


RULES = [
    Rule(
        "audio-done-clears-cancel-flag",
        "interrupt cancels until the response is done",
        _cancels_after_audio_is_done,
    ),
    Rule(
        "cancel-send-failure-wedges-control",
        "a cancellation that could not be sent is tried again",
        _cancels_again_after_a_failed_send,
    ),
    Rule(
        "rtc-interrupt-ignores-arg",
        "interrupt(False) clears the audio and leaves the response running",
        _leaves_the_response_running,
    ),
    Rule(
        "cancel-error-keeps-cancel-requested",
        "when there was nothing to cancel, the response is over",
        _ends_what_was_cancelled,
    ),
    Rule(
        "malformed-response-done-wedges",
        "a response.created or response.done of any form begins or ends the response",
        _begins_and_ends_in_any_form,
    ),
    Rule(
        "active-response-error-wedges",
        "a request rejected because another response is active waits for its end",
        _waits_for_the_other_response,
    ),
    Rule(
        "foreign-response-clears-pending",
        "an error about a request that seemed accepted still refuses it, or lets it wait again",
        _remembers_what_was_accepted,
    ),
    Rule(
        "interrupt-before-created-not-cancelled",
        "a response that was interrupted before it began is cancelled when it begins",
        _cancels_when_it_begins,
    ),
    Rule(
        "no-response-timeout",
        "a request without an answer fails after 10 s; one behind a response without an end "
        "leaves after 60 s",
        _gives_up_in_time,
    ),
    Rule(
        "out-of-band-serialised",
        "a request for a response outside of the conversation leaves at once",
        _runs_beside,
    ),
    Rule(
        "no-response-id-tracking",
        "only the end of the response that runs ends it",
        _ends_by_its_id,
    ),
]
