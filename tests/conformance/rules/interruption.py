"""Stopping what the model says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.conformance.case import Scene
from tests.conformance.rules.base import Rule, tell, told
from tests.conformance.rules.heard import Heard
from tests.conformance.rules.late_audio import LateAudio
from tests.conformance.trace import Sent, Trace

__all__ = ["RULES"]

CANCEL = {"type": "response.cancel"}
CLEAR = "output_audio_buffer.clear"
TRUNCATE = "conversation.item.truncate"
SPEECH = "input_audio_buffer.speech_started"


def _kind(step: Mapping[str, Any]) -> Any:
    return step["server"].get("type") if isinstance(step.get("server"), dict) else None


def _is_interrupted(step: Mapping[str, Any]) -> bool:
    return step.get("call") == "interrupt" or _kind(step) == SPEECH


def _is_told(expected: Trace, step: int, event_type: str) -> bool:
    return any(emitted.type == event_type for emitted in told(expected, step))


def _sent(expected: Trace, step: int, event_type: str) -> list[Sent]:
    return [s for s in expected.sent if s.step == step and s.event.get("type") == event_type]


def _insert(expected: Trace, step: int, event: dict[str, Any], *, first: bool = False) -> None:
    at = sum(sent.step < step if first else sent.step <= step for sent in expected.sent)
    conn = max(sent.conn for sent in expected.sent if sent.step <= step)
    expected.sent.insert(at, Sent(step, conn, event))


@dataclass
class _Running:
    """The response that runs, as the events tell it."""

    is_running: bool = False
    response_id: Any = None
    is_cancelled: bool = False

    def follow(self, expected: Trace, index: int, step: Mapping[str, Any]) -> None:
        kind = _kind(step)
        if _is_told(expected, index, "disconnected"):
            self.is_running = False
        elif kind in ("response.created", "response.done") and _is_told(expected, index, kind):
            response_id = step["server"]["response"].get("id")
            if kind == "response.created":
                self.is_running, self.response_id, self.is_cancelled = True, response_id, False
            elif None in (response_id, self.response_id) or response_id == self.response_id:
                self.is_running = False


def _cancels_what_is_not_heard_yet(scene: Scene, expected: Trace) -> None:
    if scene.transport != "websocket":
        return
    running = _Running()
    for index, step in enumerate(scene.steps):
        running.follow(expected, index, step)
        cancels = _sent(expected, index, "response.cancel")
        if cancels and running.is_cancelled and _is_interrupted(step):
            expected.sent = [sent for sent in expected.sent if sent not in cancels]
        elif cancels:
            running.is_cancelled = True
        elif running.is_running and not running.is_cancelled and _cancels(expected, index, step):
            _insert(expected, index, dict(CANCEL), first=True)
            running.is_cancelled = True


def _cancels(expected: Trace, index: int, step: Mapping[str, Any]) -> bool:
    is_connected = expected.status_before(index) == "connected"
    return step.get("call") == "interrupt" and step.get("args") != [False] and is_connected


def _server_interrupts_by_default(scene: Scene, expected: Trace) -> None:
    detection: Any = None
    left_running = False
    for index, step in enumerate(scene.steps):
        if _is_told(expected, index, "disconnected"):
            detection, left_running = None, False
        if _kind(step) in ("session.created", "session.updated") and told(expected, index):
            detection = _turn_detection(step["server"])
        if left_running and _is_interrupted(step):
            expected.forget_from(index)
            return
        is_default = isinstance(detection, dict) and "interrupt_response" not in detection
        cancels = _sent(expected, index, "response.cancel")
        if _kind(step) == SPEECH and is_default and cancels:
            expected.sent = [sent for sent in expected.sent if sent not in cancels]
            left_running = True


def _turn_detection(event: Mapping[str, Any]) -> Any:
    value: Any = event.get("session")
    for key in ("audio", "input", "turn_detection"):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _late_audio_is_dropped(scene: Scene, expected: Trace) -> None:
    late = LateAudio(scene, expected)
    for index, step in enumerate(scene.steps):
        if not late.take(index, step):
            return


def _truncates_in_the_parts_own_time(scene: Scene, expected: Trace) -> None:
    heard = Heard()
    for index, step in enumerate(scene.steps):
        heard.now_ms += step.get("advanceMs", 0)
        if _is_told(expected, index, "disconnected"):
            heard = Heard(heard.now_ms)
        for emitted in told(expected, index):
            if emitted.type == _kind(step):
                heard.follow(step["server"])
            elif emitted.type == "audio":
                heard.take(step["server"], len(emitted.args[0]["data"]))
        for sent in _sent(expected, index, TRUNCATE):
            place = sent.event.get("item_id"), sent.event.get("content_index")
            before_ms = heard.came_ms.get(place, 0.0)
            if before_ms:
                here_ms = min(heard.now_ms - heard.began_ms, heard.length_ms)
                here_ms = here_ms if place == heard.place else 0.0
                sent.event = {**sent.event, "audio_end_ms": int(round(before_ms + here_ms, 3))}
        if _is_told(expected, index, "audio_interrupted"):
            heard.stop()


def _truncates_where_the_user_stopped(scene: Scene, expected: Trace) -> None:
    _late_audio_is_dropped(scene, expected)
    _truncates_in_the_parts_own_time(scene, expected)


@dataclass
class _ServerPlayback:
    """What the server plays, as its events tell it."""

    is_playing: bool = False
    response_id: Any = None
    is_cut_off: bool = False

    def stop(self, response_id: Any) -> bool:
        is_known = self.is_playing and None not in (response_id, self.response_id)
        if is_known and response_id != self.response_id:
            return False
        self.is_playing = self.is_cut_off = False
        return True

    def follow(self, step: Mapping[str, Any]) -> bool:
        """Whether the server has cut something off that nobody was told of."""
        event = step["server"]
        response_id = event.get("response_id")
        response_id = response_id if isinstance(response_id, str) else None
        match event.get("type"):
            case "output_audio_buffer.started":
                self.is_playing, self.response_id, self.is_cut_off = True, response_id, False
            case "output_audio_buffer.stopped":
                self.stop(response_id)
            case "output_audio_buffer.cleared":
                is_news = not self.is_cut_off
                return self.stop(response_id) and is_news
        return False


def _tells_only_what_is_cut_off(scene: Scene, expected: Trace) -> None:
    """Over WebSocket: where everything that came was heard nothing is truncated."""
    for index, step in enumerate(scene.steps):
        is_whole = _is_interrupted(step) and not _sent(expected, index, TRUNCATE)
        has_failed = any(failure.step == index for failure in expected.failures)
        if is_whole and not has_failed and not _is_told(expected, index, "disconnected"):
            expected.emitted = [
                e for e in expected.emitted if (e.step, e.type) != (index, "audio_interrupted")
            ]


def _tells_that_audio_is_interrupted(scene: Scene, expected: Trace) -> None:
    if scene.transport == "websocket":
        _tells_only_what_is_cut_off(scene, expected)
    playback = _ServerPlayback()
    for index, step in enumerate(scene.steps):
        if _is_told(expected, index, "disconnected"):
            playback = _ServerPlayback()
        is_news = False
        if isinstance(step.get("server"), dict) and _is_told(expected, index, "*"):
            is_news = playback.follow(step)
        if _is_interrupted(step) and _sent(expected, index, CLEAR):
            is_news = playback.is_playing and not playback.is_cut_off
            playback.is_cut_off = playback.is_playing
        if is_news:
            tell(expected, index, ("audio_interrupted", []))


RULES = [
    Rule(
        "ws-interrupt-noop-before-audio",
        "interrupt cancels a response of which nothing is heard yet",
        _cancels_what_is_not_heard_yet,
    ),
    Rule(
        "interrupt-response-default-false",
        "where the session leaves it open, the server interrupts and the client does not cancel",
        _server_interrupts_by_default,
    ),
    Rule(
        "late-delta-after-interrupt",
        "audio of an item that was cut off, or of a response that was cancelled, is dropped, and a "
        "part that goes on is truncated in its own time, not since it went on",
        _truncates_where_the_user_stopped,
    ),
    Rule(
        "rtc-no-audio-interrupted",
        "audio that is cut off is told, once, whoever cuts it off",
        _tells_that_audio_is_interrupted,
    ),
]
