"""The user's side of the conversation: audio in, turns found, user items made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from realtime_transports.openai.server_conversation import RATE_HZ, Conversation, StoredItem
from realtime_transports.openai.server_input import InputBuffer
from realtime_transports.openai.server_outputs import ClientEventError, Outbox
from realtime_transports.openai.server_session import SessionConfig
from realtime_transports.openai.server_turns import (
    EnergyTurnDetector,
    SpeechChange,
    TurnSettings,
)

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["Hearing"]

MAX_INPUT_S = 600
"""What the input audio buffer holds; the oldest is dropped beyond that."""

MIN_COMMIT_MS = 100


class Hearing:
    """Listens to the user. Places are samples since the session began."""

    def __init__(
        self,
        outbox: Outbox,
        conversation: Conversation,
        config: SessionConfig,
        *,
        can_transcribe: bool,
    ) -> None:
        """Begin with an empty buffer.

        Args:
            outbox: Where events go.
            conversation: Where the user's items go.
            config: The session's configuration; `follow_config` is to be called when it changed.
            can_transcribe: Whether transcripts will come.
        """
        self._outbox = outbox
        self._conversation = conversation
        self._config = config
        self._can_transcribe = can_transcribe
        self._buffer = InputBuffer(MAX_INPUT_S * RATE_HZ)
        self._detector: EnergyTurnDetector | None = None
        self._turn_start = 0
        self._turn_item_id: str | None = None
        self.follow_config()

    @property
    def position(self) -> int:
        """Place of the next sample that will come."""
        return self._buffer.end

    def follow_config(self) -> None:
        """Detect turns as the session's configuration says now."""
        settings = self._config.turn_detection
        wanted = None if settings is None else TurnSettings.from_session(settings)
        current = None if self._detector is None else self._detector.settings
        if wanted != current:
            self._forget_turn()
            self._detector = EnergyTurnDetector(wanted, self.position) if wanted else None

    def hear(self, samples: Pcm16) -> Iterator[SpeechChange]:
        """Take audio; a turn that is over is committed before its end is yielded.

        Args:
            samples: int16, mono, 24 kHz.
        """
        self._buffer.append(samples)
        if self._detector is None:
            return
        for change, place in self._detector.push(samples):
            if change is SpeechChange.STARTED:
                self._begin_turn(place, self._detector.settings)
            else:
                self._end_turn(place)
            yield change

    def commit(self, end: int) -> None:
        """Make an item of everything in the buffer up to a place.

        Raises:
            ClientEventError: That is less than the API takes.
        """
        buffered_ms = (min(end, self.position) - self._buffer.start) * 1000 / RATE_HZ
        if buffered_ms < MIN_COMMIT_MS:
            raise ClientEventError(
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{MIN_COMMIT_MS}ms of audio, but buffer only has {buffered_ms:.2f}ms of audio.",
                code="input_audio_buffer_commit_empty",
            )
        self._commit(self._buffer.start, end)
        self._forget_turn()

    def clear(self, end: int) -> None:
        """Drop everything in the buffer up to a place."""
        self._buffer.drop_until(end)
        self._forget_turn()
        self._outbox.send("input_audio_buffer.cleared")

    def _begin_turn(self, place: int, settings: TurnSettings) -> None:
        padding = settings.prefix_padding_ms * RATE_HZ // 1000
        self._turn_start = max(self._buffer.start, place - padding)
        self._turn_item_id = self._outbox.make_id("item")
        self._outbox.send(
            "input_audio_buffer.speech_started",
            audio_start_ms=self._turn_start * 1000 // RATE_HZ,
            item_id=self._turn_item_id,
        )

    def _end_turn(self, place: int) -> None:
        self._outbox.send(
            "input_audio_buffer.speech_stopped",
            audio_end_ms=place * 1000 // RATE_HZ,
            item_id=self._turn_item_id,
        )
        self._commit(self._turn_start, place)

    def _forget_turn(self) -> None:
        self._turn_item_id = None
        if self._detector is not None:
            self._detector.reset()

    def _commit(self, start: int, end: int) -> None:
        stored = StoredItem(
            {
                "id": self._turn_item_id or self._outbox.make_id("item"),
                "object": "realtime.item",
                "type": "message",
                "status": "completed",
                "role": "user",
                "content": [{"type": "input_audio", "transcript": None}],
            },
            {0: self._buffer.take(start, end)},
        )
        self._turn_item_id = None
        previous = self._conversation.insert(stored)
        self._outbox.send(
            "input_audio_buffer.committed", previous_item_id=previous, item_id=stored.id
        )
        self._outbox.send_item(stored.to_dict(), previous)
        if self._config.wants_transcription and not self._can_transcribe:
            self._refuse_transcription(stored.id)

    def _refuse_transcription(self, item_id: str) -> None:
        self._outbox.send(
            "conversation.item.input_audio_transcription.failed",
            item_id=item_id,
            content_index=0,
            error={
                "type": "server_error",
                "code": "transcription_unavailable",
                "message": "this server's responder does not transcribe",
                "param": None,
            },
        )
