"""Endpoints and peers for calls over real sockets: good ones to build bad ones of."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from aiohttp import web

from realtime_transports.webrtc.answerer import ServerPeer, answer

DEADLINE_S = 20.0
"""For what takes a fraction of a second where nothing is broken."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, **site_options: Any) -> AsyncIterator[str]:
    """An HTTP server with one handler for every path; gives the URL to post offers to."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handle_signals=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, **site_options).start()
        scheme = "https" if site_options else "http"
        yield f"{scheme}://127.0.0.1:{runner.addresses[0][1]}/v1/realtime/calls"
    finally:
        await runner.cleanup()


async def offer_of(request: web.Request) -> str:
    """The offer, from a raw or a multipart body."""
    if request.content_type == "application/sdp":
        return await request.text()
    part: Any = (await request.post())["sdp"]
    return part if isinstance(part, str) else bytes(part).decode()


class Peer:
    """A peer that confirms the session's configuration, and keeps all that it gets.

    Tests override `reply`, `spoil` and the changes to make it misbehave.
    """

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.events: list[dict[str, Any]] = []
        self.heard: list[np.ndarray] = []
        self.call: ServerPeer | None = None
        self._changed = asyncio.Event()

    def reply(self, event: dict[str, Any]) -> None:
        """Answer a client event."""
        if event["type"] == "session.update":
            self.send("session.updated", session=event["session"])

    def spoil(self, call: ServerPeer) -> None:
        """Do something to the call before anybody connects to it."""

    def change_offer(self, sdp: str) -> str:
        """Change the SDP offer before it is applied."""
        return sdp

    def change_answer(self, sdp: str) -> str:
        """Change the SDP answer."""
        return sdp

    async def handle(self, request: web.Request) -> web.Response:
        """The HTTP handler: take a call, in the place of the one before."""
        self.requests.append(request)
        if self.call is not None:
            await self.call.close()
        offer = self.change_offer(await offer_of(request))
        sdp, self.call = await answer(offer, listener=self, loopback=True)
        self.spoil(self.call)
        return web.Response(
            status=201,
            text=self.change_answer(sdp),
            content_type="application/sdp",
            headers={"Location": "/v1/realtime/calls/rtc_test"},
        )

    def send(self, event_type: str, **fields: Any) -> None:
        assert self.call is not None
        self.call.send(json.dumps({"type": event_type, "event_id": "e1", **fields}))

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def wait_heard(self, duration_s: float) -> np.ndarray:
        """The next so many seconds of the caller's audio: 24 kHz mono."""
        self.heard.clear()
        await self.wait_until(lambda: sum(map(len, self.heard)) >= 24_000 * duration_s)
        return np.concatenate(self.heard)

    def of_type(self, event_type: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == event_type]

    async def close(self) -> None:
        if self.call is not None:
            await self.call.close()

    # PeerListener

    def message_received(self, message: str | bytes) -> None:
        event = json.loads(message)
        self.events.append(event)
        self._changed.set()
        self.reply(event)

    def bad_message_received(self, error: Exception) -> None:
        raise AssertionError from error

    def audio_received(self, samples: np.ndarray) -> None:
        self.heard.append(samples)
        self._changed.set()

    def audio_played(self, played_samples: int) -> None:
        self._changed.set()

    def closed(self) -> None:
        self._changed.set()


@asynccontextmanager
async def serving_peer(peer: Peer, **site_options: Any) -> AsyncIterator[str]:
    """The URL of an endpoint where this peer takes calls."""
    async with serving(peer.handle, **site_options) as url:
        try:
            yield url
        finally:
            await peer.close()


def without_candidates(sdp: str) -> str:
    return re.sub(r"a=(candidate:|end-of-candidates)[^\n]*\n", "", sdp)


def level(samples: np.ndarray) -> float:
    """The loudest sample; of silence it is next to nothing."""
    return float(np.abs(samples.astype(np.float64)).max(initial=0))


class Log:
    """What a transport told, in order."""

    def __init__(self, transport: Any) -> None:
        self.events: list[tuple[str, Any]] = []
        self._changed = asyncio.Event()
        for name in ("connection_change", "connected", "disconnected", "error"):
            transport.on(name, self._noting(name))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    def errors(self, kind: type[Exception] = Exception) -> list[Any]:
        found = [payload.error for name, payload in self.events if name == "error"]
        return [error for error in found if isinstance(error, kind)]

    async def wait(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def _noting(self, name: str) -> Callable[..., None]:
        def note(*args: Any) -> None:
            self.events.append((name, args[0] if args else None))
            self._changed.set()

        return note
