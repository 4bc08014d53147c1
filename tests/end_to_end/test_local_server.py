"""The local server, called by stock clients: aiortc and aiohttp."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import soundfile
import soxr

from realtime_core.errors import PluginError, TransportError, UserError
from realtime_core.hookspecs import hookimpl
from realtime_core.plugins import PluginManager
from realtime_transports.local_server import (
    AnswerPiece,
    AudioPiece,
    LocalRealtimeServer,
    ParrotResponder,
    Responder,
    TextPiece,
    Turn,
)
from realtime_transports.local_server.keys import EphemeralKeys
from realtime_transports.local_server.responders import hum, make_parrot, with_faded_ends
from realtime_transports.openai import audio_codec
from tests.end_to_end.server_clients import connected, serving
from tests.end_to_end.stock_client import StockCaller

ROOT = Path(__file__).parents[2]
MANUAL = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
BEARER = {"Authorization": "Bearer sk-test"}
DEADLINE_S = 20.0


@pytest.fixture
async def server() -> AsyncIterator[LocalRealtimeServer]:
    async with LocalRealtimeServer(responder=ParrotResponder()) as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


def recording(name: str) -> np.ndarray:
    """A sentence at 48 kHz, and 300 ms of silence."""
    samples, rate = soundfile.read(ROOT / "tests" / "data" / f"{name}.wav", dtype="int16")
    return np.concatenate([soxr.resample(samples, rate, 48_000), np.zeros(14_400, np.int16)])


def sounding(samples: np.ndarray) -> np.ndarray:
    """From the first to the last sample above -40 dB of the peak."""
    magnitude = np.abs(samples.astype(float))
    (loud,) = np.nonzero(magnitude > magnitude.max() / 100)
    return samples[loud[0] : loud[-1] + 1].astype(float)


def level_db(samples: np.ndarray) -> float:
    return 10 * float(np.log10(np.mean(np.square(samples))))


def spectrogram_db(samples: np.ndarray) -> np.ndarray:
    """Level by time (20 ms) and by bands of 250 Hz up to 4 kHz."""
    frames = samples[: len(samples) // 960 * 960].reshape(-1, 960) * np.hanning(960)
    power = np.abs(np.fft.rfft(frames, axis=1))[:, 1:81] ** 2
    return 10 * np.log10(power.reshape(len(frames), 16, 5).sum(axis=2) + 1e3)


# Calls


async def test_a_recording_comes_back_as_it_was_said(server: LocalRealtimeServer) -> None:
    async with StockCaller() as caller:
        await caller.call(server.url, MANUAL)
        said = recording("mailbox_number")
        await caller.say(said)
        caller.send("input_audio_buffer.commit")
        caller.send("response.create")
        await caller.wait("response.done")
        await caller.wait("output_audio_buffer.stopped")
    question, answer = sounding(said), sounding(caller.heard)
    assert len(answer) == pytest.approx(len(question), rel=0.02)
    assert level_db(answer) == pytest.approx(level_db(question), abs=0.5)
    length = min(len(question), len(answer))
    offset = int(np.argmax(np.correlate(answer[:24_000], question[:9_600], "valid")))
    asked, answered = spectrogram_db(question[:length]), spectrogram_db(answer[offset:length])
    frames = min(len(asked), len(answered))
    correlation = np.corrcoef(asked[:frames].ravel(), answered[:frames].ravel())[0, 1]
    assert correlation > 0.9
    types = caller.types()
    assert types.index("output_audio_buffer.started") < types.index("output_audio_buffer.stopped")
    assert types.index("response.done") < types.index("output_audio_buffer.stopped")


async def test_a_tone_comes_back_pure(server: LocalRealtimeServer) -> None:
    time = np.arange(4 * 48_000) / 48_000
    async with StockCaller() as caller:
        caller.track.pending = (8_000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
        await caller.call(server.url, MANUAL)
        await caller.wait_until(lambda: len(caller.heard) > 48_000)
        caller.send("input_audio_buffer.commit")  # in the middle of the tone
        caller.send("response.create")
        await caller.wait("output_audio_buffer.stopped")
    answer = sounding(caller.heard)
    spectrum = np.abs(np.fft.rfft(answer * np.hanning(len(answer)), n=8 * len(answer)))
    assert np.argmax(spectrum) * 48_000 / (8 * len(answer)) == pytest.approx(440, abs=1)
    slope = 8_000 * 2 * np.pi * 440 / 48_000
    assert np.abs(np.diff(caller.heard.astype(float))).max() < 1.5 * slope


async def test_turns_are_detected_and_answered(server: LocalRealtimeServer) -> None:
    async with StockCaller() as caller:
        await caller.call(server.url)  # raw SDP, with the API's default of server_vad
        await caller.say(recording("say_your_name"))
        await caller.wait("output_audio_buffer.stopped")
    assert len(sounding(caller.heard)) / 48_000 == pytest.approx(1.95, abs=0.2)
    types = caller.types()
    assert types.index("input_audio_buffer.speech_started") < types.index(
        "input_audio_buffer.speech_stopped"
    )


async def test_speaking_up_silences_the_answer(server: LocalRealtimeServer) -> None:
    async with StockCaller() as caller:
        await caller.call(server.url)
        await caller.say(recording("mailbox_number"))
        await caller.wait("output_audio_buffer.started")
        await caller.say(recording("say_your_name"))
        await caller.wait("output_audio_buffer.cleared")
        truncated = await caller.wait("conversation.item.truncated")
        assert truncated["audio_end_ms"] < 2_500
        await caller.wait("output_audio_buffer.stopped")
        assert len(caller.of_type("output_audio_buffer.started")) == 2


async def test_a_written_turn_is_answered_aloud(server: LocalRealtimeServer) -> None:
    async with StockCaller() as caller:
        await caller.call(server.url, MANUAL)
        content = [{"type": "input_text", "text": "hello parrot"}]
        caller.send(
            "conversation.item.create",
            item={"type": "message", "role": "user", "content": content},
        )
        caller.send("response.create")
        await caller.wait("output_audio_buffer.stopped")
        transcript = await caller.wait("response.output_audio_transcript.done")
        assert transcript["transcript"] == "hello parrot"
        assert len(sounding(caller.heard)) / 48_000 > 0.5


async def test_a_message_that_is_no_event_leaves_the_call_alive(
    server: LocalRealtimeServer,
) -> None:
    async with StockCaller() as caller:
        await caller.call(server.url)
        for message in ("not json", "[1]", b"\x00\x01", "[" * 100_000):
            caller.channel.send(message)
        await caller.wait("error", 4)
        caller.send("session.update", session={"instructions": "go on"})
        await caller.wait("session.updated")


async def test_an_event_too_large_for_the_channel_is_an_error(
    server: LocalRealtimeServer, http: aiohttp.ClientSession
) -> None:
    async with StockCaller() as caller:
        await caller.call(server.url, MANUAL)
        call_id = caller.location.rpartition("/")[2]
        content = [{"type": "input_text", "text": "x" * 300_000}]
        item = {"type": "message", "role": "user", "id": "long", "content": content}
        url = f"{server.url}/realtime?call_id={call_id}"
        async with http.ws_connect(url, headers=BEARER, max_msg_size=0) as sideband:
            await sideband.send_json({"type": "conversation.item.create", "item": item})
            while (await sideband.receive_json())["type"] != "conversation.item.done":
                pass
        caller.send("conversation.item.retrieve", item_id="long", event_id="mine")
        await caller.wait("error", 3)  # the item was added and done, too
        error = caller.of_type("error")[-1]
        assert error["error"]["code"] == "event_not_sent"
        assert error["error"]["event_id"] == "mine"


async def test_the_server_ends_calls_and_sockets_when_it_closes(
    http: aiohttp.ClientSession,
) -> None:
    async with StockCaller() as caller:
        async with LocalRealtimeServer(responder=ParrotResponder()) as server:
            await caller.call(server.url)
            socket = await http.ws_connect(f"{server.url}/realtime", headers=BEARER)
            await socket.receive()
        async with asyncio.timeout(DEADLINE_S):
            closing = await socket.receive()
        assert closing.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        closed = asyncio.Event()
        caller.pc.on(
            "connectionstatechange",
            lambda: closed.set() if caller.pc.connectionState == "closed" else None,
        )
        if caller.pc.connectionState != "closed":
            async with asyncio.timeout(DEADLINE_S):
                await closed.wait()


async def test_a_caller_who_never_connects_is_forgotten_when_the_server_closes() -> None:
    async with StockCaller() as caller:
        offer = await caller.offer()
        async with (
            LocalRealtimeServer(responder=ParrotResponder()) as server,
            aiohttp.ClientSession() as http,
        ):
            headers = {**BEARER, "Content-Type": "application/sdp"}
            url = f"{server.url}/realtime/calls"
            async with http.post(url, data=offer, headers=headers) as answer:
                assert answer.status == 201


BRING_UP_LO = """
import asyncio, fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
    request = struct.pack("16sh14x", b"lo", 0x1 | 0x40)  # IFF_UP | IFF_RUNNING
    fcntl.ioctl(control, 0x8914, request)  # SIOCSIFFLAGS
