"""The audio of one connection over a WebSocket: a source into events, events into a sink."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from realtime_core.audio import AudioSink, AudioSource, Pcm16, frame_from_mono
from realtime_core.errors import TransportError
from realtime_transports.audio.foreign import as_audio_error
from realtime_transports.audio.incoming import IncomingAudio
from realtime_transports.audio.outgoing import OutgoingAudio, Pacer

if TYPE_CHECKING:
    from realtime_core.audio import AudioTap
    from realtime_transports.openai.client_playback import PlayingAudio

__all__ = ["EventMedia", "Pace", "Uplink"]

log = logging.getLogger(__name__)

Pace: TypeAlias = Literal["realtime", "fast"]
"""How a source that is not live is sent: as it would be spoken, or as the server takes it."""

REALTIME_BLOCKS = 2
"""40 ms an event: half the events of 20 ms each, and still a delay that nobody hears."""

FAST_BLOCKS = 5
"""100 ms an event."""

MAX_UNHEARD_S = 600.0
"""The model's audio comes faster than it is heard; more than this waits for no sink."""


RESAMPLER_S = 0.02
"""What the resampler before a sink may hold back: nobody waits for that to be heard."""


@dataclass(frozen=True)
class Uplink:
    """Where the user's audio goes."""

    append: Callable[[Pcm16], None]
    """Sends samples: int16, mono, shape (n,). Raises `TransportError` when the link is gone."""
    drain: Callable[[], Awaitable[None]]
    """Waits until the link has room; raises likewise."""
    rate_hz: int
    """The rate of the samples."""
    is_open: Callable[[], bool]
    """Whether the link is there; if not, its end is told elsewhere."""


class EventMedia:
    """Carries audio between source, link and sink. It owns neither source nor sink.

    A source that has ended is followed by silence, as on a telephone: the server notices by it
    that the user has finished.
    """

    def __init__(
        self,
        *,
        source: AudioSource | None,
        sink: AudioSink | None,
        tap: AudioTap | None,
        on_error: Callable[[Exception], None],
        uplink: Uplink,
        pace: Pace,
    ) -> None:
        """Take an open source and an open sink.

        Args:
            source: None sends nothing.
            sink: None drains what comes.
            tap: Sees all audio.
            on_error: Gets what source, sink or tap raise.
            uplink: Where the source's audio goes.
            pace: How fast.
        """
        self._source = source
        self._sink = sink
        self._on_error = on_error
        self._uplink = uplink
        self._is_fast = pace == "fast" and source is not None and not source.is_live
        self._outgoing = OutgoingAudio(source, rate_hz=uplink.rate_hz, tap=tap, on_error=on_error)
        self._incoming = IncomingAudio(
            sink, tap=tap, on_error=on_error, max_buffered_s=MAX_UNHEARD_S
        )
        self._sender: asyncio.Task[None] | None = None
        self._source_sent = asyncio.Event()
        self._rate_hz = uplink.rate_hz
        self._part: PlayingAudio | None = None
        self._part_began_s = 0.0
        """On the event loop's clock."""
        self._unheard_lost_s = -self._played_s()
        """What was to be heard and will not be; negative by what the sink played before."""

    def start(self) -> None:
        """Let the source's audio through."""
        self._outgoing.start()
        if self._source is not None:
            self._sender = asyncio.get_running_loop().create_task(self._send_all())

    def set_muted(self, muted: bool) -> None:
        """Send silence instead of the source's audio, or not."""
        self._outgoing.muted = muted

    def begin_part(self, part: PlayingAudio) -> None:
        """What is played from now on belongs to this part; the same one changes nothing."""
        if part is not self._part:
            self._part = part
            self._part_began_s = asyncio.get_running_loop().time()

    def play(self, samples: Pcm16, rate_hz: int) -> None:
        """Take audio of the part: int16, mono, shape (n,)."""
        self._rate_hz = rate_hz
        self._incoming.push(frame_from_mono(samples, rate_hz))

    def unheard_ms(self) -> float:
        """How much of what came is still to be heard, by the sink's clock.

        Without a sink somebody else plays; then the part is taken to be heard since it began.
        """
        played_s = self._played_s()
        if self._sink is not None:
            unheard_s = self._handed_s() - played_s
            # A sink may count what it was given just before it was cleared.
            self._unheard_lost_s += min(0.0, unheard_s)
            return 0.0 if unheard_s < RESAMPLER_S else unheard_s * 1000
        if self._part is None:
            return 0.0
        heard_s = asyncio.get_running_loop().time() - self._part_began_s
        return max(0.0, self._part.length_ms - heard_s * 1000)

    def clear(self) -> None:
        """Drop audio not heard yet."""
        self._incoming.clear()
        self._unheard_lost_s += self._handed_s() - self._played_s()

    async def wait_source_ended(self) -> None:
        """Wait until the source has ended and its audio is with the link."""
        if self._source is not None:
            await self._source_sent.wait()

    async def wait_heard(self) -> None:
        """Wait until what has come has been heard."""
        await self._incoming.drain()

    async def close(self) -> None:
        """Stop everything."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        await self._outgoing.close()
        await self._incoming.close()

    def _handed_s(self) -> float:
        """Where audio that comes now will be on the sink's time line."""
        incoming = self._incoming
        return incoming.received_s - incoming.dropped_s - self._unheard_lost_s

    def _played_s(self) -> float:
        if self._sink is None:
            return 0.0
        try:
            return self._sink.played_samples / (self._sink.rate_hz or self._rate_hz)
        except Exception as exc:  # a sink is foreign code; from now on time is its clock
            sink, self._sink = self._sink, None
            self._on_error(as_audio_error("sink", sink, exc))
            return 0.0

    async def _send_all(self) -> None:
        pacer = Pacer()
        try:
            while True:
                samples = await self._next_samples(pacer)
                self._uplink.append(samples)
                if self._outgoing.ended.is_set():
                    self._source_sent.set()
                await self._uplink.drain()
        except Exception as exc:  # a link of the caller's making may raise anything
            log.debug("no more audio is sent: %s", exc)
            if self._uplink.is_open():
                error = TransportError(f"no more of the user's audio is sent: {exc}")
                error.__cause__ = exc
                self._on_error(error)

    async def _next_samples(self, pacer: Pacer) -> Pcm16:
        """The samples of the next event, when they are due."""
        is_fast = self._is_fast and not self._outgoing.ended.is_set()
        blocks: list[Pcm16] = []
        while len(blocks) < (FAST_BLOCKS if is_fast else REALTIME_BLOCKS):
            if not is_fast:
                await asyncio.sleep(pacer.take_delay(asyncio.get_running_loop().time()))
            blocks.append(await self._outgoing.take_block())
            if self._outgoing.ended.is_set() and not self._source_sent.is_set():
                break
        if is_fast:
            await asyncio.sleep(0)  # a source and a link that never wait let others run here
        return np.concatenate(blocks)
