"""The server's side of the conversation: answers begun, spoken, heard, cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_transports.openai.server_conversation import RATE_HZ, Conversation, StoredItem
from realtime_transports.openai.server_items import parse_item
from realtime_transports.openai.server_outputs import (
    CancelResponse,
    ClearPlayback,
    ClientEventError,
    JsonObject,
    Outbox,
    PlayAudio,
    StartResponse,
    Turn,
)
from realtime_transports.openai.server_playback import CutOff, Playback, PlaybackChange
from realtime_transports.openai.server_response import ActiveResponse, ResponsePlan
from realtime_transports.openai.server_session import SessionConfig
from realtime_transports.openai.server_transcripts import Transcripts

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["Answers"]

RATE_LIMITS: list[JsonObject] = [
    {"name": "requests", "limit": 10_000, "remaining": 10_000, "reset_seconds": 0.0},
    {"name": "tokens", "limit": 1_000_000, "remaining": 1_000_000, "reset_seconds": 0.0},
]
"""Nothing is limited here; clients want to see the event all the same."""


class Answers:
    """Every response that is not done, and what is still to be heard of those that are."""

    def __init__(
        self,
        outbox: Outbox,
        conversation: Conversation,
        config: SessionConfig,
        transcripts: Transcripts,
        *,
        has_track: bool,
    ) -> None:
        """Begin with no answer.

        Args:
            outbox: Where events and commands go.
            conversation: Where answers go.
            config: The session's configuration.
            transcripts: The words of the user's audio; a responder is asked when they are there.
            has_track: Whether audio is played on a track rather than sent in events.
        """
        self._outbox = outbox
        self._conversation = conversation
        self._config = config
        self._transcripts = transcripts
        self._has_track = has_track
        self._conversation_id = outbox.make_id("conv")
        self._active: dict[str, ActiveResponse] = {}
        self._playback = Playback()
        self._silenced: dict[str, list[CutOff]] = {}
        self._heard_until_s = 0.0
        self.has_spoken = False
        """Whether any audio was spoken in this session."""
        self._has_answered = False

    def begin(self, options: object) -> None:
        """Begin a response.

        Args:
            options: The `response` of a response.create; empty for the session's own settings.

        Raises:
            ClientEventError: Something in it is wrong, or another answer goes on.
        """
        config, is_in_conversation = self._config.with_response_options(options)
        if is_in_conversation:
            self._require_silence()
        plan = ResponsePlan(
            response_id=self._outbox.make_id("resp"),
            config=config,
            conversation_id=self._conversation_id if is_in_conversation else None,
            context=self._context(config),
            metadata=config.get("metadata"),
        )
        self._active[plan.response_id] = ActiveResponse(
            plan, self._outbox, self._conversation, sends_audio=not self._has_track
        )
        self._transcripts.require(plan.context)
        self.ask_responder()

    def ask_responder(self) -> None:
        """Ask for the answers whose questions are understood by now."""
        for response in self._active.values():
            if not response.is_asked and not self._transcripts.is_pending(response.plan.context):
                response.is_asked = True
                self._outbox.put(StartResponse(_turn_of(response.plan)))

    @property
    def heard_until_s(self) -> float | None:
        """When the last answer in the conversation was or will be over for the user's ears.

        None while that cannot be told: an answer goes on, or is played, or none was given yet.
        """
        if not self._has_answered or self._in_conversation() or not self._playback.is_empty:
            return None
        return self._heard_until_s

    def add_text(self, response_id: str, text: str, now_s: float) -> None:
        """The responder says these words next; ignored when nobody wants them any more."""
        response = self._active.get(response_id)
        if response is not None and text:
            response.add_text(text)
            self._end_if_exhausted(response, now_s)

    def add_audio(self, response_id: str, samples: Pcm16, now_s: float) -> None:
        """The responder says this next; ignored when nobody wants it any more."""
        response = self._active.get(response_id)
        if response is None or response_id in self._silenced:
            return
        if not response.wants_audio or not len(samples):
            return
        added = response.add_audio(samples)
        if added is not None:
            item_id, fitting = added
            self.has_spoken = True
            self._follow_ears(response, item_id, fitting, now_s)
        self._end_if_exhausted(response, now_s)

    def add_call(self, response_id: str, name: str, arguments: str, now_s: float) -> None:
        """The responder calls a function; ignored when nobody wants that any more."""
        response = self._active.get(response_id)
        if response is not None:
            response.add_call(name, arguments)
            self._end_if_exhausted(response, now_s)

    def finish(
        self, response_id: str, status: str, now_s: float, details: JsonObject | None = None
    ) -> None:
        """The responder is through, or has failed; ignored when it was cancelled before."""
        response = self._active.pop(response_id, None)
        if response is None:
            return
        response.finish(status, details)
        if response.is_in_conversation:
            self._has_answered = True
            self._heard_until_s = max(now_s, self._heard_until_s)
        self._outbox.send("rate_limits.updated", rate_limits=RATE_LIMITS)
        self._tell(self._playback.complete(response_id, now_s), now_s)
        for cut in self._silenced.pop(response_id, ()):
            self._truncate_heard(cut)

    def cancel(self, response_id: object, now_s: float) -> None:
        """The client wants no more of a response; None means the conversation's.

        Raises:
            ClientEventError: There is no such response, or it is done.
        """
        if response_id is None:
            chosen = self._in_conversation()
        else:
            chosen = [found for found in self._active.values() if found.id == response_id]
        if not chosen:
            raise ClientEventError(
                "Cancellation failed: no active response found", code="response_cancel_not_active"
            )
        for response in chosen:
            self._cancel(response.id, "client_cancelled", now_s)

    def interrupt(self, now_s: float) -> None:
        """The user speaks: stop answering, and being heard."""
        self._heard_until_s = min(now_s, self._heard_until_s)  # the client drops the rest
        for response in self._in_conversation():
            self._cancel(response.id, "turn_detected", now_s)
        if self._has_track:
            self.cut_off()

    def cut_off(self) -> None:
        """Drop what was not heard yet, and cut the items to what was.

        A response that goes on does so unheard, and its item is cut when it is complete.
        """
        cuts = self._playback.cut_off()
        if not cuts:
            return
        self._outbox.put(ClearPlayback())
        for cut in cuts:
            if cut.was_audible:
                self._outbox.send("output_audio_buffer.cleared", response_id=cut.response_id)
            if cut.response_id in self._active:
                self._silenced.setdefault(cut.response_id, []).append(cut)
            else:
                self._truncate_heard(cut)

    def truncate(self, item_id: object, content_index: int, audio_end_ms: int) -> None:
        """Cut an item's audio.

        Raises:
            ClientEventError: There is no such audio, or it is shorter than that.
        """
        self._conversation.truncate(item_id, content_index, audio_end_ms)
        self._outbox.send(
            "conversation.item.truncated",
            item_id=item_id,
            content_index=content_index,
            audio_end_ms=audio_end_ms,
        )

    def played(self, samples: int, now_s: float) -> None:
        """So many samples in all have left."""
        self._tell(self._playback.played(samples, now_s), now_s)

    def advance(self, now_s: float) -> None:
        """Tell what is due by now."""
        self._tell(self._playback.advance(now_s), now_s)

    def next_deadline(self) -> float | None:
        """When to call `advance`; None is never."""
        return self._playback.next_deadline()

    def _tell(self, changes: list[PlaybackChange], now_s: float) -> None:
        for change in changes:
            self._heard_until_s = max(now_s, self._heard_until_s)
            self._outbox.send(
                f"output_audio_buffer.{change.event_type}", response_id=change.response_id
            )

    def _in_conversation(self) -> list[ActiveResponse]:
        return [response for response in self._active.values() if response.is_in_conversation]

    def _require_silence(self) -> None:
        for response in self._in_conversation():
            raise ClientEventError(
                f"Conversation already has an active response in progress: {response.id}. "
                "Wait until the response is finished before creating a new one.",
                code="conversation_already_has_active_response",
            )

    def _cancel(self, response_id: str, reason: str, now_s: float) -> None:
        self._stop(self._active[response_id], "cancelled", reason, now_s)

    def _end_if_exhausted(self, response: ActiveResponse, now_s: float) -> None:
        if response.is_exhausted:
            self._stop(response, "incomplete", "max_output_tokens", now_s)

    def _stop(self, response: ActiveResponse, status: str, reason: str, now_s: float) -> None:
        if response.is_asked:
            self._outbox.put(CancelResponse(response.id))
        self.finish(response.id, status, now_s, {"reason": reason})

    def _follow_ears(
        self, response: ActiveResponse, item_id: str, samples: Pcm16, now_s: float
    ) -> None:
        """Audio is played on the track, or by the client as soon as it has the events."""
        if self._has_track:
            self._playback.queue(response.id, item_id, response.CONTENT_INDEX, len(samples))
            self._outbox.put(PlayAudio(samples))
        elif response.is_in_conversation:
            self._heard_until_s = max(now_s, self._heard_until_s) + len(samples) / RATE_HZ

    def _truncate_heard(self, cut: CutOff) -> None:
        stored = self._conversation.get(cut.item_id)
        # The client may have deleted or cut the item while it was played.
        if stored is not None and stored.audio_ms(cut.content_index) > cut.heard_ms:
            self.truncate(cut.item_id, cut.content_index, cut.heard_ms)

    def _context(self, config: JsonObject) -> list[StoredItem]:
        given = config.get("input")
        if given is None:
            return list(self._conversation)
        return [
            self._context_item(raw, f"response.input[{index}]") for index, raw in enumerate(given)
        ]

    def _context_item(self, raw: object, param: str) -> StoredItem:
        if isinstance(raw, dict) and raw.get("type") == "item_reference":
            return self._conversation.find(raw.get("id"), "create", f"{param}.id")
        return parse_item(raw, self._outbox.make_id, self._config.formats, param)


def _turn_of(plan: ResponsePlan) -> Turn:
    last = plan.context[-1] if plan.context else None
    is_answered = last is None or last.item.get("role") == "assistant"
    return Turn(
        response_id=plan.response_id,
        text="" if last is None or is_answered else last.text(),
        audio=None if last is None or is_answered else last.spoken(),
        output_modality=plan.config["output_modalities"][0],
        instructions=plan.config["instructions"],
        session=plan.config,
        items=[stored.to_dict() for stored in plan.context],
    )
