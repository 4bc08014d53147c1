"""Endpoints that fail, each in its own way, with the error that is expected of the client."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from realtime_core.errors import ConnectStage
from realtime_transports.webrtc.answerer import ServerPeer
from tests.end_to_end.calls import Peer, serving, serving_peer, without_candidates

SHORT_S = 0.4
"""Long enough for a stage that works on a busy machine to be passed before the one that fails."""


@dataclass(frozen=True)
class Fault:
    """One way to fail."""

    name: str
    stage: ConnectStage
    serve: Callable[[], AbstractAsyncContextManager[str]]
    """Gives the URL."""
    says: tuple[str, ...] = ()
    """Parts of the message."""
    status: int | None = None
    is_slow: bool = False
    """Whether it takes the stage's deadline to notice."""


# HTTP


def _json_error(status: int, message: str) -> Callable[[], AbstractAsyncContextManager[str]]:
    async def handle(request: web.Request) -> web.Response:
        error = {"message": message, "type": "invalid_request_error", "code": None, "param": None}
        return web.json_response({"error": error}, status=status)

    return lambda: serving(handle)


def _answering(**options: Any) -> Callable[[], AbstractAsyncContextManager[str]]:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(**options)

    return lambda: serving(handle)


@asynccontextmanager
async def _refusing() -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    yield f"http://127.0.0.1:{port}/v1/realtime/calls"


@asynccontextmanager
async def raw_server(answer: bytes, *, hang_up: bool = True) -> AsyncIterator[str]:
    """A TCP server that reads a request and writes these bytes."""
    finished = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            if not hang_up:
                await finished.wait()
        except asyncio.IncompleteReadError:
            return  # the client has given up before it asked
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/realtime/calls"
    finally:
        finished.set()
        server.close()
        await server.wait_closed()


