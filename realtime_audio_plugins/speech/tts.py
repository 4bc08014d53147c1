"""Speech synthesis with Hibari's English voice "heart"."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from realtime_audio_plugins.speech.models import LoadedOnce, ModelFile, open_session

if TYPE_CHECKING:
    import onnxruntime

    from realtime_core.audio import Pcm16

__all__ = ["HIBARI", "HibariVoice", "split_text"]

MAX_CHARS = 240
"""A longer sentence is spoken in parts."""

AT_ONCE_CHARS = 30
"""A longer first sentence begins with its first clause alone, which is then heard sooner."""

FIRST_CHARS = 100
"""A clause that ends later than this is no help."""

LEAST_CHARS = 6
"""A shorter clause would be over before the rest is ready."""

MAX_PHONEMES = 400
"""What the model takes at a time."""

MAX_DIGITS = 36
"""The reader of texts knows no name for a longer number, and stumbles over it (measured)."""

MIN_SPEED, MAX_SPEED = 0.5, 2.0
SEED = 0
PAD = 0

SENTENCE_END = re.compile(r"(?<=[.!?…])[\"”\u2019)\]]*\s+|\n+")
CLAUSE_END = re.compile(r"(?<=[,;:—])\s+")
SPACE = re.compile(r"\s+")
NUMBER = re.compile(r"\d[\d,]*")

VOICE = ModelFile(
    "hibari",
    "assets/hibari.onnx",
    "5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8",
)
UNKNOWN_WORDS = ModelFile(
    "hibari",
    "assets/oov.onnx",
    "d3cfd8122c5f172a98c8de38268bf1213ee09f2c2ae4df6e055fc6532590fe76",
)
PHONEMES = ModelFile(
    "hibari",
    "assets/vocab.json",
    "70abefbe8a1c8865e43e0a43bbdc25b91a33e4aa053479d443ccf23e20a59e5d",
)
TABLES = (
    ModelFile(
        "hibari",
        "assets/lexicon_us_gold.json.gz",
        "63ae94f8ef0e906d5b24fe9b59ffcbd1529aca5686a774610e43973cbaa86ad2",
    ),
    ModelFile(
        "hibari",
        "assets/lexicon_us_silver.json.gz",
        "c4c2546ebf1eb07010331e7ef785a431aa17ba8e7bfb6b4af8d654ee96a71fd3",
    ),
    ModelFile(
        "hibari",
        "assets/normalize.json",
        "d478ff05404bc43ac3e0468e306674e51085f1b1afc94cdef7c7ea4fb0d56bd8",
    ),
    ModelFile(
        "hibari",
        "assets/oov.json",
        "b462e6e5dbdf0e7346c732385d0dd844f612f1770871441c56932bff4ca75d8c",
    ),
    ModelFile(
        "hibari",
        "assets/tagger.json.gz",
        "d2da7502284bbbe45d49e0b7ce3ce67bdab82254150f4317f1b8559b4d38d0eb",
    ),
    ModelFile(
        "hibari",
        "assets/tokenizer_exceptions.json",
        "ddf3a3da07bdcf5144270ea4530191d8580fb4fd6f5ae93296e87916e795659a",
    ),
)
"""Read by the package itself; they are checked before it does."""


class HibariVoice:
    """The voice; one may be shared by any number of threads."""

    def __init__(
        self,
        model: onnxruntime.InferenceSession,
        to_phonemes: Any,
        phoneme_ids: Mapping[str, int],
    ) -> None:
        """Join its parts.

        Args:
            model: Gives spectra for phonemes.
            to_phonemes: Reads a text.
            phoneme_ids: The phonemes that the model knows.
        """
        self._model: Any = model
        self._to_phonemes = to_phonemes
        self._phoneme_ids = phoneme_ids
        self._reading = threading.Lock()  # the reader of texts caches what it looked up

    def speak(self, text: str, speed: float = 1.0) -> Pcm16:
        """A part of a text (`split_text`), spoken.

        Returns:
            int16, mono, 24 kHz; the same each time. Nothing where there is nothing to pronounce.
        """
        if not any(character.isalnum() for character in text):
            return np.zeros(0, np.int16)  # it would breathe
        with self._reading:
            phonemes: str = self._to_phonemes(NUMBER.sub(_nameable, text))
        parts = [
            self._synthesise(part, min(max(speed, MIN_SPEED), MAX_SPEED))
            for part in _cut(phonemes, MAX_PHONEMES)
        ]
        return np.concatenate([np.zeros(0, np.int16), *parts])

    def _synthesise(self, phonemes: str, speed: float) -> Pcm16:
        from hibari import dsp

        known = [self._phoneme_ids[each] for each in phonemes if each in self._phoneme_ids]
        if not known:
            return np.zeros(0, np.int16)
        inputs = {
            "ids": np.array([[PAD, *known, PAD]], np.int64),
            "speed": np.array([speed], np.float32),
        }
        spectra = (output[0] for output in self._model.run(None, inputs))
        wave = dsp.synth(*spectra, np.random.default_rng(SEED))
        samples: Pcm16 = np.rint(np.clip(wave, -1.0, 1.0) * 32767.0).astype(np.int16)
        return samples


def split_text(text: str) -> Iterator[str]:
    """Sentences, and parts of those that are very long, in order; none is empty."""
    first, rest = _first_clause(text.strip())
    if first:
        yield first
    for sentence in SENTENCE_END.split(rest):
        yield from (part for part in _cut(sentence.strip(), MAX_CHARS) if part)


def _first_clause(text: str) -> tuple[str, str]:
    """What to begin a long first sentence with, and the rest."""
    sentence = SENTENCE_END.split(text, maxsplit=1)[0]
    if len(sentence) <= AT_ONCE_CHARS:
        return "", text
    found = CLAUSE_END.search(sentence[: FIRST_CHARS + 1], LEAST_CHARS)
    return (text[: found.end()].strip(), text[found.end() :]) if found else ("", text)


def _cut(text: str, longest: int) -> Iterator[str]:
    """Parts no longer than that, cut behind a clause, else between words, else anywhere."""
    while len(text) > longest:
        # A space may be the first character that does not fit.
        window = text[: longest + 1]
        ends = [match.end() for match in CLAUSE_END.finditer(window)]
        ends = ends or [match.end() for match in SPACE.finditer(window)] or [longest]
        yield text[: ends[-1]].strip()
        text = text[ends[-1] :]
    yield text.strip()


def _nameable(number: re.Match[str]) -> str:
    """A number as it is, or digit by digit where it is too long to have a name."""
    digits = number[0].replace(",", "")
    return number[0] if len(digits) <= MAX_DIGITS else " ".join(digits)


def _load() -> HibariVoice:
    model = open_session(VOICE.read())
    unknown_words = open_session(UNKNOWN_WORDS.read())
    phoneme_ids = json.loads(PHONEMES.read())
    for table in TABLES:
        table.read()
    from hibari.g2p import G2P
    from hibari.g2p.oov import OOV

    return HibariVoice(model, G2P(oov=OOV(session=unknown_words)), phoneme_ids)


HIBARI = LoadedOnce(_load)
