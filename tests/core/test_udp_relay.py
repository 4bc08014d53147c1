"""The bad network: what happens to packets, and the relay's sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from realtime_core.errors import TransportError, UserError
from realtime_core.testing.udp_relay import (
    MAX_SOURCES,
    Link,
    LinkConditions,
    UdpRelay,
    is_media,
    without_candidates,
)

DEADLINE_S = 10.0
MEDIA = b"\x80" + bytes(99)
STUN = b"\x00" + bytes(99)

ANSWER = (
    "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
    "a=candidate:1 1 udp 2130706431 127.0.0.1 {port} typ host\r\n"
    "a=end-of-candidates\r\n"
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
    "a=candidate:1 1 UDP 2130706431 127.0.0.1 {port} typ host\r\n"
)


def fates(link: Link, count: int, packet: bytes = MEDIA, spacing_s: float = 0.02) -> list[Any]:
    return [link.admit(packet, index * spacing_s) for index in range(count)]


# Links


def test_a_good_link_sends_everything_on_at_once() -> None:
    link = Link(LinkConditions(), seed=1)
    assert fates(link, 3) == [[0.0], [0.02], [0.04]]
    assert (link.stats.received, link.stats.lost, link.stats.received_bytes) == (3, 0, 300)


def test_the_same_seed_gives_the_same_fates_and_another_one_others() -> None:
    conditions = LinkConditions(loss=0.3, jitter_s=0.05, reorder=0.1, duplicate=0.1)
    first, again, other = (fates(Link(conditions, seed), 500) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_media_packet_meets_the_same_fate_however_many_others_come_between() -> None:
    conditions = LinkConditions(loss=0.5)
    alone = fates(Link(conditions, seed=7), 200)
    mixed_link = Link(conditions, seed=7)
    mixed = []
    for index in range(200):
        for _ in range(index % 3):
            mixed_link.admit(STUN, index * 0.02)
        mixed.append(mixed_link.admit(MEDIA, index * 0.02))
    assert mixed == alone


def test_one_condition_moves_no_other_ones_fates() -> None:
    lost = [not fate for fate in fates(Link(LinkConditions(loss=0.2), seed=3), 300)]
    both = LinkConditions(loss=0.2, jitter_s=0.1, duplicate=0.5)
    assert [not fate for fate in fates(Link(both, seed=3), 300)] == lost


def test_the_share_of_lost_packets_is_the_one_that_was_asked_for() -> None:
    link = Link(LinkConditions(loss=0.1), seed=1)
    fates(link, 10_000)
    assert link.stats.lost == pytest.approx(1_000, abs=120)  # four standard deviations


def test_loss_spares_what_is_no_media_unless_told_otherwise() -> None:
    spared, hit = Link(LinkConditions(loss=1), 1), Link(LinkConditions(loss=1, media_only=False), 1)
    assert fates(spared, 2, STUN) == [[0.0], [0.02]]
    assert fates(hit, 2, STUN) == [[], []]
    assert fates(spared, 2) == [[], []]


def test_jitter_delays_up_to_its_bound_and_keeps_the_order() -> None:
    due = [fate[0] for fate in fates(Link(LinkConditions(jitter_s=0.1, delay_s=0.2), 1), 500)]
    extra = [at - index * 0.02 - 0.2 for index, at in enumerate(due)]
    assert due == sorted(due)
    assert min(extra) >= -1e-9
    assert 0.08 < max(extra) <= 0.1 + 1e-9


def test_a_reordered_packet_is_overtaken_by_the_next_one() -> None:
    link = Link(LinkConditions(reorder=1), seed=1)
    first = link.admit(MEDIA, 0.0)
    link.conditions = LinkConditions()
    second = link.admit(MEDIA, 0.02)
    assert first[0] > second[0] == 0.02
    assert link.stats.reordered == 1


def test_a_duplicate_comes_twice() -> None:
    link = Link(LinkConditions(duplicate=1), seed=1)
    assert fates(link, 1) == [[0.0, 0.0]]
    assert link.stats.duplicated == 1


def test_a_narrow_link_queues_and_then_loses() -> None:
    # 100 bytes at 8 kbit/s take 0.1 s each; the third would wait 0.2 s.
    link = Link(LinkConditions(rate_bps=8_000, queue_s=0.15), seed=1)
    assert fates(link, 3, spacing_s=0) == [[0.1], [pytest.approx(0.2)], []]
    assert link.stats.overflowed == 1
    assert link.admit(MEDIA, 1.0) == [pytest.approx(1.1)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": 1.1},
        {"reorder": -0.1},
        {"duplicate": float("nan")},
        {"delay_s": -1},
        {"jitter_s": float("inf")},
        {"rate_bps": 0},
    ],
)
def test_what_no_network_does_is_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        LinkConditions(**wrong)


def test_media_is_told_from_ice_and_dtls() -> None:
    assert is_media(MEDIA)
    assert not is_media(STUN)
    assert not is_media(b"\x16")  # DTLS
    assert not is_media(b"")


def test_an_offer_without_candidates_says_neither_where_nor_that_this_is_all() -> None:
    bare = without_candidates(ANSWER.format(port=1))
    assert "candidate" not in bare
    assert bare.count("m=") == 2
    assert bare.endswith("webrtc-datachannel\r\n")


# The relay


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
