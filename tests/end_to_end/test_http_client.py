"""`AiohttpClient`: its deadline, and what it takes from the environment."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import encode_basic_auth, web
from pydantic import SecretStr

from realtime_core.errors import ConnectError, TransportError
from realtime_transports.http_client import AiohttpClient
from realtime_transports.proxy import proxy_for
from realtime_transports.websocket import OpenAIRealtimeWebSocket
from realtime_transports.websocket.endpoint import SocketOptions, open_with_aiohttp
from realtime_transports.websocket.socket import SocketRequest
from tests.end_to_end.bad_servers import raw_server
from tests.end_to_end.calls import serving

KEY = "sk-proj-0123456789abcdef"
PASSWORD = "hunter2"
BEARER = {"Authorization": f"Bearer {KEY}"}
AZURE = {"api-key": KEY}


@dataclass
class Asked:
    """What a server or proxy was asked."""

    urls: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)


@asynccontextmanager
async def server(asked: Asked) -> AsyncIterator[str]:
    """Answers everything alike, and keeps it."""

    async def handle(request: web.Request) -> web.Response:
        asked.urls.append(str(request.url))
        asked.headers.append(request.headers)
        return web.Response(text="hello")

    async with serving(handle) as url:
        yield url


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.fixture
def netrc(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file with passwords for every machine."""
    path = tmp_path / "netrc"
    path.write_text(f"default login me password {PASSWORD}\n")
    environment.setenv("NETRC", str(path))


async def post(url: str, headers: Mapping[str, str] = BEARER) -> bytes:
    answer = await AiohttpClient().post(url, headers=headers, body=b"x")
    return answer.body


async def open_socket(url: str, headers: Mapping[str, str] = BEARER) -> None:
    request = SocketRequest(url.replace("http", "ws", 1), SecretStr(KEY), headers)
    async with open_with_aiohttp(request, SocketOptions()):
        pass


async def test_a_server_that_never_answers_is_given_up() -> None:
    async with raw_server(b"", hang_up=False) as url:
        with pytest.raises(TransportError, match=r"did not answer within 0\.05 s") as caught:
            await AiohttpClient(timeout_s=0.05).post(url, headers=BEARER, body=b"")
    assert KEY not in "".join(traceback.format_exception(caught.value))


async def test_an_answer_that_never_ends_is_given_up() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    async with raw_server(head, hang_up=False) as url:
        with pytest.raises(TransportError, match=r"did not answer within 0\.05 s"):
            await AiohttpClient(timeout_s=0.05).post(url, headers=BEARER, body=b"")


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "localhost:8080/v1", "/v1", "ftp://host/v1"])
async def test_an_address_without_the_right_scheme_is_told_what_it_lacks(url: str) -> None:
    with pytest.raises(TransportError) as caught:
        await AiohttpClient().post(url, headers=BEARER, body=b"")
    assert str(caught.value) == f"{url} is no URL that can be used: it needs http:// or https://"
    with pytest.raises(ConnectError) as refused:
        async with open_with_aiohttp(SocketRequest(url, SecretStr(KEY), BEARER), SocketOptions()):
            pass
    assert str(refused.value) == f"{url} is no URL that can be used: it needs ws:// or wss://"


@pytest.mark.usefixtures("netrc")
@pytest.mark.parametrize("headers", [BEARER, AZURE])
async def test_passwords_of_netrc_are_not_sent(headers: Mapping[str, str]) -> None:
    asked = Asked()
    async with server(asked) as url:
        assert await post(url, headers) == b"hello"
        with pytest.raises(ConnectError, match="status 200"):
            await open_socket(url, headers)
    assert [sent.get("Authorization") for sent in asked.headers] == (
        [headers.get("Authorization")] * 2
    )


@pytest.mark.usefixtures("netrc")
async def test_passwords_of_netrc_are_not_sent_to_a_proxy(
    environment: pytest.MonkeyPatch,
) -> None:
    asked = Asked()
    async with server(asked) as url:
        environment.setenv("http_proxy", url)
        await post("http://realtime.invalid/v1")
    assert asked.urls == ["http://realtime.invalid/v1"]
    assert "Proxy-Authorization" not in asked.headers[0]


async def test_a_proxy_gets_the_credentials_of_its_address(
    environment: pytest.MonkeyPatch,
) -> None:
    asked = Asked()
    async with server(asked) as url:
        environment.setenv("http_proxy", url.replace("//", "//me:p%40ss@", 1))
        await post("http://realtime.invalid/v1")
        with pytest.raises(ConnectError, match="status 200"):
            await open_socket("http://realtime.invalid/v1")
    assert asked.urls == ["http://realtime.invalid/v1"] * 2
    expected = encode_basic_auth("me", "p@ss")
    assert [sent.get("Proxy-Authorization") for sent in asked.headers] == [expected] * 2


async def test_a_proxy_that_is_not_there_is_told_without_its_password(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("http_proxy", f"http://me:{PASSWORD}@127.0.0.1:9")
    with pytest.raises(TransportError, match="cannot be reached") as caught:
        await post("http://realtime.invalid/v1")
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in repr(caught.value.__cause__)


async def test_hosts_of_no_proxy_are_asked_directly(environment: pytest.MonkeyPatch) -> None:
    asked = Asked()
    async with server(asked) as url:
        environment.setenv("http_proxy", "http://127.0.0.1:9")
        environment.setenv("no_proxy", "127.0.0.1")
        assert await post(url) == b"hello"


@pytest.mark.parametrize(
    ("proxy", "url", "expected"),
    [
        ("", "http://a.example/v1", None),
        ("http://p.example:3128", "http://a.example/v1", "http://p.example:3128"),
        ("http://p.example:3128", "https://a.example/v1", None),
        ("p.example:3128", "http://a.example/v1", "http://p.example:3128"),
        ("http://p.example:3128", "http://b.example/v1", None),
        ("http://p.example:3128", "http://c.example:8080/v1", None),
        ("http://p.example:3128", "http://c.example/v1", "http://p.example:3128"),
        ("http://p.example:3128", "http://[::1]:8080/v1", None),
    ],
)
def test_the_environment_names_the_proxy(
    environment: pytest.MonkeyPatch, proxy: str, url: str, expected: str | None
) -> None:
    environment.setenv("http_proxy", proxy)
    environment.setenv("no_proxy", "b.example,c.example:8080,::1")
    assert proxy_for(url) == expected


@pytest.mark.parametrize(
    "proxy",
    [
        f"socks5://me:{PASSWORD}@p.example",
        f"http://me:{PASSWORD}@p.example:port",
        f"http://me:{PASSWORD}@p.example:99999",
        f"http://me:{PASSWORD}@[::1",
        f"http://me:{PASSWORD}@",
    ],
)
async def test_a_proxy_that_cannot_be_used_is_told_without_its_password(
    environment: pytest.MonkeyPatch, proxy: str
) -> None:
    environment.setenv("http_proxy", proxy)
    with pytest.raises(TransportError, match="http_proxy") as posted:
        await post("http://realtime.invalid/v1")
    async with OpenAIRealtimeWebSocket(url="ws://realtime.invalid/v1", api_key=KEY) as transport:
        with pytest.raises(ConnectError, match="http_proxy") as opened:
            async with asyncio.timeout(10):
                await transport.connect()
    for caught in (posted.value, opened.value):
        assert PASSWORD not in "".join(traceback.format_exception(caught))
