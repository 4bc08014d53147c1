"""A speaker as a sink."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from realtime_audio_plugins import portaudio
from realtime_audio_plugins.play_queue import PlayClock, PlayQueue
from realtime_audio_plugins.threads import Notifier
from realtime_core.audio import AudioSink
from realtime_core.errors import UserError

if TYPE_CHECKING:
    from realtime_core.audio import AudioFrame, Pcm16

__all__ = ["SpeakerSink"]


class SpeakerSink(AudioSink):
    """A speaker. It plays mono, on both sides.

    What is written waits in a queue of bounded length; `write` waits while that is full. What has
    been heard is told by the device's own clock: samples count when they leave the device.
    """

    def __init__(self, device: int | str | None = None, *, buffer_ms: int = 500) -> None:
        """Name the device; `open` looks for it.

        Args:
            device: sounddevice's index, a part of the name in any case, or None for the system's
                default.
            buffer_ms: How much may wait to be played.
        """
        self.rate_hz: int = portaudio.PREFERRED_RATE_HZ
        self._wanted = device
        self._buffer_ms = buffer_ms
        self._stream: Any = None
        self._name = ""
        self._lock = threading.Lock()
        self._queue = PlayQueue()
        self._clock = PlayClock()
        self._generation = 0
        self._is_lost = False

    @property
    def played_samples(self) -> int:
        """How many samples have left the device; what `clear` dropped is not among them."""
        stream = self._stream
        with self._lock:
            return self._clock.played_samples(None if stream is None else float(stream.time))

    async def open(self) -> None:
        """Find the device and start playing; `rate_hz` is the device's from here on.

        Raises:
            AudioError: sounddevice is not installed, there is no such device, or it cannot be
                used.
        """
        if self._stream is not None:
            return
        self._is_lost = False
        self._called = Notifier()
        device = await portaudio.open_device(
            "output", self._wanted, max_channels=2, prepare=self._prepare
        )
        self._name, self._stream = device.name, device.stream

    async def write(self, frame: AudioFrame) -> None:
        """Queue a frame, as there is room. Cancelled, a part of it may have been queued.

        `clear` and `close` drop what this still waits to queue, too.

        Raises:
            AudioError: The device is gone.
            UserError: The frame has another rate than the device.
        """
        if frame.rate_hz != self.rate_hz:
            raise UserError(f"the speaker plays {self.rate_hz} Hz, not {frame.rate_hz} Hz")
        generation = self._generation
        rest = frame.to_mono()
        if self._stream is None:
            raise UserError("the speaker is not open")
        while len(rest) and generation == self._generation:
            if self._is_lost:
                raise portaudio.lost_error("output", self._name)
            with self._lock:
                room = self._capacity - self._queue.length
                self._queue.append(rest[:room])
            rest = rest[room:]
            if len(rest):
                await self._wait_for_device()

    def clear(self) -> None:
        """Drop what is queued. What the device has already taken, some 10 ms, still plays."""
        self._generation += 1
        with self._lock:
            self._queue.clear()

    async def drain(self) -> None:
        """Wait until all that was written until now has left the device; more may come meanwhile.

        Raises:
            AudioError: The device is gone.
        """
        end = self._queue.end
        while self._stream is not None:
            with self._lock:
                pending = self._queue.length + self._clock.count_pending(self._stream.time)
                if self._queue.end - pending >= end:
                    return
            await self._wait_for_device()

    async def close(self, *, complete: bool = True) -> None:  # noqa: ARG002 - of the contract
        """Release the device at once; `drain` first to hear the rest."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        with self._lock:
            self._clock.stop(float(stream.time))
            self._queue.clear()
        self._generation += 1
        self._called.notify()
        await portaudio.close_stream(self._name, stream)

    @property
    def _capacity(self) -> int:
        return max(1, self.rate_hz * self._buffer_ms // 1000)

    async def _wait_for_device(self) -> None:
        if self._is_lost:
            raise portaudio.lost_error("output", self._name)
        has_called = await self._called.wait(portaudio.STALL_TIMEOUT_S)
        if self._stream is not None and (self._is_lost or not has_called):
            raise portaudio.lost_error("output", self._name)

    def _prepare(self, rate_hz: int, channels: int) -> dict[str, Any]:  # noqa: ARG002 - of the seam
        self.rate_hz = rate_hz
        self._queue, self._clock = PlayQueue(), PlayClock(rate_hz)
        return {"callback": self._on_block, "finished_callback": self._on_finished}

    def _on_block(self, out: Pcm16, count: int, time: Any, status: Any) -> None:  # noqa: ARG002 - PortAudio's signature
        with self._lock:
            samples = self._queue.take(count)
            self._clock.hand_over(len(samples), float(time.outputBufferDacTime))
        out[: len(samples)] = samples[:, np.newaxis]
        out[len(samples) :] = 0
        self._called.notify()

    def _on_finished(self) -> None:
        self._is_lost = True
        self._called.notify()
