"""Hearing and speaking: what an engine for speech is, whoever brings it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["SPEECH_RATE_HZ", "SpeechDetector", "SpeechEngine"]

SPEECH_RATE_HZ = 24_000
"""The rate of all audio that an engine takes and gives: int16, mono, shape (n,)."""


class SpeechDetector(ABC):
    """Listens to one stream and tells, frame by frame, how likely somebody speaks.

    When speech starts and stops is for the caller to conclude. For Silero's model its authors
    advise: it starts with 64 ms at 0.5 or more, and goes on until it was below 0.35 (0.15 less than
    the start) for the whole silence that ends a turn.
    """

    frame_samples: int
    """How long a frame is, in samples of `SPEECH_RATE_HZ`."""

    @abstractmethod
    async def push(self, samples: Pcm16) -> Sequence[float]:
        """Listen on; any way of cutting the stream gives the same frames.

        The model runs in a worker thread. One call at a time: await it before the next.

        Args:
            samples: int16, mono, `SPEECH_RATE_HZ`; any number.

        Returns:
            The probability of speech, 0 to 1, of each frame that is now complete, oldest first.
            The first frame begins with the first sample pushed, the next ones follow without gaps.
        """


class SpeechEngine(ABC):
    """Hears and speaks, for any number of streams at a time.

    A plugin brings one by the hook `realtime_speech_engines`. Life: perhaps `open`, any number of
    calls, `close`. What computes does so in worker threads, never on the event loop.
    """

    can_hear: bool = True
    """False where there is a voice alone: then `detector` and `transcribe` are not to be called."""

    async def open(self) -> None:  # noqa: B027 - most could do without
        """Load everything now, so that the first call need not wait for it. Twice is fine.

        Raises:
            PluginError: Something is not installed, or not what it should be.
        """

    @abstractmethod
    def detector(self) -> SpeechDetector:
        """A detector for a new stream. Nothing needs to be closed."""

    @abstractmethod
    def transcribe(self, samples: Pcm16) -> AsyncGenerator[str]:
        """The words of a recording, piece by piece; put together they are the transcript.

        Silence, noise and music give no piece at all.

        Args:
            samples: int16, mono, `SPEECH_RATE_HZ`, of any length.
        """

    @abstractmethod
    def speak(self, text: str, *, speed: float = 1.0) -> AsyncGenerator[Pcm16]:
        """A text, spoken, piece by piece, each as soon as it is ready; the same each time.

        Args:
            text: What to say. Nothing to say gives no piece.
            speed: How fast; 1 is the voice's own pace.

        Returns:
            int16, mono, `SPEECH_RATE_HZ`, pieces of a second at most.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release everything. Closing twice, or without having opened, is fine."""
