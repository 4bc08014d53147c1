"""Answers of all shapes that are in use become ones that aiortc reads as they were meant."""

from __future__ import annotations

import asyncio
import re

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from realtime_audio_plugins.tone import ToneSource
from realtime_core.audio import AudioFrame
from realtime_transports.webrtc.answerer import PEER_RATE_HZ
from realtime_transports.webrtc.sdp import normalise_answer
from realtime_transports.webrtc.transport import OpenAIRealtimeWebRTC
from tests.end_to_end.calls import Peer, level, serving_peer

FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(f"{n:02X}" for n in range(32))


def _sdp(*lines: str) -> str:
    return "".join(f"{line}\r\n" for line in lines)


OFFER = _sdp(
    "v=0",
    "o=- 1 1 IN IP4 0.0.0.0",
    "s=-",
    "t=0 0",
    "a=group:BUNDLE 0 1",
    "m=audio 9 UDP/TLS/RTP/SAVPF 96",
    "a=mid:0",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "a=mid:1",
)

# The shape of the answer in OpenAI's API reference, "Create call", with other values.
DOCUMENTED = _sdp(
    "v=0",
    "o=- 4227147428 1719357865 IN IP4 127.0.0.1",
    "s=-",
    "c=IN IP4 0.0.0.0",
    "t=0 0",
    "a=group:BUNDLE 0 1",
    "a=msid-semantic:WMS *",
    FINGERPRINT,
    "m=audio 9 UDP/TLS/RTP/SAVPF 96",
    "a=mid:0",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:0123456789abcdef012345",
    "a=setup:active",
    "a=rtcp-mux",
    "a=rtpmap:96 opus/48000/2",
    "a=candidate:1 1 udp 2130706431 192.0.2.1 3478 typ host ufrag abcd",
    "a=candidate:2 1 tcp 1671430143 192.0.2.1 443 typ host tcptype passive ufrag abcd",
    "a=end-of-candidates",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "a=sctp-port:5000",
    "a=mid:1",
)


def in_documented_shape(sdp: str) -> str:
    """A complete answer, said the way OpenAI's API reference says it."""
    session, audio, data = re.split(r"(?=^m=)", sdp, flags=re.MULTILINE)
    fingerprints = re.findall(r"^a=fingerprint:sha-256.*\r\n", audio, re.MULTILINE)
    audio = re.sub(
        r"^a=(fingerprint|sendrecv|msid|ssrc|extmap|rtcp:).*\r\n", "", audio, flags=re.MULTILINE
    )
    candidate = re.search(r"^a=candidate:\S+ 1 udp .*\r\n", audio, re.MULTILINE)
    assert candidate is not None
    tcp = re.sub(
        r" udp (\d+) (\S+) \d+ typ host", r" tcp 99 \2 443 typ host tcptype passive", candidate[0]
    )
    audio = audio.replace(candidate[0], candidate[0] + tcp)
    lines = data.splitlines(keepends=True)
    kept = [ln for ln in lines if re.match(r"m=|c=|a=mid|a=sctp-port|a=max-message-size", ln)]
    return session + "".join(fingerprints) + audio + "".join(kept)


