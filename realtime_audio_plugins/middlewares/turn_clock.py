"""When what happened in a turn, by events and by what was heard. Decides without a clock.

A turn is one response of the model. It is complete when the response is done and its sound is over;
of an interrupted one the sound goes on for a moment, as audio is still on its way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["TurnClock", "TurnTimes"]

QUIET_S = 0.3
"""So long without a sound means that the answer is over, not that the model takes a breath."""


@dataclass(slots=True)
class TurnTimes:
    """What is known of one turn; times in seconds of the caller's clock."""

    response_id: str
    created_s: float
    asked_s: float
    """When the answer was asked for; by the server's turn detection when it was created."""
    speech_end_s: float | None = None
    """When the user had stopped talking; None when nobody talked."""
    is_speech_heard: bool = False
    """Whether that is from the audio itself, and not from an event about it."""
    first_sound_s: float | None = None
    last_sound_s: float | None = None
    is_sound_heard: bool = False
    """Whether these are from the audio itself."""
    interrupted_s: float | None = None
    truncated_ms: float | None = None
    """How much of it the conversation keeps as heard."""
    status: str | None = None
    """None until the response is done."""
    usage: Mapping[str, Any] = field(default_factory=dict)
    is_sound_owed: bool = False
    """Whether the response, though done, was to be heard and was not yet."""
    is_playback_over: bool | None = None
    """False while the server says that it plays; None where it says nothing of it."""


class TurnClock:
    """Follows one connection. Every call gets the time; `take_finished` gives complete turns."""

    def __init__(self) -> None:
        self._turn: TurnTimes | None = None
        self._finished: list[TurnTimes] = []
        self._asked_s: float | None = None
        self._voice_end_s: float | None = None
        """The end of the last sound of the user's since the turn before."""
        self._stopped_s: float | None = None
        """When an event said that the user had stopped."""
        self._is_listening = False
        """Whether the model's audio passes by here."""

    def take_finished(self) -> list[TurnTimes]:
        """The turns that are complete, in order; they are forgotten here."""
        finished, self._finished = self._finished, []
        return finished

    def closed(self) -> None:
        """The connection is over, and with it the turn."""
        self._finish()
        self._asked_s = self._voice_end_s = self._stopped_s = None
        self._is_listening = False

    def sent_audio(self, end_s: float, *, is_sound: bool) -> None:
        """A frame of the user's audio has left, up to this time."""
        if is_sound:
            self._voice_end_s = end_s

    def heard_audio(self, begin_s: float, end_s: float, *, is_sound: bool) -> None:
        """A frame of the model's audio is heard, from one time to the other."""
        self._is_listening = True
        turn = self._turn
        if turn is None:
            return
        if is_sound:
            if not turn.is_sound_heard:
                turn.first_sound_s, turn.is_sound_heard = begin_s, True
            turn.last_sound_s = end_s
        elif self._is_complete(turn) and self._is_quiet(turn, end_s):
            self._finish()

    def sent_event(self, event: Mapping[str, Any], now_s: float) -> None:
        """A client event leaves."""
        match event.get("type"):
            case "response.create" if self._asked_s is None:
                self._asked_s = now_s
            case "input_audio_buffer.commit":
                self._stopped_s = now_s
            case "response.cancel" | "output_audio_buffer.clear":
                self._interrupt(now_s)
            case "conversation.item.truncate":
                self._truncate(event)

    def received_event(self, event: Mapping[str, Any], now_s: float) -> None:
        """A server event comes."""
        match event.get("type"):
            case "response.created":
                self._begin(event.get("response"), now_s)
            case "response.done":
                self._end(event.get("response"))
            case "response.output_audio.delta":
                self._note_sound(now_s)
            case "output_audio_buffer.started":
                self._note_sound(now_s)
                if self._turn is not None:
                    self._turn.is_playback_over = False
            case "output_audio_buffer.stopped" | "output_audio_buffer.cleared":
                self._end_playback()
            case "input_audio_buffer.speech_started":
                self._interrupt(now_s)
            case "input_audio_buffer.speech_stopped":
                self._stopped_s = now_s
            case "conversation.item.truncated":
                self._truncate(event)

    def _begin(self, response: Any, now_s: float) -> None:
        self._finish()
        response_id = response.get("id") if isinstance(response, Mapping) else None
        voice_end_s = self._voice_end_s
        self._turn = TurnTimes(
            response_id=str(response_id),
            created_s=now_s,
            asked_s=now_s if self._asked_s is None else self._asked_s,
            speech_end_s=self._stopped_s if voice_end_s is None else voice_end_s,
            is_speech_heard=voice_end_s is not None,
        )
        self._asked_s = self._voice_end_s = self._stopped_s = None

    def _end(self, response: Any) -> None:
        turn = self._turn
        if turn is None or not isinstance(response, Mapping):
            return
        if str(response.get("id")) != turn.response_id:
            return  # one beside the conversation
        turn.status = str(response.get("status"))
        usage = response.get("usage")
        turn.usage = usage if isinstance(usage, Mapping) else {}
        turn.is_sound_owed = turn.first_sound_s is None and _has_audio(response)
        self._finish_if_over(turn)

    def _end_playback(self) -> None:
        if self._turn is not None:
            self._turn.is_playback_over = True
            self._finish_if_over(self._turn)

    def _finish_if_over(self, turn: TurnTimes) -> None:
        """Where no audio passes by, or none is to come, there is nothing to wait for."""
        if self._is_complete(turn) and (not self._is_listening or turn.first_sound_s is None):
            self._finish()

    def _is_complete(self, turn: TurnTimes) -> bool:
        if turn.status is None or turn.is_playback_over is False:
            return False
        return turn.first_sound_s is not None or not turn.is_sound_owed

    def _is_quiet(self, turn: TurnTimes, now_s: float) -> bool:
        return now_s - (turn.last_sound_s or turn.created_s) >= QUIET_S

    def _finish(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            self._finished.append(turn)

    def _note_sound(self, now_s: float) -> None:
        """An event says that there is sound; what is heard of it counts more."""
        if self._turn is not None and self._turn.first_sound_s is None:
            self._turn.first_sound_s = now_s

    def _interrupt(self, now_s: float) -> None:
        turn = self._turn
        if turn is None or turn.first_sound_s is None or turn.interrupted_s is not None:
            return
        if turn.status is None or not turn.is_playback_over:
            turn.interrupted_s = now_s

    def _truncate(self, event: Mapping[str, Any]) -> None:
        end_ms = event.get("audio_end_ms")
        if self._turn is not None and isinstance(end_ms, int | float):
            self._turn.truncated_ms = end_ms


def _has_audio(response: Mapping[str, Any]) -> bool:
    """Whether any part of the output is speech, which a cancelled response need not come to."""
    if response.get("status") == "cancelled":
        return False
    items = _objects(response.get("output"))
    kinds = {str(part.get("type")) for item in items for part in _objects(item.get("content"))}
    return bool(kinds & {"audio", "output_audio"})


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []
