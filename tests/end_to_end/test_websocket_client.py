"""`OpenAIRealtimeWebSocket` and `OpenAIRealtimeSIP` against real servers, good and bad."""

from __future__ import annotations

import asyncio
import traceback
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from realtime_core.errors import ConnectError, ConnectionLostError, ConnectStage, TransportError
from realtime_transports.local_server import LocalRealtimeServer
from realtime_transports.sip import CallError, OpenAIRealtimeSIP
from realtime_transports.webrtc import OpenAIRealtimeWebRTC
from realtime_transports.websocket import OpenAIRealtimeWebSocket
from realtime_transports.websocket import socket as socket_module
from tests.end_to_end.calls import Log, serving
from tests.end_to_end.listening import likeness
from tests.end_to_end.socket_servers import RawSocket, raw_socket_server

QUESTION = Path(__file__).parents[2] / "examples" / "question.wav"
KEY = "sk-proj-0123456789abcdef"
SERVER_VAD = {"audio": {"input": {"turn_detection": {"type": "server_vad"}}}}
DEADLINE_S = 20.0
CLOSE = 8
"""The opcode of a goodbye (RFC 6455, 5.5.1)."""


def make(**options: Any) -> OpenAIRealtimeWebSocket:
    return OpenAIRealtimeWebSocket(**{"api_key": KEY, **options})


def socket_url(server: LocalRealtimeServer) -> str:
    return f"{server.url.replace('http', 'ws', 1)}/realtime"


async def next_event(transport: Any, event: str) -> Any:
    payload = await transport.wait_for(event, timeout_s=DEADLINE_S)
    return payload[0] if payload else None


# A conversation


@pytest.mark.parametrize("pace", ["realtime", "fast"])
async def test_a_spoken_question_comes_back(tmp_path: Path, pace: str):
    answer = tmp_path / "answer.wav"
    async with (
        LocalRealtimeServer(responder="parrot") as server,
        make(
            url=socket_url(server), source=f"file:{QUESTION}", sink=f"file:{answer}", pace=pace
        ) as transport,
    ):
        log, done = Log(transport), asyncio.ensure_future(next_event(transport, "turn_done"))
        await transport.connect(initial_session_config=SERVER_VAD)
        await transport.wait_source_ended()
        await done
        await transport.wait_heard()
        assert [item.role for item in transport.history] == ["user", "assistant"]
    assert log.errors() == []
    assert log.names[-1] == "disconnected"
    assert likeness(QUESTION, answer) > 0.9


async def test_a_source_sent_fast_takes_less_time_than_it_lasts():
    async with (
        LocalRealtimeServer(responder="parrot") as server,
        make(url=socket_url(server), source=f"file:{QUESTION}", pace="fast") as transport,
    ):
        began_s = asyncio.get_running_loop().time()
        await transport.connect()
        await transport.wait_source_ended()
        assert asyncio.get_running_loop().time() - began_s < 1.5  # of 2.9 s


async def test_it_connects_again_after_it_was_closed():
    async with (
        LocalRealtimeServer(responder="parrot") as server,
        make(url=socket_url(server)) as transport,
    ):
        for _ in range(2):
            await transport.connect()
            transport.send_message("hello", trigger_response=False)
            await next_event(transport, "item_update")
            transport.close()
            await transport.wait_closed()


async def test_a_browsers_way_to_show_the_key_is_taken_too():
    async with (
        LocalRealtimeServer(responder="parrot") as server,
        make(url=socket_url(server), key_in_subprotocol=True) as transport,
    ):
        await transport.connect()
        assert transport.status == "connected"


# The sideband


async def instructed(transport: OpenAIRealtimeWebRTC) -> str:
    """The first instructions that the server confirms; it confirms other settings too."""
    async for emit in transport.events():
        if emit.type == "session.updated" and emit.args[0]["session"]["instructions"]:
            return str(emit.args[0]["session"]["instructions"])
    pytest.fail("the connection ended before")


