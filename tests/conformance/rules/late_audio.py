"""What a client without a sink tells and sends once audio came too late to be heard.

The reference plays late audio, and from there on its idea of what is heard is not ours. So all that
follows from what is heard is worked out here, from the steps alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.conformance.case import Scene
from tests.conformance.rules.base import tell, told
from tests.conformance.rules.heard import Heard
from tests.conformance.trace import Sent, Trace

__all__ = ["LateAudio"]

CANCEL = "response.cancel"
TRUNCATE = "conversation.item.truncate"
SPEECH = "input_audio_buffer.speech_started"


class LateAudio:
    """Follows a case step by step, and rewrites it from the first late audio on."""

    def __init__(self, scene: Scene, expected: Trace) -> None:
        self._expected = expected
        self._is_predictable = not (scene.fakes.get("sendFails") or scene.observers)
        self._is_rewriting = False
        self._heard = Heard()
        self._is_complete = False
        """Whether no more comes of the part that plays."""
        self._told_items: set[Any] = set()
        """Items of which audio was told since the last interruption."""
        self._cut_items: set[Any] = set()
        self._running: Any = None
        """The id of the response that runs, in a tuple."""
        self._is_cancelled = False
        self._is_silenced = False
        """Whether it was an interruption that cancelled it."""
        self._detection: Any = None

    def take(self, index: int, step: Mapping[str, Any]) -> bool:
        """Go through a step; False where what follows cannot be predicted."""
        self._heard.now_ms += step.get("advanceMs", 0)
        types = [emitted.type for emitted in told(self._expected, index)]
        if "disconnected" in types:
            self._disconnect()
        event = step.get("server")
        if isinstance(event, dict) and event.get("type") in types:
            return self._take_event(index, event)
        if step.get("call") == "interrupt" and self._expected.status_before(index) == "connected":
            self._interrupt(index, cancels=step.get("args") != [False])
        elif self._sent(index, CANCEL):
            self._is_cancelled = self._running is not None
        return True

    def _take_event(self, index: int, event: dict[str, Any]) -> bool:
        self._heard.follow(event)
        match event["type"]:
            case "session.created" | "session.updated":
                self._detection = _turn_detection(event)
            case "response.created":
                self._running = (event["response"].get("id"),)
                self._is_cancelled = self._is_silenced = bool(self._sent(index, CANCEL))
            case "response.done":
                self._end(event["response"].get("id"))
            case "response.output_audio.delta":
                return self._take_audio(index, event)
            case "response.output_audio.done":
                self._is_complete = True
            case "error" if self._is_rewriting and self._is_cancelled:
                self._expected.forget_from(index)  # it may be about the cancellation
                return False
            case kind if kind == SPEECH:
                self._yield_to_speech(index)
        return True

    def _disconnect(self) -> None:
        self._heard = Heard(self._heard.now_ms)
        self._told_items.clear()
        self._cut_items.clear()
        self._running, self._detection = None, None
        self._is_cancelled = self._is_silenced = self._is_complete = False

    def _end(self, response_id: Any) -> None:
        if self._running and (
            None in (response_id, *self._running) or (response_id,) == self._running
        ):
            self._running, self._is_cancelled, self._is_silenced = None, False, False

    def _take_audio(self, index: int, event: dict[str, Any]) -> bool:
        audio = [emitted for emitted in told(self._expected, index) if emitted.type == "audio"]
        if not audio:
            return True
        item_id, place = event["item_id"], (event["item_id"], event["content_index"])
        is_cut = item_id in self._cut_items
        is_silenced = self._is_silenced and (event.get("response_id"),) == self._running
        if not is_cut and not is_silenced:
            if place != self._heard.place:
                self._is_complete = False
            self._heard.take(event, len(audio[0].args[0]["data"]))
            self._told_items.add(item_id)
            return True
        if not is_cut and item_id in self._told_items:
            self._expected.forget_from(index)  # no server sends an item's audio for two responses
            return False
        self._is_rewriting = True
        self._expected.emitted = [e for e in self._expected.emitted if e not in audio]
        if not is_cut:
            self._cut_items.add(item_id)
            self._send(index, _truncation(place, self._heard.came_ms.get(place, 0.0)))
        if not self._is_predictable:
            self._expected.forget_from(index + 1)
        return self._is_predictable

    def _yield_to_speech(self, index: int) -> None:
        if self._heard.place is None:
            self._forget_sends(index)
            return
        detection = self._detection
        is_ours = not isinstance(detection, dict) or detection.get("interrupt_response") is False
        self._interrupt(index, cancels=is_ours)

    def _interrupt(self, index: int, *, cancels: bool) -> None:
        self._forget_sends(index)
        if cancels and self._running and not self._is_cancelled:
            self._is_cancelled = self._is_silenced = True
            self._send(index, {"type": CANCEL})
        heard, self._told_items = self._heard, set()
        if heard.place is None:
            return
        place, before_ms = heard.place, heard.came_ms.get(heard.place, 0.0)
        elapsed_ms = heard.now_ms - heard.began_ms
        is_cut_off = elapsed_ms < heard.length_ms or not self._is_complete
        end_ms = before_ms + min(elapsed_ms, heard.length_ms)
        heard.stop()
        self._is_complete = False
        if is_cut_off:
            self._cut_items.add(place[0])
            self._send(index, _truncation(place, end_ms))
            if self._is_rewriting:
                tell(self._expected, index, ("audio_interrupted", []))

    def _sent(self, index: int, kind: str) -> list[Sent]:
        return [s for s in self._expected.sent if (s.step, s.event.get("type")) == (index, kind)]

    def _forget_sends(self, index: int) -> None:
        if not self._is_rewriting:
            return
        expected = self._expected
        gone = [*self._sent(index, CANCEL), *self._sent(index, TRUNCATE)]
        expected.sent = [sent for sent in expected.sent if sent not in gone]
        expected.emitted = [
            e for e in expected.emitted if (e.step, e.type) != (index, "audio_interrupted")
        ]

    def _send(self, index: int, event: dict[str, Any]) -> None:
        if not self._is_rewriting:
            return
        sent = self._expected.sent
        at = sum(each.step <= index for each in sent)
        sent.insert(at, Sent(index, max(each.conn for each in sent[:at]), event))


def _turn_detection(event: Mapping[str, Any]) -> Any:
    value: Any = event.get("session")
    for key in ("audio", "input", "turn_detection"):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _truncation(place: tuple[Any, Any], end_ms: float) -> dict[str, Any]:
    item_id, content_index = place
    about = {"item_id": item_id, "content_index": content_index}
    return {"type": TRUNCATE, **about, "audio_end_ms": int(round(end_ms, 3))}