def _huge(status: int) -> Callable[[], AbstractAsyncContextManager[str]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        for _ in range(200):
            await response.write(bytes(1_000_000))
        return response

    return lambda: serving(handle)


# What comes after a good HTTP answer


class _BadSdp(Peer):
    def __init__(self, change: Callable[[str], str]) -> None:
        super().__init__()
        self._change = change

    def change_answer(self, sdp: str) -> str:
        return self._change(sdp)


def _with_sdp(change: Callable[[str], str]) -> Callable[[], AbstractAsyncContextManager[str]]:
    return lambda: serving_peer(_BadSdp(change))


class _Unreachable(Peer):
    """Offers addresses that nobody listens on, and knows none of the caller's."""

    def change_offer(self, sdp: str) -> str:
        return without_candidates(sdp)

    def change_answer(self, sdp: str) -> str:
        discard = r"\1 127.0.0.1 9"
        return re.sub(r"(a=candidate:\S+ \d udp \d+) \S+ \d+", discard, sdp)


def _with_wrong_fingerprint(sdp: str) -> str:
    return re.sub(
        r"(a=fingerprint:\S+) (\S+)", lambda m: f"{m[1]} {':'.join(['AB'] * len(m[2][::3]))}", sdp
    )


async def _ignore(*args: Any) -> None:
    """Takes what a stock peer would work on."""


class _NoDtls(Peer):
    def spoil(self, call: ServerPeer) -> None:
        call._pc.sctp.transport.start = _ignore


class _NoChannel(Peer):
    def spoil(self, call: ServerPeer) -> None:
        call._pc.sctp._handle_data = _ignore


class _NeverConfirms(Peer):
    def reply(self, event: dict[str, Any]) -> None:
        self.send("session.created", session={})


class _RefusesConfig(Peer):
    def reply(self, event: dict[str, Any]) -> None:
        self.send("error", error={"type": "invalid_request_error", "message": "no such voice"})


class _HangsUp(Peer):
    def reply(self, event: dict[str, Any]) -> None:
        assert self.call is not None
        self.call._start_closing()


class _SpeaksGibberish(Peer):
    def reply(self, event: dict[str, Any]) -> None:
        assert self.call is not None
        for message in ("", "{", "null", "[]", '{"type": 1}', b"\xff\xfe"):
            self.call._channel.send(message)


FAULTS = (
    Fault("401", ConnectStage.HTTP, _json_error(401, "bad key"), ("401", "bad key"), 401),
    Fault("429", ConnectStage.HTTP, _json_error(429, "slow down"), ("429", "slow down"), 429),
    Fault("500", ConnectStage.HTTP, _answering(status=500, text="oops"), ("500", "oops"), 500),
    Fault(
        "HTML error",
        ConnectStage.HTTP,
        _answering(status=502, text="<html>Bad gateway</html>", content_type="text/html"),
        ("502", "Bad gateway"),
        502,
    ),
    Fault(
        "HTML instead of SDP",
        ConnectStage.SDP,
        _answering(status=200, text="<html>Welcome</html>", content_type="text/html"),
    ),
    Fault(
        "no answer",
        ConnectStage.HTTP,
        lambda: raw_server(b"", hang_up=False),
        ("0.4 s", "http"),
        is_slow=True,
    ),
    Fault("refused", ConnectStage.HTTP, _refusing, ("cannot be reached",)),
    Fault(
        "redirect",
        ConnectStage.HTTP,
        _answering(status=307, headers={"Location": "http://127.0.0.1:9/elsewhere"}),
        ("307",),
        307,
    ),
    Fault("200 MB", ConnectStage.HTTP, _huge(201), ("1000000 bytes",)),
    Fault("200 MB of error", ConnectStage.HTTP, _huge(500), ("500",), 500),
    Fault(
        "half a body",
        ConnectStage.HTTP,
        lambda: raw_server(b"HTTP/1.1 201 Created\r\nContent-Length: 9999\r\n\r\nv=0\r\n"),
        ("broke off",),
    ),
    Fault(
        "a body that stops",
        ConnectStage.HTTP,
        lambda: raw_server(b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\nv", hang_up=False),
        ("0.4 s",),
        is_slow=True,
    ),
    Fault(
        "no HTTP", ConnectStage.HTTP, lambda: raw_server(b"SSH-2.0-x\r\n\r\n"), ("cannot be read",)
    ),
    Fault("hangs up", ConnectStage.HTTP, lambda: raw_server(b""), ("cannot be reached",)),
    Fault("garbage SDP", ConnectStage.SDP, _with_sdp(lambda _: "\x00\xff m=\n\ra=x")),
    Fault("empty SDP", ConnectStage.SDP, _answering(status=201, text="")),
    Fault("SDP without data", ConnectStage.SDP, _with_sdp(lambda s: s.split("m=application")[0])),
    Fault("SDP cut in a line", ConnectStage.SDP, _with_sdp(lambda s: s[: s.index("m=audio") + 9])),
    Fault(
        "no such codec",
        ConnectStage.SDP,
        _with_sdp(lambda s: s.replace("opus/48000", "speex/48000")),
    ),
    Fault(
        "ports that there are none of",
        ConnectStage.SDP,
        _with_sdp(lambda s: re.sub(r"(a=candidate:(?:\S+ ){5})\d+", r"\g<1>70000", s)),
        ("port", "70000"),
    ),
    Fault(
        "unreachable UDP",
        ConnectStage.ICE,
        lambda: serving_peer(_Unreachable()),
        ("UDP may be blocked", "TURN"),
        is_slow=True,
    ),
    Fault(
        "no candidates",
        ConnectStage.ICE,
        _with_sdp(lambda s: re.sub(r"a=candidate[^\n]*\n", "", s)),
        ("UDP may be blocked", "TURN"),
    ),
    Fault("no DTLS", ConnectStage.DTLS, lambda: serving_peer(_NoDtls()), is_slow=True),
    Fault("wrong fingerprint", ConnectStage.DTLS, _with_sdp(_with_wrong_fingerprint)),
    Fault(
        "no channel",
        ConnectStage.CHANNEL,
        lambda: serving_peer(_NoChannel()),
        ("data channel",),
        is_slow=True,
    ),
    Fault(
        "no session.updated",
        ConnectStage.SESSION,
        lambda: serving_peer(_NeverConfirms()),
        ("did not confirm",),
        is_slow=True,
    ),
    Fault(
        "session refused",
        ConnectStage.SESSION,
        lambda: serving_peer(_RefusesConfig()),
        ("no such voice",),
    ),
    Fault("hangs up on config", ConnectStage.SESSION, lambda: serving_peer(_HangsUp())),
    Fault(
        "gibberish",
        ConnectStage.SESSION,
        lambda: serving_peer(_SpeaksGibberish()),
        is_slow=True,
    ),
)
