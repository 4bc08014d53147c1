"""What the local server does not put up with: strangers, silence, too much of anything."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from realtime_core.errors import TransportError
from realtime_core.serving import RefusedRequest
from realtime_transports.local_server import (
    AnswerPiece,
    LocalRealtimeServer,
    ParrotResponder,
    Responder,
    TextPiece,
    Turn,
    door,
    ending,
    guard,
    websocket,
)
from realtime_transports.local_server import server as server_module
from realtime_transports.local_server.guard import AccessRules
from tests.end_to_end.server_clients import BEARER, MODEL, Client, bearer, connected, post, serving
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


class Noticed:
    """Waits for what the server tells."""

    def __init__(self) -> None:
        self.refused: list[RefusedRequest] = []
        self._changed = asyncio.Event()

    def request_refused(self, request: RefusedRequest, /) -> None:
        self.refused.append(request)
        self._changed.set()

    def _note(self, *_: object) -> None:
        self._changed.set()

    session_started = event_passed = turn_done = session_ended = _note

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


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


async def test_a_caller_who_leaves_in_the_middle_of_a_body_is_told_of_and_no_defect(
    caplog: pytest.LogCaptureFixture,
) -> None:
    noticed = Noticed()
    async with serving(observer=noticed) as server:
        _, writer = await dial(server)
        writer.write(
            b"POST /v1/realtime/calls HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer k\r\n"
            b"Content-Type: application/sdp\r\nContent-Length: 500\r\n\r\nv=0"
        )
        await writer.drain()
        writer.close()
        await noticed.until(lambda: noticed.refused)
    assert [refused.code for refused in noticed.refused] == ["client_left"]
    assert "Traceback" not in caplog.text


class Talkative(Responder):
    """Never ends by itself."""

    async def respond(self, turn: Turn) -> AsyncGenerator[AnswerPiece]:
        while True:
            yield TextPiece("bla ")


async def test_words_without_end_hold_no_call_up() -> None:
    async with serving(responder=Talkative()) as server, StockCaller() as caller:
        await caller.call(server.url)
        caller.send("response.create", response={"output_modalities": ["text"]})
        await caller.wait("response.output_text.delta", 3)
        caller.send("session.update", session={"instructions": "still there?"})
        await caller.wait("session.updated")


async def test_what_a_caller_who_left_does_not_hear_any_more_is_nothing_to_warn_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    noticed = Noticed()
    async with serving(responder=Talkative(), observer=noticed) as server:
        async with StockCaller() as caller:
            await caller.call(server.url)
            caller.send("response.create", response={"output_modalities": ["text"]})
            await caller.wait("response.output_text.delta", 3)
        await noticed.until(lambda: server.sessions[0].ended)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# Clients that do not read


@asynccontextmanager
async def deaf_client(**options: Any) -> AsyncIterator[tuple[LocalRealtimeServer, Client]]:
    """A client that has stopped reading, to which much more was sent than the network takes."""
    noticed = Noticed()
    async with serving(observer=noticed, **options) as server, connected(server) as client:
        await client.wait("session.created")
        transport = client.socket._response.connection.transport
        transport.pause_reading()
        for _ in range(20):
            await client.send("session.update", session={"instructions": "x" * 900_000})
        (session,) = server.sessions
        await noticed.until(lambda: len(session.client_events) == 20 or session.ended)
        yield server, client
        transport.resume_reading()


async def a_place_is_free(server: LocalRealtimeServer) -> None:
    """Each attempt is a request, so this needs no pause."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                async with connected(server):
                    return
            except aiohttp.WSServerHandshakeError as exc:
                if exc.status != 429:
                    raise


async def test_a_client_that_does_not_read_keeps_no_server_from_forgetting_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "LAST_WORD_DEADLINE_S", SHORT_S)
    async with deaf_client() as (server, _):
        async with asyncio.timeout(DEADLINE_S):
            await server.forget_sessions()
        await post(server, "client_secrets")


@pytest.mark.parametrize("options", [{"max_session_s": 1.0}, {"faults": ["disconnect@10"]}])
async def test_a_client_that_does_not_read_keeps_no_place_when_its_session_has_ended(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(websocket, "LAST_WORD_DEADLINE_S", SHORT_S)
    async with deaf_client(max_sessions=1, **options) as (server, _):
        await a_place_is_free(server)


async def test_what_waits_for_a_client_that_does_not_read_is_bounded_and_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "MAX_UNSENT_CHARS", 2_000_000)
    async with deaf_client() as (_, client):
        client.socket._response.connection.transport.resume_reading()
        error = await client.wait("error")
    assert error["error"]["code"] == "event_not_sent"
    assert "does not read" in error["error"]["message"]
    assert 2 <= client.types().count("session.updated") < 20


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


class Clinging(Responder):
    """Goes on answering until it is closed, whatever is asked of it."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def respond(self, turn: Turn) -> AsyncGenerator[AnswerPiece]:
        yield TextPiece("I ")
        while not self.released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.released.wait()

    async def close(self) -> None:
        self.released.set()


async def test_a_responder_is_closed_though_its_sessions_did_not_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ending, "STOP_DEADLINE_S", SHORT_S)
    responder = Clinging()
    server = LocalRealtimeServer(responder=responder)
    await server.open()
    server._owned_responder = responder
    async with StockCaller() as caller:
        await caller.call(server.url)
        caller.send("response.create", response={"output_modalities": ["text"]})
        await caller.wait("response.output_text.delta")
        async with asyncio.timeout(DEADLINE_S):
            await server.close()
    assert responder.released.is_set()
    assert "Clinging goes on though it was cancelled" in caplog.text


class Opening(Responder):
    """Has its server closed while it opens."""

    server: LocalRealtimeServer

    async def respond(self, turn: Turn) -> AsyncGenerator[AnswerPiece]:
        yield TextPiece("never")

    async def open(self) -> None:
        await self.server.close()


async def test_a_server_that_is_closed_while_it_opens_stays_closed() -> None:
    responder = Opening()
    server = responder.server = LocalRealtimeServer()
    server._make_responder = lambda: own(server, responder)  # type: ignore[method-assign]
    with pytest.raises(TransportError, match="closed while it opened"):
        await server.open()
    with pytest.raises(TransportError, match="not open"):
        _ = server.url


def own(server: LocalRealtimeServer, responder: Responder) -> Responder:
    server._owned_responder = responder
    return responder


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
