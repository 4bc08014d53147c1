"""The media path of a call: a track out, frames in, statistics; and the one on stock aiortc."""

from __future__ import annotations

import asyncio
import fractions
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from realtime_core.audio import AudioFrame, AudioSink, AudioSource, AudioTap, frame_from_mono
from realtime_core.errors import AudioError
from realtime_transports.audio.incoming import IncomingAudio
from realtime_transports.audio.outgoing import (
    BLOCK_SAMPLES,
    WIRE_RATE_HZ,
    OutgoingAudio,
    Pacer,
)

__all__ = ["MediaPath", "MediaPathFactory", "MediaStatistics", "StockMediaPath", "frame_from_av"]

log = logging.getLogger(__name__)

TAIL_S = 0.2
"""What may still lie between the peer's last word and us: aiortc holds back 80 ms always."""

TAIL_DEADLINE_S = 1.0


@dataclass(frozen=True)
class MediaStatistics:
    """What a media path carried so far."""

    sent_s: float = 0.0
    """Seconds of audio sent, silence included."""
    received_s: float = 0.0
    """Seconds of audio received, concealed included."""
    outgoing_dropped_s: float = 0.0
    """Seconds of a live source that could not be sent in time."""
    incoming_dropped_s: float = 0.0
    """Seconds that the sink had no time for."""


class MediaPath(Protocol):
    """Carries audio between the source, the peer and the sink. It owns none of the three."""

    @property
    def track(self) -> Any:
        """The outgoing track, for `addTrack`."""

    def start(self) -> None:
        """Let the source's audio through; silence is sent before."""

    def receive(self, track: Any) -> None:
        """Take the peer's track."""

    def set_muted(self, muted: bool) -> None:
        """Send silence instead of the source's audio, or not."""

    def clear(self) -> None:
        """Drop audio that came and was not heard yet."""

    def silence(self, for_s: float) -> None:
        """Let silence be heard in the place of what comes, for so long; 0 lets it through."""

    async def wait_source_ended(self) -> None:
        """Wait until the source has ended and its audio has left."""

    async def wait_heard(self) -> None:
        """Wait until what the peer has sent so far has been heard."""

    def statistics(self) -> MediaStatistics:
        """What was carried so far."""

    async def close(self) -> None:
        """Stop everything."""


class MediaPathFactory(Protocol):
    """Makes the media path of one call."""

    def __call__(
        self,
        *,
        source: AudioSource | None,
        sink: AudioSink | None,
        tap: AudioTap | None,
        on_frame: Callable[[AudioFrame], None],
        on_error: Callable[[Exception], None],
    ) -> MediaPath:
        """Make it.

        Args:
            source: The open source; None sends silence.
            sink: The open sink; None drains.
            tap: Sees all audio.
            on_frame: Gets every frame that came: mono, 48 kHz.
            on_error: Gets what source or sink raise.
        """


class _OutgoingTrack(MediaStreamTrack):
    kind = "audio"

    def __init__(self, audio: OutgoingAudio) -> None:
        super().__init__()
        self._audio = audio
        self._pacer = Pacer()
        self.sent_samples = 0

    async def recv(self) -> av.AudioFrame:
        """The next 20 ms, when they are due."""
        if self.readyState != "live":
            raise MediaStreamError
        await asyncio.sleep(self._pacer.take_delay(asyncio.get_running_loop().time()))
        # aiortc encodes stereo, and its mono to stereo conversion would cost 3 dB.
        both = np.repeat(await self._audio.take_block(), 2).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(both, format="s16", layout="stereo")
        frame.sample_rate = WIRE_RATE_HZ
        frame.pts = self.sent_samples
        frame.time_base = fractions.Fraction(1, WIRE_RATE_HZ)
        self.sent_samples += BLOCK_SAMPLES
        return frame


class StockMediaPath:
    """`MediaPath` on aiortc's own encoder, jitter buffer and decoder."""

    def __init__(
        self,
        *,
        source: AudioSource | None,
        sink: AudioSink | None,
        tap: AudioTap | None,
        on_frame: Callable[[AudioFrame], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        """See `MediaPathFactory`."""
        self._outgoing = OutgoingAudio(source, tap=tap, on_error=on_error)
        self._incoming = IncomingAudio(sink, tap=tap, on_error=on_error)
        self._on_frame = on_frame
        self._on_error = on_error
        self._track = _OutgoingTrack(self._outgoing)
        self._readers: set[asyncio.Task[None]] = set()
        self._came = asyncio.Event()

    @property
    def track(self) -> MediaStreamTrack:
        """The outgoing track."""
        return self._track

    def start(self) -> None:
        """Let the source's audio through."""
        self._outgoing.start()

    def receive(self, track: Any) -> None:
        """Take the peer's track; it is read to its end, for aiortc would hoard it otherwise."""
        reader = asyncio.get_running_loop().create_task(self._read(track))
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)

    def set_muted(self, muted: bool) -> None:
        """Send silence, or not."""
        self._outgoing.muted = muted

    def clear(self) -> None:
        """Drop audio not heard yet."""
        self._incoming.clear()

    def silence(self, for_s: float) -> None:
        """Replace what comes by silence, or not."""
        self._incoming.silence(for_s)

    async def wait_source_ended(self) -> None:
        """Wait for the source's end."""
        await self._outgoing.ended.wait()

    async def wait_heard(self) -> None:
        """Wait for what is still in the network and the jitter buffer, then for the sink."""
        until = self._incoming.received_s + TAIL_S
        try:
            async with asyncio.timeout(TAIL_DEADLINE_S):
                while self._incoming.received_s < until:
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            log.debug("the peer sends nothing any more; what came has been heard")
        await self._incoming.drain()

    def statistics(self) -> MediaStatistics:
        """What was carried so far."""
        return MediaStatistics(
            sent_s=self._track.sent_samples / WIRE_RATE_HZ,
            received_s=self._incoming.received_s,
            outgoing_dropped_s=self._outgoing.dropped_samples / WIRE_RATE_HZ,
            incoming_dropped_s=self._incoming.dropped_s,
        )

    async def close(self) -> None:
        """Stop everything."""
        self._track.stop()
        for reader in list(self._readers):
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        await self._outgoing.close()
        await self._incoming.close()

    async def _read(self, track: Any) -> None:
        received = 0
        while True:
            try:
                frame = frame_from_av(await track.recv(), received)
            except MediaStreamError:
                return
            except Exception as exc:  # a decoder's errors are of many classes
                error = AudioError(f"the peer's audio cannot be decoded any more: {exc}")
                error.__cause__ = exc
                self._on_error(error)
                return
            received += len(frame.samples)
            self._incoming.push(frame)
            self._on_frame(frame)
            self._came.set()


def frame_from_av(frame: Any, first_sample: int = 0) -> AudioFrame:
    """A decoded frame of aiortc's, mixed to mono.

    Args:
        frame: `av.AudioFrame`, packed 16 bit, as aiortc's decoders give it.
        first_sample: Its place on the time line.
    """
    samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels))
    mixed = AudioFrame(np.ascontiguousarray(samples), frame.sample_rate, first_sample)
    return frame_from_mono(mixed.to_mono(), frame.sample_rate, first_sample)
