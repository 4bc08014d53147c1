"""The words of the user's audio: asked for, told to a client that wants them, kept.

They may be asked for before there is an item, when it looks as if the user's turn were over; until
the item is there, nobody is told.

"Transcription runs asynchronously with Response creation, so this event may come before or after
the Response events" (`ConversationItemInputAudioTranscriptionCompletedEvent`). A responder that
needs the words waits for them, so here they come first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from realtime_transports.openai.server_conversation import Conversation, StoredItem
from realtime_transports.openai.server_outputs import (
    CancelTranscription,
    JsonObject,
    Outbox,
    Transcribe,
)
from realtime_transports.openai.server_session import SessionConfig
from realtime_transports.openai.server_usage import count_tokens

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["Transcripts"]

BILLED_BY_DURATION = "whisper-1"
"""The other models' usage is in tokens (`Usage` of the completed event)."""


@dataclass
class _Early:
    """Words that were asked for before there was an item."""

    item_id: str
    pieces: list[str] = field(default_factory=list)
    is_complete: bool = False


@dataclass
class _Pending:
    """An item whose words were asked for."""

    stored: StoredItem
    model: str | None
    """The model that the client asked for; None where it did not ask."""
    pieces: list[str] = field(default_factory=list)


class Transcripts:
    """Every transcription that goes on."""

    def __init__(
        self,
        outbox: Outbox,
        conversation: Conversation,
        config: SessionConfig,
        *,
        can_transcribe: bool,
    ) -> None:
        """Begin with none.

        Args:
            outbox: Where events and commands go.
            conversation: Where the items are.
            config: The session's configuration.
            can_transcribe: Whether the shell obeys `Transcribe`.
        """
        self._outbox = outbox
        self._conversation = conversation
        self._config = config
        self._can_transcribe = can_transcribe
        self._pending: dict[str, _Pending] = {}
        self._early: _Early | None = None

    def ask_early(self, item_id: str, samples: Pcm16) -> None:
        """Ask for the words of what will probably be this item; nobody is told before `ask`.

        Args:
            item_id: The item's id.
            samples: What it will be, but for silence at the end: int16, mono, 24 kHz.
        """
        self.drop_early()
        if self._can_transcribe:
            self._early = _Early(item_id)
            self._outbox.put(Transcribe(item_id, samples))

    def drop_early(self) -> None:
        """It will be another item."""
        early, self._early = self._early, None
        if early is not None and not early.is_complete:
            self._outbox.put(CancelTranscription(early.item_id))

    def ask(self, stored: StoredItem) -> None:
        """Ask for the words of what was just committed, and tell the client if it wants them."""
        wanted = self._config.transcription
        if self._can_transcribe:
            model = None if wanted is None else str(wanted.get("model") or "")
            self._begin(stored, model)
        elif wanted is not None:
            problem = "this server's responder does not transcribe"
            self._send_failed(stored.id, "transcription_unavailable", problem)

    def require(self, context: Iterable[StoredItem]) -> None:
        """Ask quietly for words that are needed and were never asked for."""
        for stored in context:
            if self._can_transcribe and _lacks_words(stored) and stored.id not in self._pending:
                self._begin(stored, None)

    def is_pending(self, context: Iterable[StoredItem]) -> bool:
        """Whether words of one of these items are still to come."""
        return any(stored.id in self._pending for stored in context)

    def delta(self, item_id: str, text: str) -> None:
        """The next words of an item; ignored when nobody wants them any more."""
        if self._early is not None and self._early.item_id == item_id:
            self._early.pieces.append(text)
            return
        pending = self._pending.get(item_id)
        if pending is None or not text:
            return
        pending.pieces.append(text)
        if pending.model is not None:
            self._send("delta", item_id, delta=text)

    def finish(self, item_id: str) -> None:
        """All words of an item have come; ignored when nobody wants them any more."""
        if self._early is not None and self._early.item_id == item_id:
            self._early.is_complete = True
            return
        pending = self._pending.pop(item_id, None)
        if pending is None:
            return
        stored = pending.stored
        stored.heard = "".join(pending.pieces)
        if pending.model is None:
            return
        stored.item["content"][0]["transcript"] = stored.heard
        usage = _usage_of(stored, pending.model)
        self._send("completed", item_id, transcript=stored.heard, usage=usage)

    def fail(self, item_id: str, problem: str) -> None:
        """The words of an item cannot be had; ignored when nobody wants them any more."""
        if self._early is not None and self._early.item_id == item_id:
            self._early = None  # `ask` tries again, and tells if that fails too
            return
        pending = self._pending.pop(item_id, None)
        if pending is None:
            return
        pending.stored.heard = ""
        if pending.model is not None:
            self._send_failed(item_id, "transcription_failed", problem)

    def forget(self, item_id: str) -> None:
        """Nobody wants the words of an item any more."""
        if self._pending.pop(item_id, None) is not None:
            self._outbox.put(CancelTranscription(item_id))

    def _begin(self, stored: StoredItem, model: str | None) -> None:
        samples = stored.spoken()
        if samples is None:
            return
        self._pending[stored.id] = _Pending(stored, model)
        early = self._early
        if early is None or early.item_id != stored.id:
            self._outbox.put(Transcribe(stored.id, samples))
            return
        self._early = None
        for piece in early.pieces:
            self.delta(stored.id, piece)
        if early.is_complete:
            self.finish(stored.id)

    def _send_failed(self, item_id: str, code: str, problem: str) -> None:
        error = {"type": "server_error", "code": code, "message": problem, "param": None}
        self._send("failed", item_id, error=error)

    def _send(self, name: str, item_id: str, **fields: Any) -> None:
        event_type = f"conversation.item.input_audio_transcription.{name}"
        self._outbox.send(event_type, item_id=item_id, content_index=0, **fields)


def _lacks_words(stored: StoredItem) -> bool:
    is_users = stored.item.get("role") == "user"
    return is_users and bool(stored.audio) and stored.heard is None and not stored.text()


def _usage_of(stored: StoredItem, model: str) -> JsonObject:
    if model == BILLED_BY_DURATION:
        return {"type": "duration", "seconds": stored.audio_ms(0) / 1000}
    text, audio = count_tokens(stored)
    return {
        "type": "tokens",
        "total_tokens": text + audio,
        "input_tokens": audio,
        "output_tokens": text,
        "input_token_details": {"text_tokens": 0, "audio_tokens": audio},
    }
