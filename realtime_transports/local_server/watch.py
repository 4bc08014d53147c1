"""Follows a session by its events: what was said, how fast it was answered, how it ended.

It decides nothing and sends nothing. Audio in events is replaced by its size and secrets by a
mark, so that what is kept is small and may be shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from realtime_core.masking import mask_secrets
from realtime_core.serving import ServedSession, ServedTurn, ServerObserver, ToolCall

if TYPE_CHECKING:
    from realtime_transports.openai.server_outputs import JsonObject

__all__ = ["SessionWatch", "without_audio"]

MAX_EVENTS = 20_000
"""Of each side, kept for a test; an hour of audio in 20 ms events is ten times that."""

MAX_TEXT = 20_000
"""Characters of a turn's texts that are kept."""

AUDIO_MEMBERS = frozenset({"audio", "data"})
AUDIO_DELTAS = ("response.output_audio.delta", "response.audio.delta")
"""No set: the type of what a client sends may be a list."""

FIRST_WORDS = {
    *AUDIO_DELTAS,
    "response.output_audio_transcript.delta",
    "response.output_text.delta",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
}
"""What tells that an answer has begun to be heard or read."""

TEXT_DELTAS = frozenset({"response.output_audio_transcript.delta", "response.output_text.delta"})

ENDS_OF_TURNS = frozenset({"input_audio_buffer.speech_stopped", "input_audio_buffer.committed"})


class SessionWatch:
    """Fills a `ServedSession`."""

    def __init__(
        self,
        session: ServedSession,
        *,
        now: Callable[[], float],
        observer: ServerObserver | None = None,
        keeps_events: bool = False,
    ) -> None:
        """Begin with a session that begins now.

        Args:
            session: What is filled.
            now: The time, in seconds of any clock that only goes forward.
            observer: Told what happens.
            keeps_events: Whether events are kept, or only counted.
        """
        self.session = session
        self._now = now
        self._observer = observer
        self._keeps_events = keeps_events
        self._began_s = now()
        self._heard: dict[str, str] = {}
        """What each item of the user says, as far as that is known."""
        self._last_user_item: str | None = None
        self._turn_ended_s: float | None = None
        self._turns: dict[str, _Open] = {}
        if observer is not None:
            observer.session_started(session)

    def client_event(self, event: JsonObject) -> None:
        """The client sent this."""
        self._keep(self.session.client_events, event)
        match event.get("type"):
            case "response.create":
                self._turn_ended_s = self._now()
            case "conversation.item.create":
                self._note_written(event.get("item"))
        self._tell_passed()

    def server_event(self, event: JsonObject) -> None:
        """This leaves."""
        self._keep(self.session.server_events, event)
        event_type = event["type"]
        if event_type in ENDS_OF_TURNS:
            self._note_end_of_turn(event)
        elif event_type == "conversation.item.input_audio_transcription.completed":
            self._note_heard(event["item_id"], event["transcript"])
        elif event_type == "session.updated":
            self.session.model = event["session"].get("model", self.session.model)
        elif event_type == "response.created":
            self._begin(event["response"]["id"])
        elif event_type == "response.done":
            self._end(event["response"])
        elif (turn := self._turns.get(event.get("response_id", ""))) is not None:
            turn.take(event, self._now())
        self._tell_passed()

    def end(self, reason: str) -> None:
        """The session is over. The first reason is the one that counts."""
        if self.session.ended is not None:
            return
        self.session.duration_s = self._now() - self._began_s
        self.session.ended = reason
        if self._observer is not None:
            self._observer.session_ended(self.session)

    def _tell_passed(self) -> None:
        if self._observer is not None:
            self._observer.event_passed(self.session)

    def _keep(self, events: list[dict[str, Any]], event: JsonObject) -> None:
        if not self._keeps_events:
            self.session.forgotten_events += 1
            return
        try:
            events.append(mask_secrets(without_audio(event)))
        except RecursionError:  # JSON may be read deeper than Python calls
            events.append({"type": event.get("type")})
        if len(events) > MAX_EVENTS:
            del events[0]
            self.session.forgotten_events += 1

    def _note_written(self, item: object) -> None:
        if not isinstance(item, dict):
            return
        if item.get("type") == "function_call_output":
            self._last_user_item = None  # the answer to it answers nothing the user said
            return
        content = item.get("content")
        if item.get("role") != "user" or not isinstance(content, list):
            return
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        self._last_user_item = str(item.get("id") or f"written {len(self._heard)}")
        self._note_heard(self._last_user_item, " ".join(t for t in texts if isinstance(t, str)))

    def _note_end_of_turn(self, event: JsonObject) -> None:
        if event["type"] == "input_audio_buffer.speech_stopped" or self._turn_ended_s is None:
            self._turn_ended_s = self._now()
        self._last_user_item = event["item_id"]

    def _note_heard(self, item_id: str, text: str) -> None:
        self._heard[item_id] = text[:MAX_TEXT]
        for opened in reversed(self._turns.values()):
            if opened.user_item == item_id:
                opened.turn.user = text[:MAX_TEXT]
                return

    def _begin(self, response_id: str) -> None:
        now_s = self._now()
        turn = ServedTurn(len(self.session.turns) + 1, response_id)
        turn.user = self._heard.get(self._last_user_item or "", "")
        asked_s = now_s if self._turn_ended_s is None else self._turn_ended_s
        self._turns[response_id] = _Open(turn, self._last_user_item, asked_s, now_s)
        self._turn_ended_s = None
        self.session.turns.append(turn)

    def _end(self, response: JsonObject) -> None:
        opened = self._turns.get(response["id"])
        if opened is None:
            return
        turn = opened.turn
        turn.status = response["status"]
        turn.duration_s = self._now() - opened.began_s
        if turn.status != "completed":
            turn.reason = _reason(response.get("status_details"))
        if self._observer is not None:
            self._observer.turn_done(self.session, turn)


