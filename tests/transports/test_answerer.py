"""The answering end of a call, with stock aiortc at the other."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from realtime_core.errors import ProtocolError, TransportError
from realtime_transports.webrtc import answerer
from realtime_transports.webrtc.answerer import PEER_RATE_HZ, ServerPeer, answer
from tests.end_to_end.stock_client import StockCaller

DEADLINE_S = 20.0


class Listener:
    """Keeps what it is told; may raise on messages."""

    def __init__(self) -> None:
        self.peer: ServerPeer | None = None
        self.messages: list[str | bytes] = []
        self.bad: list[Exception] = []
        self.played = 0
        self.times_closed = 0
        self._audio: list[np.ndarray] = []
        self._changed = asyncio.Event()

    @property
    def audio(self) -> np.ndarray:
        return np.concatenate([np.zeros(0, np.int16), *self._audio])

    def message_received(self, message: str | bytes) -> None:
        self.messages.append(message)
        self._changed.set()
        if message == "stumble":
            raise RuntimeError("stumbled")

    def bad_message_received(self, error: Exception) -> None:
        self.bad.append(error)
        self._changed.set()

    def audio_received(self, samples: np.ndarray) -> None:
        self._audio.append(samples)
        self._changed.set()

    def audio_played(self, played_samples: int) -> None:
        self.played = played_samples
        self._changed.set()

    def closed(self) -> None:
        self.times_closed += 1
        self._changed.set()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
async def call() -> AsyncIterator[tuple[StockCaller, Listener]]:
    """A call that is up, with its data channel open."""
    listener = Listener()
    async with StockCaller() as caller:
        opened = asyncio.Event()
        caller.channel.on("open", opened.set)
        offer = await caller.offer()
        answer_sdp, peer = await answer(offer, listener=listener, loopback=True)
        listener.peer = peer
        await caller.pc.setRemoteDescription(RTCSessionDescription(answer_sdp, "answer"))
        async with asyncio.timeout(DEADLINE_S):
            await opened.wait()
        yield caller, listener
        await peer.close()


def tone(seconds: float, rate_hz: int, amplitude: float = 8_000) -> np.ndarray:
    """440 Hz with soft ends."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    ends = np.minimum(1.0, np.minimum(time, time[::-1]) / 0.01)
    return (amplitude * ends * np.sin(2 * np.pi * 440 * time)).astype(np.int16)


def sounding(samples: np.ndarray) -> np.ndarray:
    """From the first to the last sample above -40 dB of the peak."""
    magnitude = np.abs(samples.astype(float))
    (loud,) = np.nonzero(magnitude > magnitude.max() / 100)
    return samples[loud[0] : loud[-1] + 1].astype(float)


def peak_hz(samples: np.ndarray, rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), n=8 * len(samples)))
    return float(np.argmax(spectrum)) * rate_hz / (8 * len(samples))


def level_db(samples: np.ndarray) -> float:
    return 10 * float(np.log10(np.mean(np.square(samples.astype(float)))))


async def test_messages_go_both_ways(call: tuple[StockCaller, Listener]) -> None:
    caller, listener = call
    caller.channel.send("there")
    await listener.wait_until(lambda: listener.messages == ["there"])
    assert listener.peer is not None
    listener.peer.send('{"type": "back"}')
    await caller.wait("back")


async def test_what_is_played_arrives_without_a_click(call: tuple[StockCaller, Listener]) -> None:
    caller, listener = call
    sent = tone(1.5, PEER_RATE_HZ)
    assert listener.peer is not None
    for start in range(0, len(sent), 7_000):
        listener.peer.play(sent[start : start + 7_000])
    await listener.wait_until(lambda: listener.played == len(sent))
    silence = 48_000 // 5
    await caller.wait_until(
        lambda: np.abs(caller.heard).max() > 4_000 and not caller.heard[-silence:].any()
    )
    heard = sounding(caller.heard)
    slope = 8_000 * 2 * np.pi * 440 / 48_000
    assert len(heard) / 48_000 == pytest.approx(1.5, rel=0.01)
    assert peak_hz(heard, 48_000) == pytest.approx(440, abs=1)
    assert np.abs(np.diff(heard)).max() < 1.5 * slope
    assert level_db(heard) == pytest.approx(level_db(sounding(sent)), abs=0.5)


