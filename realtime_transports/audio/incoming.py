"""From frames off the network to an audio sink, without ever holding the network up."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from realtime_core.audio import AudioFrame, AudioSink
from realtime_core.resample import RateConverter
from realtime_transports.audio.foreign import as_audio_error, naming, telling_of_stalls

if TYPE_CHECKING:
    from realtime_core.audio import AudioTap

__all__ = ["IncomingAudio"]

log = logging.getLogger(__name__)

MAX_BUFFERED_S = 2.0
"""What a sink may be behind, unless said otherwise, before the oldest audio is dropped and
counted."""


class IncomingAudio:
    """Takes frames at the network's pace and writes them at the sink's."""

    def __init__(
        self,
        sink: AudioSink | None,
        *,
        tap: AudioTap | None = None,
        on_error: Callable[[Exception], None],
        max_buffered_s: float = MAX_BUFFERED_S,
    ) -> None:
        """Take an open sink.

        Args:
            sink: None drains the audio.
            tap: Sees each frame as it goes to the sink.
            on_error: Gets what sink or tap raises, once each; they are not used from then on.
            max_buffered_s: How far behind the sink may be.
        """
        self._max_buffered_s = max_buffered_s
        self._sink = sink
        self._tap = tap
        self._on_error = on_error
        self._frames: deque[AudioFrame] = deque()
        self._buffered_s = 0.0
        self._arrived = asyncio.Event()
        self._progressed = asyncio.Event()
        self._taken = 0
        self._finished = 0
        """Frames taken so far, and how many of them were written or dropped."""
        self._resampler: RateConverter | None = None
        self._clears = 0
        self._silent_s = 0.0
        self._writer: asyncio.Task[None] | None = None
        self.received_s = 0.0
        """Seconds of audio that came."""
        self.dropped_s = 0.0
        """Seconds of audio that the sink had no time for."""

    def push(self, frame: AudioFrame) -> None:
        """Take a frame. Never blocks."""
        self.received_s += frame.duration_s
        if self._silent_s > 0:
            self._silent_s -= frame.duration_s
            frame = replace(frame, samples=np.zeros_like(frame.samples))
        self._show(frame)
        if self._sink is None:
            return
        self._frames.append(frame)
        self._taken += 1
        self._buffered_s += frame.duration_s
        while self._buffered_s > self._max_buffered_s:
            self.dropped_s += self._forget_oldest()
        self._arrived.set()
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write_all())

    def clear(self) -> None:
        """Drop what has not been heard yet."""
        while self._frames:
            self._forget_oldest()
        self._resampler = None  # it may hold some
        self._clears += 1
        self._clear_sink()

    def silence(self, for_s: float) -> None:
        """Put silence in the place of what comes, for so long; 0 lets it through."""
        self._silent_s = for_s

    async def drain(self) -> None:
        """Wait until everything that came before this call has been heard or stored."""
        until = self._taken
        while self._finished < until:
            self._progressed.clear()
            await self._progressed.wait()
        if self._sink is not None:  # it may have failed meanwhile
            with naming("sink", self._sink):
                await self._sink.drain()

    async def close(self) -> None:
        """Stop writing. The sink stays open: it is closed by its owner."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    def _forget_oldest(self) -> float:
        duration = self._frames.popleft().duration_s
        self._buffered_s = max(0.0, self._buffered_s - duration)
        self._finish_one()
        return duration

    def _finish_one(self) -> None:
        self._finished += 1
        self._progressed.set()

    async def _write_all(self) -> None:
        while True:
            while self._frames:
                frame = self._frames.popleft()
                self._buffered_s = max(0.0, self._buffered_s - frame.duration_s)
                await self._write(frame)
                self._finish_one()
            self._arrived.clear()
            await self._arrived.wait()

    async def _write(self, frame: AudioFrame) -> None:
        if self._sink is None:
            return
        clears = self._clears
        try:
            with telling_of_stalls("sink", self._sink, self._on_error):
                await self._sink.write(self._resample(frame, self._sink.rate_hz))
        except Exception as exc:  # a sink is foreign code
            self._give_up(exc)
        if self._clears != clears:  # the sink took the frame after it was cleared
            self._clear_sink()

    def _clear_sink(self) -> None:
        if self._sink is None:
            return
        try:
            self._sink.clear()
        except Exception as exc:  # a sink is foreign code
            self._give_up(exc)

    def _give_up(self, exc: Exception) -> None:
        sink, self._sink = self._sink, None
        self._on_error(as_audio_error("sink", sink, exc))

    def _show(self, frame: AudioFrame) -> None:
        if self._tap is None:
            return
        try:
            self._tap.heard(frame, asyncio.get_running_loop().time())
        except Exception as exc:  # a tap is foreign code
            tap, self._tap = self._tap, None
            self._on_error(as_audio_error("tap", tap, exc))

    def _resample(self, frame: AudioFrame, rate_hz: int | None) -> AudioFrame:
        if rate_hz is None:
            return frame
        if self._resampler is None or self._resampler.channels != frame.channels:
            self._resampler = RateConverter(rate_hz, frame.channels, low_delay=True)
        first = round(frame.first_sample * rate_hz / frame.rate_hz)
        return AudioFrame(self._resampler.push(frame.samples, frame.rate_hz), rate_hz, first)
