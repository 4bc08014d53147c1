"""Audio on the server's end of a call.

It comes in through aiortc's own receiver and leaves as Opus packets encoded here, one each 20 ms by
the event loop's clock from the first to the last, silence included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from aiortc import MediaStreamError, MediaStreamTrack

from realtime_core.resample import StreamingResampler
from realtime_transports.audio.outgoing import Pacer
from realtime_transports.webrtc.media.path import frame_from_av

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16
    from realtime_transports.webrtc.playout import Playout

__all__ = ["PEER_RATE_HZ", "Hearing", "SpeakingTrack"]

PEER_RATE_HZ = 24_000
"""Rate of all audio that passes between a peer and its listener, in Hz; it is mono int16."""

BLOCK_SAMPLES = 480
"""20 ms, what `Pacer` paces."""

BITRATE = 64_000
"""Bits per second for mono; transparent for speech, and good enough for music."""

OPUS_RATE_HZ = 48_000
"""The RTP clock of Opus, whatever the rate of the audio (RFC 7587 section 4.1)."""

MAX_GAP_S = 1.0
"""The longest hole in the caller's RTP time line that is filled with silence."""


class SpeakingTrack(MediaStreamTrack):
    """What the caller hears: the playout queue as one Opus packet each 20 ms."""

    kind = "audio"

    def __init__(self, playout: Playout, block_left: Callable[[], None]) -> None:
        """Begin to speak.

        Args:
            playout: What to say.
            block_left: Told of each packet that said something of it.
        """
        super().__init__()
        self._playout = playout
        self._block_left = block_left
        self._pacer = Pacer()
        self._encoder = _make_encoder()
        self._blocks = 0

    async def recv(self) -> av.Packet[Any]:
        """The next packet, at its time."""
        if self.readyState != "live":
            raise MediaStreamError
        delay = self._pacer.take_delay(asyncio.get_running_loop().time())
        if delay > 0:
            await asyncio.sleep(delay)
        played_before = self._playout.played_samples
        packet = self._encode(self._playout.take(BLOCK_SAMPLES))
        if self._playout.played_samples > played_before:
            self._block_left()
        return packet

    def _encode(self, samples: Pcm16) -> av.Packet[Any]:
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = PEER_RATE_HZ
        frame.pts = self._blocks * BLOCK_SAMPLES
        (packet,) = self._encoder.encode(frame)
        # The encoder counts from before its look-ahead; RTP counts blocks.
        packet.pts = self._blocks * BLOCK_SAMPLES
        packet.time_base = Fraction(1, PEER_RATE_HZ)
        self._blocks += 1
        return packet


def _make_encoder() -> av.AudioCodecContext:
    encoder = av.CodecContext.create("libopus", "w")
    encoder.bit_rate = BITRATE
    encoder.format = "s16"
    encoder.layout = "mono"
    encoder.sample_rate = PEER_RATE_HZ
    encoder.time_base = Fraction(1, PEER_RATE_HZ)
    encoder.options = {"application": "audio", "frame_duration": "20"}
    return encoder


class Hearing:
    """Turns decoded frames into one gapless stream of mono at `PEER_RATE_HZ`."""

    def __init__(self) -> None:
        """Begin a stream."""
        self._resampler = StreamingResampler(OPUS_RATE_HZ, PEER_RATE_HZ, low_delay=True)
        self._next_pts: int | None = None

    def hear(self, frame: av.AudioFrame) -> Pcm16:
        """The samples that this frame, and a gap before it, add to the stream."""
        mono = frame_from_av(frame).samples
        gap = self._gap_before(frame)
        if gap:
            mono = np.concatenate([np.zeros((gap, 1), np.int16), mono])
        return self._resampler.push(mono)[:, 0]

    def _gap_before(self, frame: av.AudioFrame) -> int:
        """How many samples the caller did not send, or were lost."""
        pts = frame.pts
        if pts is None:
            return 0
        missing = 0 if self._next_pts is None else pts - self._next_pts
        self._next_pts = pts + frame.samples
        return min(max(0, missing), round(MAX_GAP_S * OPUS_RATE_HZ))
