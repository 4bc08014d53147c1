"""How the suite meets the WebRTC transport: over real ICE, DTLS and SCTP on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from aiohttp import web

from realtime_core.audio import Pcm16
from realtime_core.testing import FarEnd, Manner, TransportHarness
from realtime_transports.webrtc import ConnectTimeouts, OpenAIRealtimeWebRTC
from tests.end_to_end.calls import Peer, serving_peer

UNCONFIRMED_S = 2.0
"""How long a configuration that never arrives is waited for; a busy machine confirms within."""


class PlayedPeer(Peer, FarEnd):
    """The server's end of one call after the other."""

    def __init__(self, manner: Manner) -> None:
        Peer.__init__(self)
        self.manner = manner
        self.url = ""
        self._parts: list[np.ndarray] = []

    @property
    def connect_options(self) -> Mapping[str, Any]:
        return {"url": self.url}

    @property
    def heard(self) -> Pcm16:  # type: ignore[override]
        return np.concatenate([np.zeros(0, np.int16), *self._parts])

    @heard.setter
    def heard(self, parts: list[np.ndarray]) -> None:
        self._parts = parts

    async def handle(self, request: web.Request) -> web.Response:
        if self.manner is Manner.REFUSING:
            key = request.headers.get("Authorization", "")
            error = {"message": f"Incorrect API key provided: {key}"}
            return web.json_response({"error": error}, status=401)
        return await super().handle(request)

    def reply(self, event: dict[str, Any]) -> None:
        if self.manner is Manner.GOOD:
            super().reply(event)
        elif self.manner is Manner.DROPPING:
            self._ending = asyncio.ensure_future(self.lose())

    def audio_received(self, samples: np.ndarray) -> None:
        self._parts.append(samples)
        self._changed.set()

    def send_text(self, text: str) -> None:
        assert self.call is not None
        self.call.send(text)

    def speak(self, samples: Pcm16, labels: Mapping[str, Any]) -> None:
        assert self.call is not None
        self.call.play(samples)

    async def lose(self) -> None:
        assert self.call is not None
        await self.call.close()

    async def wait_until(self, is_fulfilled: Callable[[], bool]) -> None:
        await Peer.wait_until(self, is_fulfilled)


class WebRTCHarness(TransportHarness):
    def make(self, **options: Any) -> OpenAIRealtimeWebRTC:
        defaults: dict[str, Any] = {"source": None, "sink": None, "api_key": "sk-contract"}
        timeouts = ConnectTimeouts(session_s=UNCONFIRMED_S)
        return OpenAIRealtimeWebRTC(
            **{"loopback": True, "timeouts": timeouts, **defaults, **options}
        )

    @asynccontextmanager
    async def serve(self, manner: Manner) -> AsyncIterator[FarEnd]:
        peer = PlayedPeer(manner)
        async with serving_peer(peer) as url:
            peer.url = url
            yield peer