def test_the_documented_answer_says_everything_in_each_section() -> None:
    answer = SessionDescription.parse(normalise_answer(DOCUMENTED, OFFER))
    audio, data = answer.media
    assert audio.direction == "sendrecv"
    for section in (audio, data):
        assert (section.ice.usernameFragment, section.ice.password) == (
            "abcd",
            "0123456789abcdef012345",
        )
        assert section.dtls.role == "client"
        assert {print_.value for print_ in section.dtls.fingerprints} == {FINGERPRINT[-95:]}
    assert [candidate.protocol for candidate in audio.ice_candidates] == ["udp", "tcp"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_do_not_matter(end: str) -> None:
    normal = normalise_answer(DOCUMENTED, OFFER)
    assert normalise_answer(DOCUMENTED.replace("\r\n", end), OFFER.replace("\r\n", end)) == normal
    assert normal.count("\n") == normal.count("\r\n")


def test_a_complete_answer_stays_as_it_is() -> None:
    complete = normalise_answer(DOCUMENTED, OFFER)
    assert normalise_answer(complete, OFFER) == complete


def test_a_direction_of_the_session_holds_for_audio() -> None:
    answer = DOCUMENTED.replace("a=msid-semantic:WMS *", "a=recvonly")
    audio = SessionDescription.parse(normalise_answer(answer, OFFER)).media[0]
    assert audio.direction == "recvonly"


def test_a_direction_of_the_section_wins() -> None:
    answer = DOCUMENTED.replace("a=rtcp-mux", "a=sendonly")
    audio = SessionDescription.parse(normalise_answer(answer, OFFER)).media[0]
    assert audio.direction == "sendonly"


def test_media_identifications_and_the_group_come_from_the_offer_where_missing() -> None:
    answer = re.sub(r"a=(mid|group):.*\r\n", "", DOCUMENTED)
    normal = normalise_answer(answer, OFFER)
    parsed = SessionDescription.parse(normal)
    assert [section.rtp.muxId for section in parsed.media] == ["0", "1"]
    assert parsed.group[0].items == ["0", "1"]
    assert parsed.media[1].ice.usernameFragment == "abcd"


def test_sections_with_transports_of_their_own_are_not_bundled() -> None:
    own = _sdp(
        "a=ice-ufrag:efgh", "a=ice-pwd:fedcba9876543210fedcba", "a=setup:active", FINGERPRINT
    )
    answer = DOCUMENTED.replace("a=group:BUNDLE 0 1\r\n", "") + own
    normal = normalise_answer(answer, OFFER)
    assert "a=group" not in normal
    ufrags = [section.ice.usernameFragment for section in SessionDescription.parse(normal).media]
    assert ufrags == ["abcd", "efgh"]


@pytest.mark.parametrize("text", ["", "\r\n", "<html></html>", "v=0\r\ns=-\r\n", "\x00"])
def test_what_is_no_sdp_comes_back_unchanged(text: str) -> None:
    assert normalise_answer(text, OFFER) == text


LINES = [
    "a=group:BUNDLE 0 1",
    "a=group:BUNDLE",
    "a=group:LS 0 1",
    "a=group:",
    "a=sendrecv",
    "a=inactive",
    "a=mid:0",
    "a=mid:1",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:0123456789abcdef012345",
    "a=setup:active",
    "a=candidate:1 1 udp 1 192.0.2.1 3478 typ host",
    "a=ice-options:trickle",
    FINGERPRINT,
    "",
    "  ",
    "nonsense",
    "m=audio 9 UDP/TLS/RTP/SAVPF 96",
    "m=audio 0 UDP/TLS/RTP/SAVPF 96",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "m=",
]


@given(st.lists(st.sampled_from(LINES)), st.sampled_from(["\n", "\r\n"]))
def test_normalising_twice_is_normalising_once(lines: list[str], end: str) -> None:
    once = normalise_answer(end.join(lines), OFFER)
    assert normalise_answer(once, OFFER) == once


@given(st.lists(st.sampled_from(LINES)))
def test_nothing_that_is_said_is_lost(lines: list[str]) -> None:
    normal = normalise_answer("\r\n".join(lines), OFFER).splitlines()
    assert [line for line in lines if line.strip() and line not in normal] == []


@given(st.text(), st.text())
def test_any_text_is_survived(answer: str, offer: str) -> None:
    normalise_answer(answer, offer)


async def test_stock_aiortc_refuses_the_documented_answer() -> None:
    # When this fails, aiortc reads it as it is, and `normalise_answer` may go.
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        pc.addTrack(AudioStreamTrack())
        pc.createDataChannel("oai-events")
        await pc.setLocalDescription(await pc.createOffer())
        with pytest.raises(ValueError, match="ICE username fragment or password is missing"):
            await pc.setRemoteDescription(RTCSessionDescription(DOCUMENTED, "answer"))
    finally:
        await pc.close()


class _Documented(Peer):
    """Answers in the shape of OpenAI's API reference, and speaks a tone."""

    def change_answer(self, sdp: str) -> str:
        return in_documented_shape(sdp)


class _Ear:
    """A tap that notices the first loud frame from the peer."""

    def __init__(self) -> None:
        self.heard_something = asyncio.Event()

    def sent(self, frame: AudioFrame, at_s: float) -> None:
        pass

    def heard(self, frame: AudioFrame, at_s: float) -> None:
        if level(frame.samples) > 5_000:
            self.heard_something.set()


async def test_audio_flows_both_ways_in_a_call_answered_in_the_documented_shape() -> None:
    peer, ear, tone, voice = _Documented(), _Ear(), ToneSource(440), ToneSource(880, rate_hz=24_000)
    await voice.open()
    async with serving_peer(peer) as url:
        transport = OpenAIRealtimeWebRTC(
            source=tone, sink=None, tap=ear, loopback=True, api_key="sk-test"
        )
        await tone.open()
        async with transport, asyncio.timeout(20):
            await transport.connect(url=url)
            for _ in range(100):
                frame = await voice.read()
                assert frame is not None
                peer.call.play(frame.to_mono())
            await ear.heard_something.wait()
            await peer.wait_until(lambda: peer.heard and level(peer.heard[-1]) > 5_000)
            assert sum(map(len, peer.heard)) < 20 * PEER_RATE_HZ
