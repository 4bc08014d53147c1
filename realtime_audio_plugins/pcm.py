"""Samples without a header, from and into pipes: how ``sox``, ``arecord`` and ``ffmpeg`` connect.

The form is that of ``sox -t raw -e signed -b 16 -L``, ``arecord -f S16_LE -t raw`` and
``ffmpeg -f s16le``.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from realtime_audio_plugins.pipe_end import STANDARD, WRITE_BYTES, PipeEnd
from realtime_audio_plugins.threads import Notifier, call_in_thread
from realtime_core.audio import AudioFrame, AudioSink, AudioSource
from realtime_core.errors import AudioError, UserError

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["PcmSink", "PcmSource"]

_logger = logging.getLogger(__name__)

_SAMPLE_BYTES = 2
_BLOCKS_PER_SECOND = 50
_STOP_TIMEOUT_S = 3.0
_CLOSE_PATIENCE_S = 2.0
"""A reader that takes nothing for so long is not waited for any more when a sink is closed."""


class PcmSource(AudioSource):
    """16-bit samples, little endian, interleaved, from a pipe, until its end.

    A thread reads; a pipe in which nothing comes keeps `read` waiting and nothing else.
    """

    def __init__(
        self,
        path: str = STANDARD,
        *,
        rate_hz: int = 24_000,
        channels: int = 1,
        live: bool = False,
        buffer_ms: int = 200,
    ) -> None:
        """Name the pipe; `open` begins to read it.

        Args:
            path: A FIFO, device or file; ``-`` is standard input.
            rate_hz: Samples per second; nothing in the pipe tells.
            channels: How many channels, likewise.
            live: What is not read in time is dropped, oldest first, and counted, as from a
                microphone. Otherwise the writer is held up.
            buffer_ms: How much is kept for a slow reader.
        """
        self.is_live = live
        self.rate_hz = rate_hz
        self.channels = channels
        self._path = path
        self._max_frames = max(1, buffer_ms * _BLOCKS_PER_SECOND // 1000)
        self._sample_bytes = _SAMPLE_BYTES * channels
        self._block_bytes = max(1, rate_hz // _BLOCKS_PER_SECOND) * self._sample_bytes
        self._end: PipeEnd | None = None

    @property
    def duration_s(self) -> float | None:
        """How much came, in seconds, once it has been read to its end; None before."""
        if self._end is None or not self._is_read_to_end:
            return None
        return self._position / self.rate_hz

    @property
    def dropped_samples(self) -> int:
        """How much was dropped because it was not read in time, in samples per channel."""
        return 0 if self._end is None else self._dropped_samples

    async def open(self) -> None:
        """Begin to read, in a thread. A FIFO may have no writer yet.

        Raises:
            AudioError: There is no such pipe or file.
        """
        if self._end is not None:
            return
        end = PipeEnd(self._path, "read")
        self._changed = threading.Condition()
        self._frames: deque[AudioFrame] = deque()
        self._rest = b""
        self._position = 0
        self._dropped_samples = 0
        self._is_ended = self._is_read_to_end = False
        self._failure: AudioError | None = None
        self._arrived = Notifier()
        self._end = end
        end.start(lambda: self._pump(end))

    async def read(self) -> AudioFrame | None:
        """The next 20 ms (the last frame may be shorter), or None at the end or when closed.

        Raises:
            AudioError: The pipe cannot be opened or read, or ended without one sample.
        """
        if self._end is None:
            raise UserError("the pipe is not open")
        # A pipe that is always full cannot stop the loop; cancelled here, nothing is lost.
        await asyncio.sleep(0)
        while self._end is not None:
            with self._changed:
                if self._frames:
                    self._changed.notify_all()
                    return self._frames.popleft()
                if self._failure is not None:
                    raise self._failure
                if self._is_ended:
                    if not self._position:
                        raise AudioError(f"{self._end.name} has no audio: not one sample came")
                    self._is_read_to_end = True
                    return None
            await self._arrived.wait()
        return None

    async def close(self) -> None:
        """Stop reading. Standard input stays open for others; opened again, reading goes on."""
        end, self._end = self._end, None
        if end is None:
            return
        self._arrived.notify()
        await _stop(end, self._changed)

    # In the thread

    def _pump(self, end: PipeEnd) -> None:
        try:
            end.open()
            while self._has_room(end) and end.wait_ready():
                data = end.read(self._block_bytes)
                if not data:
                    break
                self._take(data)
            self._take_last(end)
        except OSError as exc:
            self._failure = AudioError(f"{end.name} cannot be read: {exc.strerror or exc}")
        finally:
            self._is_ended = True
            self._arrived.notify()

    def _has_room(self, end: PipeEnd) -> bool:
        """Wait until there is room; False: stop."""
        with self._changed:
            while not self.is_live and len(self._frames) >= self._max_frames:
                if end.is_stopped:
                    return False
                self._changed.wait()
        return True

    def _take(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= self._block_bytes:
            self._append(self._rest[: self._block_bytes])
            self._rest = self._rest[self._block_bytes :]

    def _take_last(self, end: PipeEnd) -> None:
        odd = len(self._rest) % self._sample_bytes
        if odd:
            _logger.warning(
                "%s ended with %d bytes of a sample of %d", end.name, odd, self._sample_bytes
            )
        if whole := self._rest[: len(self._rest) - odd]:
            self._append(whole)

    def _append(self, data: bytes) -> None:
        samples = np.frombuffer(data, "<i2").astype(np.int16).reshape(-1, self.channels)
        frame = AudioFrame(samples, self.rate_hz, self._position)
        with self._changed:
            self._position += len(samples)
            self._frames.append(frame)
            while self.is_live and len(self._frames) > self._max_frames:
                self._dropped_samples += len(self._frames.popleft().samples)
        self._arrived.notify()


class PcmSink(AudioSink):
    """16-bit samples, little endian, interleaved, into a pipe.

    A thread writes; a reader that takes nothing keeps `write` waiting once the buffer is full, and
    nothing else. Into a file it writes at once and in place: nothing there marks it as unfinished.
    """

    def __init__(
        self,
        path: str = STANDARD,
        *,
        rate_hz: int = 24_000,
        channels: int = 1,
        buffer_ms: int = 500,
    ) -> None:
        """Name the pipe; `open` opens it.

        Args:
            path: A FIFO, device or file; ``-`` is standard output.
            rate_hz: Samples per second.
            channels: How many channels; frames with another number are mixed and repeated.
            buffer_ms: How much may wait for the reader.
        """
        self.rate_hz: int = rate_hz
        self.channels = channels
        self._path = path
        self._sample_bytes = _SAMPLE_BYTES * channels
        self._capacity = max(1, rate_hz * buffer_ms // 1000) * self._sample_bytes
        self._chunk_bytes = max(1, WRITE_BYTES // self._sample_bytes) * self._sample_bytes
        self._end: PipeEnd | None = None
        self._changed = threading.Condition()
        self._queue = bytearray()
        self._generation = 0
        self._written_bytes = 0
        self._queued_bytes = 0
        self._chunk_left = 0
        self._failure: AudioError | None = None

    @property
    def played_samples(self) -> int:
        """How many samples per channel the pipe has taken."""
        return self._written_bytes // self._sample_bytes

    @property
    def duration_s(self) -> float:
        """How much the pipe has taken, in seconds."""
        return self.played_samples / self.rate_hz

    async def open(self) -> None:
        """Open the pipe, in a thread. A FIFO may have no reader yet.

        Raises:
            AudioError: The path is a directory.
        """
        if self._end is not None:
            return
        end = PipeEnd(self._path, "write")
        self._queue.clear()
        self._written_bytes = 0
        self._failure = None
        self._taken = Notifier()
        self._end = end
        end.start(lambda: self._pump(end))

    async def write(self, frame: AudioFrame) -> None:
        """Queue a frame, as there is room. Cancelled, a part of it may have been queued.

        `clear` and `close` drop what this still waits to queue, too.

        Raises:
            AudioError: Nobody reads the pipe any more, or it cannot be written to.
            UserError: The frame has another rate.
        """
        if self._end is None:
            raise UserError("the pipe is not open")
        if frame.rate_hz != self.rate_hz:
            raise UserError(f"{self._end.name} takes {self.rate_hz} Hz, not {frame.rate_hz} Hz")
        rest = self._to_channels(frame).astype("<i2").tobytes()
        generation = self._generation
        while rest and self._end is not None and generation == self._generation:
            with self._changed:
                self._raise_failure()
                room = max(0, self._capacity - len(self._queue))
                self._queue += rest[:room]
                self._queued_bytes += len(rest[:room])
                self._changed.notify_all()
            rest = rest[room:]
            if rest:
                await self._taken.wait()

    def clear(self) -> None:
        """Drop what is queued. What the pipe holds, the reader still gets."""
        with self._changed:
            self._generation += 1
            self._queue.clear()
        if self._end is not None:
            self._taken.notify()

    async def drain(self) -> None:
        """Wait until the pipe has taken all that was written until now; more may come meanwhile.

        Raises:
            AudioError: Nobody reads the pipe any more, or it cannot be written to.
        """
        end = self._queued_bytes
        while self._end is not None and self._count_pending() > self._queued_bytes - end:
            await self._taken.wait()

    async def close(self, *, complete: bool = True) -> None:
        """Close the pipe; its reader then sees the end. Standard output stays open for others.

        Args:
            complete: Wait until the pipe has taken everything, while its reader takes something
                every 2 s.

        Raises:
            AudioError: It did not; only with `complete`.
        """
        end = self._end
        if end is None:
            return
        try:
            while complete and self._count_pending():
                if not await self._taken.wait(_CLOSE_PATIENCE_S):
                    raise AudioError(f"the reader of {end.name} takes nothing any more")
        finally:
            self._end = None
            self.clear()
            self._taken.notify()
            await _stop(end, self._changed)

    def _count_pending(self) -> int:
        """How many bytes the pipe has not taken yet."""
        with self._changed:
            self._raise_failure()
            return len(self._queue) + self._chunk_left

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _to_channels(self, frame: AudioFrame) -> Pcm16:
        if frame.channels == self.channels:
            return frame.samples
        return np.repeat(frame.to_mono().reshape(-1, 1), self.channels, axis=1)

    # In the thread

    def _pump(self, end: PipeEnd) -> None:
        try:
            end.open()
            while data := self._take_chunk(end):
                while data and end.wait_ready():
                    count = end.write(data)
                    self._written_bytes += count
                    data = data[count:]
                    self._chunk_left = len(data)
                self._taken.notify()
        except BrokenPipeError:
            self._failure = AudioError(f"nobody reads {end.name} any more")
        except OSError as exc:
            self._failure = AudioError(f"{end.name} cannot be written to: {exc.strerror or exc}")
        finally:
            self._chunk_left = 0
            self._taken.notify()

    def _take_chunk(self, end: PipeEnd) -> bytes:
        """Wait for something to write; nothing: stop."""
        with self._changed:
            while not self._queue and not end.is_stopped:
                self._changed.wait()
            if end.is_stopped:
                return b""
            data = bytes(self._queue[: self._chunk_bytes])
            del self._queue[: self._chunk_bytes]
            self._chunk_left = len(data)
            return data


async def _stop(end: PipeEnd, changed: threading.Condition) -> None:
    """End a pipe's thread, which may wait for the pipe or for us."""

    def stop() -> None:
        end.request_stop()
        with changed:
            changed.notify_all()
        end.join()

    await call_in_thread(
        stop, undo=lambda _: None, timeout_s=_STOP_TIMEOUT_S, what=f"closing {end.name}"
    )
