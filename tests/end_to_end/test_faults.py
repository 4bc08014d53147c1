"""Every way in which a call may not come about ends in one typed error, and in nothing left."""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from realtime_core.errors import ConnectError, ConnectStage, TransportError
from realtime_transports.connecting import ConnectTimeouts
from realtime_transports.http_client import AiohttpClient, HttpAnswer
from realtime_transports.local_server import LocalRealtimeServer
from realtime_transports.webrtc.transport import OpenAIRealtimeWebRTC
from tests.end_to_end.bad_servers import FAULTS, SHORT_S, Fault
from tests.end_to_end.calls import DEADLINE_S, Log, Peer, serving, serving_peer

KEY = "sk-proj-0123456789abcdef"


def timeouts_for(fault: Fault) -> ConnectTimeouts:
    """A short deadline for the stage that fails; the others may take as long as they do."""
    return ConnectTimeouts(**{f"{fault.stage.value}_s": SHORT_S}) if fault.is_slow else LONG


LONG = ConnectTimeouts()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_a_fault_ends_in_a_typed_error_and_the_next_call_works(fault: Fault) -> None:
    transport = OpenAIRealtimeWebRTC(
        source=None, sink=None, loopback=True, api_key=KEY, timeouts=timeouts_for(fault)
    )
    log = Log(transport)
    async with transport, asyncio.timeout(DEADLINE_S):
        async with fault.serve() as url:
            with pytest.raises(ConnectError) as caught:
                await transport.connect(url=url)
            error = caught.value
            assert error.stage is fault.stage, error
            assert error.status == fault.status
            assert str(error)
            for part in fault.says:
                assert part in str(error)
            assert transport.status == "disconnected"
            assert transport.call_id is None
            # As with OpenAI Agents JS, a connection that failed by itself is told by the status
            # alone; whatever else went wrong comes as `error` too. `connect` raises it anyway.
            assert log.errors() in ([], [error])
            assert log.names.count("disconnected") == 1
            await transport.wait_closed()

        # The deadline of the fault is too short for a busy machine.
        transport._settings = replace(transport._settings, timeouts=LONG)
        async with LocalRealtimeServer(responder="parrot") as good:
            await transport.connect(url=f"{good.url}/realtime/calls")
            assert transport.status == "connected"
            transport.close()
            await transport.wait_closed()


async def test_a_redirect_is_not_followed() -> None:
    visited: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        visited.append(request.path)
        return web.Response()

    async with serving(elsewhere) as target:

        async def redirect(request: web.Request) -> web.Response:
            return web.Response(status=308, headers={"Location": target})

        async with (
            serving(redirect) as url,
            OpenAIRealtimeWebRTC(source=None, sink=None, api_key=KEY) as transport,
        ):
            with pytest.raises(ConnectError) as caught:
                await transport.connect(url=url)
    assert caught.value.status == 308
    assert any("redirects are not followed" in note for note in caught.value.__notes__)
    assert visited == []


@pytest.mark.parametrize("encoding", [None, "gzip"])
async def test_an_endless_answer_costs_no_memory(encoding: str | None) -> None:
    sent = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(status=201)
        if encoding:
            response.enable_compression(web.ContentCoding.gzip)
        await response.prepare(request)
        for _ in range(200):
            await response.write(bytes(1_000_000))
            sent += 1
        return response

    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with (
        serving(handle) as url,
        OpenAIRealtimeWebRTC(source=None, sink=None, api_key=KEY) as transport,
    ):
        with pytest.raises(ConnectError, match="more than 1000000 bytes"):
            await transport.connect(url=url)
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    assert grown_kb < 60_000
    if not encoding:  # compressed, all of it fits into the sockets' buffers
        assert sent < 200


SERVER = """
import asyncio
from realtime_transports.local_server import LocalRealtimeServer

async def main():
    async with LocalRealtimeServer(responder="parrot") as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def server_process() -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """A good server that can be killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, stdout=asyncio.subprocess.PIPE, cwd=Path.cwd()
    )
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().strip()
        yield f"{url}/realtime/calls", process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


class KillsAfterAnswer(AiohttpClient):
    """Kills the server when it has answered, so that nobody is behind the answer."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        super().__init__()
        self._process = process

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        answer = await super().post(url, headers=headers, body=body)
        self._process.kill()
        await self._process.wait()
        return answer


async def test_a_server_killed_after_its_answer_is_noticed_at_stage_ice() -> None:
    async with server_process() as (url, process):
        transport = OpenAIRealtimeWebRTC(
            source=None,
            sink=None,
            loopback=True,
            api_key=KEY,
            timeouts=ConnectTimeouts(ice_s=SHORT_S),
            http=KillsAfterAnswer(process),
        )
        async with transport, asyncio.timeout(DEADLINE_S):
            with pytest.raises(ConnectError, match="TURN") as caught:
                await transport.connect(url=url)
    assert caught.value.stage is ConnectStage.ICE


async def test_a_server_that_dies_between_answer_and_confirmation_is_noticed() -> None:
    class DropsItsSockets(Peer):
        def reply(self, event: dict[str, object]) -> None:
            for protocol in self.call._pc.sctp.transport.transport._connection._protocols:
                protocol.transport.abort()

    async with (
        serving_peer(DropsItsSockets()) as url,
        OpenAIRealtimeWebRTC(
            source=None,
            sink=None,
            loopback=True,
            api_key=KEY,
            timeouts=ConnectTimeouts(session_s=SHORT_S),
        ) as transport,
        asyncio.timeout(DEADLINE_S),
    ):
        with pytest.raises(ConnectError) as caught:
            await transport.connect(url=url)
        assert caught.value.stage is ConnectStage.SESSION
        assert transport.status == "disconnected"


@pytest.mark.parametrize("raised", [TimeoutError("the vault is slow"), OSError("no vault")])
async def test_an_error_of_the_key_function_is_told_as_it_is(raised: Exception) -> None:
    def give_key() -> str:
        raise raised

    async with OpenAIRealtimeWebRTC(source=None, sink=None, api_key=give_key) as transport:
        with pytest.raises(ConnectError, match=str(raised)) as caught:
            await transport.connect(url="http://127.0.0.1:9")
    assert caught.value.stage is ConnectStage.KEY
    assert "took longer" not in str(caught.value)


async def test_a_key_function_that_never_returns_has_a_deadline() -> None:
    async def give_key() -> str:
        await asyncio.Event().wait()
        raise AssertionError

    transport = OpenAIRealtimeWebRTC(
        source=None, sink=None, api_key=give_key, timeouts=ConnectTimeouts(key_s=0.05)
    )
    async with transport, asyncio.timeout(DEADLINE_S):
        with pytest.raises(ConnectError, match="stage key took longer") as caught:
            await transport.connect(url="http://127.0.0.1:9")
    assert caught.value.stage is ConnectStage.KEY


async def test_a_failed_call_that_nobody_listens_to_raises_once() -> None:
    async with OpenAIRealtimeWebRTC(source=None, sink=None, api_key=KEY) as transport:
        with pytest.raises(TransportError):
            await transport.connect(url="not a url")
        assert transport.status == "disconnected"
