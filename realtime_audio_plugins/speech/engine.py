"""The engine that joins detector, recogniser and voice."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from realtime_audio_plugins.speech.asr import MOONSHINE, speech_in, to_model_rate
from realtime_audio_plugins.speech.models import INSTALL, missing_packages
from realtime_audio_plugins.speech.tts import HIBARI, split_text
from realtime_audio_plugins.speech.vad import (
    FRAME_SAMPLES,
    MODEL_RATE_HZ,
    SILERO,
    SileroDetector,
    SileroStream,
)
from realtime_audio_plugins.speech.workers import Workers
from realtime_core.errors import PluginError
from realtime_core.speech import SPEECH_RATE_HZ, SpeechDetector, SpeechEngine

if TYPE_CHECKING:
    from realtime_audio_plugins.speech.vad import Samples
    from realtime_core.audio import Pcm16

__all__ = ["LocalSpeechEngine"]

PIECE_SAMPLES = SPEECH_RATE_HZ // 5
QUIET = 300
"""The voice's breath before it begins is below this."""

LEAD_SAMPLES = SPEECH_RATE_HZ // 25


class LocalSpeechEngine(SpeechEngine):
    """English speech on this machine, without network: Silero, Moonshine, Hibari.

    Models are loaded when first used, or by `open`; they stay for the process, which has each once.
    Threads are started when first needed and end with `close`.
    """

    def __init__(self) -> None:
        """Load nothing yet.

        Raises:
            PluginError: The packages that carry the models are not installed.
        """
        if missing := missing_packages():
            raise PluginError(
                f"speech needs {', '.join(missing)}, which is not installed; {INSTALL}",
                plugin=missing[0],
            )
        self._workers = Workers()

    async def open(self) -> None:
        """Load all models and run each once, as the first run takes longer."""
        await self._workers.run(_warm_up)

    def detector(self) -> SpeechDetector:
        """A detector for a new stream."""
        return SileroDetector(self._workers)

    async def transcribe(self, samples: Pcm16) -> AsyncGenerator[str]:
        """English words with punctuation, a stretch of up to 15 s at a time."""
        separator = ""
        for segment in await self._workers.run(lambda: speech_in(to_model_rate(samples))):
            words = await self._workers.run(partial(_recognise, segment))
            if words:
                yield separator + words
                separator = " "

    async def speak(self, text: str, *, speed: float = 1.0) -> AsyncGenerator[Pcm16]:
        """A fifth of a second at a time, a sentence being computed when it is reached."""
        has_begun = False
        for part in split_text(text):
            spoken = await self._workers.run(partial(_speak, part, speed))
            if not has_begun:
                spoken = _without_lead(spoken)
                has_begun = len(spoken) > 0
            for start in range(0, len(spoken), PIECE_SAMPLES):
                yield spoken[start : start + PIECE_SAMPLES]

    async def close(self) -> None:
        """End the threads."""
        await self._workers.close()


def _recognise(segment: Samples) -> str:
    return MOONSHINE.get().recognise(segment)


def _speak(text: str, speed: float) -> Pcm16:
    return HIBARI.get().speak(text, speed)


def _without_lead(samples: Pcm16) -> Pcm16:
    """Without the 0.3 s of quiet with which the voice begins, but for a trace of it."""
    loud = np.flatnonzero(np.abs(samples) > QUIET)
    first = max(int(loud[0]) - LEAD_SAMPLES, 0) if len(loud) else 0
    return samples[first:]


def _warm_up() -> None:
    SileroStream(SILERO.get()).push(np.zeros(FRAME_SAMPLES, np.float32))
    MOONSHINE.get().recognise(np.zeros(MODEL_RATE_HZ, np.float32))
    HIBARI.get().speak("Ready.")
