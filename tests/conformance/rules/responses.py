"""When a response is asked for and cancelled."""

from __future__ import annotations

from typing import Any

from tests.conformance.case import Scene
from tests.conformance.rules.base import Rule, server_steps, told
from tests.conformance.trace import Sent, Trace

__all__ = ["RULES"]

CANCEL = {"type": "response.cancel"}


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
            conns = [sent.conn for sent in expected.sent]
            waiting = _waiting_request(scene, expected, index)
            if waiting is not None:
                at = sum(sent.step <= index for sent in expected.sent)
                expected.sent.insert(at, Sent(index, conns[-1], waiting))
            _goes_on_from(scene, expected, index)
            return


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


def _waits_for_the_other_response(scene: Scene, expected: Trace) -> None:
    for index, event in server_steps(scene):
        if _says_another_is_active(event):
            expected.forget_from(index + 1)
            return
    if scene.transport != "sequencer":
        return
    for index, step in enumerate(scene.steps):
        args = step.get("args") or [{}]
        is_error = step.get("call") == "handleResponseCreateError"
        if is_error and isinstance(args[0], dict) and _says_another_is_active(args[0]):
            for got in expected.gets:
                if got.step == index and got.kind == "call":
                    got.value = True
            expected.forget_from(index + 1)
            return


def _says_another_is_active(event: dict[str, Any]) -> bool:
    error = event.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return code == "conversation_already_has_active_response"


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
        _ends_a_cancelled_response,
    ),
    Rule(
        "malformed-response-done-wedges",
        "a response.done of any form ends the response",
        _ends_with_any_response_done,
    ),
    Rule(
        "active-response-error-wedges",
        "a request rejected because another response is active waits for its end",
        _waits_for_the_other_response,
    ),
]
