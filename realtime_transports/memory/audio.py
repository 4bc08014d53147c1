"""Source and sink of a memory connection: read and written as fast as they go, without a clock."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from realtime_core.audio import AudioFrame, frame_from_mono
from realtime_core.errors import AudioError
from realtime_core.plugins import default_plugins
from realtime_core.resample import StreamingResampler
from realtime_transports.audio.foreign import (
    as_audio_error,
    close_within,
    naming,
    telling_of_stalls,
)

if TYPE_CHECKING:
    from realtime_core.audio import AudioSink, AudioSource, AudioTap, Pcm16
    from realtime_core.plugins import PluginManager

__all__ = ["AudioSettings", "ConnectionAudio"]

log = logging.getLogger(__name__)

RATE_HZ = 24_000
PIECE_SAMPLES = RATE_HZ // 5
MAX_BUFFERED_S = 10.0
"""How far the sink may be behind before the server waits."""

CLOSE_DEADLINE_S = 2.0

Report = Callable[[Exception], None]


@dataclass(frozen=True)
class AudioSettings:
    """What a transport was told about audio."""

    source: AudioSource | str | None
    sink: AudioSink | str | None
    tap: AudioTap | None
    plugins: PluginManager | None


class ConnectionAudio:
    """The audio of one connection: opened with it and closed with it."""

    def __init__(
        self,
        settings: AudioSettings,
        *,
        send: Callable[[bytes], None],
        wait_room: Callable[[], Awaitable[None]],
        report: Report,
    ) -> None:
        """Nothing is opened yet.

        Args:
            settings: Source and sink.
            send: Sends PCM of 24 kHz.
            wait_room: Waits until more may be sent.
            report: Gets what source, sink and tap raise.
        """
        plugins = settings.plugins
        source, sink = settings.source, settings.sink
        self._owned_source: AudioSource | None = None
        self._owned_sink: AudioSink | None = None
        if isinstance(source, str):
            source = self._owned_source = (plugins or default_plugins()).source(source)
        if isinstance(sink, str):
            sink = self._owned_sink = (plugins or default_plugins()).sink(sink)
        self._source, self._sink = source, sink
        timeline = _Timeline(settings.tap, report)
        self.outgoing = SourcePump(source, timeline, send, wait_room, report)
        self.incoming = SinkPump(sink, timeline, report)

    async def open(self) -> None:
        """Open sink and source.

        Raises:
            AudioError: One of them cannot be opened.
        """
        if self._sink is not None:
            with naming("sink", self._sink):
                await self._sink.open()
        if self._source is not None:
            with naming("source", self._source):
                await self._source.open()

    async def close(self, *, complete: bool) -> None:
        """Stop, and close what was made here.

        Args:
            complete: Whether the connection came to its proper end; what came is then written.
        """
        await self.outgoing.close()
        if complete:
            await _within_deadline(self.incoming.wait_written(), "sink did not take the rest")
        await self.incoming.close()
        source, sink = self._owned_source, self._owned_sink
        failures: list[AudioError | None] = []
        if source is not None:
            closing = source.close()
            failures.append(await close_within(CLOSE_DEADLINE_S, "source", source, closing))
        if sink is not None:
            closing = sink.close(complete=complete)
            failures.append(await close_within(CLOSE_DEADLINE_S, "sink", sink, closing))
        for failure in filter(None, failures):
            raise failure


async def _within_deadline(ending: Awaitable[None], failure: str) -> None:
    try:
        async with asyncio.timeout(CLOSE_DEADLINE_S):
            await ending
    except TimeoutError:
        log.warning("the audio %s within %.0f s", failure, CLOSE_DEADLINE_S)


class SourcePump:
    """Reads the source to its end and sends what it brings, in pieces of 200 ms."""

    def __init__(
        self,
        source: AudioSource | None,
        timeline: _Timeline,
        send: Callable[[bytes], None],
        wait_room: Callable[[], Awaitable[None]],
        report: Report,
    ) -> None:
        """See `ConnectionAudio`; None has ended already."""
        self._source = source
        self._timeline = timeline
        self._send = send
        self._wait_room = wait_room
        self._report = report
        self._resampler: StreamingResampler | None = None
        self._rest: Pcm16 = np.zeros(0, np.int16)
        self._task: asyncio.Task[None] | None = None
        self.muted = False
        self.ended = asyncio.Event()
        if source is None:
            self.ended.set()

    def start(self, *, silence_s: float) -> None:
        """Begin to read.

        Args:
            silence_s: Sent behind the source's end, so that a server that detects turns finds it.
        """
        if self._source is not None:
            running = self._run(self._source, silence_s)
            self._task = asyncio.get_running_loop().create_task(running)

    async def close(self) -> None:
        """Stop reading. The source stays open: it is closed by its owner."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, source: AudioSource, silence_s: float) -> None:
        try:
            while (frame := await self._read(source)) is not None:
                await self._push(self._resample(frame))
        except Exception as exc:  # a source is foreign code
            self._report(as_audio_error("source", source, exc))
        if self._resampler is not None:
            await self._push(self._resampler.flush()[:, 0])
        await self._push(np.zeros(round(silence_s * RATE_HZ), np.int16))
        await self._send_piece(self._rest)
        self.ended.set()

    async def _read(self, source: AudioSource) -> AudioFrame | None:
        await asyncio.sleep(0)  # a source that never waits lets others run here
        with telling_of_stalls("source", source, self._report):
            return await source.read()

    async def _push(self, samples: Pcm16) -> None:
        self._rest = np.concatenate([self._rest, samples])
        while len(self._rest) >= PIECE_SAMPLES:
            piece, self._rest = self._rest[:PIECE_SAMPLES], self._rest[PIECE_SAMPLES:]
            await self._send_piece(piece)

    async def _send_piece(self, samples: Pcm16) -> None:
        if not len(samples):
            return
        if self.muted:
            samples = np.zeros(len(samples), np.int16)
        self._timeline.sent(samples)
        self._send(samples.astype("<i2", copy=False).tobytes())
        await self._wait_room()

    def _resample(self, frame: AudioFrame) -> Pcm16:
        if self._resampler is None:
            self._resampler = StreamingResampler(frame.rate_hz, RATE_HZ, 1)
        return self._resampler.push(frame.to_mono().reshape(-1, 1))[:, 0]