from tests.end_to_end.test_local_server import call_once
asyncio.run(call_once())
"""


async def call_once() -> None:
    """A call from dialling to an answer; runs where there is no network."""
    async with (
        LocalRealtimeServer(responder=ParrotResponder()) as server,
        StockCaller() as caller,
    ):
        await caller.call(server.url, MANUAL)
        await caller.say(np.full(9_600, 1_000, np.int16))
        caller.send("input_audio_buffer.commit")
        caller.send("response.create")
        await caller.wait("output_audio_buffer.stopped")


def test_a_call_needs_no_network_but_lo() -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rn", "true"], check=False).returncode:
        pytest.skip("this system makes no network namespaces for us")
    command = [unshare, "-rn", sys.executable, "-W", "error", "-c", BRING_UP_LO]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert run.returncode == 0, run.stderr


# HTTP


async def post(
    http: aiohttp.ClientSession, url: str, **arguments: Any
) -> tuple[int, dict[str, Any]]:
    async with http.post(url, **arguments) as answer:
        assert answer.content_type == "application/json"
        return answer.status, await answer.json()


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic c2s="])
async def test_a_call_without_a_key_is_refused(
    server: LocalRealtimeServer, http: aiohttp.ClientSession, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    status, body = await post(http, f"{server.url}/realtime/calls", headers=headers, data="v=0")
    assert status == 401
    assert body["error"]["code"] == "missing_authentication"


async def test_an_offer_that_is_none_is_refused(
    server: LocalRealtimeServer, http: aiohttp.ClientSession
) -> None:
    headers = {**BEARER, "Content-Type": "application/sdp"}
    status, body = await post(http, f"{server.url}/realtime/calls", headers=headers, data="v=0")
    assert status == 400
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["code"] == "invalid_offer"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"session": "{}"}, "sdp"),
        ({"sdp": "v=0", "session": "{"}, "session"),
        ({"sdp": "v=0", "session": "[]"}, "session"),
        ({"sdp": "v=0", "session": '{"colour": 1}'}, "session.colour"),
        ({"sdp": "v=0", "session": '{"type": "realtime"}'}, "sdp"),
    ],
)
async def test_a_form_that_does_not_fit_is_refused(
    server: LocalRealtimeServer,
    http: aiohttp.ClientSession,
    fields: dict[str, str],
    param: str,
) -> None:
    form = aiohttp.FormData(fields, default_to_multipart=True)
    status, body = await post(http, f"{server.url}/realtime/calls", headers=BEARER, data=form)
    assert status == 400
    assert body["error"]["param"] == param


async def test_another_kind_of_body_is_refused(
    server: LocalRealtimeServer, http: aiohttp.ClientSession
) -> None:
    status, body = await post(
        http, f"{server.url}/realtime/calls", headers=BEARER, json={"sdp": "v=0"}
    )
    assert status == 400
    assert body["error"]["code"] == "unsupported_content_type"


async def test_a_body_too_large_is_refused(
    server: LocalRealtimeServer, http: aiohttp.ClientSession
) -> None:
    headers = {**BEARER, "Content-Type": "application/sdp"}
    status, _ = await post(
        http, f"{server.url}/realtime/calls", headers=headers, data=b"v" * 1_000_001
    )
    assert status == 413


@pytest.mark.parametrize("path", ["/nothing", "/realtime/calls/rtc_x"])
async def test_an_unknown_path_is_an_error_of_the_usual_shape(
    server: LocalRealtimeServer, http: aiohttp.ClientSession, path: str
) -> None:
    status, body = await post(http, server.url + path, headers=BEARER)
    assert status == 404
    assert body["error"]["message"]


async def test_a_call_has_its_id_in_the_location(server: LocalRealtimeServer) -> None:
    async with StockCaller() as caller:
        await caller.call(server.url)
        assert caller.location.startswith("/v1/realtime/calls/rtc_")


async def test_a_session_given_with_the_offer_holds_from_the_start(
    server: LocalRealtimeServer,
) -> None:
    async with StockCaller() as caller:
        session = {"type": "realtime", "model": "my-model", "instructions": "be brief"}
        await caller.call(server.url, session)
        created = await caller.wait("session.created")
        assert created["session"]["model"] == "my-model"
        assert created["session"]["instructions"] == "be brief"


async def test_an_ephemeral_key_brings_its_session(
    server: LocalRealtimeServer, http: aiohttp.ClientSession
) -> None:
    session = {"type": "realtime", "instructions": "from the key"}
    url = f"{server.url}/realtime/client_secrets"
    status, body = await post(http, url, headers=BEARER, json={"session": session})
    assert status == 200
    assert body["value"].startswith("ek_")
    assert body["session"]["instructions"] == "from the key"
    async with StockCaller() as caller:
        await caller.call(server.url, key=body["value"])
        created = await caller.wait("session.created")
        assert created["session"]["instructions"] == "from the key"


def test_a_key_expires() -> None:
    now = 1_000.0
    keys = EphemeralKeys(lambda: now)
    key = keys.create({}, lifetime_s=10)
    assert keys.find(key.value) is key
    assert not keys.is_expired(key)
    now += 10
    assert keys.is_expired(key)
    assert key.value not in repr(key)
    assert keys.find("ek_unknown") is None


async def test_an_expired_key_is_refused(
    server: LocalRealtimeServer, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{server.url}/realtime/client_secrets"
    _, body = await post(http, url, headers=BEARER)
    monkeypatch.setattr(EphemeralKeys, "is_expired", lambda self, key: True)
    status, answer = await post(http, url, headers={"Authorization": f"Bearer {body['value']}"})
    assert status == 401
    assert answer["error"]["code"] == "expired_key"


@pytest.mark.parametrize("seconds", [9, 7_201, "60", None])
async def test_a_key_may_not_live_too_short_or_too_long(
    server: LocalRealtimeServer, http: aiohttp.ClientSession, seconds: Any
) -> None:
    body = {"expires_after": {"anchor": "created_at", "seconds": seconds}}
    status, answer = await post(
        http, f"{server.url}/realtime/client_secrets", headers=BEARER, json=body
    )
    assert status == 400
    assert answer["error"]["param"] == "expires_after.seconds"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"session": "\xff"}'),
        ("application/json; charset=no-such-charset", b"{}"),
        ("application/json; charset=base64", b"{}"),
        ("application/json; charset=ascii", "{}ü".encode()),
    ],
)
async def test_a_body_that_is_no_text_is_refused(
    server: LocalRealtimeServer, http: aiohttp.ClientSession, content_type: str, body: bytes
) -> None:
    status, answer = await post(
        http,
        f"{server.url}/realtime/client_secrets",
        headers={**BEARER, "Content-Type": content_type},
        data=body,
    )
    assert status == 400
    assert answer["error"]["param"] == "body"


async def test_a_form_in_no_charset_is_refused(
    server: LocalRealtimeServer, http: aiohttp.ClientSession
) -> None:
    part = 'Content-Disposition: form-data; name="sdp"\r\nContent-Type: text/plain; charset=x-no'
    status, answer = await post(
        http,
        f"{server.url}/realtime/calls",
        headers={**BEARER, "Content-Type": "multipart/form-data; boundary=b"},
        data=f"--b\r\n{part}\r\n\r\nv=0\r\n--b--\r\n".encode(),
    )
    assert status == 400
    assert answer["error"]["code"] == "invalid_form"


PART = 'Content-Disposition: form-data; name="sdp"\r\n'


@pytest.mark.parametrize(
    "body",
    [
        f"--b\r\n{PART}Content-Transfer-Encoding: none-such\r\n\r\nv=0\r\n--b--\r\n",
        f"--b\r\n{PART}this is no header\r\n\r\nv=0\r\n--b--\r\n",
        "--b\r\nthat is all",
    ],
)
async def test_a_form_with_broken_parts_is_refused_in_one_line(
    server: LocalRealtimeServer, http: aiohttp.ClientSession, body: str
) -> None:
    status, answer = await post(
        http,
        f"{server.url}/realtime/calls",
        headers={**BEARER, "Content-Type": "multipart/form-data; boundary=b"},
        data=body.encode(),
    )
    assert status == 400
    assert answer["error"]["code"] == "invalid_form"
    assert "\n" not in answer["error"]["message"]


@pytest.mark.parametrize(
    ("path", "content_type"),
    [("calls", "application/sdp"), ("client_secrets", "application/json")],
)
async def test_a_body_compressed_otherwise_than_it_says_is_refused(
    server: LocalRealtimeServer, http: aiohttp.ClientSession, path: str, content_type: str
) -> None:
    headers = {**BEARER, "Content-Type": content_type, "Content-Encoding": "gzip"}
    status, answer = await post(
        http, f"{server.url}/realtime/{path}", headers=headers, data=b"not compressed"
    )
    assert status == 400
    assert "gzip" in answer["error"]["message"]


@pytest.mark.parametrize("parameters", ["NaN", '{"a":' * 300 + "1" + "}" * 300])
async def test_a_session_that_could_not_be_told_again_is_refused(
    server: LocalRealtimeServer, http: aiohttp.ClientSession, parameters: str
) -> None:
    tool = f'{{"type": "function", "name": "f", "parameters": {parameters}}}'
    status, answer = await post(
        http,
        f"{server.url}/realtime/client_secrets",
        headers=BEARER,
        data=f'{{"session": {{"type": "realtime", "tools": [{tool}]}}}}',
    )
    assert status == 400
    assert answer["error"]["code"] == "invalid_json"


async def test_a_number_without_a_json_form_is_told_as_null(
    server: LocalRealtimeServer, http: aiohttp.ClientSession
) -> None:
    tool = '{"type": "function", "name": "f", "parameters": {"maximum": 1e999}}'
    status, answer = await post(
        http,
        f"{server.url}/realtime/client_secrets",
        headers=BEARER,
        data=f'{{"session": {{"type": "realtime", "tools": [{tool}]}}}}',
    )
    assert status == 200
    assert answer["session"]["tools"][0]["parameters"] == {"maximum": None}


@pytest.mark.parametrize("headers", [{}, {"Upgrade": "h2c"}, {"Upgrade": "websocket"}])
async def test_a_request_that_is_no_websocket_s_is_told_so_and_is_no_session(
    headers: dict[str, str],
) -> None:
    async with serving() as server, aiohttp.ClientSession() as http:
        url = f"{server.url}/realtime?model=gpt-realtime"
        async with http.get(url, headers=BEARER | headers) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"]["code"] == "websocket_expected"
        assert server.sessions == []


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "127.0.0.1.evil.example"])
async def test_a_strange_host_is_refused(
    server: LocalRealtimeServer, http: aiohttp.ClientSession, host: str
) -> None:
    status, body = await post(
        http, f"{server.url}/realtime/client_secrets", headers={**BEARER, "Host": host}
    )
    assert status == 403
    assert body["error"]["code"] == "host_not_allowed"


@pytest.mark.parametrize("host", ["localhost:1234", "[::1]", "app.localhost"])
async def test_this_machine_goes_by_several_names(
    server: LocalRealtimeServer, http: aiohttp.ClientSession, host: str
) -> None:
    status, _ = await post(
        http, f"{server.url}/realtime/client_secrets", headers={**BEARER, "Host": host}
    )
    assert status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://[", "file://"])
async def test_a_page_of_another_site_is_refused(
    server: LocalRealtimeServer, http: aiohttp.ClientSession, origin: str
) -> None:
    url = f"{server.url}/realtime/client_secrets"
    async with http.post(url, headers={**BEARER, "Origin": origin}) as answer:
        assert answer.status == 403
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_page_of_this_machine_may_call(
    server: LocalRealtimeServer, http: aiohttp.ClientSession
) -> None:
    headers = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-openai-agents-sdk",
    }
    url = f"{server.url}/realtime/calls"
    async with http.options(url, headers=headers) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        allowed = answer.headers["Access-Control-Allow-Headers"].split(", ")
        assert {"authorization", "content-type", "x-openai-agents-sdk"} <= set(allowed)
    async with http.post(url, headers={"Origin": "http://localhost:3000"}) as answer:
        assert answer.status == 401
        assert answer.headers["Access-Control-Expose-Headers"] == "Location"


async def test_named_hosts_and_origins_are_let_in(http: aiohttp.ClientSession) -> None:
    async with LocalRealtimeServer(
        responder=ParrotResponder(),
        allowed_hosts=["dev.example"],
        allowed_origins=["https://app.example"],
    ) as server:
        headers = {**BEARER, "Host": "dev.example", "Origin": "https://app.example"}
        url = f"{server.url}/realtime/client_secrets"
        async with http.post(url, headers=headers) as answer:
            assert answer.status == 200
            assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"


# WebSocket


class StockSocket:
    """A client over WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []

    async def send(self, event_type: str, **fields: Any) -> None:
        await self.socket.send_str(json.dumps({"type": event_type, **fields}))

    async def wait(self, event_type: str) -> dict[str, Any]:
        """The next event of this type."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                event = json.loads(await self.socket.receive_str())
                self.events.append(event)
                if event["type"] == event_type:
                    return event

    def audio(self) -> np.ndarray:
        deltas = [e["delta"] for e in self.events if e["type"] == "response.output_audio.delta"]
        return np.frombuffer(b"".join(map(base64.b64decode, deltas)), np.int16)


@pytest.fixture
async def socket(
    server: LocalRealtimeServer, http: aiohttp.ClientSession
) -> AsyncIterator[StockSocket]:
    url = f"{server.url}/realtime?model=my-model"
    async with http.ws_connect(url, headers=BEARER) as opened:
        yield StockSocket(opened)


async def test_audio_over_websocket_comes_back_sample_by_sample(socket: StockSocket) -> None:
    created = await socket.wait("session.created")
    assert created["session"]["model"] == "my-model"
    await socket.send("session.update", session=MANUAL)
    said = np.random.default_rng(1).integers(-9_000, 9_000, 30_000).astype(np.int16)
    for start in range(0, len(said), 4_800):
        piece = base64.b64encode(said[start : start + 4_800].tobytes()).decode()
        await socket.send("input_audio_buffer.append", audio=piece)
    await socket.send("input_audio_buffer.commit")
    await socket.send("response.create")
    await socket.wait("response.done")
    assert np.array_equal(socket.audio(), with_faded_ends(said))
    assert np.array_equal(socket.audio()[120:-120], said[120:-120])


async def test_turns_are_detected_over_websocket(socket: StockSocket) -> None:
    said = soxr.resample(recording("say_your_name"), 48_000, 24_000)
    silence = np.zeros(24_000, np.int16)
    audio = base64.b64encode(np.concatenate([said, silence]).tobytes()).decode()
    await socket.send("input_audio_buffer.append", audio=audio)
    await socket.wait("response.done")
    types = [event["type"] for event in socket.events]
    assert "input_audio_buffer.speech_started" in types
    assert "output_audio_buffer.started" not in types
    assert len(socket.audio()) > 24_000


async def test_a_browser_brings_its_key_as_a_subprotocol(
    server: LocalRealtimeServer, http: aiohttp.ClientSession
) -> None:
    offered = ["realtime", "openai-insecure-api-key.sk-test", "openai-agents-sdk.x"]
    async with http.ws_connect(f"{server.url}/realtime", protocols=offered) as socket:
        assert socket.protocol == "realtime"


async def test_a_socket_without_a_key_is_refused(
    server: LocalRealtimeServer, http: aiohttp.ClientSession
) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
        await http.ws_connect(f"{server.url}/realtime", protocols=["realtime"])
    assert raised.value.status == 401


async def test_g711_over_websocket_comes_back_as_it_was_said(socket: StockSocket) -> None:
    law = {"format": {"type": "audio/pcmu"}}
    audio = {"input": {**law, "turn_detection": None}, "output": law}
    await socket.send("session.update", session={"type": "realtime", "audio": audio})
    await socket.wait("session.updated")
    said = soxr.resample(recording("say_your_name"), 48_000, 8_000)
    data = audio_codec.encode(said, "g711_ulaw")
    await socket.send("input_audio_buffer.append", audio=base64.b64encode(data).decode())
    await socket.send("input_audio_buffer.commit")
    await socket.send("response.create")
    await socket.wait("response.done")
    deltas = [e["delta"] for e in socket.events if e["type"] == "response.output_audio.delta"]
    heard = audio_codec.decode(b"".join(map(base64.b64decode, deltas)), "g711_ulaw")
    assert len(heard) == pytest.approx(len(said), abs=16)
    shifts = range(-4, 5)  # the resamplers' delays are no whole samples
    alike = [np.corrcoef(heard[800 + n : 9_000 + n], said[800:9_000])[0, 1] for n in shifts]
    assert max(alike) > 0.97


async def test_a_message_too_large_is_an_error_and_the_session_goes_on(
    socket: StockSocket,
) -> None:
    await socket.socket.send_str('"' + "x" * (16 * 1024 * 1024) + '"')
    error = await socket.wait("error")
    assert error["error"]["code"] == "message_too_large"
    await socket.send("session.update", session={"type": "realtime", "instructions": "go on"})
    await socket.wait("session.updated")


async def test_a_session_that_is_too_old_is_told_so_and_closed(
    http: aiohttp.ClientSession,
) -> None:
    async with (
        LocalRealtimeServer(responder=ParrotResponder(), max_session_s=0.2) as server,
        http.ws_connect(f"{server.url}/realtime", headers=BEARER) as opened,
    ):
        socket = StockSocket(opened)
        created = await socket.wait("session.created")
        assert abs(created["session"]["expires_at"] - time.time()) < DEADLINE_S
        error = await socket.wait("error")
        async with asyncio.timeout(DEADLINE_S):
            closing = await opened.receive()
    assert error["error"]["code"] == "session_expired"
    assert opened.close_code == aiohttp.WSCloseCode.GOING_AWAY
    assert "maximum duration" in str(closing.extra)


async def test_a_call_that_is_too_old_is_told_so_and_closed() -> None:
    async with (
        LocalRealtimeServer(responder=ParrotResponder(), max_session_s=2.0) as server,
        StockCaller() as caller,
    ):
        await caller.call(server.url, MANUAL)
        error = await caller.wait("error")
        assert error["error"]["code"] == "session_expired"
        closed = asyncio.Event()
        caller.pc.on(
            "connectionstatechange",
            lambda: closed.set() if caller.pc.connectionState == "closed" else None,
        )
        if caller.pc.connectionState != "closed":
            async with asyncio.timeout(DEADLINE_S):
                await closed.wait()


@pytest.mark.parametrize(
    "message",
    [
        '{"type": []}',
        '{"type": {"a": 1}}',
        '{"type": "session.update", "session": {"type": "realtime", "tools": [NaN]}}',
        '{"type": "session.update", "session": {"type": "realtime", "tracing": {"metadata": '
        + '{"a":' * 700
        + "1"
        + "}" * 703,
        "[" * 100_000,
    ],
    ids=["list as type", "object as type", "NaN", "deep", "very deep"],
)
async def test_a_message_of_no_usable_form_is_an_error_and_the_session_goes_on(
    message: str,
) -> None:
    async with serving(faults=["race=response"]) as server, connected(server) as client:
        await client.socket.send_str(message)
        await client.wait("error")
        await client.send("input_audio_buffer.clear")
        await client.wait("input_audio_buffer.cleared")


async def test_a_binary_message_is_an_error(socket: StockSocket) -> None:
    await socket.socket.send_bytes(b"audio?")
    error = await socket.wait("error")
    assert "binary" in error["error"]["message"]


# Responders


class Chatterbox(Responder):
    """Talks until it is stopped."""

    def __init__(self) -> None:
        self.stopped = asyncio.Event()

    async def respond(self, turn: Turn) -> AsyncGenerator[AnswerPiece]:
        try:
            while True:
                yield TextPiece("bla ")
                yield AudioPiece(np.full(4_800, 1_000, np.int16))
        finally:
            self.stopped.set()


class Stumbler(Responder):
    """Fails in the middle."""

    async def respond(self, turn: Turn) -> AsyncGenerator[AnswerPiece]:
        yield TextPiece("I ")
        raise RuntimeError("out of words")


async def test_a_cancelled_responder_is_stopped() -> None:
    responder = Chatterbox()
    async with LocalRealtimeServer(responder=responder) as server, StockCaller() as caller:
        await caller.call(server.url, MANUAL)
        caller.send("response.create")
        await caller.wait("output_audio_buffer.started")
        caller.send("response.cancel")
        caller.send("output_audio_buffer.clear")
        done = await caller.wait("response.done")
        await caller.wait("output_audio_buffer.cleared")
        async with asyncio.timeout(DEADLINE_S):
            await responder.stopped.wait()
        assert done["response"]["status"] == "cancelled"


async def test_a_responder_that_never_waits_holds_nobody_up() -> None:
    async with LocalRealtimeServer(responder=Chatterbox()) as server, StockCaller() as caller:
        await caller.call(server.url, MANUAL)
        caller.send("response.create")
        await caller.wait("output_audio_buffer.started")
        caller.send("session.update", session={"instructions": "still there?"})
        await caller.wait("session.updated")


async def test_a_failing_responder_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with LocalRealtimeServer(responder=Stumbler()) as server, StockCaller() as caller:
        await caller.call(server.url, MANUAL)
        caller.send("response.create")
        done = await caller.wait("response.done")
    details = done["response"]["status_details"]
    assert details["type"] == "failed"
    assert "out of words" in details["error"]["message"]
    assert "Stumbler" in caplog.text


async def test_an_unknown_responder_is_told_before_anything_is_opened() -> None:
    with pytest.raises(PluginError, match="parrto"):
        await LocalRealtimeServer(responder="parrto").open()


async def test_an_open_server_knows_its_url() -> None:
    async with LocalRealtimeServer(responder="parrot") as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert server.url.endswith("/v1")


async def test_a_taken_port_is_told() -> None:
    async with LocalRealtimeServer(responder=ParrotResponder()) as server:
        port = int(server.url.split(":")[2].split("/")[0])
        with pytest.raises(TransportError, match=f"port {port}"):
            await LocalRealtimeServer(responder=ParrotResponder(), port=port).open()


@pytest.mark.parametrize("port", [-1, 65_536, 99_999])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(UserError, match=f"no port {port}"):
        LocalRealtimeServer(port=port)


class Closing(ParrotResponder):
    """A parrot whose end is told."""

    def __init__(self) -> None:
        self.is_closed = False

    async def close(self) -> None:
        self.is_closed = True


def plugins_making(factory: Callable[[str], Responder]) -> PluginManager:
    class Plugin:
        @hookimpl
        def realtime_responders(self) -> dict[str, Callable[[str], Responder]]:
            return {"own": factory}

    plugins = PluginManager(entry_points=[])
    plugins.register(Plugin(), "made-up")
    return plugins


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 70, "a\0b"])
async def test_a_host_that_is_none_is_told_and_nothing_stays_open(host: str) -> None:
    responder = Closing()
    plugins = plugins_making(lambda argument: responder)
    server = LocalRealtimeServer(host=host, responder="own", plugins=plugins)
    with pytest.raises(TransportError, match="cannot listen on"):
        await server.open()
    assert responder.is_closed


async def test_whatever_fails_while_opening_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    responder = Closing()
    plugins = plugins_making(lambda argument: responder)
    server = LocalRealtimeServer(responder="own", plugins=plugins)

    async def fail(runner: aiohttp.web.AppRunner) -> None:
        raise RuntimeError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(aiohttp.web.AppRunner, "setup", fail)
        with pytest.raises(RuntimeError, match="no memory"):
            await server.open()
    assert responder.is_closed
    async with server:
        assert server.url


async def test_an_open_server_is_not_opened_again() -> None:
    async with LocalRealtimeServer(responder=ParrotResponder()) as server:
        url = server.url
        with pytest.raises(UserError, match="open already"):
            await server.open()
        assert server.url == url
    async with server:
        assert server.url


async def test_a_responder_that_cannot_be_made_is_named() -> None:
    def fail(argument: str) -> Responder:
        raise ValueError(f"no model {argument}")

    server = LocalRealtimeServer(responder="own:tiny", plugins=plugins_making(fail))
    with pytest.raises(PluginError, match=r"plugin made-up .* ValueError: no model tiny"):
        await server.open()
    with pytest.raises(PluginError):
        await server.open()


async def test_a_closed_server_has_no_url() -> None:
    server = LocalRealtimeServer(responder=ParrotResponder())
    with pytest.raises(TransportError, match="not open"):
        _ = server.url
    await server.close()


def test_the_parrot_hums_a_text_always_the_same_way() -> None:
    assert np.array_equal(hum("hello"), hum("hello"))
    assert len(hum("hello there, how are you?")) > len(hum("hello"))
    assert len(hum("x" * 10_000)) < 16 * 24_000
    assert len(hum("")) > 0


@pytest.mark.parametrize("count", [0, 1, 7, 240, 24_000])
def test_what_the_parrot_plays_begins_and_ends_softly(count: int) -> None:
    faded = with_faded_ends(np.full(count, 10_000, np.int16))
    assert len(faded) == count
    if count >= 240:
        assert abs(faded[0]) < 100
        assert abs(faded[-1]) < 100
        assert np.abs(np.diff(faded.astype(int))).max() < 150


def test_the_parrot_takes_no_argument() -> None:
    assert isinstance(make_parrot(""), ParrotResponder)
    with pytest.raises(Exception, match="takes no argument"):
        make_parrot("loud")
