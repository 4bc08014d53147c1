"""A caller on stock aiortc and aiohttp alone, to test the local server against."""

from __future__ import annotations

import asyncio
import fractions
import json
from collections.abc import Callable
from typing import Any, Self

import aiohttp
import av
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError

from realtime_transports.webrtc.guards import follow_connecting
from realtime_transports.webrtc.loopback import allow_loopback

DEADLINE_S = 20.0
BLOCK = 960


class SpeakingTrack(MediaStreamTrack):
    """Sends what is put into it, in real time, and silence otherwise."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.pending = np.zeros(0, np.int16)
        self.spoken = asyncio.Event()
        self.empty_packets = 0
        """How many of the next packets have no payload."""
        self._blocks = 0
        self._due: float | None = None

    async def recv(self) -> av.AudioFrame | av.Packet:
        if self.readyState != "live":
            raise MediaStreamError
        now = asyncio.get_running_loop().time()
        self._due = now if self._due is None else self._due
        await asyncio.sleep(max(0.0, self._due - now))
        self._due += BLOCK / 48_000
        if self.empty_packets:
            self.empty_packets -= 1
            return self._stamped(av.Packet(0))
        block = np.zeros(BLOCK, np.int16)
        head, self.pending = self.pending[:BLOCK], self.pending[BLOCK:]
        block[: len(head)] = head
        if not len(self.pending):
            self.spoken.set()
        # Mono frames would arrive 3 dB quieter: aiortc's resampler spreads one channel's power.
        both = np.repeat(block, 2).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(both, format="s16", layout="stereo")
        frame.sample_rate = 48_000
        return self._stamped(frame)

    def _stamped(self, data: Any) -> Any:
        data.pts = self._blocks * BLOCK
        data.time_base = fractions.Fraction(1, 48_000)
        self._blocks += 1
        return data


class StockCaller:
    """One call."""

    def __init__(self) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._end_connecting = follow_connecting(self.pc)
        self.track = self.make_track()
        self.events: list[dict[str, Any]] = []
        self.location = ""
        self._heard: list[np.ndarray] = []
        self._arrived = asyncio.Event()
        self._readers: list[asyncio.Task[None]] = []
        self.channel = self.pc.createDataChannel("oai-events")
        self.channel.on("message", self._take)
        self.pc.addTrack(self.track)
        self.pc.on("track", self._listen)

    def make_track(self) -> SpeakingTrack:
        """What the caller speaks into."""
        return SpeakingTrack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        await self.pc.close()
        await self._end_connecting()

    async def offer(self) -> str:
        allow_loopback(self.pc)
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return self.pc.localDescription.sdp

    async def call(self, url: str, session: dict[str, Any] | None = None, key: str = "sk") -> None:
        offer = await self.offer()
        headers = {"Authorization": f"Bearer {key}"}
        data: Any = offer
        if session is None:
            headers["Content-Type"] = "application/sdp"
        else:
            data = aiohttp.FormData()
            data.add_field("sdp", offer, content_type="application/sdp")
            data.add_field("session", json.dumps(session), content_type="application/json")
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{url}/realtime/calls", data=data, headers=headers) as answer,
        ):
            text = await answer.text()
            assert answer.status == 201, text
            self.location = answer.headers["Location"]
        await self.pc.setRemoteDescription(RTCSessionDescription(text, "answer"))
        await self.wait("session.created")

    def send(self, event_type: str, **fields: Any) -> None:
        self.channel.send(json.dumps({"type": event_type, **fields}))

    async def say(self, samples: np.ndarray) -> None:
        """Send audio (48 kHz mono) in real time."""
        self.track.spoken.clear()
        self.track.pending = np.concatenate([self.track.pending, samples])
        await self.track.spoken.wait()

    async def wait(self, event_type: str, count: int = 1) -> dict[str, Any]:
        """The `count`-th event of this type."""
        await self.wait_until(lambda: len(self.of_type(event_type)) >= count)
        return self.of_type(event_type)[count - 1]

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._arrived.clear()
                await self._arrived.wait()

    def of_type(self, event_type: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == event_type]

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def heard(self) -> np.ndarray:
        """Everything that came on the track: 48 kHz mono."""
        return np.concatenate([np.zeros(0, np.int16), *self._heard])

    def _take(self, message: str) -> None:
        self.events.append(json.loads(message))
        self._arrived.set()

    def _listen(self, track: MediaStreamTrack) -> None:
        self._readers.append(asyncio.ensure_future(self._read(track)))

    async def _read(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, av.AudioFrame)
            self._heard.append(frame.to_ndarray().reshape(-1, 2)[:, 0].copy())
            self._arrived.set()