class SinkPump:
    """Writes what comes to the sink, and knows how much of it was heard."""

    def __init__(self, sink: AudioSink | None, timeline: _Timeline, report: Report) -> None:
        """See `ConnectionAudio`; None drains."""
        self._sink = sink
        self._timeline = timeline
        self._report = report
        self._frames: deque[AudioFrame] = deque()
        self._buffered_s = 0.0
        self._came_samples = 0
        self._came_s = 0.0
        self._clears = 0
        self._heard_before_s: float | None = None
        self._resampler: StreamingResampler | None = None
        self._changed = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._is_writing = False

    def push(self, data: bytes) -> None:
        """Take PCM of the model: int16, little endian, mono, 24 kHz."""
        samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.int16)
        if not len(samples):
            return
        frame = frame_from_mono(samples, RATE_HZ, self._came_samples)
        self._came_samples += len(samples)
        self._timeline.heard(frame)
        if self._sink is None:
            return
        if self._heard_before_s is None:
            self._heard_before_s = self._played_s()
        self._came_s += frame.duration_s
        self._frames.append(frame)
        self._buffered_s += frame.duration_s
        self._changed.set()
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write_all())

    def unheard_ms(self) -> float:
        """How much of what came is still to be heard; nothing where nothing plays."""
        if self._sink is None or self._heard_before_s is None:
            return 0.0
        heard_s = self._played_s() - self._heard_before_s
        return max(0.0, (self._came_s - heard_s) * 1000)

    def clear(self) -> None:
        """Drop what came and was not heard yet."""
        self._frames.clear()
        self._buffered_s = 0.0
        self._clears += 1
        self._changed.set()
        self._clear_sink()

    def _clear_sink(self) -> None:
        if self._sink is None or self._heard_before_s is None:
            return
        self._resampler = None  # it may hold some
        try:
            self._sink.clear()
        except Exception as exc:  # a sink is foreign code
            self._give_up(exc)
            return
        self._came_s = self._played_s() - self._heard_before_s + self._buffered_s

    async def wait_room(self) -> None:
        """Wait until the sink is not far behind."""
        await self._wait(lambda: self._buffered_s <= MAX_BUFFERED_S)

    async def wait_written(self) -> None:
        """Wait until the sink has taken everything that came."""
        await self._wait(lambda: not self._frames and not self._is_writing)

    async def wait_heard(self) -> None:
        """Wait until everything that came has been heard or stored."""
        await self.wait_written()
        if self._sink is not None:
            with naming("sink", self._sink):
                await self._sink.drain()

    async def close(self) -> None:
        """Stop writing. The sink stays open: it is closed by its owner."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    async def _wait(self, is_fulfilled: Callable[[], bool]) -> None:
        while self._sink is not None and not is_fulfilled():
            self._changed.clear()
            await self._changed.wait()

    async def _write_all(self) -> None:
        while True:
            while self._frames:
                frame = self._frames.popleft()
                self._buffered_s = max(0.0, self._buffered_s - frame.duration_s)
                await self._write(frame)
            self._changed.clear()
            await self._changed.wait()

    async def _write(self, frame: AudioFrame) -> None:
        if self._sink is None:
            return
        self._is_writing = True
        clears = self._clears
        try:
            with telling_of_stalls("sink", self._sink, self._report):
                await self._sink.write(self._resample(frame, self._sink.rate_hz))
        except Exception as exc:  # a sink is foreign code
            self._give_up(exc)
        finally:
            self._is_writing = False
            self._changed.set()
        if self._clears != clears:  # the sink took the frame after it was cleared
            self._clear_sink()

    def _resample(self, frame: AudioFrame, rate_hz: int | None) -> AudioFrame:
        if rate_hz is None or rate_hz == RATE_HZ:
            return frame
        if self._resampler is None:
            self._resampler = StreamingResampler(RATE_HZ, rate_hz, 1, low_delay=True)
        first = round(frame.first_sample * rate_hz / RATE_HZ)
        return AudioFrame(self._resampler.push(frame.samples), rate_hz, first)

    def _played_s(self) -> float:
        if self._sink is None:
            return 0.0
        try:
            return self._sink.played_samples / (self._sink.rate_hz or RATE_HZ)
        except Exception as exc:  # a sink is foreign code
            self._give_up(exc)
            return 0.0

    def _give_up(self, exc: Exception) -> None:
        sink, self._sink = self._sink, None
        self._changed.set()
        self._report(as_audio_error("sink", sink, exc))


class _Timeline:
    """Shows the audio to a tap, one sound after the other: there is no clock to go by."""

    def __init__(self, tap: AudioTap | None, report: Report) -> None:
        self._tap = tap
        self._report = report
        self._now_s = asyncio.get_running_loop().time()
        self._sent_samples = 0

    def sent(self, samples: Pcm16) -> None:
        frame = frame_from_mono(samples, RATE_HZ, self._sent_samples)
        self._sent_samples += len(samples)
        self._show(frame, lambda tap, at_s: tap.sent(frame, at_s))

    def heard(self, frame: AudioFrame) -> None:
        self._show(frame, lambda tap, at_s: tap.heard(frame, at_s))

    def _show(self, frame: AudioFrame, show: Callable[[AudioTap, float], None]) -> None:
        at_s, self._now_s = self._now_s, self._now_s + frame.duration_s
        if self._tap is None:
            return
        try:
            show(self._tap, at_s)
        except Exception as exc:  # a tap is foreign code
            tap, self._tap = self._tap, None
            self._report(as_audio_error("tap", tap, exc))
