"""A sound that is like a voice, for those who have none."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING

import numpy as np

from realtime_core.errors import UserError
from realtime_core.speech import SPEECH_RATE_HZ, SpeechDetector, SpeechEngine

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["HummingEngine", "cut", "hum", "hum_pieces"]

PIECE_SAMPLES = SPEECH_RATE_HZ // 5
SYLLABLE_S = 0.18
PAUSE_S = 0.06
LETTERS_A_SYLLABLE = 3
MAX_SYLLABLES = 60
PITCH_HZ = 110.0
PEAK = 6_000
FORMANTS_HZ = {
    "a": (800, 1_200, 2_500),
    "e": (500, 1_800, 2_500),
    "i": (300, 2_200, 3_000),
    "o": (500, 900, 2_400),
    "u": (350, 800, 2_200),
}
"""Where the spectrum of a vowel has its first peaks, roughly, for a man's voice."""

FORMANT_GAINS = (1.0, 0.5, 0.25)
FORMANT_WIDTH_HZ = 150.0


class HummingEngine(SpeechEngine):
    """Hums what it is to say, and hears nothing; needs no model."""

    can_hear = False

    def detector(self) -> SpeechDetector:
        """Never asked for."""
        raise UserError("humming is all that this engine can do")

    def transcribe(self, samples: Pcm16) -> AsyncGenerator[str]:  # noqa: ARG002 - the contract
        """Never asked for."""
        raise UserError("humming is all that this engine can do")

    async def speak(self, text: str, *, speed: float = 1.0) -> AsyncGenerator[Pcm16]:
        """A syllable at a time."""
        if text.strip():
            for piece in hum_pieces(text, speed):
                yield piece

    async def close(self) -> None:
        """Nothing to release."""


def hum(text: str, speed: float = 1.0) -> Pcm16:
    """A voice-like sound with a syllable for every few letters; the same for the same text.

    Args:
        text: What is not said.
        speed: How fast; 2 makes each syllable half as long.

    Returns:
        int16, mono, 24 kHz, at most about 15 s.
    """
    return np.concatenate(list(hum_pieces(text, speed)))


def hum_pieces(text: str, speed: float = 1.0) -> Iterator[Pcm16]:
    """The same, syllable by syllable: each takes a millisecond to make."""
    pause = np.zeros(round(PAUSE_S / speed * SPEECH_RATE_HZ), np.int16)
    for index in range(max(1, min(MAX_SYLLABLES, len(text) // LETTERS_A_SYLLABLE))):
        letters = text[index * LETTERS_A_SYLLABLE :][:LETTERS_A_SYLLABLE]
        yield np.concatenate([_syllable(letters.lower(), SYLLABLE_S / speed), pause])


def cut(samples: Pcm16) -> Iterator[Pcm16]:
    """The samples in pieces of a fifth of a second."""
    for start in range(0, len(samples), PIECE_SAMPLES):
        yield samples[start : start + PIECE_SAMPLES]


def _syllable(letters: str, duration_s: float) -> Pcm16:
    """Harmonics of a pitch under a vowel's formants, swelling and fading."""
    vowel = next((letter for letter in letters if letter in FORMANTS_HZ), "a")
    pitch_hz = PITCH_HZ + sum(map(ord, letters)) % 40
    time_s = np.arange(round(duration_s * SPEECH_RATE_HZ)) / SPEECH_RATE_HZ
    frequencies_hz = pitch_hz * np.arange(1, int(3_500 / pitch_hz))
    gains = sum(
        gain / (1 + ((frequencies_hz - formant_hz) / FORMANT_WIDTH_HZ) ** 2)
        for gain, formant_hz in zip(FORMANT_GAINS, FORMANTS_HZ[vowel], strict=True)
    )
    waves = np.sin(2 * np.pi * np.outer(time_s, frequencies_hz))
    sound = (waves @ gains) * np.sin(np.pi * time_s / duration_s) ** 2
    syllable: Pcm16 = np.rint(PEAK * sound / np.abs(sound).max()).astype(np.int16)
    return syllable
