"""Where PCM comes from and goes to: the one form audio has inside, and the contracts around it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AudioFrame",
    "AudioRecorder",
    "AudioSink",
    "AudioSource",
    "AudioTap",
    "Pcm16",
    "frame_from_mono",
]

Pcm16: TypeAlias = NDArray[np.int16]
"""Samples of 16 bits, shape (n, channels) in an `AudioFrame`."""


@dataclass(frozen=True, slots=True, eq=False)
class AudioFrame:
    """A piece of audio, of any length. Frames are compared by identity, as arrays have no other."""

    samples: Pcm16
    """int16, shape (n, channels), interleaved in memory (C order)."""
    rate_hz: int
    """Samples per second and channel."""
    first_sample: int = 0
    """Index of the first sample on the stream's own time line, in samples of `rate_hz`."""

    def __post_init__(self) -> None:
        """Refuse what is no audio.

        Raises:
            ValueError: `samples` is not int16 of shape (n, channels) with at least one channel, or
                the rate is not positive.
        """
        shape = self.samples.shape
        if len(shape) != 2 or shape[1] < 1 or self.samples.dtype != np.int16:
            raise ValueError(
                f"samples must be int16 of shape (n, channels), "
                f"not {self.samples.dtype} of shape {shape}"
            )
        if self.rate_hz <= 0:
            raise ValueError(f"rate_hz must be positive, not {self.rate_hz}")

    @property
    def channels(self) -> int:
        """How many channels it has."""
        return int(self.samples.shape[1])

    @property
    def duration_s(self) -> float:
        """How long it plays, in seconds."""
        return len(self.samples) / self.rate_hz

    def to_mono(self) -> Pcm16:
        """The mean of all channels.

        Returns:
            int16, shape (n,).
        """
        if self.channels == 1:
            return self.samples[:, 0]
        mono: Pcm16 = np.rint(self.samples.mean(axis=1)).astype(np.int16)
        return mono


def frame_from_mono(samples: Pcm16, rate_hz: int, first_sample: int = 0) -> AudioFrame:
    """A frame of one channel.

    Args:
        samples: int16, shape (n,).
        rate_hz: Samples per second.
        first_sample: Index of the first sample on the stream's time line.
    """
    return AudioFrame(samples.reshape(-1, 1), rate_hz, first_sample)


class AudioSource(ABC):
    """Where audio comes from.

    Life: `open` once, `read` until it returns None, `close`. Whoever made the source closes it: a
    transport closes only what it made itself from a spec such as ``"file:question.wav"``.
    """

    is_live: bool = False
    """True when audio comes at its own pace and waits for nobody (a microphone). What cannot be
    sent in time is then dropped, oldest first, and counted; a source that is not live is simply
    read later."""

    is_endless: bool = False
    """True when it never ends by itself (a microphone, a tone without a duration), which it knows
    before it is open. A question that ends where its audio ends is not asked of such a source: the
    command refuses it. Of a pipe whose writer may go on for ever nobody knows: False."""

    @property
    def duration_s(self) -> float | None:
        """How long it is, in seconds; None before it is open, and where nobody knows."""
        return None

    @abstractmethod
    async def open(self) -> None:
        """Acquire what reading needs. Opening twice is fine.

        Raises:
            AudioError: The audio is not there or cannot be read.
        """

    @abstractmethod
    async def read(self) -> AudioFrame | None:
        """The next frame, or None when there is no more.

        A frame should be of 10 to 100 ms. Cancelling loses no audio. The rate and the number of
        channels must not change within a stream.

        Raises:
            AudioError: Reading failed; the stream is over.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release everything. Closing twice, or without having opened, is fine."""


class AudioSink(ABC):
    """Where audio goes to.

    Life: `open` once, `write` any number of times, perhaps `clear` and `drain`, `close`. Whoever
    made the sink closes it.
    """

    rate_hz: int | None = None
    """The rate it wants, in Hz; None when it takes any. Transports resample to it."""

    @property
    def duration_s(self) -> float | None:
        """How much it has kept, in seconds; None where it keeps nothing."""
        return None

    @abstractmethod
    async def open(self) -> None:
        """Acquire what writing needs. Opening twice is fine.

        Raises:
            AudioError: The device or file cannot be written to.
        """

    @abstractmethod
    async def write(self, frame: AudioFrame) -> None:
        """Take a frame; waits while the sink has no room.

        Raises:
            AudioError: Writing failed.
        """

    @abstractmethod
    def clear(self) -> None:
        """Drop what was written and not yet played. A sink that plays at once drops nothing."""

    @abstractmethod
    async def drain(self) -> None:
        """Wait until everything written has been played or is safely stored."""

    @property
    @abstractmethod
    def played_samples(self) -> int:
        """How much has been heard, in samples at the rate of the frames written.

        A file counts as heard all it was given; a speaker, what has left it.
        """

    @abstractmethod
    async def close(self, *, complete: bool = True) -> None:
        """Release everything. Closing twice, or without having opened, is fine.

        Args:
            complete: False when the audio ended early by a failure; a file then keeps its
                temporary name.
        """


class AudioTap(Protocol):
    """Sees the audio of a conversation as it passes, for recorders and meters. Must not block."""

    def sent(self, frame: AudioFrame, at_s: float) -> None:
        """A frame leaves for the peer.

        Args:
            frame: The frame.
            at_s: When its first sample is due to leave, in seconds of the event loop's clock.
        """

    def heard(self, frame: AudioFrame, at_s: float) -> None:
        """A frame goes to the sink; the arguments are as for `sent`."""


class AudioRecorder(AudioTap, Protocol):
    """A tap that keeps what it sees. Whoever made it opens and closes it."""

    @property
    def duration_s(self) -> float:
        """How long the recording plays, in seconds: to within 0.1 s until closed, then exactly."""

    def open(self) -> None:
        """Acquire what writing needs.

        Raises:
            AudioError: The place cannot be written to.
        """

    def close(self, *, complete: bool = True) -> None:
        """Finish; the argument is as for `AudioSink.close`."""
