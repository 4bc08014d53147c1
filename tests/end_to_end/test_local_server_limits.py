"""What the local server does not put up with: strangers, silence, too much of anything."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator

import aiohttp
import pytest

from realtime_transports.local_server import (
    AnswerPiece,
    LocalRealtimeServer,
    ParrotResponder,
    Responder,
    TextPiece,
    Turn,
    door,
    guard,
)
from realtime_transports.local_server import server as server_module
from realtime_transports.local_server.guard import AccessRules
from tests.end_to_end.server_clients import BEARER, MODEL, bearer, connected, post, serving
from tests.end_to_end.stock_client import StockCaller

DEADLINE_S = 10.0
SHORT_S = 0.2


def address_of(server: LocalRealtimeServer) -> tuple[str, int]:
    host, _, port = server.url.removeprefix("http://").removesuffix("/v1").rpartition(":")
    return host, int(port)


async def dial(server: LocalRealtimeServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*address_of(server))


async def read_to_the_end(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(DEADLINE_S):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


# Connections


@pytest.mark.parametrize(
    "begin", [b"", b"POST /v1/realtime/calls HTTP/1.1\r\nHost: localhost\r\nX-Slow: "]
)
async def test_headers_that_never_end_end_the_connection(begin: bytes) -> None:
    async with serving(header_deadline_s=SHORT_S) as server:
        began_s = asyncio.get_running_loop().time()
        reader, writer = await dial(server)
        writer.write(begin)
        assert await read_to_the_end(reader) == b""
        took_s = asyncio.get_running_loop().time() - began_s
        assert took_s >= SHORT_S * 0.9
        writer.close()


async def test_headers_that_come_byte_by_byte_do_not_put_the_deadline_off() -> None:
    async with serving(header_deadline_s=SHORT_S) as server:
        reader, writer = await dial(server)
        writer.write(b"GET / HTTP/1.1\r\n")

        async def dribble() -> None:
            while True:
                writer.write(b"a")
                await asyncio.sleep(SHORT_S / 10)

        dribbling = asyncio.create_task(dribble())
        assert await read_to_the_end(reader) == b""
        dribbling.cancel()
        writer.close()


async def test_a_complete_request_is_not_cut_off_by_the_deadline_of_its_headers() -> None:
    async with serving(header_deadline_s=SHORT_S) as server, connected(server) as client:
        await client.wait("session.created")
        await asyncio.sleep(2 * SHORT_S)  # past the deadline: nothing must happen
        assert (await client.ask("still there"))["status"] == "completed"


async def test_headers_of_a_second_request_have_a_deadline_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "KEEP_ALIVE_S", SHORT_S)
    async with serving() as server:
        reader, writer = await dial(server)
        writer.write(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nX: ")
        said = await read_to_the_end(reader)
        assert said.startswith(b"HTTP/1.1 404")
        assert said.count(b"HTTP/1.1") == 1
        writer.close()


async def test_a_body_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "REQUEST_DEADLINE_S", SHORT_S)
    async with serving() as server:
        reader, writer = await dial(server)
        writer.write(
            b"POST /v1/realtime/calls HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sk\r\n"
            b"Content-Type: application/sdp\r\nContent-Length: 100\r\n\r\nv=0"
        )
        said = await read_to_the_end(reader)
        assert said.startswith(b"HTTP/1.1 408")
        assert b'"code": "request_timeout"' in said
        writer.close()


async def test_more_connections_than_there_may_be_are_closed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 2)
    async with serving() as server:
        async with connected(server) as client:
            await client.wait("session.created")
            _, second = await dial(server)
            reader, third = await dial(server)
            assert await read_to_the_end(reader) == b""
            for writer in (second, third):
                writer.close()
                await writer.wait_closed()
        assert (await post(server, "client_secrets"))[0] == 200


# Strangers


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])  # noqa: S104
def test_who_listens_everywhere_is_reached_by_address_and_by_the_names_it_was_told(
    host: str,
) -> None:
    rules = AccessRules(host, hosts=["voice.example"])
    assert rules.allows_host("192.0.2.7:8080")
    assert rules.allows_host("[2001:db8::1]:8080")
    assert rules.allows_host("voice.example:8080")
    assert not rules.allows_host("evil.example")


def test_who_listens_on_one_address_is_not_reached_by_another_one() -> None:
    rules = AccessRules("127.0.0.1")
    assert rules.allows_host("127.0.0.1:8080")
    assert not rules.allows_host("192.0.2.7")


async def test_a_socket_from_a_page_of_another_site_is_refused() -> None:
    async with serving() as server:
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            async with connected(server, headers={**BEARER, "Origin": "https://evil.example"}):
                pass
    assert raised.value.status == 403


async def test_a_socket_under_another_name_is_refused() -> None:
    async with serving() as server:
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            async with connected(server, headers={**BEARER, "Host": "evil.example"}):
                pass
    assert raised.value.status == 403


# Too much


async def test_more_sessions_than_there_may_be_are_refused_until_one_ends() -> None:
    async with serving(max_sessions=2) as server, StockCaller() as caller:
        await caller.call(server.url)
        async with connected(server) as client:
            await client.wait("session.created")
            with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
                async with connected(server):
                    pass
            assert raised.value.status == 429
            headers = {**BEARER, "Content-Type": "application/sdp"}
            status, body = await post(server, "calls", headers=headers, data="v=0")
            assert (status, body["error"]["code"]) == (429, "rate_limit_exceeded")
            assert "at most 2" in body["error"]["message"]
        async with connected(server) as client:
            await client.wait("session.created")


async def test_a_call_that_cannot_be_answered_takes_no_place() -> None:
    async with serving(max_sessions=1) as server:
        headers = {**BEARER, "Content-Type": "application/sdp"}
        for _ in range(3):
            status, _ = await post(server, "calls", headers=headers, data="v=0")
            assert status == 400
        assert server._routes is not None
        assert server._routes._calls == {}
        for session in server.sessions:
            assert "SDP offer cannot be used" in str(session.ended)


async def test_a_message_too_large_is_an_error_and_the_session_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door, "MAX_MESSAGE_CHARS", 1_000)
    async with serving() as server, connected(server) as client:
        await client.write("x" * 1_000)
        error = await client.wait("error")
        assert error["error"]["code"] == "message_too_large"
        assert (await client.ask("small"))["status"] == "completed"


async def test_an_idle_session_ends_with_an_error_of_the_api_s_shape() -> None:
    async with serving(max_idle_s=SHORT_S) as server, connected(server) as client:
        message = await client.wait_closed()
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert client.types()[-1] == "error"
        assert set(client.events[-1]["error"]) == {"type", "code", "message", "param", "event_id"}
        (session,) = server.sessions
    assert session.ended not in (None, "the client left", "the server ended")


async def test_a_call_that_is_ended_says_why() -> None:
    async with serving(max_session_s=1.5) as server, StockCaller() as caller:
        await caller.call(server.url)
        closed = asyncio.Event()
        caller.pc.on(
            "connectionstatechange",
            lambda: closed.set() if caller.pc.connectionState == "closed" else None,
        )
        async with asyncio.timeout(DEADLINE_S):
            await closed.wait()
        (session,) = server.sessions
        assert "maximum duration" in str(session.ended)


async def test_a_session_ends_when_its_time_is_over() -> None:
    async with serving(max_session_s=SHORT_S) as server, connected(server) as client:
        await client.wait_closed()
        assert client.events[-1]["error"]["code"] == "session_expired"


# The end


class Stubborn(Responder):
    """Neither stops answering nor closes."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def respond(self, turn: Turn) -> AsyncGenerator[AnswerPiece]:
        yield TextPiece("I ")

    async def close(self) -> None:
        await self.released.wait()


