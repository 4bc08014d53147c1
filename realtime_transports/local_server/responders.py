"""What answers: the contract, and the parrot."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from realtime_core.errors import UserError
from realtime_transports.openai.server_conversation import RATE_HZ
from realtime_transports.openai.server_outputs import Turn

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = [
    "AnswerPiece",
    "AudioPiece",
    "CallPiece",
    "ParrotResponder",
    "Responder",
    "TextPiece",
    "Turn",
    "make_parrot",
]

PIECE_SAMPLES = RATE_HZ // 5
FADE_S = 0.005
SYLLABLE_S = 0.18
PAUSE_S = 0.06
MAX_SYLLABLES = 60


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


class Responder(ABC):
    """Answers turns, of any number of sessions at a time.

    A plugin brings one by the hook `realtime_responders`. What computes longer than a few
    milliseconds belongs in a worker thread.
    """

    @abstractmethod
    def respond(self, turn: Turn) -> AsyncGenerator[AnswerPiece]:
        """The answer, piece by piece.

        The generator is closed when the answer is cancelled; cleaning up is its own. What it
        raises ends the response as failed, with the message told to the client.
        """

    async def close(self) -> None:  # noqa: B027 - most have nothing to release
        """Release everything. Called once, when the server ends, if the server made it."""


class ParrotResponder(Responder):
    """Says what it heard.

    A spoken turn is played back exactly as it was committed, with a few milliseconds of fade at
    both ends, as a recording cut out of a stream would click. A written turn comes back as text,
    or as a hum with the text for its transcript: a parrot has no voice of its own.
    """

    async def respond(self, turn: Turn) -> AsyncGenerator[AnswerPiece]:
        """The turn again."""
        if turn.output_modality != "audio":
            yield TextPiece(turn.text or _describe(turn))
            return
        yield TextPiece(turn.text or _describe(turn))
        heard = hum(turn.text) if turn.audio is None else with_faded_ends(turn.audio)
        for piece in _cut(heard):
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
    count = min(round(FADE_S * RATE_HZ), len(samples) // 2)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / max(count, 1))
    gain = np.ones(len(samples))
    gain[:count] = ramp
    gain[len(samples) - count :] = ramp[::-1]
    return np.rint(samples * gain).astype(np.int16)


def hum(text: str) -> Pcm16:
    """A voice-like sound with a syllable for every few letters; the same for the same text.

    Returns:
        int16, mono, 24 kHz, at most about 15 s.
    """
    syllables = max(1, min(MAX_SYLLABLES, len(text) // 3))
    pause = np.zeros(round(PAUSE_S * RATE_HZ), np.int16)
    pieces = []
    for index in range(syllables):
        letter = ord(text[index * 3]) if text else 0
        pieces += [_syllable(pitch_hz=110.0 + letter % 40), pause]
    return np.concatenate(pieces)


def _syllable(pitch_hz: float) -> Pcm16:
    time_s = np.arange(round(SYLLABLE_S * RATE_HZ)) / RATE_HZ
    harmonics = [
        np.sin(2 * np.pi * pitch_hz * n * time_s) / (1 + ((n * pitch_hz - 600) / 400) ** 2)
        for n in range(1, 12)
    ]
    envelope = np.sin(np.pi * time_s / SYLLABLE_S) ** 2
    sound = np.sum(harmonics, axis=0) * envelope
    syllable: Pcm16 = np.rint(6_000 * sound / np.abs(sound).max()).astype(np.int16)
    return syllable


def _describe(turn: Turn) -> str:
    """Words for a turn that has none: nobody transcribed it here."""
    if turn.audio is None:
        return "(nothing was said)"
    return f"({len(turn.audio) / RATE_HZ:.1f} s of audio, played back)"


def _cut(samples: Pcm16) -> Iterator[Pcm16]:
    for start in range(0, len(samples), PIECE_SAMPLES):
        yield samples[start : start + PIECE_SAMPLES]
