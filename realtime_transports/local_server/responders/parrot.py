"""The parrot: it says what it heard."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import numpy as np

from realtime_core.errors import UserError
from realtime_core.speech import SPEECH_RATE_HZ
from realtime_transports.local_server.responders.base import (
    AnswerPiece,
    AudioPiece,
    Responder,
    TextPiece,
    Turn,
)
from realtime_transports.local_server.responders.hum import cut, hum_pieces

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["ParrotResponder", "make_parrot", "with_faded_ends"]

FADE_S = 0.005


class ParrotResponder(Responder):
    """Says what it heard.

    A spoken turn is played back exactly as it was committed, with a few milliseconds of fade at
    both ends, as a recording cut out of a stream would click. A written turn comes back as text,
    or as a hum with the text for its transcript: a parrot has no voice of its own.
    """

    async def respond(self, turn: Turn) -> AsyncGenerator[AnswerPiece]:
        """The turn again."""
        yield TextPiece(turn.text or _describe(turn))
        if turn.output_modality != "audio":
            return
        pieces = hum_pieces(turn.text) if turn.audio is None else cut(with_faded_ends(turn.audio))
        for piece in pieces:
            yield AudioPiece(piece)


def make_parrot(argument: str) -> ParrotResponder:
    """The factory of the responder ``"parrot"``.

    Raises:
        UserError: An argument was given; it takes none.
    """
    if argument:
        raise UserError(f"the responder 'parrot' takes no argument, not {argument!r}")
    return ParrotResponder()


def with_faded_ends(samples: Pcm16) -> Pcm16:
    """A copy that begins and ends in silence.

    Args:
        samples: int16, mono, 24 kHz.
    """
    count = min(round(FADE_S * SPEECH_RATE_HZ), len(samples) // 2)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / max(count, 1))
    faded = samples.copy()
    faded[:count] = np.rint(samples[:count] * ramp)
    faded[len(samples) - count :] = np.rint(samples[len(samples) - count :] * ramp[::-1])
    return faded


def _describe(turn: Turn) -> str:
    """Words for a turn that has none: nobody transcribed it here."""
    if turn.audio is None:
        return "(nothing was said)"
    return f"({len(turn.audio) / SPEECH_RATE_HZ:.1f} s of audio, played back)"
