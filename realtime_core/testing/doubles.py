"""Small sources, sinks and middlewares to test transports with."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from realtime_core.audio import AudioFrame, AudioSink, AudioSource, Pcm16, frame_from_mono
from realtime_core.middleware import EventMiddleware, Passed

__all__ = ["Dropping", "Failing", "FailingSink", "FailingSource", "Samples", "Store", "StuckSink"]

RATE_HZ = 24_000
FRAME_SAMPLES = RATE_HZ // 50


def loud(duration_s: float) -> Pcm16:
    """A tone of 440 Hz that cannot be taken for silence; int16, 24 kHz."""
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    samples: Pcm16 = np.rint(10_000 * np.sin(2 * np.pi * 440 * time_s)).astype(np.int16)
    return samples


def level(samples: Pcm16) -> int:
    """The loudest sample."""
    return int(np.abs(samples.astype(np.int32)).max(initial=0))


class Samples(AudioSource):
    """Gives samples, frame by frame, and notes how it is used."""

    def __init__(self, samples: Pcm16) -> None:
        """Set what it gives: int16, mono, 24 kHz."""
        self._samples = samples
        self._position = 0
        self.calls: list[str] = []

    async def open(self) -> None:
        """Begin at the start."""
        self.calls.append("open")
        self._position = 0

    async def read(self) -> AudioFrame | None:
        """The next 20 ms."""
        await asyncio.sleep(0)
        first = self._position
        block = self._samples[first : first + FRAME_SAMPLES]
        self._position += len(block)
        return frame_from_mono(block, RATE_HZ, first) if len(block) else None

    @property
    def is_read(self) -> bool:
        """Whether it was read to its end."""
        return self._position >= len(self._samples)

    async def close(self) -> None:
        """Note it."""
        self.calls.append("close")


class FailingSource(Samples):
    """Raises when it is read."""

    async def read(self) -> AudioFrame | None:
        """Raise."""
        raise RuntimeError("the source's own")


class Store(AudioSink):
    """Keeps what it gets."""

    rate_hz = RATE_HZ

    def __init__(self) -> None:
        """Begin empty."""
        self.frames: list[AudioFrame] = []
        self.calls: list[str] = []

    @property
    def samples(self) -> Pcm16:
        """All that came."""
        return np.concatenate([np.zeros(0, np.int16), *[f.to_mono() for f in self.frames]])

    async def open(self) -> None:
        """Note it."""
        self.calls.append("open")

    async def write(self, frame: AudioFrame) -> None:
        """Keep the frame."""
        self.frames.append(frame)

    def clear(self) -> None:
        """Note it; what came counts as heard."""
        self.calls.append("clear")

    async def drain(self) -> None:
        """Nothing."""

    @property
    def played_samples(self) -> int:
        """All that came."""
        return sum(len(frame.samples) for frame in self.frames)

    async def close(self, *, complete: bool = True) -> None:
        """Note it."""
        self.calls.append(f"close complete={complete}")


class FailingSink(Store):
    """Raises when it is written to, and when it is cleared."""

    async def write(self, frame: AudioFrame) -> None:
        """Raise."""
        raise RuntimeError(f"the sink's own, at {frame.first_sample}")

    def clear(self) -> None:
        """Raise."""
        raise RuntimeError("the sink's own")


class StuckSink(Store):
    """Takes the first frame and never comes back."""

    async def write(self, frame: AudioFrame) -> None:
        """Wait for ever."""
        await super().write(frame)
        await asyncio.Event().wait()


class Dropping(EventMiddleware):
    """Drops events of some types on their way out, and of others on their way in."""

    def __init__(self, *, outgoing: tuple[str, ...] = (), incoming: tuple[str, ...] = ()) -> None:
        """Set the types; `active` switches it on and off."""
        self._outgoing, self._incoming = outgoing, incoming
        self.active = True

    def outgoing(self, event: dict[str, Any]) -> Passed:
        """Drop or pass."""
        return None if self.active and event.get("type") in self._outgoing else event

    def incoming(self, event: dict[str, Any]) -> Passed:
        """Drop or pass."""
        return None if self.active and event.get("type") in self._incoming else event


class Failing(EventMiddleware):
    """Changes what it gets, and then raises at events of one type."""

    def __init__(self, event_type: str) -> None:
        """Set the type."""
        self._event_type = event_type

    def outgoing(self, event: dict[str, Any]) -> Passed:
        """Raise or pass."""
        return self._fail(event)

    def incoming(self, event: dict[str, Any]) -> Passed:
        """Raise or pass."""
        return self._fail(event)

    def _fail(self, event: dict[str, Any]) -> Passed:
        if event.get("type") == self._event_type:
            event.clear()
            raise RuntimeError("the middleware's own")
        return event
