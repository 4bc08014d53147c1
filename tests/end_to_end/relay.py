"""A client's HTTP whose calls go through the UDP relay, which drops packets on command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Self

from realtime_core.testing.link import LinkConditions
from realtime_core.testing.udp_relay import Direction, without_candidates
from realtime_core.testing.udp_relay import UdpRelay as Relay
from realtime_transports.http_client import AiohttpClient, HttpAnswer

DEADLINE_S = 30.0


def is_stun(packet: bytes) -> bool:
    """Whether it is of ICE, not of DTLS or (S)RTP (RFC 7983)."""
    return packet[0] < 4


class UdpRelay(AiohttpClient):
    """Posts offers like its base, and puts a relay between both ends."""

    def __init__(self, conditions: LinkConditions | None = None, *, seed: int = 0) -> None:
        super().__init__()
        self.relay = Relay(conditions, seed=seed)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.relay.close()

    @property
    def server(self) -> Direction:
        """What the server sends."""
        return self.relay.to_caller

    @property
    def drops(self) -> Callable[[bytes], bool]:
        return self.relay.drops

    @drops.setter
    def drops(self, drops: Callable[[bytes], bool]) -> None:
        self.relay.drops = drops

    def drop_all(self) -> None:
        self.relay.drops = lambda packet: True

    def heal(self) -> None:
        self.relay.drops = lambda packet: False

    async def wait_passed(self, direction: Direction, count: int) -> None:
        """Wait until so many more packets of one end have passed."""
        async with asyncio.timeout(DEADLINE_S):
            await direction.wait_passed(count)

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        offer = without_candidates(body.decode())
        answer = await super().post(url, headers=headers, body=offer.encode())
        sdp = await self.relay.redirect(answer.body.decode())
        return HttpAnswer(answer.status, answer.reason, answer.headers, sdp.encode())
