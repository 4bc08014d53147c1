"""A WebRTC call without a network, for tests of what stands above it."""

# ruff: noqa: N802 - the names are WebRTC's

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from multidict import CIMultiDict

from realtime_transports.http_client import HttpAnswer
from realtime_transports.webrtc import OpenAIRealtimeWebRTC

__all__ = ["Channel", "Media", "PeerConnection", "Phone"]


class _Emitter:
    def __init__(self) -> None:
        self._listeners: dict[str, list[Callable[..., Any]]] = {}

    def on(self, event: str, listener: Callable[..., Any]) -> None:
        self._listeners.setdefault(event, []).append(listener)

    def fire(self, event: str, *args: Any) -> None:
        for listener in list(self._listeners.get(event, ())):
            listener(*args)


class Channel(_Emitter):
    """A data channel; the test is the server."""

    def __init__(self) -> None:
        super().__init__()
        self.readyState = "connecting"
        self.bufferedAmount = 0
        self.sent: list[dict[str, Any]] = []

    def send(self, text: str) -> None:
        self.sent.append(json.loads(text))

    def types(self) -> list[str]:
        return [event["type"] for event in self.sent]

    def close(self) -> None:
        self.readyState = "closed"

    def open(self) -> None:
        self.readyState = "open"
        self.fire("open")

    def end(self) -> None:
        self.readyState = "closed"
        self.fire("close")

    def say(self, event_type: str, **fields: Any) -> None:
        self.fire("message", json.dumps({"type": event_type, "event_id": "e1", **fields}))

    def confirm(self) -> None:
        self.say("session.updated", session={})


class PeerConnection(_Emitter):
    """A connection that comes about when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.connectionState = "new"
        self.localDescription: Any = None
        self.channels: list[Channel] = []
        self.tracks: list[Any] = []
        self.is_answered = asyncio.Event()
        self.is_closed = False

    def createDataChannel(self, label: str) -> Channel:
        self.channels.append(Channel())
        return self.channels[-1]

    def addTrack(self, track: Any) -> None:
        self.tracks.append(track)

    async def createOffer(self) -> Any:
        return SimpleNamespace(type="offer", sdp="v=0 offer")

    async def setLocalDescription(self, description: Any) -> None:
        self.localDescription = description

    async def setRemoteDescription(self, description: Any) -> None:
        self.is_answered.set()

    async def close(self) -> None:
        self.is_closed = True

    def become(self, state: str) -> None:
        self.connectionState = state
        self.fire("connectionstatechange")


class Media:
    """A media path that notes what it is told."""

    def __init__(self) -> None:
        self.track = SimpleNamespace(kind="audio")
        self.calls: list[Any] = []

    def start(self) -> None:
        self.calls.append("start")

    def receive(self, track: Any) -> None:
        self.calls.append(("receive", track))

    def set_muted(self, muted: bool) -> None:
        self.calls.append(("muted", muted))

    def clear(self) -> None:
        self.calls.append("clear")

    def silence(self, for_s: float) -> None:
        self.calls.append(("silence", for_s))

    def take_calls(self) -> list[Any]:
        calls, self.calls = self.calls, []
        return calls

    async def close(self) -> None:
        self.calls.append("close")


class Phone:
    """Makes transports, and is everything around them."""

    def __init__(self, **options: Any) -> None:
        self.peers: list[PeerConnection] = []
        self._has_peer = asyncio.Event()
        self.medias: list[Media] = []
        self.posted: list[dict[str, str]] = []
        self.location = "/v1/realtime/calls/rtc_1"
        self.transport = OpenAIRealtimeWebRTC(
            **{"source": None, "sink": None, "api_key": "ek_test", **options},
            peer_connection_factory=self._make_peer,
            media_path_factory=self._make_media,
            http=self,
        )
        self.told: list[tuple[str, Any]] = []
        for name in ("connection_change", "connected", "disconnected", "error"):
            self.transport.on(name, self._noting(name))
        self.interruptions = 0
        self.transport.on("audio_interrupted", self._count_interruption)

    @property
    def peer(self) -> PeerConnection:
        return self.peers[-1]

    @property
    def channel(self) -> Channel:
        return self.peer.channels[-1]

    @property
    def media(self) -> Media:
        return self.medias[-1]

    @property
    def errors(self) -> list[Any]:
        return [payload.error for name, payload in self.told if name == "error"]

    def names(self) -> list[str]:
        return [name for name, _ in self.told]

    async def dial(self, **options: Any) -> asyncio.Task[None]:
        """Begin to connect, until the offer is answered."""
        self._has_peer.clear()
        task = asyncio.ensure_future(self.transport.connect(**options))
        await self._has_peer.wait()
        await self.peer.is_answered.wait()
        await asyncio.sleep(0)
        return task

    async def connect(self, **options: Any) -> None:
        task = await self.dial(**options)
        self.channel.open()
        self.channel.confirm()
        await task

    async def post(self, url: str, *, headers: Any, body: bytes) -> HttpAnswer:
        self.posted.append(dict(headers))
        return HttpAnswer(201, "Created", CIMultiDict(Location=self.location), b"v=0 answer")

    async def close(self) -> None:
        """As an `HttpClient` is closed."""

    def _make_peer(self) -> PeerConnection:
        self.peers.append(PeerConnection())
        self._has_peer.set()
        return self.peers[-1]

    def _make_media(self, **parts: Any) -> Any:
        self.medias.append(Media())
        return self.medias[-1]

    def _count_interruption(self) -> None:
        self.interruptions += 1

    def _noting(self, name: str) -> Callable[..., None]:
        return lambda *args: self.told.append((name, args[0] if args else None))
