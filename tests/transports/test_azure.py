"""Where an Azure deployment is, and how its clients are let in."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest
from pydantic import SecretStr

from realtime_core.errors import ConnectError, ConnectStage, TransportError, UserError
from realtime_transports import azure
from realtime_transports.azure import AzureRealtime
from realtime_transports.sip import OpenAIRealtimeSIP
from realtime_transports.websocket import OpenAIRealtimeWebSocket
from tests.transports.http_answers import Http, answer
from tests.transports.sockets import Line

KEY = "azure-key-0123456789"
RESOURCE = "https://mine.openai.azure.com/"


def make(http: Http | None = None, **options: Any) -> AzureRealtime:
    given = options or {"api_key": KEY}
    return AzureRealtime(RESOURCE, "my deployment", http=http or Http(), **given)


async def connect(azure: AzureRealtime) -> Any:
    line = Line()
    options = {**azure.websocket_options(), "create_web_socket": line}
    async with OpenAIRealtimeWebSocket(**options) as transport:
        await transport.connect()
    return line.socket


async def test_a_websocket_names_the_deployment_and_shows_the_api_key():
    socket = await connect(make())
    assert socket.request.url == (
        "wss://mine.openai.azure.com/openai/v1/realtime?model=my%20deployment"
    )
    assert socket.request.headers["api-key"] == KEY
    assert "Authorization" not in socket.request.headers
    assert socket.sent[0]["session"]["model"] == "my deployment"


async def test_a_token_is_asked_for_at_each_connection():
    tokens = iter(["one", "two"])

    async def give() -> str:
        return next(tokens)

    azure = make(token_provider=give)
    shown = [(await connect(azure)).request.headers["Authorization"] for _ in range(2)]
    assert shown == ["Bearer one", "Bearer two"]
    plain = make(token_provider=lambda: "three")
    assert (await connect(plain)).request.headers["Authorization"] == "Bearer three"


async def test_each_webrtc_call_gets_an_ephemeral_key_for_the_deployment():
    http = Http(answer(200, {"value": "ek_1"}), answer(200, {"value": "ek_2"}))
    azure = AzureRealtime(RESOURCE, "d", api_key=SecretStr(KEY), session={"audio": {}}, http=http)
    options = azure.webrtc_options()
    assert options["base_url"] == "https://mine.openai.azure.com/openai/v1/realtime/calls"
    assert options["use_insecure_api_key"]
    keys = [await options["api_key"]() for _ in range(2)]
    assert [key.get_secret_value() for key in keys] == ["ek_1", "ek_2"]
    request = http.requests[0]
    assert request.url == "https://mine.openai.azure.com/openai/v1/realtime/client_secrets"
    assert request.headers["api-key"] == KEY
    assert request.json() == {"session": {"type": "realtime", "model": "d", "audio": {}}}


async def test_an_ephemeral_key_is_had_for_a_token_too():
    http = Http(answer(200, {"value": "ek_1"}))
    await make(http, token_provider=lambda: "token").create_client_secret()
    assert http.requests[0].headers["Authorization"] == "Bearer token"


async def test_calls_of_a_resource_are_at_the_resource():
    http = Http(answer())
    options = make(http).sip_options()
    async with OpenAIRealtimeSIP(**options, http=http) as transport:
        await transport.hangup("c")
    assert http.requests[0].url == (
        "https://mine.openai.azure.com/openai/v1/realtime/calls/c/hangup"
    )
    assert http.requests[0].headers["api-key"] == KEY


@pytest.mark.parametrize(
    ("given", "status", "message"),
    [
        (answer(401, {"error": {"message": f"bad key {KEY}"}}), 401, r"bad key \[key\]"),
        (answer(200, {"no": "value"}), None, "no ephemeral key"),
        (answer(200, "text"), None, "no ephemeral key"),
        (TransportError(f"refused {KEY}"), None, r"refused \[key\]"),
    ],
)
async def test_a_key_that_is_not_given_is_told_without_the_other(
    given: Any, status: int | None, message: str
):
    with pytest.raises(ConnectError, match=message) as info:
        await make(Http(given)).create_client_secret()
    assert (info.value.stage, info.value.status) == (ConnectStage.KEY, status)
    assert KEY not in "".join(traceback.format_exception(info.value))


@pytest.mark.parametrize("resource", ["mine.openai.azure.com", "http://mine.test", "", "https://"])
def test_a_resource_has_an_https_address(resource: str):
    with pytest.raises(UserError, match="Azure endpoint"):
        AzureRealtime(resource, "d", api_key=KEY)


async def test_a_token_that_never_comes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    async def never() -> str:
        await asyncio.Event().wait()
        return KEY

    monkeypatch.setattr(azure, "CREDENTIAL_TIMEOUT_S", 0.01)
    with pytest.raises(ConnectError, match=r"no token came within 0\.01 s") as info:
        await make(token_provider=never).create_client_secret()
    assert info.value.stage is ConnectStage.KEY


def test_one_way_to_be_let_in_is_needed_and_only_one():
    for options in ({}, {"api_key": KEY, "token_provider": lambda: "t"}):
        with pytest.raises(UserError, match="either"):
            AzureRealtime(RESOURCE, "d", **options)


def test_the_key_is_not_shown():
    assert KEY not in repr(vars(make()))
    assert KEY not in repr(make().websocket_options())