async def test_closing_has_a_deadline(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "CLOSE_DEADLINE_S", SHORT_S)
    server = LocalRealtimeServer(responder=ParrotResponder())
    await server.open()
    server._owned_responder = Stubborn()
    with caplog.at_level(logging.WARNING):
        async with asyncio.timeout(DEADLINE_S):
            await server.close()
    assert "still ran" in caplog.text


async def test_closing_tells_sockets_and_stops_listening() -> None:
    async with serving() as server:
        address = address_of(server)
        async with connected(server) as client:
            await client.wait("session.created")
            await server.close()
            message = await client.wait_closed()
            assert message.data == aiohttp.WSCloseCode.GOING_AWAY
            with socket.socket() as probe:
                assert probe.connect_ex(address) != 0
    assert [session.ended for session in server.sessions] == ["the server ended"]


async def test_a_call_of_a_caller_who_gives_up_while_calling_is_ended() -> None:
    async with serving() as server, StockCaller() as caller:
        offer = await caller.offer()
        reader, writer = await dial(server)
        head = (
            "POST /v1/realtime/calls HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: {bearer('sk')['Authorization']}\r\nContent-Type: application/sdp\r\n"
            f"Content-Length: {len(offer)}\r\n\r\n"
        )
        writer.write((head + offer).encode())
        writer.transport.abort()
        await read_to_the_end(reader)
        assert (await post(server, "client_secrets", json={"session": {"model": MODEL}}))[0] == 200
