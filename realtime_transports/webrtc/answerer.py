"""The other end of a call: answers an offer, hears the caller and speaks."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

import av
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
from realtime_transports.webrtc.guards import (
    drop_empty_rtp,
    follow_connecting,
    hear_at_once,
    survive_bad_messages,
)
from realtime_transports.webrtc.loopback import allow_loopback
from realtime_transports.webrtc.peer_audio import PEER_RATE_HZ, Hearing, SpeakingTrack
from realtime_transports.webrtc.playout import Playout
from realtime_transports.webrtc.sdp import require_ports

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["PEER_RATE_HZ", "PeerListener", "ServerPeer", "answer"]

log = logging.getLogger(__name__)

MAX_MESSAGE_SIZE = re.compile(r"^a=max-message-size:(\d{1,18})\s*$", re.MULTILINE)
DEFAULT_MAX_MESSAGE_BYTES = 65_536
"""RFC 8841, section 6.1."""

CONNECT_DEADLINE_S = 30.0
CLOSE_DEADLINE_S = 5.0
MAX_UNSENT_MESSAGES = 1_000
MAX_UNSENT_BYTES = 64 * 1024 * 1024
"""Of messages that wait for the caller to take them."""

FEW_UNSENT_BYTES = 256 * 1024
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
        """Whether the call is over, or ending."""
        is_leaving = self._channel is not None and self._channel.readyState != "open"
        return self._is_closed or self._closer is not None or is_leaving

    def send(self, message: str) -> None:
        """Send a text message; before the data channel is open it waits for that.

        Raises:
            TransportError: The call is over, the message is larger than the caller takes, or the
                caller takes nothing any more.
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
        if self._channel.bufferedAmount > MAX_UNSENT_BYTES:
            raise TransportError("the caller does not take what is sent")
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
        """Wait until little is waiting, or the call is over.

        Args:
            queued_s: How much audio may wait, in seconds.
        """
        while not (self._is_closed or self._has_room(queued_s)):
            self._room.clear()
            await self._room.wait()

    def _has_room(self, queued_s: float) -> bool:
        unsent = 0 if self._channel is None else self._channel.bufferedAmount
        return self._playout.queued_s <= queued_s and unsent <= FEW_UNSENT_BYTES

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
        require_ports(offer_sdp)
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
        track = SpeakingTrack(self._playout, self._block_left)
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
        channel.bufferedAmountLowThreshold = FEW_UNSENT_BYTES
        channel.on("bufferedamountlow", self._room.set)
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
        hearing = Hearing()
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
