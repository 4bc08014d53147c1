"""Speech recognition with Moonshine's tiny English model.

What the model needs (measured): silence on both sides, or it loses words there; at most 15 s at a
time; a limit to its tokens, or it repeats itself for ever; and speech: it hears "You" in silence
and "♪" in music, so it is given nothing that a detector did not take for speech.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from realtime_audio_plugins.speech.models import LoadedOnce, ModelFile, open_session
from realtime_audio_plugins.speech.segments import Limits, find_segments
from realtime_audio_plugins.speech.vad import (
    FRAME_SAMPLES,
    MODEL_RATE_HZ,
    SILERO,
    Samples,
    SileroStream,
)
from realtime_core.resample import StreamingResampler
from realtime_core.speech import SPEECH_RATE_HZ

if TYPE_CHECKING:
    import onnxruntime

    from realtime_core.audio import Pcm16

__all__ = ["MOONSHINE", "Moonshine", "speech_in", "to_model_rate"]

FILES = {
    "encoder": ModelFile(
        "moonshine_voice",
        "assets/tiny-en/encoder_model.ort",
        "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
    ),
    "decoder": ModelFile(
        "moonshine_voice",
        "assets/tiny-en/decoder_model_merged.ort",
        "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
    ),
    "tokens": ModelFile(
        "moonshine_voice",
        "assets/tiny-en/tokenizer.bin",
        "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d",
    ),
}

START_TOKEN = 1
END_TOKEN = 2
FIRST_WORD_TOKEN = 3
SPACE = "\u2581"
HEADS = 8
HEAD_SIZE = 36
TOKENS_PER_SECOND = 6.5

LEAD_SAMPLES = MODEL_RATE_HZ // 10
TAIL_SAMPLES = MODEL_RATE_HZ // 4

FRAMES_PER_SECOND = MODEL_RATE_HZ / FRAME_SAMPLES
LIMITS = Limits(
    pause=round(0.3 * FRAMES_PER_SECOND),
    padding=round(0.3 * FRAMES_PER_SECOND),
    apart=round(1.5 * FRAMES_PER_SECOND),
    longest=round(15 * FRAMES_PER_SECOND),
)


class Moonshine:
    """The model; one may be shared by any number of threads."""

    def __init__(
        self,
        encoder: onnxruntime.InferenceSession,
        decoder: onnxruntime.InferenceSession,
        vocabulary: list[bytes],
    ) -> None:
        """Join its parts."""
        self._encoder: Any = encoder
        self._decoder: Any = decoder
        self._vocabulary = vocabulary
        self._output_names = [each.name for each in self._decoder.get_outputs()]
        self._past_names = [
            each.name for each in self._decoder.get_inputs() if each.name.startswith("past_")
        ]

    def recognise(self, samples: Samples) -> str:
        """The words of a short stretch of speech.

        Args:
            samples: float32, mono, `MODEL_RATE_HZ`, at most 15 s.
        """
        padded = np.concatenate(
            [np.zeros(LEAD_SAMPLES, np.float32), samples, np.zeros(TAIL_SAMPLES, np.float32)]
        )
        longest = 1 + int(len(padded) / MODEL_RATE_HZ * TOKENS_PER_SECOND)
        tokens = self._decode(padded, longest)
        words = b"".join(self._vocabulary[token] for token in tokens if token >= FIRST_WORD_TOKEN)
        return words.decode("utf-8", "replace").replace(SPACE, " ").strip()

    def _decode(self, samples: Samples, longest: int) -> Iterator[int]:
        """The likeliest token, again and again."""
        mask = np.ones((1, len(samples)), np.int64)
        (hidden,) = self._encoder.run(None, {"input_values": samples[None], "attention_mask": mask})
        inputs = {
            "encoder_hidden_states": hidden,
            "encoder_attention_mask": mask,  # of the samples: the decoder takes every 384th
            **{name: self._empty_past(name, hidden.shape[1]) for name in self._past_names},
        }
        token = START_TOKEN
        for index in range(longest):
            inputs["input_ids"] = np.array([[token]], np.int64)
            inputs["use_cache_branch"] = np.array([index > 0])
            outputs = dict(zip(self._output_names, self._decoder.run(None, inputs), strict=True))
            token = int(outputs["logits"][0, -1].argmax())
            if token == END_TOKEN:
                return
            yield token
            for name in self._past_names:
                # What it makes of the encoder's states is complete after the first step.
                if index == 0 or ".decoder." in name:
                    inputs[name] = outputs[name.replace("past_key_values", "present")]

    @staticmethod
    def _empty_past(name: str, steps: int) -> Samples:
        return np.zeros((1, HEADS, steps if ".encoder." in name else 0, HEAD_SIZE), np.float32)


def _load() -> Moonshine:
    return Moonshine(
        open_session(FILES["encoder"].read()),
        open_session(FILES["decoder"].read()),
        list(_read_vocabulary(FILES["tokens"].read())),
    )


MOONSHINE = LoadedOnce(_load)


def to_model_rate(samples: Pcm16) -> Samples:
    """A recording at the rate of the models.

    Args:
        samples: int16, mono, `SPEECH_RATE_HZ`.

    Returns:
        float32, mono, `MODEL_RATE_HZ`, -1 to 1.
    """
    resampler = StreamingResampler(SPEECH_RATE_HZ, MODEL_RATE_HZ)
    converted = np.concatenate([resampler.push(samples.reshape(-1, 1)), resampler.flush()])
    return converted[:, 0].astype(np.float32) / 32768.0


def speech_in(recording: Samples) -> list[Samples]:
    """The stretches of a recording in which somebody speaks, each short enough to recognise."""
    # Silence behind the end lets the last words end, and completes the last frame.
    padded = np.concatenate([recording, np.zeros(2 * FRAME_SAMPLES, np.float32)])
    probabilities = SileroStream(SILERO.get()).push(padded)
    return [
        recording[segment.start * FRAME_SAMPLES : segment.end * FRAME_SAMPLES]
        for segment in find_segments(probabilities, LIMITS)
    ]


def _read_vocabulary(content: bytes) -> Iterator[bytes]:
    """Each token is its length and its bytes; a length of 128 or more takes two bytes."""
    place = 0
    while place < len(content):
        length = content[place]
        place += 1
        if length >= 128:
            length += 128 * (content[place] - 1)
            place += 1
        yield content[place : place + length]
        place += length
