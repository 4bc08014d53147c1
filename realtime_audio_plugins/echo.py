"""A source without the echo of what the agent says, through WebRTC's echo canceller.

The canceller is that of the package ``livekit`` (Apache-2.0; AEC3 of libwebrtc). It compares what a
microphone hears with what was played a moment before, and must be told both.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from realtime_core.audio import AudioFrame, AudioSource, frame_from_mono
from realtime_core.errors import AudioError
from realtime_core.resample import StreamingResampler

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["EchoCancelledSource"]

_logger = logging.getLogger(__name__)

_RATE_HZ = 48_000
_BLOCK_SAMPLES = _RATE_HZ // 100
"""The canceller takes blocks of 10 ms."""

_MAX_FAR_S = 10.0
"""How much of what is to be played may be known ahead."""
_MAX_DEVIATION_S = 0.04
"""Frames that follow each other are taken as one piece while their times deviate less."""
_UNTOLD_AFTER_S = 5.0


class EchoCancelledSource(AudioSource):
    """What another source hears, without the echo of what the agent says; mono, 48 kHz.

    It is an `AudioTap` too; a transport whose source is a tap shows it all audio, so that it learns
    what is played.
    The echo may come up to some 200 ms after the frame was handed to the speaker; until it has been
    heard for about a second, a part of it remains. What the user says meanwhile is kept.
    """

    def __init__(self, source: AudioSource) -> None:
        """Wrap a source; it is opened and closed with this.

        Args:
            source: What hears the echo, usually a `MicrophoneSource`.
        """
        self._source = source
        self.is_live = source.is_live
        self.is_endless = source.is_endless
        self._canceller: Any = None
        self._resampler: StreamingResampler | None = None
        self._near: Pcm16 = np.zeros(0, np.int16)
        self._position = 0
        self._clock = _CaptureClock()
        self._far = _FarEnd()
        self._is_told = self._has_warned = False

    @property
    def duration_s(self) -> float | None:
        """The wrapped source's."""
        return self._source.duration_s

    async def open(self) -> None:
        """Load the canceller and open the source.

        Raises:
            AudioError: The package ``livekit`` is not installed, or the source cannot be opened.
        """
        if self._canceller is not None:
            return
        canceller = _Canceller()
        await self._source.open()
        self._reset()
        self._canceller = canceller

    def sent(self, frame: AudioFrame, at_s: float) -> None:  # noqa: ARG002 - of the contract
        """Nothing: it was heard by the source. See `AudioTap.sent`."""
        self._is_told = True

    def heard(self, frame: AudioFrame, at_s: float) -> None:
        """Remember what is going to be played. See `AudioTap.heard`."""
        self._is_told = True
        self._far.push(frame, at_s)

    async def read(self) -> AudioFrame | None:
        """The source's next frame without the echo, or None at the end.

        Raises:
            AudioError: The source's, or the canceller's.
        """
        while (frame := await self._source.read()) is not None:
            near = self._near_resampler(frame).push(frame.to_mono().reshape(-1, 1))[:, 0]
            self._near = np.concatenate([self._near, near])
            count = len(self._near) // _BLOCK_SAMPLES * _BLOCK_SAMPLES
            self._clock.see(asyncio.get_running_loop().time(), self._position + len(self._near))
            self._warn_untold()
            if count:
                return self._take(count)
        return None

    async def close(self) -> None:
        """Close the source and forget the canceller."""
        self._canceller = None
        await self._source.close()

    def _reset(self) -> None:
        self._resampler = None
        self._near = self._near[:0]
        self._position = 0
        self._clock, self._far = _CaptureClock(), _FarEnd()
        self._is_told = self._has_warned = False

    def _take(self, count: int) -> AudioFrame:
        if self._canceller is None:
            raise AudioError("the source is not open")
        cleaned = []
        for begin in range(0, count, _BLOCK_SAMPLES):
            at_s = self._clock.time_of(self._position + begin)
            far = self._far.take(at_s, _BLOCK_SAMPLES)
            near = self._near[begin : begin + _BLOCK_SAMPLES]
            cleaned.append(self._canceller.cancel(near, far))
        frame = frame_from_mono(np.concatenate(cleaned), _RATE_HZ, self._position)
        self._near = self._near[count:]
        self._position += count
        return frame

    def _near_resampler(self, frame: AudioFrame) -> StreamingResampler:
        if self._resampler is None:
            self._resampler = StreamingResampler(frame.rate_hz, _RATE_HZ, low_delay=True)
        return self._resampler

    def _warn_untold(self) -> None:
        if (
            not self._is_told
            and not self._has_warned
            and self._position > _UNTOLD_AFTER_S * _RATE_HZ
        ):
            self._has_warned = True
            _logger.warning(
                "the echo canceller is not told what is played, so it removes nothing: "
                "pass the source as the transport's tap, too"
            )


