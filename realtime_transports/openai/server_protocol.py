"""The server's side of the OpenAI Realtime protocol, without I/O and without a clock.

The shell gives it what comes: client events, the user's audio, what the responder says, how much
has been played. After each call it takes what is to be done, in order, with `take_outputs`. Every
call gets the time, in seconds of any clock that only goes forward; `next_deadline` tells when to
call `advance` if nothing else happens.

Rules of turns and answers:

* At most one answer at a time goes into the conversation; answers beside it (`conversation:
  "none"`) are not counted.
* An answer is over with response.done. Over WebRTC it may be heard for long after that: the
  output_audio_buffer events follow the outgoing track, not the answer.
* When the user begins to speak and `interrupt_response` is on, the answer is cancelled, what was
  not heard is dropped, and the item is cut to what was heard.
* Over WebRTC, audio and events travel apart. A commit (or clear) waits until the audio that was
  under way when it came has arrived, and the events after it wait too.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from realtime_transports.openai.server_answers import Answers
from realtime_transports.openai.server_conversation import (
    RATE_HZ,
    Conversation,
    parse_item,
    pcm_from_base64,
)
from realtime_transports.openai.server_hearing import Hearing
from realtime_transports.openai.server_outputs import (
    ClientEventError,
    JsonObject,
    Outbox,
    ServerOutput,
    random_id,
)
from realtime_transports.openai.server_turns import SpeechChange

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16
    from realtime_transports.openai.server_session import SessionConfig

__all__ = ["Link", "ServerProtocol"]

MAX_APPEND_CHARS = 15 * 1024 * 1024
"""The API takes 15 MiB in one event."""

UNDER_WAY_S = 0.15
"""How much audio may be under way when an event comes: 80 ms in aiortc's jitter buffer, a packet
in the sender's encoder, and the network's reordering."""

UNDER_WAY_DEADLINE_S = 0.5
"""How long that is waited for; a caller may have stopped sending."""


class Link(enum.Enum):
    """What carries the session."""

    WEBRTC = "webrtc"
    """Audio has a track of its own, in both directions."""
    WEBSOCKET = "websocket"
    """Audio is inside events."""


class _Wait(NamedTuple):
    """What the event at the head of the queue waits for."""

    place: int
    deadline_s: float


class ServerProtocol:
    """One session."""

    def __init__(
        self,
        link: Link,
        config: SessionConfig,
        *,
        can_transcribe: bool = False,
        make_id: Callable[[str], str] = random_id,
    ) -> None:
        """Begin a session and greet the client.

        Args:
            link: What carries it.
            config: The configuration it begins with; it belongs to the session from now on.
            can_transcribe: Whether the shell will call `transcribed` for each user's audio.
            make_id: Makes a new id from a prefix such as ``"item"``.
        """
        self.config = config
        self.conversation = Conversation()
        self._link = link
        self._outbox = Outbox(make_id)
        self._hearing = Hearing(
            self._outbox, self.conversation, config, can_transcribe=can_transcribe
        )
        self._answers = Answers(
            self._outbox, self.conversation, config, has_track=link is Link.WEBRTC
        )
        self._handlers: Mapping[str, Callable[[JsonObject], None]] = {
            "session.update": self._update_session,
            "input_audio_buffer.append": self._append_audio,
            "input_audio_buffer.commit": self._commit_audio,
            "input_audio_buffer.clear": self._clear_audio,
            "output_audio_buffer.clear": self._clear_output,
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": self._retrieve_item,
            "conversation.item.truncate": self._truncate_item,
            "conversation.item.delete": self._delete_item,
            "response.create": self._create_response,
            "response.cancel": self._cancel_response,
        }
        self._waiting: deque[JsonObject] = deque()
        self._wait: _Wait | None = None
        self._now_s = 0.0
        self._outbox.send("session.created", session=config.to_dict())

    def receive(self, event: object, now_s: float) -> None:
        """Take a client event, parsed from JSON."""
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            error = ClientEventError(
                "Missing required parameter: 'type'.",
                code="missing_required_parameter",
                param="type",
            )
            self._send_error(error, event if isinstance(event, dict) else {})
            return
        self._waiting.append(event)
        self._handle_waiting(now_s)

    def receive_invalid(self, problem: str) -> None:
        """Take a message that is no event at all."""
        self._send_error(ClientEventError(problem, code="invalid_json"), {})

    def hear(self, samples: Pcm16, now_s: float) -> None:
        """Take the user's audio: int16, mono, 24 kHz."""
        self._hear(samples, now_s)
        self._handle_waiting(now_s)

    def answer_text(self, response_id: str, text: str) -> None:
        """The responder says these words next (they are spoken, or are the text itself)."""
        self._answers.add_text(response_id, text)

    def answer_audio(self, response_id: str, samples: Pcm16) -> None:
        """The responder says this next: int16, mono, 24 kHz."""
        self._answers.add_audio(response_id, samples)

    def answer_call(self, response_id: str, name: str, arguments: str) -> None:
        """The responder calls a function of the client's; the arguments are JSON."""
        self._answers.add_call(response_id, name, arguments)

    def answer_done(self, response_id: str, now_s: float) -> None:
        """The responder has said everything."""
        self._answers.finish(response_id, "completed", now_s)

    def answer_failed(self, response_id: str, problem: str, now_s: float) -> None:
        """The responder could not go on."""
        error = {"type": "server_error", "code": "responder_failed", "message": problem}
        self._answers.finish(response_id, "failed", now_s, {"error": error})

    def played(self, samples: int, now_s: float) -> None:
        """So many samples of what was to be played have left, counted from the beginning."""
        self._answers.played(samples, now_s)

    def advance(self, now_s: float) -> None:
        """Do what is due by now."""
        self._answers.advance(now_s)
        self._handle_waiting(now_s)

    def event_not_sent(self, event: JsonObject, problem: str) -> None:
        """The link could not carry an event; the client is told, unless it was an error."""
        if event["type"] != "error":
            message = f"The event {event['type']} could not be sent: {problem}"
            self._send_error(ClientEventError(message, code="event_not_sent"), {})

    def next_deadline(self) -> float | None:
        """When `advance` is to be called if nothing happens before; None is never."""
        deadlines = [self._answers.next_deadline(), self._wait.deadline_s if self._wait else None]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def take_outputs(self) -> list[ServerOutput]:
        """What is to be done, in order, since the last call."""
        return self._outbox.take()

    def _hear(self, samples: Pcm16, now_s: float) -> None:
        for change in self._hearing.hear(samples):
            settings: Mapping[str, Any] = self.config.turn_detection or {}
            if change is SpeechChange.STARTED and settings["interrupt_response"]:
                self._answers.interrupt(now_s)
            elif change is SpeechChange.STOPPED and settings["create_response"]:
                self._answer_turn()

    def _handle_waiting(self, now_s: float) -> None:
        self._now_s = now_s
        while self._waiting and self._may_handle(self._waiting[0], now_s):
            event = self._waiting.popleft()
            try:
                self._handle(event)
            except ClientEventError as exc:
                self._send_error(exc, event)
            self._wait = None

    def _may_handle(self, event: JsonObject, now_s: float) -> bool:
        if self._link is not Link.WEBRTC or event["type"] not in AUDIO_BOUND_EVENTS:
            return True
        if self._wait is None:
            place = self._hearing.position + round(UNDER_WAY_S * RATE_HZ)
            self._wait = _Wait(place, now_s + UNDER_WAY_DEADLINE_S)
        return self._hearing.position >= self._wait.place or now_s >= self._wait.deadline_s

    def _handle(self, event: JsonObject) -> None:
        handle = self._handlers.get(event["type"])
        if handle is None:
            supported = ", ".join(f"'{name}'" for name in self._handlers)
            raise ClientEventError(
                f"Invalid value: '{event['type']}'. Supported values are: {supported}.",
                code="invalid_value",
                param="type",
            )
        handle(event)

    def _send_error(self, error: ClientEventError, event: Mapping[str, Any]) -> None:
        event_id = event.get("event_id")
        self._outbox.send(
            "error",
            error={
                "type": "invalid_request_error",
                "code": error.code,
                "message": error.message,
                "param": error.param,
                "event_id": event_id if isinstance(event_id, str) else None,
            },
        )

    def _answer_turn(self) -> None:
        try:
            self._answers.begin({})
        except ClientEventError as exc:  # an answer that may not be interrupted goes on
            self._send_error(exc, {})

    def _end_of_what_was_sent(self) -> int:
        """Place of the first sample that came after the event being handled was sent."""
        position = self._hearing.position
        return min(position, self._wait.place) if self._wait else position

    def _update_session(self, event: JsonObject) -> None:
        self.config.update(event.get("session"), is_voice_fixed=self._answers.has_spoken)
        self._hearing.follow_config()
        self._outbox.send("session.updated", session=self.config.to_dict())

    def _append_audio(self, event: JsonObject) -> None:
        audio = event.get("audio")
        if isinstance(audio, str) and len(audio) > MAX_APPEND_CHARS:
            raise ClientEventError(
                "Invalid 'audio': more than 15 MiB in one event.",
                code="invalid_value",
                param="audio",
            )
        self._hear(pcm_from_base64(audio, "audio"), self._now_s)

    def _commit_audio(self, _event: JsonObject) -> None:
        self._hearing.commit(self._end_of_what_was_sent())

    def _clear_audio(self, _event: JsonObject) -> None:
        self._hearing.clear(self._end_of_what_was_sent())

    def _clear_output(self, _event: JsonObject) -> None:
        if self._link is not Link.WEBRTC:
            raise ClientEventError(
                "The output audio buffer exists over WebRTC only.",
                code="invalid_value",
                param="type",
            )
        self._answers.cut_off()

    def _create_item(self, event: JsonObject) -> None:
        stored = parse_item(event.get("item"), self._outbox.make_id)
        previous = self.conversation.insert(stored, event.get("previous_item_id"))
        self._outbox.send_item(stored.to_dict(), previous)

    def _retrieve_item(self, event: JsonObject) -> None:
        stored = self.conversation.find(event.get("item_id"), "retrieve")
        self._outbox.send("conversation.item.retrieved", item=stored.to_dict_with_audio())

    def _truncate_item(self, event: JsonObject) -> None:
        self._answers.truncate(
            event.get("item_id"),
            _whole_number(event, "content_index"),
            _whole_number(event, "audio_end_ms"),
        )

    def _delete_item(self, event: JsonObject) -> None:
        self.conversation.delete(event.get("item_id"))
        self._outbox.send("conversation.item.deleted", item_id=event["item_id"])

    def _create_response(self, event: JsonObject) -> None:
        options = event.get("response")
        self._answers.begin({} if options is None else options)

    def _cancel_response(self, event: JsonObject) -> None:
        self._answers.cancel(event.get("response_id"), self._now_s)


def _whole_number(event: JsonObject, name: str) -> int:
    value = event.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ClientEventError(
            f"Invalid type for '{name}': expected an integer.", code="invalid_type", param=name
        )
    return value


AUDIO_BOUND_EVENTS = frozenset({"input_audio_buffer.commit", "input_audio_buffer.clear"})
"""Events that speak of the audio sent before them."""