async def test_a_sideband_sees_and_steers_a_running_call():
    async with (
        LocalRealtimeServer(responder="parrot") as server,
        OpenAIRealtimeWebRTC(
            source=None,
            sink=None,
            loopback=True,
            api_key=KEY,
            base_url=f"{server.url}/realtime/calls",
        ) as call,
        make(url=socket_url(server)) as sideband,
    ):
        await call.connect()
        assert call.call_id
        updated = asyncio.ensure_future(instructed(call))
        greeted = asyncio.ensure_future(next_event(sideband, "session.created"))
        await sideband.connect(
            call_id=call.call_id, initial_session_config={"instructions": "Be brief."}
        )
        assert (await greeted)["session"]["type"] == "realtime"
        assert await updated == "Be brief."

        said = asyncio.ensure_future(next_event(sideband, "turn_done"))
        heard = asyncio.ensure_future(next_event(call, "turn_done"))
        call.send_message("What time is it?")
        assert (await said).response.id == (await heard).response.id

        asked = asyncio.ensure_future(next_event(call, "turn_done"))
        sideband.send_message("And now?")
        await asked
        assert [item.item_id for item in sideband.history] == [i.item_id for i in call.history]


async def test_a_sideband_ends_with_its_call_and_the_call_does_not_end_with_it():
    async with LocalRealtimeServer(responder="parrot") as server:
        options = {"base_url": f"{server.url}/realtime/calls", "loopback": True, "api_key": KEY}
        async with (
            OpenAIRealtimeWebRTC(source=None, sink=None, **options) as call,
            OpenAIRealtimeSIP(
                api_key=KEY, url=socket_url(server), calls_url=options["base_url"]
            ) as first,
            make(url=socket_url(server)) as second,
        ):
            await call.connect()
            await first.connect(call_id=call.call_id)
            first.close()
            await first.wait_closed()
            await second.connect(call_id=call.call_id)
            assert call.status == "connected"
            ended = asyncio.ensure_future(next_event(second, "disconnected"))
            gone = asyncio.ensure_future(next_event(call, "disconnected"))
            await first.hangup(second.call_id)
            await asyncio.gather(ended, gone)


async def test_there_is_no_sideband_without_a_call():
    async with LocalRealtimeServer(responder="parrot") as server:
        async with make(url=socket_url(server)) as transport:
            with pytest.raises(ConnectError) as info:
                await transport.connect(call_id="rtc_none")
        assert info.value.status == 404
        sip = OpenAIRealtimeSIP(api_key=KEY, calls_url=f"{server.url}/realtime/calls")
        with pytest.raises(CallError, match="no such call"):
            await sip.hangup("rtc_none")


# No connection


async def test_a_refusal_has_the_providers_words_and_no_key():
    async def refuse(request: web.Request) -> web.Response:
        message = f"Incorrect API key provided: {KEY}"
        return web.json_response({"error": {"message": message}}, status=401)

    async with serving(refuse) as url, make(url=url.replace("http", "ws", 1)) as transport:
        log = Log(transport)
        with pytest.raises(ConnectError) as info:
            await transport.connect()
    error = info.value
    assert (error.stage, error.status) == (ConnectStage.HTTP, 401)
    assert error.provider_message == "Incorrect API key provided: [key]"
    assert KEY not in "".join(traceback.format_exception(error))
    assert log.names == ["connection_change", "error", "connection_change", "disconnected"]


async def test_a_redirect_is_not_followed_with_the_key():
    asked: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with serving(redirect) as url, make(url=url.replace("http", "ws", 1)) as transport:
        with pytest.raises(ConnectError) as info:
            await transport.connect()
    assert info.value.status == 307
    assert len(asked) == 1


async def test_a_404_names_the_endpoint_that_may_be_meant():
    async with LocalRealtimeServer(responder="parrot") as server:
        meant = socket_url(server)
        async with make(url=meant.removesuffix("/realtime")) as transport:
            with pytest.raises(ConnectError, match="status 404") as info:
                await transport.connect()
    assert str(info.value).endswith(f"; url is the full endpoint, here probably {meant}")


async def test_nobody_there_is_told_at_once():
    async with LocalRealtimeServer(responder="parrot") as server:
        url = socket_url(server)
    async with make(url=url) as transport:
        with pytest.raises(ConnectError, match="cannot be reached") as info:
            await transport.connect()
    assert info.value.stage is ConnectStage.HTTP
    assert KEY not in "".join(traceback.format_exception(info.value))


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    async def proxy(request: web.Request) -> web.Response:
        asked.append(str(request.url))
        return web.Response(status=502, text="no way")

    async with serving(proxy) as url, make(url="ws://realtime.invalid/v1") as transport:
        monkeypatch.setenv("http_proxy", url)
        with pytest.raises(ConnectError) as info:
            await transport.connect()
    assert info.value.status == 502
    assert asked == ["http://realtime.invalid/v1"]


