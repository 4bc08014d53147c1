"""The user's side of the conversation: audio in, turns found, user items made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from realtime_transports.openai.server_conversation import RATE_HZ, Conversation, StoredItem
from realtime_transports.openai.server_input import InputBuffer
from realtime_transports.openai.server_outputs import ClientEventError, Listen, Outbox
from realtime_transports.openai.server_session import SessionConfig
from realtime_transports.openai.server_transcripts import Transcripts
from realtime_transports.openai.server_turns import (
    EnergyTurnDetector,
    ModelTurnDetector,
    SpeechChange,
    TurnSettings,
)

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["Hearing"]

MAX_INPUT_S = 600
"""What the input audio buffer holds; the oldest is dropped beyond that."""

MIN_COMMIT_MS = 100
"""Less is an error: `input_audio_buffer_commit_empty`."""

GUESS_AFTER_S = 0.25
"""After such a pause the turn is probably over, and its words are asked for while the rest of the
silence goes by: a recogniser takes about as long for a sentence."""

MAX_GUESSED_S = 15
"""A longer turn is not worth guessing at: each pause would have all of it recognised again."""


class Hearing:
    """Listens to the user. Places are samples since the session began."""

    def __init__(
        self,
        outbox: Outbox,
        conversation: Conversation,
        config: SessionConfig,
        transcripts: Transcripts,
        *,
        model_frame_samples: int | None,
    ) -> None:
        """Begin with an empty buffer.

        Args:
            outbox: Where events and commands go.
            conversation: Where the user's items go.
            config: The session's configuration; `follow_config` is to be called when it changed.
            transcripts: Told what was committed.
            model_frame_samples: How long the frames are that a model for speech judges; None where
                there is no model, and energy has to do.
        """
        self._outbox = outbox
        self._conversation = conversation
        self._config = config
        self._transcripts = transcripts
        self._model_frame_samples = model_frame_samples
        self._buffer = InputBuffer(MAX_INPUT_S * RATE_HZ)
        self._detector: EnergyTurnDetector | ModelTurnDetector | None = None
        self._stream = 0
        self._turn_start = 0
        self._turn_item_id: str | None = None
        self._guessed_end: int | None = None
        """Where speech ended in the pause that was taken for the turn's end."""
        self.follow_config()

    @property
    def position(self) -> int:
        """Place of the next sample that will come."""
        return self._buffer.end

    @property
    def is_speaking(self) -> bool:
        """Whether the user is in the middle of a turn."""
        return self._detector is not None and self._detector.is_speaking

    def follow_config(self) -> None:
        """Detect turns as the session's configuration says now."""
        settings = self._config.turn_detection
        wanted = None if settings is None else TurnSettings.from_session(settings)
        current = None if self._detector is None else self._detector.settings
        if wanted == current:
            return
        self._forget_turn(self.position)
        self._detector = None
        if wanted is not None:
            self._begin_detecting(wanted)

    def hear(self, samples: Pcm16) -> Iterator[SpeechChange]:
        """Take audio; a turn that is over is committed before its end is yielded.

        Args:
            samples: int16, mono, 24 kHz.
        """
        self._buffer.append(samples)
        match self._detector:
            case EnergyTurnDetector() as detector:
                yield from self._follow(detector.push(samples), detector.settings)
            case ModelTurnDetector():
                if len(samples):
                    self._outbox.put(Listen(samples, self._stream))
                return
        self._guess()

    def judge(self, stream: int, probabilities: Sequence[float]) -> Iterator[SpeechChange]:
        """Take what the model says of the next frames of a stream; the rest is as for `hear`."""
        detector = self._detector
        if isinstance(detector, ModelTurnDetector) and stream == self._stream:
            yield from self._follow(detector.judge(probabilities), detector.settings)
            self._guess()

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
        self._drop_guess()
        self._commit(self._buffer.start, end)
        self._forget_turn(end)

    def clear(self, end: int) -> None:
        """Drop everything in the buffer up to a place."""
        self._buffer.drop_until(end)
        self._forget_turn(end)
        self._outbox.send("input_audio_buffer.cleared")

    def time_out(self, silence_ms: int) -> None:
        """Nobody spoke for so long after an answer: make an item of that silence.

        "The empty audio will be committed to the conversation"
        (`InputAudioBufferTimeoutTriggered`).
        """
        end = self.position
        start = max(self._buffer.start, end - silence_ms * RATE_HZ // 1000)
        self._turn_item_id = self._outbox.make_id("item")
        self._outbox.send(
            "input_audio_buffer.timeout_triggered",
            audio_start_ms=start * 1000 // RATE_HZ,
            audio_end_ms=end * 1000 // RATE_HZ,
            item_id=self._turn_item_id,
        )
        self._commit(start, end)
        self._forget_turn(end)

    def _begin_detecting(self, settings: TurnSettings) -> None:
        if self._model_frame_samples is None:
            self._detector = EnergyTurnDetector(settings, self.position)
        else:
            self._stream += 1
            self._detector = ModelTurnDetector(settings, self._model_frame_samples, self.position)

    def _follow(
        self, changes: Iterable[tuple[SpeechChange, int]], settings: TurnSettings
    ) -> Iterator[SpeechChange]:
        for change, place in changes:
            if change is SpeechChange.STARTED:
                self._begin_turn(place, settings)
            else:
                self._check_guess(place)
                self._end_turn(place)
            yield change

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

    def _guess(self) -> None:
        """In a pause of the user's, ask for the words that the turn will have if it ends here."""
        detector = self._detector
        if detector is None or not detector.is_speaking or self._turn_item_id is None:
            return
        if self._guessed_end != detector.spoken_until:
            self._drop_guess()
        pause = detector.position - detector.spoken_until
        if self._guessed_end is not None or pause < GUESS_AFTER_S * RATE_HZ:
            return
        self._guessed_end = detector.spoken_until
        if detector.position - self._turn_start <= MAX_GUESSED_S * RATE_HZ:
            samples = self._buffer.peek(self._turn_start, detector.position)
            self._transcripts.ask_early(self._turn_item_id, samples)

    def _check_guess(self, place: int) -> None:
        """The turn ends; was it in the pause that was thought?"""
        silence = 0 if self._detector is None else self._detector.silence_samples
        if self._guessed_end != place - silence:
            self._drop_guess()
        self._guessed_end = None

    def _drop_guess(self) -> None:
        self._guessed_end = None
        self._transcripts.drop_early()

    def _forget_turn(self, end: int) -> None:
        """Nothing before this place belongs to a turn that is still to come."""
        self._drop_guess()
        self._turn_item_id = None
        if self._detector is not None:
            self._detector.reset(end)

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
        self._transcripts.ask(stored)