async def test_what_the_caller_says_is_heard_as_it_was(
    call: tuple[StockCaller, Listener],
) -> None:
    caller, listener = call
    said = tone(1.0, 48_000)
    await caller.say(said)
    silence = PEER_RATE_HZ // 5
    await listener.wait_until(
        lambda: np.abs(listener.audio).max() > 4_000 and np.abs(listener.audio[-silence:]).max() < 5
    )
    heard = sounding(listener.audio)
    assert len(heard) / PEER_RATE_HZ == pytest.approx(1.0, rel=0.01)
    assert peak_hz(heard, PEER_RATE_HZ) == pytest.approx(440, abs=1)
    assert level_db(heard) == pytest.approx(level_db(sounding(said)), abs=0.5)


async def test_a_busy_event_loop_costs_no_audio(call: tuple[StockCaller, Listener]) -> None:
    caller, listener = call
    sent = tone(1.0, PEER_RATE_HZ)
    assert listener.peer is not None
    listener.peer.play(sent)
    await listener.wait_until(lambda: listener.played > PEER_RATE_HZ // 4)
    busy_until = asyncio.get_running_loop().time() + 0.3
    while asyncio.get_running_loop().time() < busy_until:
        pass
    await listener.wait_until(lambda: listener.played == len(sent))
    await caller.wait_until(lambda: not caller.heard[-9_600:].any())
    heard = sounding(caller.heard)
    assert len(heard) / 48_000 == pytest.approx(1.0, rel=0.01)
    assert np.abs(np.diff(heard)).max() < 1.5 * 8_000 * 2 * np.pi * 440 / 48_000


async def test_cleared_audio_is_not_played(call: tuple[StockCaller, Listener]) -> None:
    _, listener = call
    assert listener.peer is not None
    listener.peer.play(tone(30.0, PEER_RATE_HZ))
    waiting = asyncio.create_task(listener.peer.wait_room())
    await listener.wait_until(lambda: listener.played > 0)
    assert not waiting.done()
    listener.peer.clear()
    await waiting
    assert listener.peer.queued_s == 0
    assert listener.played < PEER_RATE_HZ


async def test_a_listener_that_stumbles_does_not_end_the_call(
    call: tuple[StockCaller, Listener],
) -> None:
    caller, listener = call
    caller.channel.send("stumble")
    caller.channel.send("go on")
    await listener.wait_until(lambda: listener.messages == ["stumble", "go on"])
    assert [str(error) for error in listener.bad] == ["stumbled"]


async def test_text_that_is_not_utf8_does_not_end_the_call(
    call: tuple[StockCaller, Listener],
) -> None:
    caller, listener = call
    sctp: Any = caller.pc.sctp
    await sctp._send(caller.channel.id, 51, b"\xff\xfe")  # 51 is the id of text (RFC 8831)
    caller.channel.send("go on")
    await listener.wait_until(lambda: listener.messages == ["go on"])
    assert isinstance(listener.bad[0], UnicodeDecodeError)


async def test_rtp_packets_without_payload_do_not_silence_the_caller(
    call: tuple[StockCaller, Listener],
) -> None:
    caller, listener = call
    await listener.wait_until(lambda: len(listener.audio) > 0)
    caller.track.empty_packets = 2
    await caller.say(tone(0.3, 48_000))
    await listener.wait_until(lambda: np.abs(listener.audio).max() > 4_000)


async def test_what_the_caller_says_is_not_held_back(call: tuple[StockCaller, Listener]) -> None:
    caller, listener = call
    assert listener.peer is not None
    (receiver,) = listener.peer._pc.getReceivers()
    # Names that are aiortc's own; where they are gone, the guard is without effect.
    assert receiver._RTCRtpReceiver__jitter_buffer._prefetch == 1
    assert caller.pc.getReceivers()[0]._RTCRtpReceiver__jitter_buffer._prefetch > 1


async def test_a_message_too_large_for_the_caller_is_refused(
    call: tuple[StockCaller, Listener],
) -> None:
    _, listener = call
    assert listener.peer is not None
    with pytest.raises(TransportError, match="300000 characters"):
        listener.peer.send("x" * 300_000)


async def test_messages_that_the_caller_does_not_take_are_refused_in_the_end(
    call: tuple[StockCaller, Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, listener = call
    monkeypatch.setattr(answerer, "MAX_UNSENT_BYTES", 200_000)
    assert listener.peer is not None
    for _ in range(5):
        listener.peer.send("x" * 50_000)  # nothing leaves meanwhile
    with pytest.raises(TransportError, match="does not take"):
        listener.peer.send("x")


async def test_the_call_ends_with_the_caller(call: tuple[StockCaller, Listener]) -> None:
    caller, listener = call
    await caller.pc.close()
    await listener.wait_until(lambda: listener.times_closed > 0)
    assert listener.peer is not None
    assert listener.peer.is_closed
    with pytest.raises(TransportError, match="over"):
        listener.peer.send("anybody?")
    await listener.peer.close()
    assert listener.times_closed == 1


async def test_messages_wait_for_the_data_channel() -> None:
    listener = Listener()
    async with StockCaller() as caller:
        answer_sdp, peer = await answer(await caller.offer(), listener=listener, loopback=True)
        peer.send('{"type": "early"}')
        await caller.pc.setRemoteDescription(RTCSessionDescription(answer_sdp, "answer"))
        await caller.wait("early")
        await peer.close()


async def test_a_call_nobody_connects_to_can_be_closed() -> None:
    listener = Listener()
    async with StockCaller() as caller:
        _, peer = await answer(await caller.offer(), listener=listener)
        await peer.close()
        await peer.close()
    assert listener.times_closed == 1


def with_payload_type(old: str, new: str, sdp: str) -> str:
    """The offer with another number for a format; candidates hold numbers too, and stay."""
    return "".join(
        re.sub(rf"\b{old}\b", new, line) if line.startswith(("m=", "a=rtpmap", "a=fmtp")) else line
        for line in sdp.splitlines(keepends=True)
    )


async def test_only_opus_is_answered_and_the_payload_type_is_echoed() -> None:
    listener = Listener()
    async with StockCaller() as caller:
        offer = with_payload_type("96", "111", await caller.offer())
        answer_sdp, peer = await answer(offer, listener=listener)
        await peer.close()
    assert "a=rtpmap:111 opus/48000/2" in answer_sdp
    assert "PCMU" not in answer_sdp
    assert "a=candidate:" in answer_sdp or "a=end-of-candidates" in answer_sdp


async def test_video_is_refused() -> None:
    listener = Listener()
    async with StockCaller() as caller:
        caller.pc.addTransceiver("video")
        answer_sdp, peer = await answer(await caller.offer(), listener=listener)
        await peer.close()
    assert "a=inactive" in answer_sdp.split("m=video")[1].split("m=")[0]


@pytest.mark.parametrize(
    "offer",
    ["", "nonsense", "v=0", "v=0\r\nm=audio", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"],
)
async def test_an_offer_that_is_none_is_refused(offer: str) -> None:
    listener = Listener()
    with pytest.raises(ProtocolError, match="offer"):
        await answer(offer, listener=listener)
    assert listener.times_closed == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a=ice-pwd", "a=x-pwd"),
        ("a=fingerprint:", "a=fingerprint"),
        ("opus/48000/2", "speex/8000"),
        ("a=rtcp-mux", "a=x-mux"),
        ("a=candidate:", "a=candidate:broken "),
    ],
)
async def test_a_broken_offer_is_refused(old: str, new: str) -> None:
    listener = Listener()
    async with StockCaller() as caller:
        offer = (await caller.offer()).replace(old, new)
    with pytest.raises(ProtocolError, match="offer"):
        await answer(offer, listener=listener)


@pytest.mark.parametrize("port", ["65536", "70000", "-1", "9" * 30, "9" * 5_000, "abc"])
async def test_a_candidate_whose_port_is_none_is_refused(port: str) -> None:
    async with StockCaller() as caller:
        offer = re.sub(r"(a=candidate:(?:\S+ ){5})\d+", rf"\g<1>{port}", await caller.offer())
    with pytest.raises(ProtocolError, match="port is a number up to 65535"):
        await answer(offer, listener=Listener())


async def test_an_offer_without_audio_is_refused() -> None:
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.createDataChannel("x")
    await pc.setLocalDescription(await pc.createOffer())
    offer = pc.localDescription.sdp
    await pc.close()
    with pytest.raises(ProtocolError, match="no audio section"):
        await answer(offer, listener=Listener())
