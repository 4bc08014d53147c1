"""From an audio source to blocks of 20 ms, one after the other, whatever the source does."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from realtime_core.audio import AudioFrame, AudioSource, Pcm16, frame_from_mono
from realtime_core.resample import RateConverter
from realtime_transports.audio.foreign import as_audio_error, telling_of_stalls

if TYPE_CHECKING:
    from realtime_core.audio import AudioTap

__all__ = [
    "BLOCK_S",
    "BLOCK_SAMPLES",
    "WIRE_RATE_HZ",
    "OutgoingAudio",
    "Pacer",
]

log = logging.getLogger(__name__)

WIRE_RATE_HZ = 48_000
"""Opus in RTP always counts at this rate (RFC 7587, 4.1)."""

BLOCK_S = 0.02
BLOCK_SAMPLES = 960

BUFFER_S = 0.2
"""How far a source may run ahead of the wire. One that is not live then waits; of a live one the
oldest is dropped."""

BUFFER_SAMPLES = round(WIRE_RATE_HZ * BUFFER_S)
"""The same at 48 kHz."""

UNDERRUN_WAIT_S = 0.2
"""How long a source that is not live is waited for before silence is sent."""


class Pacer:
    """Says when the next block is due: every 20 ms, and at once for what a late loop missed."""

    def __init__(self) -> None:
        """The first block is due when it is first asked for."""
        self._due_s: float | None = None

    def take_delay(self, now_s: float) -> float:
        """Seconds to wait before the next block; each call is one block."""
        if self._due_s is None:
            self._due_s = now_s
        delay = self._due_s - now_s
        self._due_s += BLOCK_S
        return max(0.0, delay)


class OutgoingAudio:
    """The user's audio, block by block; silence where there is none.

    Nothing is read before `start`. While muted, the source is still read and its audio dropped,
    as time does not stand still for the user either.
    """

    def __init__(
        self,
        source: AudioSource | None,
        *,
        rate_hz: int = WIRE_RATE_HZ,
        tap: AudioTap | None = None,
        on_error: Callable[[Exception], None],
    ) -> None:
        """Take an open source.

        Args:
            source: None sends silence.
            rate_hz: The rate of the blocks.
            tap: Sees each block as it leaves.
            on_error: Gets what the source raises, which counts as ended then, and once what the
                tap does, which is not used any more.
        """
        self.rate_hz = rate_hz
        self.block_samples = round(rate_hz * BLOCK_S)
        self._buffer_samples = round(rate_hz * BUFFER_S)
        self._source = source
        self._tap = tap
        self._on_error = on_error
        self._blocks: deque[Pcm16] = deque()
        self._buffered = 0
        self._resampler: RateConverter | None = None
        self._reader: asyncio.Task[None] | None = None
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._is_started = False
        self._is_read_to_end = source is None
        self._sent_samples = 0
        self._began_s: float | None = None
        self.ended = asyncio.Event()
        """Set when the source has ended and its last block has been taken."""
        self.dropped_samples = 0
        """Samples that a live source brought and nobody had time for."""
        self.muted = False

    def start(self) -> None:
        """Begin to read the source."""
        self._is_started = True
        if self._source is not None:
            self._reader = asyncio.get_running_loop().create_task(self._read_all(self._source))

    async def take_block(self) -> Pcm16:
        """The next 20 ms.

        A source that is not live is waited for, but not for ever: the peer would take silence on
        the network for a lost link.

        Returns:
            int16, mono, shape (block_samples,).
        """
        if self._is_waiting_for_source():
            try:
                async with asyncio.timeout(UNDERRUN_WAIT_S):
                    await self._filled.wait()
            except TimeoutError:
                log.debug("the source has nothing for %.0f ms", UNDERRUN_WAIT_S * 1000)
        block = self._cut_block()
        if self.muted:
            block = np.zeros(self.block_samples, np.int16)
        self._show(block)
        self._sent_samples += self.block_samples
        return block

    async def close(self) -> None:
        """Stop reading. The source stays open: it is closed by its owner."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    def _show(self, block: Pcm16) -> None:
        if self._tap is None:
            return
        frame = frame_from_mono(block, self.rate_hz, self._sent_samples)
        try:
            self._tap.sent(frame, self._due_s())
        except Exception as exc:  # a tap is foreign code
            tap, self._tap = self._tap, None
            self._on_error(as_audio_error("tap", tap, exc))

    def _due_s(self) -> float:
        """When the next block is due: a late loop sends late, but the audio has its own time."""
        if self._began_s is None:
            self._began_s = asyncio.get_running_loop().time()
        return self._began_s + self._sent_samples / self.rate_hz

    def _is_waiting_for_source(self) -> bool:
        if not self._is_started or self._source is None or self._source.is_live:
            return False
        return not self._is_read_to_end and self._buffered < self.block_samples

    async def _read_all(self, source: AudioSource) -> None:
        try:
            while (frame := await self._read(source)) is not None:
                self._append(self._resample(frame, is_live=source.is_live))
                if source.is_live:
                    self._drop_oldest()
                await asyncio.sleep(0)  # a source that never waits must not hold the loop
                while not source.is_live and self._buffered >= self._buffer_samples:
                    self._room.clear()
                    await self._room.wait()
        except Exception as exc:  # a source is foreign code
            self._on_error(as_audio_error("source", source, exc))
        if self._resampler is not None:
            self._append(self._resampler.flush()[:, 0])
        self._is_read_to_end = True
        self._filled.set()

    async def _read(self, source: AudioSource) -> AudioFrame | None:
        with telling_of_stalls("source", source, self._on_error):
            return await source.read()

    def _drop_oldest(self) -> None:
        while self._buffered > self._buffer_samples:
            dropped = self._blocks.popleft()
            self._buffered -= len(dropped)
            self.dropped_samples += len(dropped)

    def _resample(self, frame: AudioFrame, *, is_live: bool) -> Pcm16:
        if self._resampler is None:
            self._resampler = RateConverter(self.rate_hz, 1, low_delay=is_live)
        return self._resampler.push(frame.to_mono().reshape(-1, 1), frame.rate_hz)[:, 0]

    def _append(self, samples: Pcm16) -> None:
        if len(samples):
            self._blocks.append(samples)
            self._buffered += len(samples)
        if self._buffered >= self.block_samples:
            self._filled.set()

    def _cut_block(self) -> Pcm16:
        block = np.zeros(self.block_samples, np.int16)
        filled = 0
        while self._blocks and filled < self.block_samples:
            head = self._blocks.popleft()
            part = head[: self.block_samples - filled]
            block[filled : filled + len(part)] = part
            filled += len(part)
            if len(part) < len(head):
                self._blocks.appendleft(head[len(part) :])
        self._buffered -= filled
        self._room.set()
        if self._buffered < self.block_samples and not self._is_read_to_end:
            self._filled.clear()
        if self._is_started and self._is_read_to_end and not self._buffered:
            self.ended.set()
        return block