# Lost connections


async def expect_loss(url: str, **options: Any) -> ConnectionLostError:
    """Connect, wait for the end, and give the one error that tells of it."""
    async with make(url=url, **options) as transport:
        log = Log(transport)
        await transport.connect()
        await log.wait(lambda: "disconnected" in log.names)
        (error,) = log.errors()
        assert isinstance(error, ConnectionLostError)
        with pytest.raises(TransportError):
            transport.send_message("hello?")
        return error


async def test_a_dead_peer_is_told():
    async def freeze(socket: RawSocket) -> None:
        await socket.accept()
        await socket.wait_gone()  # pings are read and not answered

    async with raw_socket_server(freeze) as url:
        began_s = asyncio.get_running_loop().time()
        error = await expect_loss(url, heartbeat_s=0.2)
        assert "PONG" in str(error)
        assert asyncio.get_running_loop().time() - began_s < 5


async def test_a_peer_that_is_gone_without_a_goodbye_is_told():
    async def vanish(socket: RawSocket) -> None:
        await socket.accept()
        await socket.read_event()
        socket.abort()

    async with raw_socket_server(vanish) as url:
        assert "without a goodbye" in str(await expect_loss(url))


async def test_a_goodbye_with_an_error_is_told_with_its_reason():
    async def complain(socket: RawSocket) -> None:
        await socket.accept()
        await socket.read_event()
        socket.write_frame(CLOSE, (1011).to_bytes(2) + b"session expired")
        await socket.wait_gone()

    async with raw_socket_server(complain) as url:
        error = await expect_loss(url)
        assert "1011" in str(error)
        assert "session expired" in str(error)


async def test_a_message_too_large_to_take_is_told():
    async def flood(socket: RawSocket) -> None:
        await socket.accept()
        socket.write_raw(bytes([0x81, 127]) + (1 << 40).to_bytes(8))
        await socket.wait_gone()

    async with raw_socket_server(flood) as url:
        assert "message" in str(await expect_loss(url)).lower()


async def test_a_proper_goodbye_is_no_error():
    async def leave(socket: RawSocket) -> None:
        await socket.accept()
        await socket.read_event()
        socket.write_frame(CLOSE, (1000).to_bytes(2))
        await socket.wait_gone()

    async with raw_socket_server(leave) as url, make(url=url) as transport:
        log = Log(transport)
        await transport.connect()
        await log.wait(lambda: "disconnected" in log.names)
        assert log.errors() == []


async def test_what_was_sent_before_closing_arrives():
    received: list[str] = []
    ended = asyncio.Event()

    async def take(socket: RawSocket) -> None:
        await socket.accept()
        while True:
            opcode, payload = await socket.read_frame()
            if opcode == CLOSE:
                socket.write_frame(CLOSE, payload)
                ended.set()
                return
            received.append(payload.decode())

    async with raw_socket_server(take) as url:
        async with make(url=url) as transport:
            await transport.connect()
            transport.send_event({"type": "x", "text": "y" * 100_000})
        async with asyncio.timeout(DEADLINE_S):
            await ended.wait()
    assert len(received) == 2
    assert len(received[1]) > 100_000


async def test_draining_waits_for_a_server_that_reads_slowly(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(socket_module, "MAX_UNSENT_BYTES", 20_000_000)
    may_read = asyncio.Event()

    async def stall(socket: RawSocket) -> None:
        await socket.accept()
        await may_read.wait()
        while (await socket.read_frame())[0] != CLOSE:
            pass
        socket.write_frame(CLOSE, b"")

    async with raw_socket_server(stall) as url, make(url=url) as transport:

        def send_15_megabytes() -> None:
            for _ in range(15):
                transport.send_event({"type": "x", "text": "y" * 1_000_000})

        await transport.connect()
        send_15_megabytes()
        draining = asyncio.ensure_future(transport.drain())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(draining), 0.3)
        with pytest.raises(TransportError, match="does not fit"):
            send_15_megabytes()
        may_read.set()
        async with asyncio.timeout(DEADLINE_S):
            await draining
