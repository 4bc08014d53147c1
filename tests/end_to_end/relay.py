"""A UDP relay between both ends of a call on 127.0.0.1, which drops packets on command."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Self, cast

from realtime_transports.http_client import AiohttpClient, HttpAnswer

HOST = "127.0.0.1"
CANDIDATE = re.compile(r"^a=candidate:(\S+) (\d) udp (\d+) (\S+) (\d+) typ host.*$", re.MULTILINE)

Address = tuple[str, int]


def is_stun(packet: bytes) -> bool:
    """Whether it is of ICE, not of DTLS or (S)RTP (RFC 7983)."""
    return packet[0] < 4


class _Side(asyncio.DatagramProtocol):
    """The socket that one end sends to."""

    def __init__(self, relay: UdpRelay) -> None:
        self._relay = relay
        self.other: _Side = self
        self.end: Address | None = None
        """Where this end is; what comes from elsewhere is not its own."""
        self.passed = 0
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if addr != self.end or self.other.end is None or self._relay.drops(data):
            return
        self.passed += 1
        self._relay.changed.set()
        if self.other.transport is not None:
            self.other.transport.sendto(data, self.other.end)

    @property
    def address(self) -> Address:
        assert self.transport is not None
        host, port = self.transport.get_extra_info("sockname")
        return host, port


class UdpRelay(AiohttpClient):
    """Posts offers like its base, and puts itself between both ends.

    Each end is told the relay's address in the place of the other's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.drops: Callable[[bytes], bool] = lambda packet: False
        self.changed = asyncio.Event()
        self.caller, self.server = _Side(self), _Side(self)
        self.caller.other, self.server.other = self.server, self.caller

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for side in (self.caller, self.server):
            await loop.create_datagram_endpoint(lambda side=side: side, local_addr=(HOST, 0))
        return self

    async def __aexit__(self, *exc: object) -> None:
        for side in (self.caller, self.server):
            assert side.transport is not None
            side.transport.close()

    def drop_all(self) -> None:
        self.drops = lambda packet: True

    def heal(self) -> None:
        self.drops = lambda packet: False

    async def wait_passed(self, side: _Side, count: int) -> None:
        """Wait until so many more packets of one end have passed."""
        until = side.passed + count
        async with asyncio.timeout(30):
            while side.passed < until:
                self.changed.clear()
                await self.changed.wait()

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        offer = self._redirect(body.decode(), self.caller, self.server.address)
        answer = await super().post(url, headers=headers, body=offer.encode())
        sdp = self._redirect(answer.body.decode(), self.server, self.caller.address)
        return HttpAnswer(answer.status, answer.reason, answer.headers, sdp.encode())

    def _redirect(self, sdp: str, side: _Side, to: Address) -> str:
        side.end = None

        def replace(found: re.Match[str]) -> str:
            foundation, component, priority, host, port = found.groups()
            if host != HOST:
                return "a=x-elsewhere"
            # The first section's transport is the one that all sections share.
            side.end = side.end or (host, int(port))
            return f"a=candidate:{foundation} {component} udp {priority} {to[0]} {to[1]} typ host"

        return CANDIDATE.sub(replace, sdp)
