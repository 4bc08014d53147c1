"""The one look into aioice sees packets and gets answers, with the releases we run on."""

from __future__ import annotations

import asyncio

import pytest

from realtime_transports.webrtc.packet_watch import PacketWatch
from realtime_transports.webrtc.transport import OpenAIRealtimeWebRTC
from tests.end_to_end.calls import Peer, serving_peer
from tests.end_to_end.relay import UdpRelay


async def test_packets_and_answers_to_probes_are_noticed() -> None:
    async with (
        UdpRelay() as relay,
        serving_peer(Peer()) as url,
        OpenAIRealtimeWebRTC(
            source=None, sink=None, loopback=True, api_key="sk-test", http=relay
        ) as transport,
    ):
        await transport.connect(url=url)
        watch = PacketWatch(transport.connection_state.peer_connection)
        began_s = watch.last_packet_s
        await relay.wait_passed(relay.server, 10)
        assert watch.last_packet_s > began_s

        relay.drops = lambda packet: packet[0] >= 4  # only STUN passes
        before_s = watch.last_packet_s
        watch.probe()
        watch.probe()  # while one is under way, there is no second
        assert len(watch._probes) == 1
        async with asyncio.timeout(20):
            await asyncio.gather(*watch._probes)
        assert watch.last_packet_s > before_s
        await watch.close()


async def test_a_connection_built_in_another_way_is_refused_when_watching_begins() -> None:
    with pytest.raises(AttributeError):
        PacketWatch(object())
