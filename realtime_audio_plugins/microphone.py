"""A microphone as a source."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from realtime_audio_plugins import portaudio
from realtime_audio_plugins.threads import Notifier
from realtime_core.audio import AudioFrame, AudioSource
from realtime_core.errors import UserError

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["MicrophoneSource"]


class MicrophoneSource(AudioSource):
    """A microphone, mono.

    A live source: what is not read in time is dropped, oldest first, and counted.
    """

    is_live = True
    is_endless = True

    def __init__(self, device: int | str | None = None, *, buffer_ms: int = 200) -> None:
        """Name the device; `open` looks for it.

        Args:
            device: sounddevice's index, a part of the name in any case, or None for the system's
                default.
            buffer_ms: How much is kept for a slow reader.
        """
        self._wanted = device
        self._buffer_ms = buffer_ms
        self._stream: Any = None
        self._name = ""
        self._rate_hz = portaudio.PREFERRED_RATE_HZ
        self._lock = threading.Lock()
        self._blocks: deque[AudioFrame] = deque()
        self._position = 0
        self._dropped_samples = 0
        self._is_lost = False

    @property
    def dropped_samples(self) -> int:
        """How much was dropped because it was not read in time, in samples."""
        return self._dropped_samples

    async def open(self) -> None:
        """Find the device and start recording.

        Raises:
            AudioError: sounddevice is not installed, there is no such device, or it cannot be
                used.
        """
        if self._stream is not None:
            return
        self._blocks.clear()
        self._position = 0
        self._is_lost = False
        self._arrived = Notifier()
        device = await portaudio.open_device(
            "input", self._wanted, max_channels=1, prepare=self._prepare
        )
        self._name, self._stream = device.name, device.stream

    async def read(self) -> AudioFrame | None:
        """The next 20 ms; None only when the microphone is closed meanwhile.

        Raises:
            AudioError: The device is gone.
        """
        if self._stream is None:
            raise UserError("the microphone is not open")
        is_stalled = False
        while self._stream is not None:
            with self._lock:
                if self._blocks:
                    return self._blocks.popleft()
            if self._is_lost or is_stalled:
                raise portaudio.lost_error("input", self._name)
            is_stalled = not await self._arrived.wait(portaudio.STALL_TIMEOUT_S)
        return None

    async def close(self) -> None:
        """Stop recording and release the device."""
        stream, self._stream = self._stream, None
        if stream is not None:
            self._arrived.notify()
            await portaudio.close_stream(self._name, stream)

    def _prepare(self, rate_hz: int, channels: int) -> dict[str, Any]:  # noqa: ARG002 - of the seam
        self._rate_hz = rate_hz
        return {"callback": self._on_block, "finished_callback": self._on_finished}

    def _on_block(self, samples: Pcm16, count: int, time: Any, status: Any) -> None:  # noqa: ARG002 - PortAudio's signature
        frame = AudioFrame(samples.copy(), self._rate_hz, self._position)
        self._position += len(samples)
        with self._lock:
            self._blocks.append(frame)
            while len(self._blocks) * 1000 > self._buffer_ms * portaudio.BLOCKS_PER_SECOND:
                self._dropped_samples += len(self._blocks.popleft().samples)
        self._arrived.notify()

    def _on_finished(self) -> None:
        self._is_lost = True
        self._arrived.notify()
