"""What a program sees of `OpenAIRealtimeWebRTC`, against real peers."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from realtime_audio_plugins.null import NullSink
from realtime_audio_plugins.tone import ToneSource
from realtime_core.audio import AudioFrame
from realtime_core.errors import (
    ConnectError,
    ConnectStage,
    PluginError,
    TransportError,
    UserError,
)
from realtime_core.events import AudioEvent
from realtime_core.middleware import EventMiddleware
from realtime_transports.local_server import LocalRealtimeServer
from realtime_transports.webrtc.transport import OpenAIRealtimeWebRTC
from tests.end_to_end.bad_servers import raw_server
from tests.end_to_end.calls import DEADLINE_S, Log, Peer, level, serving_peer

LOUD = 5_000
KEY = "sk-proj-0123456789abcdef"


def make_transport(**options: Any) -> OpenAIRealtimeWebRTC:
    return OpenAIRealtimeWebRTC(
        **{"source": None, "sink": None, "loopback": True, "api_key": KEY, **options}
    )


@asynccontextmanager
async def call(peer: Peer, **options: Any) -> AsyncIterator[OpenAIRealtimeWebRTC]:
    async with serving_peer(peer) as url, make_transport(**options) as transport:
        await transport.connect(url=url)
        yield transport


class Tone(ToneSource):
    """Notes whether it is open, and when it is read."""

    def __init__(self) -> None:
        super().__init__(440)
        self.calls: list[str] = []

    async def open(self) -> None:
        self.calls.append("open")
        await super().open()

    async def close(self) -> None:
        self.calls.append("close")
        await super().close()


class Sink(NullSink):
    """Notes whether it was closed."""

    is_closed = False

    async def close(self, *, complete: bool = True) -> None:
        self.is_closed = True


# Mute


async def test_mute_holds_before_during_and_after_connect() -> None:
    peer, tone = Peer(), Tone()
    async with serving_peer(peer) as url, make_transport(source=tone) as transport:
        transport.mute(True)
        await transport.connect(url=url)
        assert transport.muted
        assert level(await peer.wait_heard(0.4)) < 100

        transport.mute(False)
        await peer.wait_until(lambda: bool(peer.heard) and level(peer.heard[-1]) > LOUD)

        transport.mute(True)
        await peer.wait_until(lambda: bool(peer.heard) and level(peer.heard[-1]) < 100)
        assert level((await peer.wait_heard(0.4))[-4_800:]) < 100

        transport.close()
        await transport.wait_closed()
        await transport.connect(url=url)
        assert transport.muted
        assert level(await peer.wait_heard(0.4)) < 100


async def test_muting_while_connecting_holds() -> None:
    peer, tone = Peer(), Tone()
    async with serving_peer(peer) as url, make_transport(source=tone) as transport:
        transport.on("connection_change", lambda status: transport.mute(status == "connecting"))
        connecting = asyncio.ensure_future(transport.connect(url=url))
        transport.on("connected", lambda: transport.mute(True))
        await connecting
        assert level(await peer.wait_heard(0.4)) < 100


async def test_nothing_of_the_source_leaves_before_the_session_is_confirmed() -> None:
    class Late(Peer):
        def reply(self, event: dict[str, Any]) -> None:
            """Wait for the test."""

    peer = Late()
    async with serving_peer(peer) as url, make_transport(source=Tone()) as transport:
        connecting = asyncio.ensure_future(transport.connect(url=url))
        await peer.wait_until(lambda: bool(peer.events))
        assert level(await peer.wait_heard(0.4)) < 100
        with pytest.raises(TransportError):
            transport.send_message("too early")
        peer.send("session.updated", session={})
        await connecting
        await peer.wait_until(lambda: level(peer.heard[-1]) > LOUD)
    assert [event["type"] for event in peer.events] == ["session.update"]


# Audio events


def speak(peer: Peer, duration_s: float) -> None:
    wave = 10_000 * np.sin(2 * np.pi * 440 * np.arange(round(24_000 * duration_s)) / 24_000)
    assert peer.call is not None
    peer.call.play(wave.astype(np.int16))


async def test_audio_comes_labelled_as_int16_at_24_khz_while_somebody_listens() -> None:
    peer, told, enough = Peer(), list[AudioEvent](), asyncio.Event()
    async with call(peer) as transport:

        def hear(event: AudioEvent) -> None:
            told.append(event)
            if sum(len(e.data) for e in told) >= 2 * 24_000:
                enough.set()

        transport.on("audio", hear)
        part = {"type": "output_audio", "transcript": ""}
        labels = {"response_id": "resp_1", "item_id": "item_1", "content_index": 0}
        peer.send("response.content_part.added", output_index=0, part=part, **labels)
        peer.send("output_audio_buffer.started", response_id="resp_1")
        speak(peer, 2.0)
        async with asyncio.timeout(DEADLINE_S):
            await enough.wait()
        transport.off("audio", hear)
        samples = np.frombuffer(b"".join(event.data for event in told), "<i2")
        received_s = transport.media_statistics().received_s  # type: ignore[union-attr]
        assert len(samples) / 24_000 <= received_s
        assert abs(level(samples) - 10_000) < 1_500
        assert np.abs(np.fft.rfft(samples[-12_000:])).argmax() == 220
        assert {(e.response_id, e.item_id, e.content_index) for e in told} == {
            ("resp_1", "item_1", 0)
        }


async def test_audio_outside_of_responses_is_no_event() -> None:
    peer, told = Peer(), list[AudioEvent]()
    async with call(peer) as transport:
        transport.on("audio", told.append)
        assert len(await peer.wait_heard(0.5))
        assert transport.media_statistics().received_s > 0  # type: ignore[union-attr]
    assert told == []


# Interruption


class Ear(NullSink):
    """Keeps what it is given, and drops it when it is cleared."""

    def __init__(self) -> None:
        super().__init__()
        self.rate_hz = 24_000
        self.heard: list[np.ndarray] = []
        self.clears = 0
        self._came = asyncio.Event()

    async def write(self, frame: AudioFrame) -> None:
        await super().write(frame)
        self.heard.append(frame.to_mono())
        self._came.set()

    def clear(self) -> None:
        self.clears += 1

    async def wait(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._came.clear()
                await self._came.wait()

    async def wait_loud(self) -> None:
        self.heard.clear()
        await self.wait(lambda: bool(self.heard) and level(self.heard[-1]) > LOUD)

    async def hear(self, duration_s: float) -> np.ndarray:
        """What comes from now on."""
        self.heard.clear()
        await self.wait(lambda: sum(map(len, self.heard)) >= 24_000 * duration_s)
        return np.concatenate(self.heard)


class Slow(Peer):
    """Stops 300 ms after it was asked to, as a server far away does."""

    def reply(self, event: dict[str, Any]) -> None:
        super().reply(event)
        if event["type"] == "output_audio_buffer.clear":
            asyncio.get_running_loop().call_later(0.3, self.stop)

    def stop(self) -> None:
        assert self.call is not None
        self.call.clear()
        self.send("output_audio_buffer.cleared", response_id="resp_1")


async def test_nothing_of_an_interrupted_answer_is_heard_however_late_it_comes() -> None:
    peer, ear = Slow(), Ear()
    async with call(peer, sink=ear) as transport:
        told: list[str] = []
        transport.on("audio_interrupted", lambda: told.append("audio_interrupted"))
        peer.send("output_audio_buffer.started", response_id="resp_1")
        speak(peer, 5.0)
        await ear.wait_loud()
        transport.interrupt()
        assert ear.clears == 1
        assert level(await ear.hear(1.5)) < 100
        assert told == ["audio_interrupted"]
        peer.send("output_audio_buffer.started", response_id="resp_2")
        speak(peer, 1.0)
        await ear.wait_loud()


async def test_what_the_server_cuts_off_is_cut_off_here_too() -> None:
    peer, ear = Slow(), Ear()
    async with call(peer, sink=ear) as transport:
        stopped = asyncio.Event()
        transport.on("audio_interrupted", stopped.set)
        peer.send("output_audio_buffer.started", response_id="resp_1")
        speak(peer, 5.0)
        await ear.wait_loud()
        peer.stop()
        async with asyncio.timeout(DEADLINE_S):
            await stopped.wait()
        assert ear.clears == 1
        assert level(await ear.hear(0.5)) < 100


# Closing


async def reach(transport: OpenAIRealtimeWebRTC, stage: ConnectStage) -> None:
    """Return as soon as this stage has begun."""
    async with asyncio.timeout(DEADLINE_S):
        while transport._stages.current is not stage:  # noqa: ASYNC110 - a turn may be all it takes
            await asyncio.sleep(0)


async def expect_closed(transport: OpenAIRealtimeWebRTC, connecting: asyncio.Future[None]) -> None:
    transport.close()
    assert transport.status == "disconnected"
    with pytest.raises(TransportError, match="closed before setup completed"):
        await connecting
    transport.close()
    await transport.wait_closed()
    async with LocalRealtimeServer(responder="parrot") as good:
        await transport.connect(api_key=KEY, url=f"{good.url}/realtime/calls")
        assert transport.status == "connected"
        transport.close()
        await transport.wait_closed()


async def test_closing_before_and_twice_does_nothing() -> None:
    transport = make_transport()
    log = Log(transport)
    for _ in range(2):
        transport.close()
        await transport.wait_closed()
    assert log.events == []


async def test_closing_while_the_key_is_awaited() -> None:
    asked = asyncio.Event()

    async def give_key() -> str:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with make_transport(api_key=give_key) as transport:
        connecting = asyncio.ensure_future(transport.connect(url="http://127.0.0.1:9"))
        await asked.wait()
        await expect_closed(transport, connecting)


async def test_closing_while_the_source_opens() -> None:
    opening = asyncio.Event()

    class Stuck(Tone):
        async def open(self) -> None:
            if not opening.is_set():
                opening.set()
                await asyncio.Event().wait()
            await super().open()

    async with make_transport(source=Stuck()) as transport:
        connecting = asyncio.ensure_future(transport.connect(url="http://127.0.0.1:9"))
        await opening.wait()
        await expect_closed(transport, connecting)


async def test_closing_while_the_answer_is_awaited() -> None:
    async with raw_server(b"", hang_up=False) as url, make_transport() as transport:
        connecting = asyncio.ensure_future(transport.connect(url=url))
        await reach(transport, ConnectStage.HTTP)
        await expect_closed(transport, connecting)


@pytest.mark.parametrize("stage", [ConnectStage.ICE, ConnectStage.DTLS, ConnectStage.CHANNEL])
async def test_closing_while_the_link_comes_up(stage: ConnectStage) -> None:
    async with serving_peer(Peer()) as url, make_transport() as transport:
        connecting = asyncio.ensure_future(transport.connect(url=url))
        await reach(transport, stage)
        await expect_closed(transport, connecting)


async def test_closing_while_the_session_is_not_confirmed() -> None:
    class Late(Peer):
        def reply(self, event: dict[str, Any]) -> None:
            """Never."""

    peer = Late()
    async with serving_peer(peer) as url, make_transport() as transport:
        connecting = asyncio.ensure_future(transport.connect(url=url))
        await peer.wait_until(lambda: bool(peer.events))
        await expect_closed(transport, connecting)


async def test_closing_a_connection_is_told_once_and_ends_the_call_at_the_peer() -> None:
    peer = Peer()
    async with call(peer) as transport:
        log = Log(transport)
        transport.close()
        transport.close()
        assert log.events == [("connection_change", "disconnected"), ("disconnected", None)]
        await transport.wait_closed()
        assert peer.call is not None
        await peer.wait_until(lambda: peer.call.is_closed)
        assert transport.connection_state.peer_connection is None


# Connecting again, twice, and being cancelled


async def test_two_connects_share_one_attempt() -> None:
    peer = Peer()
    async with serving_peer(peer) as url, make_transport() as transport:
        await asyncio.gather(transport.connect(url=url), transport.connect(url=url))
        await transport.connect(url=url)
        assert transport.status == "connected"
    assert len(peer.requests) == 1


async def test_cancelling_connect_releases_everything() -> None:
    class Late(Peer):
        def reply(self, event: dict[str, Any]) -> None:
            """Never."""

    peer = Late()
    async with serving_peer(peer) as url, make_transport() as transport:
        connecting = asyncio.ensure_future(transport.connect(url=url))
        await peer.wait_until(lambda: bool(peer.events))
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert transport.status == "disconnected"
        await transport.wait_closed()
        assert transport.connection_state.peer_connection is None


async def test_one_transport_connects_again_and_again(tmp_path: Path) -> None:
    peer, answer = Peer(), tmp_path / "answer.wav"
    async with serving_peer(peer) as url, make_transport(sink=f"file:{answer}") as transport:
        for _ in range(3):
            await transport.connect(url=url)
            assert transport.call_id == "rtc_test"
            transport.close()  # and connect at once, while the file is still being closed
    assert len(peer.requests) == 3
    assert os.listdir(tmp_path) == ["answer.wav"]  # noqa: PTH208 - pathlib's would block the same


async def test_connecting_while_connecting_waits_for_the_first() -> None:
    peer = Peer()
    async with serving_peer(peer) as url, make_transport() as transport:
        await asyncio.gather(
            transport.connect(url=url, model="first"),
            transport.connect(url=f"{url}/nowhere", model="second"),
        )
        assert transport.status == "connected"
        assert transport.current_model == "first"
    assert len(peer.requests) == 1


# Sources and sinks


async def test_objects_stay_open_and_belong_to_the_caller() -> None:
    tone, sink = Tone(), Sink()
    async with call(Peer(), source=tone, sink=sink):
        pass
    assert tone.calls == ["open"]
    assert not sink.is_closed


async def test_without_sounddevice_the_default_fails_at_stage_audio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    for options, keyword in (({"sink": None}, "source=None"), ({"source": None}, "sink=None")):
        async with OpenAIRealtimeWebRTC(api_key=KEY, **options) as transport:  # type: ignore[arg-type]
            with pytest.raises(ConnectError, match=r"\[device\]") as caught:
                await transport.connect(url="http://127.0.0.1:9")
            assert caught.value.stage is ConnectStage.AUDIO
            assert keyword in str(caught.value)


async def test_no_source_and_no_sink_is_a_call_in_silence() -> None:
    peer = Peer()
    async with call(peer) as transport:
        assert level(await peer.wait_heard(0.4)) < 100
        await transport.wait_source_ended()
        speak(peer, 0.2)
        await transport.wait_heard()
        assert transport.media_statistics().received_s > 0.1  # type: ignore[union-attr]


async def test_a_sink_that_cannot_be_cleared_does_not_stop_an_interruption() -> None:
    class Stuck(NullSink):
        def clear(self) -> None:
            raise OSError("gone")

    peer = Peer()
    async with call(peer, sink=Stuck()) as transport:
        log = Log(transport)
        transport.interrupt()
        assert any("Stuck raised OSError" in str(error) for error in log.errors())
        assert transport.status == "connected"


# Events on the wire


async def test_middlewares_change_drop_and_fail_without_harm() -> None:
    class Changes(EventMiddleware):
        def outgoing(self, event: dict[str, Any]) -> dict[str, Any] | None:
            return None if event["type"] == "x.drop" else {**event, "seen": True}

        def incoming(self, event: dict[str, Any]) -> dict[str, Any] | None:
            return None if event["type"] == "y.drop" else {**event, "seen": True}

    class Fails(EventMiddleware):
        def outgoing(self, event: dict[str, Any]) -> dict[str, Any] | None:
            raise RuntimeError("oops")

    peer = Peer()
    async with call(peer, middlewares=[Changes(), Fails()]) as transport:
        log, told, arrived = Log(transport), list[dict[str, Any]](), asyncio.Event()
        transport.on("*", told.append)
        transport.on("*", lambda event: arrived.set())
        transport.send_event({"type": "x.drop"})
        transport.send_event({"type": "x.keep"})
        await peer.wait_until(lambda: bool(peer.of_type("x.keep")))
        assert peer.of_type("x.drop") == []
        assert peer.of_type("x.keep")[0]["seen"] is True
        assert [error.plugin for error in log.errors(PluginError)] == ["Fails"]
        peer.send("y.drop")
        peer.send("y.keep")
        async with asyncio.timeout(DEADLINE_S):
            await arrived.wait()
        assert [(event["type"], event["seen"]) for event in told] == [("y.keep", True)]


async def test_a_message_too_large_is_refused_and_the_connection_stays() -> None:
    peer = Peer()
    async with call(peer) as transport:
        with pytest.raises(TransportError, match="too large"):
            transport.send_event({"type": "x.large", "text": "x" * 300_000})
        transport.send_event({"type": "x.small"})
        await peer.wait_until(lambda: bool(peer.of_type("x.small")))
        await transport.drain()
        assert transport.status == "connected"


async def test_nothing_can_be_sent_without_a_connection() -> None:
    transport = make_transport()
    for send in (
        lambda: transport.send_message("hello"),
        transport.request_response,
        transport.interrupt,
        lambda: transport.send_audio(b"\0\0"),
    ):
        with pytest.raises(TransportError, match="connect"):
            send()
    with pytest.raises(TransportError):
        await transport.drain()


# The request


async def test_a_standard_key_posts_the_session_with_the_offer() -> None:
    class Reading(Peer):
        async def handle(self, request: web.Request) -> web.Response:
            self.form = await request.post()
            return await super().handle(request)

    peer = Reading()
    async with (
        serving_peer(peer) as url,
        make_transport(
            organization="org_1", project="proj_1", headers={"X-More": "1"}
        ) as transport,
    ):
        await transport.connect(
            url=url, model="gpt-x", initial_session_config={"instructions": "Be kind."}
        )
    (request,) = peer.requests
    assert request.content_type == "multipart/form-data"
    session = bytes(peer.form["session"]).decode()  # type: ignore[arg-type]
    for part in ('"type": "realtime"', '"model": "gpt-x"', '"instructions": "Be kind."'):
        assert part in session
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["OpenAI-Organization"] == "org_1"
    assert request.headers["OpenAI-Project"] == "proj_1"
    assert request.headers["X-More"] == "1"
    (update,) = peer.of_type("session.update")
    assert update["session"]["instructions"] == "Be kind."


@pytest.mark.parametrize(
    "options", [{"api_key": "ek_test"}, {"api_key": KEY, "use_insecure_api_key": True}]
)
async def test_an_ephemeral_key_posts_the_offer_alone(options: dict[str, Any]) -> None:
    peer = Peer()
    async with call(peer, **options):
        assert peer.requests[0].content_type == "application/sdp"


async def test_a_standard_key_can_be_forbidden() -> None:
    async with make_transport(require_ephemeral_key=True) as transport:
        with pytest.raises(UserError, match="ephemeral"):
            await transport.connect(url="http://127.0.0.1:9")


async def test_a_key_may_come_from_a_function_or_a_coroutine_function() -> None:
    async def give_later() -> str:
        return "ek_later"

    peer = Peer()
    for api_key in (lambda: "ek_now", give_later):
        async with call(peer, api_key=api_key):
            pass
    sent = [request.headers["Authorization"] for request in peer.requests]
    assert sent == ["Bearer ek_now", "Bearer ek_later"]


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody trusts yet, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    address = x509.DNSName("localhost")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


async def test_a_server_is_trusted_by_the_callers_certificate_only(tmp_path: Path) -> None:
    cert_file, key_file = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert_file, key_file)
    async with serving_peer(Peer(), ssl_context=context) as address:
        url = address.replace("127.0.0.1", "localhost")
        async with make_transport() as stranger:
            with pytest.raises(ConnectError, match="certificate") as caught:
                await stranger.connect(url=url)
            assert caught.value.stage is ConnectStage.HTTP
        async with make_transport(ca_file=str(cert_file)) as friend:
            await friend.connect(url=url)
            assert friend.status == "connected"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bad_ca_file_is_refused_at_once(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"ca\.pem"):
        make_transport(ca_file=str(path))
