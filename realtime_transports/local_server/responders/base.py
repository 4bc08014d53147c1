"""The contract of what answers in the local server.

How a server asks a responder, turn by turn:

1. A stream of the user's audio begins: `make_detector` gives what tells speech from silence in it;
   None leaves that to the server.
2. The user's audio is committed: if the responder `can_transcribe`, the server asks `transcribe`
   for the words, whether or not the client wants to see them. It may ask sooner, in a pause that
   is probably the end of a turn; if the user goes on, it closes that generator and asks again.
3. A response begins: `respond` gets a `Turn`, whose `text` is what was written or, for speech, what
   step 2 gave; `audio` stays what was said.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from realtime_core.errors import RealtimeError, UserError
from realtime_transports.openai.server_outputs import Turn

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16
    from realtime_core.speech import SpeechDetector

__all__ = [
    "AnswerPiece",
    "AudioPiece",
    "CallPiece",
    "Responder",
    "ResponseFailedError",
    "TextPiece",
    "Turn",
]


@dataclass(frozen=True, slots=True)
class TextPiece:
    """The next words: the transcript where the answer is spoken, the answer where it is not."""

    text: str


@dataclass(frozen=True, slots=True)
class AudioPiece:
    """The next audio; only for a turn whose `output_modality` is ``"audio"``."""

    samples: Pcm16 = field(repr=False)
    """int16, mono, 24 kHz; at most a second, so that it can be cut off in time."""


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A call of one of the client's functions. Its output comes as another turn."""

    name: str
    arguments: str = "{}"
    """JSON."""


AnswerPiece: TypeAlias = TextPiece | AudioPiece | CallPiece


class ResponseFailedError(RealtimeError):
    """A responder's answer fails on purpose; the client sees the code and the message."""

    def __init__(
        self, message: str, *, code: str = "server_error", error_type: str = "server_error"
    ) -> None:
        """Describe the failure in the API's terms.

        Args:
            message: What the client is told.
            code: `response.status_details.error.code`.
            error_type: `response.status_details.error.type`.
        """
        super().__init__(message)
        self.code = code
        self.error_type = error_type


class Responder(ABC):
    """Answers turns, of any number of sessions at a time.

    A plugin brings one by the hook `realtime_responders`. What computes longer than a few
    milliseconds belongs in a worker thread. Only `respond` must be there.
    """

    can_transcribe: bool = False
    """Whether `transcribe` may be called."""

    async def open(self) -> None:  # noqa: B027 - most have nothing to load
        """Load everything now, so that the first turn need not wait for it. Twice is fine.

        A server that made the responder calls this before it listens. A responder must also answer
        without: what it lacks, it loads then.
        """

    @abstractmethod
    def respond(self, turn: Turn) -> AsyncGenerator[AnswerPiece]:
        """The answer, piece by piece; without a piece, the answer is silence.

        The generator is closed when the answer is cancelled; cleaning up is its own. What it
        raises ends the response as failed, with the message told to the client, and with the code
        of a `ResponseFailedError`.
        """

    def transcribe(self, audio: Pcm16) -> AsyncGenerator[str]:  # noqa: ARG002 - for others
        """What was said, piece by piece; put together, the pieces are the transcript.

        Each piece is a delta, spaces included. Without a piece, nothing was said. The generator is
        closed when nobody wants the words any more.

        Args:
            audio: int16, mono, 24 kHz.
        """
        raise UserError(f"{type(self).__name__} does not transcribe")

    def make_detector(self) -> SpeechDetector | None:
        """What tells speech from silence in a new stream of audio; None leaves it to the server."""
        return None

    async def close(self) -> None:  # noqa: B027 - most have nothing to release
        """Release everything. Called once, when the server ends, if the server made it."""
