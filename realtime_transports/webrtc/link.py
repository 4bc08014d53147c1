"""One WebRTC connection with its data channel and media, as the transport uses it.

A link is opened once and closed once; a transport that connects again makes another. It tells what
happens to it through `LinkEvents` and decides nothing.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from realtime_core.errors import TransportError
from realtime_core.transport import ConnectionState
from realtime_transports.webrtc.media.path import MediaPath
from realtime_transports.webrtc.packet_watch import PacketWatch
from realtime_transports.webrtc.sdp import normalise_answer, require_ports
from realtime_transports.webrtc.watchdog import TICK_S, LinkWatchdog, Verdict

__all__ = [
    "CHANNEL_LABEL",
    "LinkEvents",
    "PeerConnection",
    "WebRTCConnectionState",
    "WebRTCLink",
]

log = logging.getLogger(__name__)

CHANNEL_LABEL = "oai-events"

DISCONNECTED_GRACE_S = 5.0
"""How long a lost peer may take to come back, as in OpenAI Agents JS."""

CLOSE_DEADLINE_S = 5.0
"""aiortc says goodbye to a peer that may be gone; nobody waits longer than this for it."""

ROOM_BYTES = 1_000_000
"""`WebRTCLink.drain` waits while the data channel holds more than this."""


class PeerConnection(Protocol):
    """The part of `aiortc.RTCPeerConnection` that a link uses."""

    @property
    def connectionState(self) -> str:  # noqa: N802 - WebRTC's name
        """As the WebRTC specification has it."""

    @property
    def localDescription(self) -> Any:  # noqa: N802 - WebRTC's name
        """The offer in force, with its candidates."""

    def on(self, event: str, listener: Callable[..., Any]) -> Any:
        """Add a listener (pyee)."""

    def createDataChannel(self, label: str) -> Any:  # noqa: N802 - WebRTC's name
        """Make a data channel."""

    def addTrack(self, track: Any) -> Any:  # noqa: N802 - WebRTC's name
        """Send a track."""

    async def createOffer(self) -> Any:  # noqa: N802 - WebRTC's name
        """Make an offer."""

    async def setLocalDescription(self, description: Any) -> None:  # noqa: N802 - WebRTC's name
        """Apply the offer; gathers candidates."""

    async def setRemoteDescription(self, description: Any) -> None:  # noqa: N802 - WebRTC's name
        """Apply the answer."""

    async def close(self) -> None:
        """Close."""


@dataclass(frozen=True)
class WebRTCConnectionState(ConnectionState):
    """A look at a WebRTC connection."""

    peer_connection: PeerConnection | None = None
    data_channel: Any = None
    call_id: str | None = None


@dataclass(frozen=True)
class LinkEvents:
    """Where a link tells what happens to it. All are called on the event loop."""

    on_message: Callable[[str | bytes], None]
    """A message came on the data channel."""
    on_channel_open: Callable[[], None]
    on_channel_error: Callable[[object], None]
    on_channel_close: Callable[[], None]
    """The data channel closed, and not by us."""
    on_silence: Callable[[float], None]
    """The watchdog found the link lost; the argument is the seconds since the last packet."""
    on_gone: Callable[[str], None]
    """The connection failed, closed, or did not come back from a loss in time; says which."""


class WebRTCLink:
    """A peer connection, its data channel and its media path."""

    def __init__(
        self,
        make_peer_connection: Callable[[], PeerConnection],
        events: LinkEvents,
        *,
        prepare: Callable[[Any], Callable[[], Awaitable[None]]],
    ) -> None:
        """Make the connection and its data channel; nothing is sent yet.

        Args:
            make_peer_connection: Makes it.
            events: Where to tell what happens.
            prepare: Called with the connection when its track and channel are there, before the
                offer is applied. What it returns is awaited when the connection was closed.
        """
        self._events = events
        self._prepare = prepare
        self._finish: Callable[[], Awaitable[None]] | None = None
        self._is_closed = False
        self._media: MediaPath | None = None
        self._watch: PacketWatch | None = None
        self._watching: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._grace: asyncio.TimerHandle | None = None
        self._peer_connection = make_peer_connection()
        self._channel = self._peer_connection.createDataChannel(CHANNEL_LABEL)
        self._attach_channel(self._channel)
        self._attach_peer_connection(self._peer_connection)

    @property
    def peer_connection(self) -> PeerConnection:
        """The connection, for diagnosis and `change_peer_connection`."""
        return self._peer_connection

    @property
    def channel(self) -> Any:
        """The data channel, for diagnosis."""
        return self._channel

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return not self._is_closed and self._channel.readyState == "open"

    def add_media(self, media: MediaPath) -> None:
        """Send and receive audio through this path, which the link closes."""
        self._media = media
        self._peer_connection.addTrack(media.track)
        self._peer_connection.on("track", self._on_track)

    async def replace_peer_connection(self, change: Callable[[Any], Any | Awaitable[Any]]) -> None:
        """Let the caller put another connection in this one's place.

        Data channel and track move to a connection that is another, and the old one is closed.
        """
        changed: Any = change(self._peer_connection)
        if inspect.isawaitable(changed):
            changed = await changed
        if changed is self._peer_connection or self._is_closed:
            return
        old, self._peer_connection = self._peer_connection, changed
        self._channel = changed.createDataChannel(CHANNEL_LABEL)
        self._attach_channel(self._channel)
        self._attach_peer_connection(changed)
        if self._media is not None:
            changed.addTrack(self._media.track)
            changed.on("track", self._on_track)
        await old.close()

    async def make_offer(self) -> str:
        """The offer, with all candidates."""
        self._finish = self._prepare(self._peer_connection)
        offer = await self._peer_connection.createOffer()
        await self._peer_connection.setLocalDescription(offer)
        sdp: str = self._peer_connection.localDescription.sdp
        return sdp

    async def take_answer(self, answer_sdp: str) -> None:
        """Apply the answer, in whatever of the known shapes it comes.

        Raises:
            ValueError: It cannot be read.
        """
        from aiortc import RTCSessionDescription

        require_ports(answer_sdp)
        sdp = normalise_answer(answer_sdp, self._peer_connection.localDescription.sdp)
        await self._peer_connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    def is_ice_connected(self) -> bool:
        """Whether a pair of addresses works."""
        state = getattr(self._peer_connection, "iceConnectionState", "new")
        return state in ("connected", "completed") or self.is_dtls_connected()

    def is_dtls_connected(self) -> bool:
        """Whether the connection is secured."""
        return self._peer_connection.connectionState == "connected" or self.is_open

    def has_failed(self) -> bool:
        """Whether it can come to nothing any more."""
        return self._peer_connection.connectionState in ("failed", "closed")

    async def wait_until(self, is_reached: Callable[[], bool]) -> None:
        """Wait for a condition that the connection's or the channel's changes may bring about."""
        while not is_reached():
            self._changed.clear()
            await self._changed.wait()

    def start_media(self) -> None:
        """Let the source's audio through, and begin to watch over the link."""
        if self._media is not None:
            self._media.start()
        try:
            self._watch = PacketWatch(self._peer_connection)
        except AttributeError as exc:
            log.warning("a lost link will be noticed late: this aiortc has no %s", exc.name)
            return
        self._watching = asyncio.get_running_loop().create_task(self._watch_over(self._watch))

    def send(self, text: str) -> None:
        """Send a message.

        Raises:
            TransportError: The channel is not open, or the message too large for the peer.
        """
        if not self.is_open:
            raise TransportError(
                "WebRTC data channel is not connected. Make sure you call `connect()` before "
                "sending events."
            )
        try:
            self._channel.send(text)
        except ValueError as exc:
            raise TransportError(
                f"a message of {len(text.encode())} bytes is too large for this connection: {exc}"
            ) from exc

    async def drain(self) -> None:
        """Wait until the channel holds less than a megabyte.

        Raises:
            TransportError: The channel closed.
        """
        while self.is_open and self._channel.bufferedAmount > ROOM_BYTES:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # bufferedAmount has no event at the level we want
        if not self.is_open:
            raise TransportError("the data channel closed before everything was sent")

    def close(self) -> None:
        """Begin to close: nothing is told any more, and the peer learns that the channel closes.

        Raises:
            TransportError: The channel could not be closed; go on with `wait_closed` all the same.
        """
        if self._is_closed:
            return
        self._is_closed = True
        self._changed.set()
        self._end_grace()
        try:
            self._channel.close()
        except Exception as exc:  # aiortc's errors here are of many classes
            raise TransportError(f"the data channel could not be closed: {exc}") from exc

    async def wait_closed(self) -> None:
        """Close the rest."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._watch is not None:
            await self._watch.close()
        try:
            if self._media is not None:
                await self._media.close()
        finally:  # a media path may be foreign code
            await self._close_peer_connection()

    async def _close_peer_connection(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await self._peer_connection.close()
        except TimeoutError:
            log.warning("the peer connection did not close within %.0f s", CLOSE_DEADLINE_S)
        finally:
            if self._finish is not None:
                await self._finish()

    async def _watch_over(self, watch: PacketWatch) -> None:
        loop = asyncio.get_running_loop()
        watchdog = LinkWatchdog(loop.time())
        while True:
            await asyncio.sleep(TICK_S)
            match watchdog.check(loop.time(), watch.last_packet_s):
                case Verdict.PROBE:
                    watch.probe()
                case Verdict.LOST:
                    # Before anybody is told: a listener may close or connect again.
                    self._take_state("disconnected")
                    self._events.on_silence(loop.time() - watch.last_packet_s)
                case Verdict.RECOVERED:
                    self._take_state("connected")

    def _take_state(self, state: str) -> None:
        """Follow the state; the watchdog brings the `disconnected` that aiortc lacks."""
        if state == "connecting" and self._grace is None:
            return  # for the first time
        self._end_grace()
        if state in ("disconnected", "connecting"):
            # An ICE restart gets as much time again, and no more: it may come to nothing too.
            self._grace = asyncio.get_running_loop().call_later(
                DISCONNECTED_GRACE_S, self._events.on_gone, "the peer did not come back"
            )
        elif state in ("failed", "closed"):
            self._events.on_gone(f"the peer connection is {state}")

    def _end_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def _attach_channel(self, channel: Any) -> None:
        def only_current(handler: Callable[..., None]) -> Callable[..., None]:
            def handle(*args: Any) -> None:
                self._changed.set()
                if channel is self._channel and not self._is_closed:
                    handler(*args)

            return handle

        channel.on("open", only_current(self._events.on_channel_open))
        channel.on("message", only_current(self._events.on_message))
        channel.on("close", only_current(self._events.on_channel_close))
        channel.on("error", only_current(self._events.on_channel_error))

    def _attach_peer_connection(self, peer_connection: PeerConnection) -> None:
        def on_state() -> None:
            self._changed.set()
            if peer_connection is self._peer_connection and not self._is_closed:
                self._take_state(peer_connection.connectionState)

        peer_connection.on("connectionstatechange", on_state)
        peer_connection.on("iceconnectionstatechange", self._changed.set)

    def _on_track(self, track: Any) -> None:
        if track.kind == "audio" and self._media is not None and not self._is_closed:
            self._media.receive(track)
