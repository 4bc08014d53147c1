"""The other end of a call: answers an offer, hears the caller and speaks.

Audio comes in through aiortc's own receiver and leaves as Opus packets encoded here, one each
20 ms by the event loop's clock from the first to the last, silence included.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol, cast

import av
import numpy as np
from aiortc import (
    MediaStreamError,
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError
from aiortc.rtcrtpparameters import RTCRtpCapabilities

from realtime_core.errors import ProtocolError, TransportError
from realtime_core.resample import StreamingResampler
from realtime_transports.audio.outgoing import Pacer
from realtime_transports.webrtc.guards import (
    drop_empty_rtp,
    follow_connecting,
    hear_at_once,
    survive_bad_messages,
)
from realtime_transports.webrtc.loopback import allow_loopback
from realtime_transports.webrtc.media.path import frame_from_av
from realtime_transports.webrtc.playout import Playout

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["PEER_RATE_HZ", "PeerListener", "ServerPeer", "answer"]

log = logging.getLogger(__name__)

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

MAX_MESSAGE_SIZE = re.compile(r"^a=max-message-size:(\d{1,18})\s*$", re.MULTILINE)
DEFAULT_MAX_MESSAGE_BYTES = 65_536
"""RFC 8841, section 6.1."""

CONNECT_DEADLINE_S = 30.0
CLOSE_DEADLINE_S = 5.0
MAX_UNSENT_MESSAGES = 1_000
MAX_QUEUED_S = 10.0

BAD_OFFER_ERRORS = (
    ValueError,
    AssertionError,
    KeyError,
    IndexError,
    AttributeError,
    InternalError,
    InvalidAccessError,
    InvalidStateError,
    OperationError,
)
"""What aiortc raises on offers it cannot use (measured by feeding it broken ones)."""


class PeerListener(Protocol):
    """Whoever holds the conversation. Its methods must return soon and not raise."""

    def message_received(self, message: str | bytes) -> None:
        """A message came over the data channel; bytes if it was not sent as text."""

    def bad_message_received(self, error: Exception) -> None:
        """A message came that could not be delivered, such as text that is not UTF-8."""

    def audio_received(self, samples: Pcm16) -> None:
        """Audio came; int16, mono, `PEER_RATE_HZ`. Silence where the caller sent nothing."""

    def audio_played(self, played_samples: int) -> None:
        """So many samples in all have left, of those given to `ServerPeer.play`."""

    def closed(self) -> None:
        """The call is over, whoever ended it. Comes once, and nothing after it."""


async def answer(
    offer_sdp: str, *, listener: PeerListener, loopback: bool = False
) -> tuple[str, ServerPeer]:
    """Take a call.

    Args:
        offer_sdp: The caller's offer.
        listener: Told everything that happens in the call.
        loopback: Offer 127.0.0.1 too, besides the addresses of all interfaces.

    Returns:
        The answer's SDP, with all candidates, and the call.

    Raises:
        ProtocolError: The offer cannot be used; nothing stays open.
    """
    peer = ServerPeer(listener)
    try:
        return await peer.negotiate(offer_sdp, loopback=loopback), peer
    except BAD_OFFER_ERRORS as exc:
        await peer.close()
        raise ProtocolError(f"the SDP offer cannot be used: {exc or type(exc).__name__}") from exc
    except BaseException:
        await peer.close()
        raise


class ServerPeer:
    """A call that was answered. Made by `answer`; whoever asked for it closes it."""

    def __init__(self, listener: PeerListener) -> None:
        """Prepare a call; `answer` does the rest."""
        # No ICE server: a local server's callers reach it directly.
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._end_connecting = follow_connecting(self._pc)
        self._listener = listener
        self._playout = Playout(PEER_RATE_HZ)
        self._room = asyncio.Event()
        self._channel: RTCDataChannel | None = None
        self._unsent: deque[str] = deque()
        self._max_message_bytes = 0
        """What the caller takes; 0 is no limit (RFC 8841, section 6.1)."""
        self._when_open: list[Callable[[], None]] = []
        self._reader: asyncio.Task[None] | None = None
        self._closer: asyncio.Task[None] | None = None
        self._is_closed = False
        self._connect_timer = asyncio.get_running_loop().call_later(
            CONNECT_DEADLINE_S, self._give_up_connecting
        )
        self._pc.on("connectionstatechange", self._state_changed)
        self._pc.on("datachannel", self._channel_opened)

    @property
    def queued_s(self) -> float:
        """How much audio waits to be played, in seconds."""
        return self._playout.queued_s

    @property
    def is_closed(self) -> bool:
        """Whether the call is over."""
        return self._is_closed

    def send(self, message: str) -> None:
        """Send a text message; before the data channel is open it waits for that.

        Raises:
            TransportError: The call is over, or the message is larger than the caller takes.
        """
        if self._is_closed:
            raise TransportError("the call is over")
        if self._channel is None:
            if len(self._unsent) >= MAX_UNSENT_MESSAGES:
                raise TransportError("the caller opens no data channel")
            if 0 < self._max_message_bytes < len(message.encode(errors="surrogatepass")):
                raise TransportError(f"a message of {len(message)} characters is too large")
            self._unsent.append(message)
            return
        try:
            self._channel.send(message)
        except (InvalidStateError, ValueError) as exc:
            raise TransportError(
                f"a message of {len(message)} characters could not be sent: "
                f"{exc or 'the data channel is closing'}"
            ) from exc

    def when_open(self, callback: Callable[[], None]) -> None:
        """Call once the data channel is open and what waited for it has left; perhaps now."""
        if self._channel is None:
            self._when_open.append(callback)
        else:
            callback()

    def play(self, samples: Pcm16) -> None:
        """Queue audio; it leaves at its own pace. `wait_room` keeps the queue short.

        Args:
            samples: int16, mono, `PEER_RATE_HZ`, shape (n,). Not copied.
        """
        self._playout.add(samples)

    async def wait_room(self, queued_s: float = MAX_QUEUED_S) -> None:
        """Wait until at most `queued_s` seconds of audio are waiting, or the call is over."""
        while self._playout.queued_s > queued_s and not self._is_closed:
            self._room.clear()
            await self._room.wait()

    def clear(self) -> None:
        """Drop audio that has not left yet."""
        self._playout.clear()
        self._room.set()

    async def close(self) -> None:
        """End the call and release everything. Closing twice is fine."""
        self._start_closing()
        if self._closer is not None:
            await asyncio.shield(self._closer)

    async def negotiate(self, offer_sdp: str, *, loopback: bool) -> str:
        """Apply the offer and make the answer; `answer` calls this once."""
        if "a=fingerprint:" not in offer_sdp:  # aiortc would find that out when it is too late
            raise ValueError("it has no DTLS fingerprint")
        if found := MAX_MESSAGE_SIZE.search(offer_sdp):
            self._max_message_bytes = int(found[1])
        else:
            self._max_message_bytes = DEFAULT_MAX_MESSAGE_BYTES
        audio = self._offer_audio()
        await self._pc.setRemoteDescription(RTCSessionDescription(offer_sdp, "offer"))
        self._take_audio(audio)
        drop_empty_rtp(self._pc)
        hear_at_once(self._pc)
        survive_bad_messages(self._pc, self._listener.bad_message_received)
        if loopback:
            allow_loopback(self._pc)
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        return str(self._pc.localDescription.sdp)

    def _offer_audio(self) -> RTCRtpTransceiver:
        """Be ready for the first audio section, with Opus, the one codec spoken here."""
        track = _SpeakingTrack(self._playout, self._block_left)
        transceiver = self._pc.addTransceiver(track, direction="sendrecv")
        capabilities = cast(RTCRtpCapabilities, RTCRtpReceiver.getCapabilities("audio"))
        codecs = [codec for codec in capabilities.codecs if codec.mimeType == "audio/opus"]
        transceiver.setCodecPreferences(codecs)
        return transceiver

    def _take_audio(self, audio: RTCRtpTransceiver) -> None:
        """Hear the first audio section; refuse whatever else is offered."""
        if audio.mid is None:
            raise ValueError("it has no audio section")
        for transceiver in self._pc.getTransceivers():
            if transceiver is not audio:
                transceiver.direction = "inactive"  # a track nobody reads grows without end
        if audio.receiver.track is not None:
            self._reader = asyncio.create_task(self._read_audio(audio.receiver.track))

    def _state_changed(self) -> None:
        state = self._pc.connectionState
        if state == "connected":
            self._connect_timer.cancel()
        elif state in ("failed", "closed"):
            self._start_closing()

    def _give_up_connecting(self) -> None:
        log.info("nobody connected within %.0f s after an answer", CONNECT_DEADLINE_S)
        self._start_closing()

    def _channel_opened(self, channel: RTCDataChannel) -> None:
        if self._channel is not None:
            log.info("a second data channel is ignored")
            return
        self._channel = channel
        channel.on("message", self._listener.message_received)
        # libwebrtc ends a call by closing its channel; the rest it leaves to timeouts.
        channel.on("close", self._start_closing)
        while self._unsent:
            self.send(self._unsent.popleft())
        callbacks, self._when_open = self._when_open, []
        for callback in callbacks:
            callback()

    def _block_left(self) -> None:
        self._listener.audio_played(self._playout.played_samples)
        self._room.set()

    async def _read_audio(self, track: MediaStreamTrack) -> None:
        """Hand everything the caller says to the listener, until the track ends."""
        hearing = _Hearing()
        try:
            while True:
                samples = hearing.hear(cast(av.AudioFrame, await track.recv()))
                if len(samples):
                    self._listener.audio_received(samples)
        except MediaStreamError:
            log.debug("the caller's audio ended")
        except Exception as exc:  # a decoder's errors are of many classes
            log.warning("the caller's audio cannot be decoded any more: %s", exc)

    def _start_closing(self) -> None:
        if self._closer is None:
            self._connect_timer.cancel()
            self._closer = asyncio.create_task(self._close())

    async def _close(self) -> None:
        self._is_closed = True
        self._room.set()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        try:
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await self._pc.close()
        except TimeoutError:
            log.warning("a call did not close within %.0f s", CLOSE_DEADLINE_S)
        await self._end_connecting()
        self._listener.closed()


class _SpeakingTrack(MediaStreamTrack):
    """What the caller hears: the playout queue as one Opus packet each 20 ms."""

    kind = "audio"

    def __init__(self, playout: Playout, block_left: Callable[[], None]) -> None:
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


class _Hearing:
    """Turns decoded frames into one gapless stream of mono at `PEER_RATE_HZ`."""

    def __init__(self) -> None:
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
