"""A key shows nowhere, whatever goes wrong and whoever repeats it."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from realtime_core.errors import ConnectError
from realtime_transports.connecting import ConnectRequest, ConnectTimeouts
from realtime_transports.http_client import MAX_DETAIL_CHARS
from realtime_transports.webrtc.options import IceServer
from realtime_transports.webrtc.transport import OpenAIRealtimeWebRTC
from tests.end_to_end.bad_servers import FAULTS, SHORT_S, Fault, raw_server
from tests.end_to_end.calls import DEADLINE_S, Log, Peer, serving, serving_peer

CANARY = "sk-proj-canary-7Yq2mZp4Xw9LkT3vRb8N"
PART = "7Yq2mZp4"
"""Of this, not even a part may show."""

TURN_SECRET = "turn-canary-5Hs8dKf1"
HEADER_SECRET = "header-canary-2Jd7sPq9"
PROXY_SECRET = "proxy-canary-6Gt3hWe5"
SECRETS = (PART, TURN_SECRET, HEADER_SECRET, PROXY_SECRET)

Serve = Callable[[], AbstractAsyncContextManager[str]]


class Evidence:
    """Everything that was said, shown or written."""

    def __init__(self, caplog: pytest.LogCaptureFixture, folder: Path) -> None:
        self._caplog = caplog
        self._folder = folder
        self._texts: list[str] = []

    def add(self, *things: object) -> None:
        for thing in things:
            self._texts += [repr(thing), str(thing)]

    def add_error(self, error: BaseException) -> None:
        self.add(error, *getattr(error, "__notes__", ()))
        self.add(vars(error))
        self._texts += traceback.format_exception(error)
        detailed = traceback.TracebackException.from_exception(error, capture_locals=True)
        self._texts += detailed.format()
        context = None if error.__suppress_context__ else error.__context__
        for chained in (error.__cause__, context):
            if chained is not None:
                self.add_error(chained)

    def check(self) -> None:
        formatter = logging.Formatter()
        texts = [*self._texts, *(formatter.format(record) for record in self._caplog.records)]
        for path in self._folder.rglob("*"):
            texts.append(str(path))
            if path.is_file():
                texts.append(path.read_bytes().decode("latin-1"))
        for secret in SECRETS:
            assert [text for text in texts if secret in text] == []


@pytest.fixture
def evidence(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Evidence]:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    found = Evidence(caplog, tmp_path)
    yield found
    found.check()


def make_transport(**options: Any) -> OpenAIRealtimeWebRTC:
    return OpenAIRealtimeWebRTC(
        **{
            "source": None,
            "sink": "file:answer.wav",
            "loopback": True,
            "headers": {"X-Secret": HEADER_SECRET},
            **options,
        }
    )


async def fail_to_connect(evidence: Evidence, url: str, **options: Any) -> ConnectError:
    transport = make_transport(**options)
    log = Log(transport)
    async with transport, asyncio.timeout(DEADLINE_S):
        evidence.add(transport, transport.connection_state, vars(transport))
        with pytest.raises(ConnectError) as caught:
            await transport.connect(url=url, api_key=CANARY)
        evidence.add_error(caught.value)
        evidence.add(transport, transport.connection_state, vars(transport), log.events)
        evidence.add(transport._settings, transport._settings.signaling)
    return caught.value


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_no_fault_shows_the_key(fault: Fault, evidence: Evidence) -> None:
    timeouts = ConnectTimeouts(**{f"{fault.stage.value}_s": SHORT_S}) if fault.is_slow else None
    async with fault.serve() as url:
        await fail_to_connect(evidence, url, timeouts=timeouts)


def _answering(**options: Any) -> Serve:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(**options)

    return lambda: serving(handle)


def _error(message: str) -> str:
    return json.dumps({"error": {"message": message}})


def _with_sdp(change: Callable[[str], str]) -> Serve:
    class Changing(Peer):
        def change_answer(self, sdp: str) -> str:
            return change(sdp)

    return lambda: serving_peer(Changing())


class _Rejecting(Peer):
    def reply(self, event: dict[str, Any]) -> None:
        self.send("error", error={"message": f"the key {CANARY} may not do this"})


ECHOES: dict[str, Serve] = {
    "message": _answering(status=401, text=_error(f"Incorrect API key provided: {CANARY}.")),
    "body": _answering(status=403, text=f"<html>{CANARY}</html>"),
    "body at the cut": _answering(status=403, text="x" * (MAX_DETAIL_CHARS - 20) + CANARY),
    "message at the cut": _answering(
        status=403, text=_error("x" * (MAX_DETAIL_CHARS - 20) + CANARY)
    ),
    "reason": _answering(status=401, reason=f"Bearer {CANARY}"),
    "headers": _answering(status=401, headers={"WWW-Authenticate": CANARY, "Location": CANARY}),
    "compressed": _answering(
        status=401, body=gzip.compress(CANARY.encode()), headers={"Content-Encoding": "gzip"}
    ),
    "status line": lambda: raw_server(f"HTTP/1.1 {CANARY}\r\n\r\n".encode()),
    "header line": lambda: raw_server(f"HTTP/1.1 200 OK\r\n{CANARY}\r\n\r\n".encode()),
    "chunk": lambda: raw_server(
        f"HTTP/1.1 201 OK\r\nTransfer-Encoding: chunked\r\n\r\n{CANARY}\r\n".encode()
    ),
    "call id and SDP": _answering(status=201, text=CANARY, headers={"Location": f"/x/{CANARY}"}),
    "SDP": _with_sdp(lambda sdp: sdp.replace("a=sctp-port:5000", f"a=sctp-port:{CANARY}")),
    "media line": _with_sdp(lambda sdp: re.sub(r"m=audio \d+", f"m=audio {CANARY}", sdp)),
    "event": lambda: serving_peer(_Rejecting()),
}


@pytest.mark.parametrize("echo", ECHOES)
async def test_a_server_that_repeats_the_key_does_not_make_it_show(
    echo: str, evidence: Evidence
) -> None:
    async with ECHOES[echo]() as url:
        await fail_to_connect(evidence, url)


async def test_a_call_whose_id_repeats_the_key_does_not_show_it(evidence: Evidence) -> None:
    class EchoingPeer(Peer):
        async def handle(self, request: web.Request) -> web.Response:
            answer = await super().handle(request)
            answer.headers["Location"] = f"/v1/realtime/calls/{CANARY}?x=1"
            return answer

    async with serving_peer(EchoingPeer()) as url, make_transport(api_key=CANARY) as transport:
        await transport.connect(url=url)
        evidence.add(transport, transport.connection_state, vars(transport), transport.call_id)
        assert transport.call_id


async def test_an_error_that_nobody_hears_is_logged_without_the_key(evidence: Evidence) -> None:
    peer = Peer()
    async with serving_peer(peer) as url, make_transport(api_key=CANARY) as transport:
        await transport.connect(url=url)
        heard: list[Any] = []
        arrived = asyncio.Event()
        transport.on("*", heard.append)
        transport.on("session.updated", lambda event: arrived.set())
        peer.send("error", error={"message": f"your key {CANARY} has expired"})
        peer.send("session.updated", session={})
        async with asyncio.timeout(DEADLINE_S):
            await arrived.wait()
        evidence.add(heard)
        assert heard


async def test_a_short_made_up_key_does_not_spoil_what_the_server_says() -> None:
    async with serving_peer(Peer()) as url, make_transport(api_key="e", sink=None) as transport:
        told: list[dict[str, Any]] = []
        transport.on("session.updated", told.append)
        await transport.connect(url=url)
        assert [event["type"] for event in told] == ["session.updated"]
        assert transport.call_id == "rtc_test"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_refuses_does_not_make_the_key_show(
    scheme: str, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = f"HTTP/1.1 407 Who are you, {CANARY}\r\nContent-Length: 0\r\n\r\n".encode()
    async with raw_server(answer) as url:
        proxy = url.replace("http://", f"http://user:{PROXY_SECRET}@").removesuffix(
            "/v1/realtime/calls"
        )
        monkeypatch.setenv(f"{scheme}_proxy", proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        error = await fail_to_connect(evidence, f"{scheme}://realtime.invalid/v1/realtime/calls")
    assert "407" in str(error) or "Who are you" in str(error)


async def test_a_proxy_that_is_not_there_does_not_show_its_password(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", f"http://user:{PROXY_SECRET}@127.0.0.1:9")
    await fail_to_connect(evidence, "https://realtime.invalid/v1/realtime/calls")


@pytest.mark.parametrize(
    "key", [CANARY + "\n", CANARY + " x", CANARY + "é", "", SecretStr(CANARY + "\0")]
)
async def test_a_key_that_cannot_be_sent_is_refused_unseen(key: Any, evidence: Evidence) -> None:
    async with make_transport() as transport:
        with pytest.raises(Exception, match="key") as caught:
            await transport.connect(url="http://127.0.0.1:9", api_key=key)
        evidence.add(caught.value)
        evidence._texts += traceback.format_exception(caught.value)


@pytest.mark.parametrize("credential", [TURN_SECRET, SecretStr(TURN_SECRET)])
async def test_turn_credentials_do_not_show(
    credential: str | SecretStr, evidence: Evidence
) -> None:
    server = IceServer("turn:127.0.0.1:9?transport=tcp", "user", credential)
    evidence.add(server, vars(server))
    async with serving_peer(Peer()) as url, make_transport(ice_servers=[server]) as transport:
        await transport.connect(url=url, api_key=CANARY)
        evidence.add(transport, transport.connection_state, vars(transport))


def test_a_request_to_connect_does_not_show_its_key(evidence: Evidence) -> None:
    evidence.add(ConnectRequest(CANARY, "http://127.0.0.1:9", {}))