class _Open:
    """A turn, and what it is measured from."""

    def __init__(
        self, turn: ServedTurn, user_item: str | None, asked_s: float, began_s: float
    ) -> None:
        self.turn = turn
        self.user_item = user_item
        self.began_s = began_s
        self._asked_s = asked_s

    def take(self, event: JsonObject, now_s: float) -> None:
        """Take an event of its response."""
        turn = self.turn
        if event["type"] in FIRST_WORDS and turn.latency_s is None:
            turn.latency_s = now_s - self._asked_s
        if event["type"] in TEXT_DELTAS:
            turn.agent = (turn.agent + event["delta"])[:MAX_TEXT]
        elif event["type"] == "response.function_call_arguments.done":
            call = ToolCall(event.get("name", ""), event["arguments"], event["call_id"])
            turn.calls.append(call)


def without_audio(event: JsonObject) -> JsonObject:
    """A copy of an event with the size of its audio in the place of it."""
    if event.get("type") in AUDIO_DELTAS:
        return {**event, "delta": _size(event.get("delta"))}
    copy: JsonObject = _without_audio(event)
    return copy


def _without_audio(value: Any) -> Any:
    match value:
        case dict():
            return {
                key: _size(inner)
                if key in AUDIO_MEMBERS and isinstance(inner, str)
                else _without_audio(inner)
                for key, inner in value.items()
            }
        case list():
            return [_without_audio(inner) for inner in value]
    return value


def _size(base64_audio: Any) -> Any:
    if not isinstance(base64_audio, str):
        return base64_audio
    return f"<{len(base64_audio) * 3 // 4} bytes of audio>"


def _reason(details: object) -> str | None:
    if not isinstance(details, dict):
        return None
    error = details.get("error")
    if isinstance(error, dict):
        return str(error.get("code") or error.get("message") or details.get("type"))
    reason = details.get("reason") or details.get("type")
    return None if reason is None else str(reason)