class _Canceller:
    """livekit's audio processing module, for blocks of 10 ms."""

    def __init__(self) -> None:
        try:
            apm = importlib.import_module("livekit.rtc.apm")
            self._frames = importlib.import_module("livekit.rtc.audio_frame")
        except ImportError as exc:
            raise AudioError(
                "no echo can be cancelled: the package livekit is not installed; "
                'pip install "realtime-transports[aec]"'
            ) from exc
        self._module = apm.AudioProcessingModule(echo_cancellation=True, high_pass_filter=True)

    def cancel(self, near: Pcm16, far: Pcm16) -> Pcm16:
        try:
            self._module.process_reverse_stream(self._frame(far)[0])
            frame, data = self._frame(near)
            self._module.process_stream(frame)
        except RuntimeError as exc:
            raise AudioError(f"the echo canceller failed: {exc}") from exc
        return np.frombuffer(data, np.int16)

    def _frame(self, samples: Pcm16) -> tuple[Any, bytearray]:
        data = bytearray(samples.tobytes())
        return self._frames.AudioFrame(data, _RATE_HZ, 1, len(samples)), data


class _CaptureClock:
    """Says when a sample was heard, from when blocks arrived: some late, none early.

    The least delay of the last ten to twenty seconds counts, so that it follows a device whose
    clock runs faster or slower than the loop's.
    """

    def __init__(self) -> None:
        self._begins = [float("inf"), float("inf")]
        self._next_s = 0.0

    def see(self, now_s: float, position: int) -> None:
        """All samples before this position have been heard by now."""
        if now_s >= self._next_s:
            self._begins = [self._begins[1], float("inf")]
            self._next_s = now_s + 10.0
        self._begins[1] = min(self._begins[1], now_s - position / _RATE_HZ)

    def time_of(self, position: int) -> float:
        """In seconds of the loop's clock."""
        return min(self._begins) + position / _RATE_HZ


class _FarEnd:
    """What is played, on a time line, mono, 48 kHz; silence where nothing is."""

    def __init__(self) -> None:
        self._resampler: StreamingResampler | None = None
        self._blocks: deque[tuple[float, Pcm16]] = deque()
        self._end_s = float("-inf")

    def push(self, frame: AudioFrame, at_s: float) -> None:
        """Add a frame that is played at this time, or after what is to be played by then."""
        if self._resampler is None or self._resampler.in_rate_hz != frame.rate_hz:
            self._resampler = StreamingResampler(frame.rate_hz, _RATE_HZ, low_delay=True)
        samples = self._resampler.push(frame.to_mono().reshape(-1, 1))[:, 0]
        if at_s > self._end_s + _MAX_DEVIATION_S:
            self._end_s = at_s
        self._blocks.append((self._end_s, samples))
        self._end_s += len(samples) / _RATE_HZ
        while self._end_s - self._blocks[0][0] > _MAX_FAR_S:
            self._blocks.popleft()

    def take(self, at_s: float, count: int) -> Pcm16:
        """What is played from this time on; what lies before it is forgotten."""
        taken = np.zeros(count, np.int16)
        while self._blocks:
            begin_s, samples = self._blocks[0]
            offset = round((begin_s - at_s) * _RATE_HZ)
            if offset + len(samples) <= 0:
                self._blocks.popleft()
                continue
            if offset >= count:
                break
            part = samples[max(0, -offset) : count - offset]
            start = max(0, offset)
            taken[start : start + len(part)] = part
            if offset + len(samples) > count:
                break
            self._blocks.popleft()
        return taken
