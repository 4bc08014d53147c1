"""Microphone and speaker, through sounddevice (PortAudio).

PortAudio calls back in a thread of its own, with a deadline of a few milliseconds. There nothing
is done but copying samples from or to a queue of bounded length; the event loop is reached by
`call_soon_threadsafe` only.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import math
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from realtime_core.audio import AudioFrame, AudioSink, AudioSource
from realtime_core.errors import AudioError, UserError

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["MicrophoneSource", "SpeakerSink"]

_PREFERRED_RATE_HZ = 48_000
_BLOCKS_PER_SECOND = 50
_STALL_TIMEOUT_S = 2.0
"""A device that is unplugged does not always say so: on some systems it just stops calling."""

_Direction = Literal["input", "output"]
_ROLES: dict[str, str] = {"input": "microphone", "output": "speaker"}
_KEYWORDS: dict[str, str] = {"input": "source", "output": "sink"}


class _Notifier:
    """Lets a thread wake one waiter in the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Wake the waiter; from any thread."""
        # RuntimeError: the loop ended and nobody closed the device, so nobody waits either.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the next `notify` after the last `wait`; False when none came in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            # Where the loop itself stood still, both happened: then it was not the device.
            if not self._event.is_set():
                return False
        self._event.clear()
        return True


class MicrophoneSource(AudioSource):
    """A microphone, mono.

    A live source: what is not read in time is dropped, oldest first, and counted.
    """

    is_live = True

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
        self._rate_hz = _PREFERRED_RATE_HZ
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
        sounddevice = _import_sounddevice("input")
        index, info = _find_device(sounddevice, self._wanted, "input")
        self._name = str(info["name"])
        self._rate_hz = _choose_rate(sounddevice, index, info, 1, "input")
        self._blocks.clear()
        self._position = 0
        self._is_lost = False
        self._arrived = _Notifier()
        self._stream = _start_stream(
            sounddevice,
            sounddevice.InputStream,
            self._name,
            device=index,
            channels=1,
            dtype="int16",
            samplerate=self._rate_hz,
            blocksize=self._rate_hz // _BLOCKS_PER_SECOND,
            callback=self._on_block,
            finished_callback=self._on_finished,
        )

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
                raise _lost_error("input", self._name)
            is_stalled = not await self._arrived.wait(_STALL_TIMEOUT_S)
        return None

    async def close(self) -> None:
        """Stop recording and release the device."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
            self._arrived.notify()

    def _on_block(self, samples: Pcm16, count: int, time: Any, status: Any) -> None:  # noqa: ARG002 - PortAudio's signature
        frame = AudioFrame(samples.copy(), self._rate_hz, self._position)
        self._position += len(samples)
        with self._lock:
            self._blocks.append(frame)
            while len(self._blocks) * 1000 > self._buffer_ms * _BLOCKS_PER_SECOND:
                self._dropped_samples += len(self._blocks.popleft().samples)
        self._arrived.notify()

    def _on_finished(self) -> None:
        self._is_lost = True
        self._arrived.notify()


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
        self.rate_hz: int = _PREFERRED_RATE_HZ
        self._wanted = device
        self._buffer_ms = buffer_ms
        self._stream: Any = None
        self._name = ""
        self._lock = threading.Lock()
        self._queue = _PlayQueue()
        self._clock = _PlayClock()
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
        sounddevice = _import_sounddevice("output")
        index, info = _find_device(sounddevice, self._wanted, "output")
        self._name = str(info["name"])
        channels = min(2, int(info["max_output_channels"]))
        self.rate_hz = _choose_rate(sounddevice, index, info, channels, "output")
        self._queue = _PlayQueue()
        self._clock = _PlayClock(self.rate_hz)
        self._is_lost = False
        self._called = _Notifier()
        self._stream = _start_stream(
            sounddevice,
            sounddevice.OutputStream,
            self._name,
            device=index,
            channels=channels,
            dtype="int16",
            samplerate=self.rate_hz,
            blocksize=self.rate_hz // _BLOCKS_PER_SECOND,
            callback=self._on_block,
            finished_callback=self._on_finished,
        )

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
                raise _lost_error("output", self._name)
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
        """Wait until everything queued has left the device.

        Raises:
            AudioError: The device is gone.
        """
        while self._stream is not None:
            with self._lock:
                is_played = not self._queue.length and self._clock.is_idle(self._stream.time)
            if is_played:
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
        stream.close()
        self._generation += 1
        self._called.notify()

    @property
    def _capacity(self) -> int:
        return max(1, self.rate_hz * self._buffer_ms // 1000)

    async def _wait_for_device(self) -> None:
        if self._is_lost:
            raise _lost_error("output", self._name)
        has_called = await self._called.wait(_STALL_TIMEOUT_S)
        if self._stream is not None and (self._is_lost or not has_called):
            raise _lost_error("output", self._name)

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


class _PlayQueue:
    """Samples that wait to be played. Not thread-safe by itself."""

    def __init__(self) -> None:
        self._blocks: deque[Pcm16] = deque()
        self.length = 0
        """In samples."""

    def append(self, samples: Pcm16) -> None:
        if len(samples):
            self._blocks.append(samples)
            self.length += len(samples)

    def clear(self) -> None:
        self._blocks.clear()
        self.length = 0

    def take(self, count: int) -> Pcm16:
        """Return and forget up to so many samples."""
        pieces: list[Pcm16] = [np.zeros(0, np.int16)]
        while self._blocks and count:
            block = self._blocks.popleft()
            if len(block) > count:
                self._blocks.appendleft(block[count:])
                block = block[:count]
            pieces.append(block)
            count -= len(block)
            self.length -= len(block)
        return np.concatenate(pieces)


class _PlayClock:
    """Counts samples as they leave the device, by the times the device tells. Not thread-safe."""

    def __init__(self, rate_hz: int = _PREFERRED_RATE_HZ) -> None:
        self._rate_hz = rate_hz
        self._on_their_way: deque[tuple[float, int]] = deque()
        self._played = 0

    def hand_over(self, count: int, first_leaves_at: float) -> None:
        """The device took so many samples; the first leaves at this time of the stream's clock."""
        # Some drivers tell no time; then what they took counts as played.
        if count and first_leaves_at <= 0:
            self._played += count
        elif count:
            self._on_their_way.append((first_leaves_at, count))

    def is_idle(self, now: float) -> bool:
        self._advance(now)
        return not self._on_their_way

    def played_samples(self, now: float | None) -> int:
        """How many have left at this time; None: the clock stands still."""
        if now is None:
            return self._played
        self._advance(now)
        if not self._on_their_way:
            return self._played
        leaves_at, count = self._on_their_way[0]
        return self._played + min(count, max(0, math.floor((now - leaves_at) * self._rate_hz)))

    def stop(self, now: float) -> None:
        self._played = self.played_samples(now)
        self._on_their_way.clear()

    def _advance(self, now: float) -> None:
        while self._on_their_way:
            leaves_at, count = self._on_their_way[0]
            if leaves_at + count / self._rate_hz > now:
                return
            self._on_their_way.popleft()
            self._played += count


def _import_sounddevice(direction: _Direction) -> Any:
    try:
        return importlib.import_module("sounddevice")
    except ImportError as exc:
        reason = "the package sounddevice is not installed"
        raise _unavailable(direction, reason) from exc
    except OSError as exc:
        # The package came without PortAudio; on Linux the system has it (libportaudio2).
        raise _unavailable(direction, f"sounddevice cannot be used: {exc}") from exc


def _find_device(
    sounddevice: Any, wanted: int | str | None, direction: _Direction
) -> tuple[int, dict[str, Any]]:
    try:
        if wanted is None:
            info = dict(sounddevice.query_devices(kind=direction))
            return int(info["index"]), info
        devices = [dict(device) for device in sounddevice.query_devices()]
    except (ValueError, sounddevice.PortAudioError) as exc:
        raise _unavailable(direction, f"this machine has no {_ROLES[direction]}: {exc}") from exc
    usable = [device for device in devices if device[f"max_{direction}_channels"] > 0]
    if isinstance(wanted, int):
        found = [device for device in usable if device["index"] == wanted]
    else:
        name = wanted.casefold()
        exact = [device for device in usable if device["name"].casefold() == name]
        found = exact or [device for device in usable if name in device["name"].casefold()]
    if len(found) != 1:
        raise AudioError(
            f"{len(found)} {_ROLES[direction]}s match {wanted!r}; "
            f"there are: {_list_devices(found or usable)}; give one's index"
        )
    return int(found[0]["index"]), found[0]


def _list_devices(devices: list[dict[str, Any]]) -> str:
    return ", ".join(f"{device['index']} ({device['name']})" for device in devices) or "none"


def _choose_rate(
    sounddevice: Any, index: int, info: dict[str, Any], channels: int, direction: _Direction
) -> int:
    """48 kHz, as it goes over the wire, unless the device cannot do it."""
    check = getattr(sounddevice, f"check_{direction}_settings")
    try:
        check(device=index, channels=channels, dtype="int16", samplerate=_PREFERRED_RATE_HZ)
    except (ValueError, sounddevice.PortAudioError):
        return int(info["default_samplerate"])
    return _PREFERRED_RATE_HZ


def _start_stream(sounddevice: Any, stream_class: Any, name: str, **options: Any) -> Any:
    try:
        stream = stream_class(**options)
    except (ValueError, sounddevice.PortAudioError) as exc:
        raise AudioError(f"{name!r} cannot be opened: {exc}") from exc
    try:
        stream.start()
    except sounddevice.PortAudioError as exc:
        stream.close()
        raise AudioError(f"{name!r} cannot be started: {exc}") from exc
    return stream


def _unavailable(direction: _Direction, reason: str) -> AudioError:
    return AudioError(
        f"no {_ROLES[direction]} can be used: {reason}; "
        f'pip install "realtime-transports[device]" for audio devices, '
        f"or pass {_KEYWORDS[direction]}=None for none"
    )


def _lost_error(direction: _Direction, name: str) -> AudioError:
    return AudioError(f"the {_ROLES[direction]} {name!r} stopped working; is it still plugged in?")
