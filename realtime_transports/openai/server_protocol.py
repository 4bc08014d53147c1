"""The server's side of the OpenAI Realtime protocol, without I/O and without a clock.

The shell gives it what comes: client events, the user's audio, what the responder says and
understands, how much has been played. After each call it takes what is to be done, in order, with
`take_outputs`. Every call gets the time, in seconds of any clock that only goes forward;
`next_deadline` tells when to call `advance` if nothing else happens.

Rules of turns and answers:

* At most one answer at a time goes into the conversation; answers beside it (`conversation:
  "none"`) are not counted.
* A responder is asked when the words of all that it answers are there, if they can be had at all.
* An answer is over with response.done. Over WebRTC it may be heard for long after that: the
  output_audio_buffer events follow the outgoing track, not the answer.
* When the user begins to speak and `interrupt_response` is on, the answer is cancelled, what was
  not heard is dropped, and the item is cut to what was heard.
* Over WebRTC, events wait for the audio they speak of (`server_queue`).

Never sent: `conversation.item.created`, which `conversation.item.added` and `.done` have replaced
(openai/openai-openapi#518), and `conversation.created`: each session has one, from the beginning.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from realtime_transports.openai.server_answers import Answers
from realtime_transports.openai.server_audio import InputStream
from realtime_transports.openai.server_checks import missing_parameter, wrong_type
from realtime_transports.openai.server_conversation import Conversation
from realtime_transports.openai.server_hearing import Hearing
from realtime_transports.openai.server_item_requests import ItemRequests
from realtime_transports.openai.server_lifetime import Lifetime, SessionLimits
from realtime_transports.openai.server_mcp import McpListing
from realtime_transports.openai.server_outputs import (
    ClientEventError,
    JsonObject,
    Outbox,
    ServerOutput,
    random_id,
)
from realtime_transports.openai.server_queue import EventQueue
from realtime_transports.openai.server_requests import check_client_event
from realtime_transports.openai.server_transcripts import Transcripts
from realtime_transports.openai.server_turns import SpeechChange

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16
    from realtime_transports.openai.server_session import SessionConfig

__all__ = ["Link", "ServerProtocol"]

MAX_APPEND_CHARS = 15 * 1024 * 1024
"""The API takes 15 MiB in one event (`InputAudioBufferAppendEvent`)."""


class Link(enum.Enum):
    """What carries the session."""

    WEBRTC = "webrtc"
    """Audio has a track of its own, in both directions."""
    WEBSOCKET = "websocket"
    """Audio is inside events."""


class ServerProtocol:
    """One session."""

    def __init__(
        self,
        link: Link,
        config: SessionConfig,
        *,
        can_transcribe: bool = False,
        model_frame_samples: int | None = None,
        limits: SessionLimits = SessionLimits(),  # noqa: B008 - it is frozen
        now_s: float = 0.0,
        make_id: Callable[[str], str] = random_id,
    ) -> None:
        """Begin a session and greet the client.

        Args:
            link: What carries it.
            config: The configuration it begins with; it belongs to the session from now on.
            can_transcribe: Whether the shell obeys `Transcribe`.
            model_frame_samples: How long the frames are that the shell's model for speech judges,
                at 24 kHz; None where it does not obey `Listen`, and energy has to do.
            limits: How long the session may be.
            now_s: The time.
            make_id: Makes a new id from a prefix such as ``"item"``.
        """
        self.config = config
        self.conversation = Conversation()
        self._link = link
        self._outbox = Outbox(make_id)
        self._input = InputStream()
        self._transcripts = Transcripts(
            self._outbox, self.conversation, config, can_transcribe=can_transcribe
        )
        self._hearing = Hearing(
            self._outbox,
            self.conversation,
            config,
            self._transcripts,
            model_frame_samples=model_frame_samples,
        )
        self._answers = Answers(
            self._outbox,
            self.conversation,
            config,
            self._transcripts,
            has_track=link is Link.WEBRTC,
        )
        self._mcp = McpListing(self._outbox, config)
        self._silent_from_s = now_s
        self._lifetime = Lifetime(limits, now_s)
        self._is_over = False
        self._handlers = self._make_handlers()
        self._queue = EventQueue(has_track=link is Link.WEBRTC)
        self._now_s = now_s
        self._outbox.send("session.created", session=config.to_dict())
        self._mcp.follow_config()

    def session_created(self) -> JsonObject:
        """The greeting of a client that joins a running session."""
        session = self.config.to_dict()
        event_id = self._outbox.make_id("event")
        return {"type": "session.created", "event_id": event_id, "session": session}

    def receive(self, event: object, now_s: float) -> None:
        """Take a client event, parsed from JSON."""
        self._lifetime.use(now_s)
        if not isinstance(event, dict):
            self._send_error(wrong_type("type", "an event object", event), {})
        elif "type" not in event:
            self._send_error(missing_parameter("type"), event)
        elif not isinstance(event["type"], str):
            self._send_error(wrong_type("type", "a string", event["type"]), event)
        else:
            self._queue.put(event)
            self._handle_waiting(now_s)

    def receive_invalid(self, problem: str) -> None:
        """Take a message that is no event at all."""
        self._send_error(ClientEventError(problem, code="invalid_json"), {})

    def hear(self, samples: Pcm16, now_s: float) -> None:
        """Take the user's audio: int16, mono, 24 kHz."""
        self._hear(samples, now_s)
        self._handle_waiting(now_s)

    def judged(self, stream: int, probabilities: Sequence[float], now_s: float) -> None:
        """The model says how likely the next frames of a `Listen` stream are speech: 0 to 1."""
        self._follow_turns(self._hearing.judge(stream, probabilities), now_s)
        self._handle_waiting(now_s)

    def transcript_delta(self, item_id: str, text: str) -> None:
        """The next words of an item that was to be transcribed."""
        self._transcripts.delta(item_id, text)

    def transcribed(self, item_id: str, now_s: float) -> None:
        """All words of an item have come."""
        self._transcripts.finish(item_id)
        self._answers.ask_responder()
        self._handle_waiting(now_s)

    def transcription_failed(self, item_id: str, problem: str, now_s: float) -> None:
        """The words of an item cannot be had; it is answered without."""
        self._transcripts.fail(item_id, problem)
        self._answers.ask_responder()
        self._handle_waiting(now_s)

    def answer_text(self, response_id: str, text: str, now_s: float | None = None) -> None:
        """The responder says these words next (they are spoken, or are the text itself)."""
        self._answers.add_text(response_id, text, self._use(now_s))

    def answer_audio(self, response_id: str, samples: Pcm16, now_s: float | None = None) -> None:
        """The responder says this next: int16, mono, 24 kHz."""
        self._answers.add_audio(response_id, samples, self._use(now_s))

    def answer_call(
        self, response_id: str, name: str, arguments: str, now_s: float | None = None
    ) -> None:
        """The responder calls a function of the client's; the arguments are JSON."""
        self._answers.add_call(response_id, name, arguments, self._use(now_s))

    def answer_done(self, response_id: str, now_s: float) -> None:
        """The responder has said everything."""
        self._answers.finish(response_id, "completed", self._use(now_s))

    def answer_failed(
        self,
        response_id: str,
        problem: str,
        now_s: float,
        *,
        code: str = "responder_failed",
        error_type: str = "server_error",
    ) -> None:
        """The responder could not go on; the client is told the problem, the code and the type."""
        error = {"type": error_type, "code": code, "message": problem}
        self._answers.finish(response_id, "failed", self._use(now_s), {"error": error})

    def played(self, samples: int, now_s: float) -> None:
        """So many samples of what was to be played have left, counted from the beginning."""
        self._answers.played(samples, self._use(now_s))

    def advance(self, now_s: float) -> None:
        """Do what is due by now."""
        self._answers.advance(now_s)
        self._handle_waiting(now_s)
        self._answer_silence_if_due(now_s)
        self._end_if_due(now_s)

    def event_not_sent(
        self, event: JsonObject, problem: str, *, asked_by: str | None = None
    ) -> None:
        """The link could not carry an event; the client is told, unless it was an error.

        Args:
            event: What was not sent.
            problem: Why.
            asked_by: The `event_id` of the client event that led to it.
        """
        if event["type"] != "error":
            message = f"The event {event['type']} could not be sent: {problem}"
            error = ClientEventError(message, code="event_not_sent")
            self._send_error(error, {"event_id": asked_by})

    def report_problem(self, problem: str) -> None:
        """Tell the client of a problem of the server's."""
        self._send_error(ClientEventError(problem, code="server_error"), {}, "server_error")

    def next_deadline(self) -> float | None:
        """When `advance` is to be called if nothing happens before; None is never."""
        if self._is_over:
            return None
        deadlines = [
            self._answers.next_deadline(),
            self._queue.deadline_s,
            self._silence_deadline(),
            self._lifetime.next_deadline(),
        ]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def take_outputs(self) -> list[ServerOutput]:
        """What is to be done, in order, since the last call."""
        return self._outbox.take()

    def _silence_deadline(self) -> float | None:
        """When the user will have been silent for `idle_timeout_ms`; None is never.

        "The timeout value will be applied after the last model response's audio has finished
        playing" (`ServerVad` in `RealtimeAudioInputTurnDetection`).
        """
        timeout_ms = (self.config.turn_detection or {}).get("idle_timeout_ms")
        heard_until_s = self._answers.heard_until_s
        if timeout_ms is None or heard_until_s is None or self._hearing.is_speaking:
            return None
        return max(heard_until_s, self._silent_from_s) + float(timeout_ms) / 1000

    def _answer_silence_if_due(self, now_s: float) -> None:
        deadline_s = self._silence_deadline()
        if deadline_s is not None and now_s >= deadline_s:
            self._silent_from_s = now_s
            settings: Mapping[str, Any] = self.config.turn_detection or {}
            self._hearing.time_out(settings["idle_timeout_ms"])
            self._answer_turn()

    def _use(self, now_s: float | None) -> float:
        """Somebody does something at this time, or at the time last known."""
        if now_s is not None:
            self._now_s = now_s
        self._lifetime.use(self._now_s)
        return self._now_s

    def _end_if_due(self, now_s: float) -> None:
        reason = self._lifetime.end_due(now_s)
        if reason is not None and not self._is_over:
            self._is_over = True
            self._send_error(reason, {})
            self._outbox.end(reason.message)

    def _hear(self, samples: Pcm16, now_s: float) -> None:
        self._follow_turns(self._hearing.hear(samples), now_s)

    def _follow_turns(self, changes: Iterable[SpeechChange], now_s: float) -> None:
        for change in changes:
            self._lifetime.use(now_s)
            self._silent_from_s = now_s
            settings: Mapping[str, Any] = self.config.turn_detection or {}
            if change is SpeechChange.STARTED and settings["interrupt_response"]:
                self._answers.interrupt(now_s)
            elif change is SpeechChange.STOPPED and settings["create_response"]:
                self._answer_turn()

    def _handle_waiting(self, now_s: float) -> None:
        self._now_s = now_s
        while (event := self._queue.head(self._hearing.position, now_s)) is not None:
            try:
                self._handle(event)
            except ClientEventError as exc:
                self._send_error(exc, event)
            finally:
                self._queue.pop()

    def _make_handlers(self) -> Mapping[str, Callable[[JsonObject], None]]:
        items = ItemRequests(
            self._outbox, self.conversation, self.config, self._answers, self._transcripts
        )
        return {
            "session.update": self._update_session,
            "input_audio_buffer.append": self._append_audio,
            "input_audio_buffer.commit": self._commit_audio,
            "input_audio_buffer.clear": self._clear_audio,
            "output_audio_buffer.clear": self._clear_output,
            "conversation.item.create": items.create,
            "conversation.item.retrieve": items.retrieve,
            "conversation.item.truncate": items.truncate,
            "conversation.item.delete": items.delete,
            "response.create": self._create_response,
            "response.cancel": self._cancel_response,
        }

    def _handle(self, event: JsonObject) -> None:
        checked = check_client_event(event, strict=self.config.is_strict)
        self._handlers[checked["type"]](checked)

    def _send_error(
        self,
        error: ClientEventError,
        event: Mapping[str, Any],
        error_type: str = "invalid_request_error",
    ) -> None:
        event_id = event.get("event_id")
        self._outbox.send(
            "error",
            error={
                "type": error_type,
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

    def _update_session(self, event: JsonObject) -> None:
        self.config.update(
            event["session"], is_running=True, is_voice_fixed=self._answers.has_spoken
        )
        self._hearing.follow_config()
        self._silent_from_s = self._now_s
        self._outbox.send("session.updated", session=self.config.to_dict())
        self._mcp.follow_config()

    def _append_audio(self, event: JsonObject) -> None:
        audio = event["audio"]
        if isinstance(audio, str) and len(audio) > MAX_APPEND_CHARS:
            raise ClientEventError(
                "Invalid 'audio': more than 15 MiB in one event.",
                code="invalid_value",
                param="audio",
            )
        self._hear(self._input.push(audio, self.config.input_format, "audio"), self._now_s)

    def _commit_audio(self, _event: JsonObject) -> None:
        self._hear(self._input.flush(), self._now_s)
        self._hearing.commit(self._queue.end_of_what_was_sent(self._hearing.position))

    def _clear_audio(self, _event: JsonObject) -> None:
        self._hear(self._input.flush(), self._now_s)
        self._hearing.clear(self._queue.end_of_what_was_sent(self._hearing.position))

    def _clear_output(self, _event: JsonObject) -> None:
        if self._link is not Link.WEBRTC:
            raise ClientEventError(
                "The output audio buffer exists over WebRTC only.",
                code="invalid_value",
                param="type",
            )
        self._answers.cut_off()

    def _create_response(self, event: JsonObject) -> None:
        options = event.get("response")
        self._answers.begin({} if options is None else options)

    def _cancel_response(self, event: JsonObject) -> None:
        self._answers.cancel(event.get("response_id"), self._now_s)
