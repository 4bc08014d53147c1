"""Stopping what the model says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.case import Scene
from tests.conformance.rules.base import Rule, tell, told
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


@dataclass
class _Silenced:
    """What is not to be heard any more."""

    running: _Running = field(default_factory=_Running)
    is_cancelled: bool = False
    """Whether an interruption cancelled the response that runs."""
    items: set[Any] = field(default_factory=set)
    heard: set[Any] = field(default_factory=set)
    """Items of which audio was told since the last interruption."""

    def follow(self, expected: Trace, index: int, step: Mapping[str, Any]) -> None:
        self.running.follow(expected, index, step)
        self.is_cancelled &= self.running.is_running and _kind(step) != "response.created"
        if _is_told(expected, index, "disconnected"):
            self.items.clear()
        if _is_told(expected, index, "audio"):
            self.heard.add(step["server"].get("item_id"))
        elif _is_told(expected, index, "audio_interrupted"):
            self.heard.clear()
        self.items |= {sent.event["item_id"] for sent in _sent(expected, index, TRUNCATE)}
        # With `response.created` it is a response that was interrupted before it began.
        if _is_interrupted(step) or _kind(step) == "response.created":
            self.is_cancelled |= bool(_sent(expected, index, "response.cancel"))


def _late_audio_is_dropped(scene: Scene, expected: Trace) -> None:
    silenced = _Silenced()
    for index, step in enumerate(scene.steps):
        late = [e for e in told(expected, index) if e.type == "audio"]
        delta = step["server"] if late else {}
        is_cut_off = delta.get("item_id") in silenced.items
        response_id = delta.get("response_id")
        is_cancelled = silenced.is_cancelled and response_id == silenced.running.response_id
        if late and (is_cut_off or is_cancelled):
            if not is_cut_off and delta.get("item_id") in silenced.heard:
                expected.forget_from(index)  # no server sends an item's audio for two responses
                return
            expected.emitted = [e for e in expected.emitted if e not in late]
            if not is_cut_off:
                place = {name: delta[name] for name in ("item_id", "content_index")}
                _insert(expected, index, {"type": TRUNCATE, **place, "audio_end_ms": 0})
            expected.forget_from(index + 1)
            return
        silenced.follow(expected, index, step)


@dataclass
class _Heard:
    """What comes of each part, and since when the last one is heard."""

    now_ms: float = 0.0
    place: tuple[Any, Any] | None = None
    began_ms: float = 0.0
    length_ms: float = 0.0
    came_ms: dict[Any, float] = field(default_factory=dict)
    session_format: Any = None
    formats: dict[Any, Any] = field(default_factory=dict)

    def take(self, event: Mapping[str, Any], size: int) -> None:
        place = event["item_id"], event["content_index"]
        if place != self.place:
            self.stop()
            self.place, self.began_ms = place, self.now_ms
        audio_format = self.formats.get(event.get("response_id")) or self.session_format
        kind = audio_format.get("type") if isinstance(audio_format, dict) else audio_format
        if str(kind).startswith(("audio/pcmu", "audio/pcma", "g711")):
            self.length_ms += size / 8
        else:
            rate = (audio_format or {}).get("rate") if isinstance(audio_format, dict) else None
            self.length_ms += size / 2 / (rate or 24_000) * 1000

    def stop(self) -> None:
        if self.place is not None:
            self.came_ms[self.place] = self.came_ms.get(self.place, 0.0) + self.length_ms
        self.place, self.length_ms = None, 0.0

    def follow(self, event: Mapping[str, Any]) -> None:
        response = event.get("response") or {}
        match event.get("type"):
            case "session.created" | "session.updated":
                self.session_format = _output_format(event.get("session"))
            case "response.created" if response.get("id"):
                self.formats[response["id"]] = _output_format(response) or self.session_format
            case "response.done":
                self.formats.pop(response.get("id"), None)


def _output_format(value: Any) -> Any:
    for key in ("audio", "output", "format"):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _truncates_in_the_parts_own_time(scene: Scene, expected: Trace) -> None:
    heard = _Heard()
    for index, step in enumerate(scene.steps):
        heard.now_ms += step.get("advanceMs", 0)
        if _is_told(expected, index, "disconnected"):
            heard = _Heard(heard.now_ms)
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


def _tells_that_audio_is_interrupted(scene: Scene, expected: Trace) -> None:
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
