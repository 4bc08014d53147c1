"""The relay that carries packets over a bad network: its sockets, and the addresses in SDP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from realtime_core.errors import TransportError
from realtime_core.testing.link import LinkConditions
from realtime_core.testing.udp_relay import MAX_SOURCES, UdpRelay, without_candidates

DEADLINE_S = 10.0
ANSWER = (
    "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
    "a=candidate:1 1 udp 2130706431 127.0.0.1 {port} typ host\r\n"
    "a=end-of-candidates\r\n"
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
    "a=candidate:1 1 UDP 2130706431 127.0.0.1 {port} typ host\r\n"
)


def test_an_offer_without_candidates_says_neither_where_nor_that_this_is_all() -> None:
    bare = without_candidates(ANSWER.format(port=1))
    assert "candidate" not in bare
    assert bare.count("m=") == 2
    assert bare.endswith("webrtc-datachannel\r\n")


class End(asyncio.DatagramProtocol):
    """One end of a conversation."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.sources: list[tuple[str, int]] = []
        self.arrived = asyncio.Event()
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.got.append(data)
        self.sources.append(addr)
        self.arrived.set()

    @property
    def port(self) -> int:
        return int(self.transport.get_extra_info("sockname")[1])

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while len(self.got) < count:
                self.arrived.clear()
                await self.arrived.wait()


async def an_end() -> End:
    end = End()
    await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: end, local_addr=("127.0.0.1", 0)
    )
    return end


@pytest.fixture
async def answerer() -> AsyncIterator[End]:
    end = await an_end()
    yield end
    end.transport.close()


@pytest.fixture
async def caller() -> AsyncIterator[End]:
    end = await an_end()
    yield end
    end.transport.close()


async def gate_of(relay: UdpRelay, answerer: End) -> tuple[str, int]:
    sdp = await relay.redirect(ANSWER.format(port=answerer.port))
    lines = [line for line in sdp.splitlines() if "candidate:" in line]
    assert len(set(lines)) == 1  # both sections name the same gate
    assert sdp.count("\r\n") == ANSWER.count("\r\n")
    host, port = lines[0].split()[4:6]
    assert int(port) != answerer.port
    return host, int(port)


async def test_packets_go_both_ways(answerer: End, caller: End) -> None:
    async with UdpRelay() as relay:
        gate = await gate_of(relay, answerer)
        caller.transport.sendto(b"\x80 question", gate)
        await answerer.wait(1)
        answerer.transport.sendto(b"\x80 answer", answerer.sources[0])
        await caller.wait(1)
        assert answerer.got == [b"\x80 question"]
        assert caller.got == [b"\x80 answer"]
        assert caller.sources == [gate]
        assert (relay.to_answerer.stats.passed, relay.to_caller.stats.passed) == (1, 1)
        assert relay.to_answerer.stats.passed_bytes == len(b"\x80 question")


async def test_each_source_is_another_address_to_the_answerer(answerer: End, caller: End) -> None:
    second = await an_end()
    async with UdpRelay() as relay:
        gate = await gate_of(relay, answerer)
        for end in (caller, second):
            end.transport.sendto(b"hello", gate)
        await answerer.wait(2)
        assert len(set(answerer.sources)) == 2
        for source in answerer.sources:
            answerer.transport.sendto(b"back", source)
        await caller.wait(1)
        await second.wait(1)
    second.transport.close()


async def test_too_many_sources_are_left_out(answerer: End, caller: End) -> None:
    ends = [await an_end() for _ in range(MAX_SOURCES)]
    async with UdpRelay() as relay:
        gate = await gate_of(relay, answerer)
        for end in ends:
            end.transport.sendto(b"one of many", gate)
        await answerer.wait(MAX_SOURCES)
        caller.transport.sendto(b"one too many", gate)
        ends[0].transport.sendto(b"one of many", gate)
        await answerer.wait(MAX_SOURCES + 1)
    assert b"one too many" not in answerer.got
    for end in ends:
        end.transport.close()


async def test_what_is_dropped_on_command_is_counted(answerer: End, caller: End) -> None:
    async with UdpRelay() as relay:
        gate = await gate_of(relay, answerer)
        relay.drops = lambda packet: packet == b"no"
        for packet in (b"no", b"yes"):
            caller.transport.sendto(packet, gate)
        await answerer.wait(1)
        assert answerer.got == [b"yes"]
        assert relay.to_answerer.stats.lost == 1


async def test_delayed_packets_come_in_order_and_one_can_wait_for_them(
    answerer: End, caller: End
) -> None:
    loop = asyncio.get_running_loop()
    async with UdpRelay(LinkConditions(delay_s=0.1, jitter_s=0.05), seed=1) as relay:
        gate = await gate_of(relay, answerer)
        began_s = loop.time()
        for index in range(20):
            caller.transport.sendto(b"\x80" + bytes([index]), gate)
        async with asyncio.timeout(DEADLINE_S):
            await relay.to_answerer.wait_passed(20)
        assert loop.time() - began_s >= 0.1
        await answerer.wait(20)
        assert [packet[1] for packet in answerer.got] == list(range(20))


async def test_a_closed_relay_forgets_what_is_on_its_way(answerer: End, caller: End) -> None:
    relay = UdpRelay(LinkConditions(delay_s=60))
    arrived = asyncio.Event()
    relay.drops = lambda packet: arrived.set() is not None
    gate = await gate_of(relay, answerer)
    caller.transport.sendto(b"late", gate)
    async with asyncio.timeout(DEADLINE_S):
        await arrived.wait()
    await relay.close()
    await relay.close()
    assert answerer.got == []
    with pytest.raises(TransportError, match="closed"):
        await relay.redirect(ANSWER.format(port=1))


async def test_an_address_that_is_not_here_is_told() -> None:
    async with UdpRelay() as relay:
        with pytest.raises(TransportError, match=r"192\.0\.2\.1"):
            await relay.redirect("a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n")
