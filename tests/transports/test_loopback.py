"""Loopback candidates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection

from realtime_core.errors import TransportError, UserError
from realtime_transports.webrtc.loopback import allow_loopback


@pytest.fixture
async def pc() -> AsyncIterator[RTCPeerConnection]:
    connection = new_connection()
    yield connection
    await connection.close()


def new_connection() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


async def candidates_of(connection: RTCPeerConnection) -> list[str]:
    """Addresses offered in the first section."""
    await connection.setLocalDescription(await connection.createOffer())
    section = connection.localDescription.sdp.split("m=")[1]
    lines = [line for line in section.splitlines() if line.startswith("a=candidate:")]
    return [line.split()[4] for line in lines]


async def test_loopback_is_offered_first(pc: RTCPeerConnection) -> None:
    pc.createDataChannel("x")
    pc.addTransceiver("audio")
    allow_loopback(pc)
    assert (await candidates_of(pc))[0] == "127.0.0.1"


async def test_allowing_it_twice_offers_it_once(pc: RTCPeerConnection) -> None:
    pc.createDataChannel("x")
    allow_loopback(pc)
    allow_loopback(pc)
    assert (await candidates_of(pc)).count("127.0.0.1") == 1


async def test_the_other_addresses_stay_on_offer(pc: RTCPeerConnection) -> None:
    other = new_connection()
    for connection in (pc, other):
        connection.createDataChannel("x")
    allow_loopback(pc)
    try:
        usual = await candidates_of(other)
    finally:
        await other.close()
    assert await candidates_of(pc) == ["127.0.0.1", *usual]
    assert "127.0.0.1" not in usual


async def test_a_connection_without_transports_is_refused(pc: RTCPeerConnection) -> None:
    with pytest.raises(UserError, match="before"):
        allow_loopback(pc)


@pytest.mark.parametrize(
    "gatherer", [SimpleNamespace(), SimpleNamespace(_connection=SimpleNamespace())]
)
def test_another_aioice_is_told_clearly(gatherer: Any) -> None:
    ice = SimpleNamespace(iceGatherer=gatherer)
    changed: Any = SimpleNamespace(
        getTransceivers=list,
        sctp=SimpleNamespace(transport=SimpleNamespace(transport=ice)),
    )
    with pytest.raises(TransportError, match="this release"):
        allow_loopback(changed)
