"""The tone: the same sound whatever is asked."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import numpy as np

from realtime_core.speech import SPEECH_RATE_HZ
from realtime_transports.local_server.responders.base import (
    AnswerPiece,
    AudioPiece,
    Responder,
    TextPiece,
    Turn,
)
from realtime_transports.local_server.responders.hum import cut

__all__ = ["ToneResponder"]

AMPLITUDE = 0.3
FADE_S = 0.01


class ToneResponder(Responder):
    """Answers with a sine, for measurements.

    Sample n is ``round(0.3 * 32767 * sin(2 * pi * hz * n / 24000))``, with 10 ms of fade at both
    ends.
    """

    def __init__(self, hz: float = 440.0, seconds: float = 1.0) -> None:
        """Set the tone.

        Args:
            hz: Its frequency.
            seconds: How long it lasts.
        """
        self._text = f"(a tone of {hz:g} Hz for {seconds:g} s)"
        place = np.arange(round(seconds * SPEECH_RATE_HZ))
        ramp = np.minimum(place, place[::-1]) / (FADE_S * SPEECH_RATE_HZ)
        wave = np.sin(2 * np.pi * hz * place / SPEECH_RATE_HZ) * np.minimum(ramp, 1.0)
        self._samples = np.rint(AMPLITUDE * 32767 * wave).astype(np.int16)

    async def respond(self, turn: Turn) -> AsyncGenerator[AnswerPiece]:
        """The tone, or what it is."""
        yield TextPiece(self._text)
        if turn.output_modality == "audio":
            for piece in cut(self._samples):
                yield AudioPiece(piece)
