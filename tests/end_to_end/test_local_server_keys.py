"""Which keys the local server takes, and what it refuses when it is strict."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from realtime_core.errors import UserError
from realtime_transports.local_server import LocalRealtimeServer
from realtime_transports.local_server.errors import ApiError
from realtime_transports.local_server.keys import EphemeralKeys, KeyRing
from tests.end_to_end.server_clients import (
    BEARER,
    MODEL,
    bearer,
    connected,
    new_key,
    post,
    serving,
)
from tests.end_to_end.stock_client import StockCaller

SESSION = {"type": "realtime", "model": MODEL}


async def handshake_error(server: LocalRealtimeServer, **arguments: Any) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
        async with connected(server, **arguments):
            pass
    return raised.value.status


# Keys


@pytest.mark.parametrize("key", ["sk-anything", "x", "sk-" + "ä" * 3])
def test_any_key_is_taken_where_none_was_set(key: str) -> None:
    assert KeyRing().check(key) is None


def test_a_set_key_is_the_only_one_that_is_taken() -> None:
    ring = KeyRing(SecretStr("sk-right"))
    assert ring.check("sk-right") is None
    for wrong in ("sk-wrong", "sk-righ", "sk-right2", "\udcff"):
        with pytest.raises(ApiError) as raised:
            ring.check(wrong)
        assert (raised.value.status, raised.value.code) == (401, "invalid_api_key")
        assert wrong not in raised.value.message


@pytest.mark.parametrize("shown", [None, ""])
def test_no_key_is_refused_with_what_to_do(shown: str | None) -> None:
    with pytest.raises(ApiError, match="Authorization") as raised:
        KeyRing().check(shown)
    assert (raised.value.status, raised.value.code) == (401, "missing_authentication")


def test_an_ephemeral_key_is_taken_until_it_expires() -> None:
    now = 1_000.0
    ring = KeyRing(SecretStr("sk-right"), ephemeral=EphemeralKeys(lambda: now))
    key = ring.ephemeral.create({"model": "m"}, lifetime_s=10)
    assert ring.check(key.value) is key
    now += 9.9
    assert ring.check(key.value) is key
    now += 0.1
    with pytest.raises(ApiError, match="expired") as raised:
        ring.check(key.value)
    assert raised.value.code == "expired_key"
    assert key.value not in raised.value.message


def test_an_ephemeral_key_of_another_server_is_refused() -> None:
    other = EphemeralKeys().create({}, lifetime_s=10)
    with pytest.raises(ApiError, match="did not give out") as raised:
        KeyRing().check(other.value)
    assert raised.value.code == "invalid_api_key"


@pytest.mark.parametrize("api_key", ["", "  "])
def test_an_empty_key_is_no_key_to_ask_for(api_key: str) -> None:
    with pytest.raises(UserError, match="empty"):
        LocalRealtimeServer(api_key=api_key)


async def test_the_body_of_a_refusal_has_the_shape_of_the_api_s() -> None:
    async with serving(api_key="sk-right") as server:
        status, body = await post(server, "client_secrets", headers=bearer("sk-wrong"))
    assert status == 401
    assert body == {
        "error": {
            "message": "Incorrect API key provided.",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_api_key",
        }
    }


async def test_a_set_key_and_the_ephemeral_keys_made_with_it_open_everything() -> None:
    async with serving(api_key="sk-right") as server:
        assert await handshake_error(server) == 401
        status, answer = await post(server, "client_secrets", headers=bearer("sk-right"))
        assert status == 200
        for key in ("sk-right", answer["value"]):
            async with connected(server, headers=bearer(key)) as client:
                await client.wait("session.created")
        assert await handshake_error(server, headers=bearer("ek_made_up")) == 401


async def test_azures_header_and_path_are_taken() -> None:
    async with serving(api_key="sk-right") as server:
        url = server.url.replace("/v1", "/openai/v1/realtime/client_secrets")
        async with aiohttp.ClientSession() as http:
            for key, status in (("sk-right", 200), ("sk-wrong", 401)):
                async with http.post(url, headers={"api-key": key}) as answer:
                    assert answer.status == status


@pytest.mark.parametrize(
    ("expires_after", "lifetime_s"),
    [
        (None, 600),
        ({"anchor": "created_at"}, 600),
        ({"seconds": 10}, 10),
        ({"seconds": 7200}, 7200),
    ],
)
async def test_a_key_lives_as_long_as_was_asked(expires_after: Any, lifetime_s: int) -> None:
    now = 1_000.0
    async with serving() as server:
        server._options.keys.ephemeral._now = lambda: now
        _, answer = await post(server, "client_secrets", json={"expires_after": expires_after})
        assert answer["expires_at"] == 1_000 + lifetime_s


@pytest.mark.parametrize(
    ("expires_after", "param"),
    [
        ({"anchor": "now", "seconds": 60}, "expires_after.anchor"),
        ({"seconds": True}, "expires_after.seconds"),
        ({"seconds": 10.5}, "expires_after.seconds"),
        (60, "expires_after.seconds"),
    ],
)
async def test_a_lifetime_that_is_none_is_refused(expires_after: Any, param: str) -> None:
    async with serving() as server:
        body = {"expires_after": expires_after}
        status, answer = await post(server, "client_secrets", json=body)
    assert (status, answer["error"]["param"]) == (400, param)


async def test_an_expired_key_opens_neither_call_nor_socket() -> None:
    now = 1_000.0
    async with serving() as server:
        server._options.keys.ephemeral._now = lambda: now
        key = await new_key(server, expires_after={"seconds": 10})
        now += 10
        headers = {**bearer(key), "Content-Type": "application/sdp"}
        status, answer = await post(server, "calls", headers=headers, data="v=0")
        assert (status, answer["error"]["code"]) == (401, "expired_key")
        assert await handshake_error(server, headers=bearer(key)) == 401
        protocols = ["realtime", f"openai-insecure-api-key.{key}"]
        assert await handshake_error(server, headers={}, protocols=protocols) == 401


async def test_the_session_of_a_key_holds_over_websocket_too() -> None:
    async with serving() as server:
        key = await new_key(server, session={**SESSION, "instructions": "from the key"})
        async with connected(server, query="", headers=bearer(key)) as client:
            created = await client.wait("session.created")
    assert created["session"]["instructions"] == "from the key"


# Strictness


async def call_status(
    server: LocalRealtimeServer, key: str, session: dict[str, Any] | None
) -> tuple[int, str | None]:
    """How a call is answered that has an unusable offer: 400 of `sdp` is as far as it gets."""
    if session is None:
        headers = {**bearer(key), "Content-Type": "application/sdp"}
        status, body = await post(server, "calls", headers=headers, data="v=0")
    else:
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("sdp", "v=0")
        form.add_field("session", json.dumps(session))
        status, body = await post(server, "calls", headers=bearer(key), data=form)
    return status, body["error"]["param"]


async def test_a_lenient_server_takes_what_a_strict_one_refuses() -> None:
    async with serving() as server:
        assert await call_status(server, "sk", None) == (400, "sdp")
        assert await call_status(server, "sk", {}) == (400, "sdp")
        assert await call_status(server, "sk", {"model": "anything"}) == (400, "sdp")
        async with connected(server, query="") as client:
            await client.wait("session.created")
        key = await new_key(server, session={"model": "anything"})
        await new_key(server)
        assert (await post(server, "client_secrets", headers=bearer(key)))[0] == 200


async def test_strict_raw_sdp_needs_an_ephemeral_key() -> None:
    async with serving(strict=True) as server:
        assert await call_status(server, "sk", None) == (400, "session")
        key = await new_key(server, session=SESSION)
        async with StockCaller() as caller:
            await caller.call(server.url, key=key)
        assert await call_status(server, "sk", SESSION) == (400, "sdp")


async def test_strict_sessions_need_their_type() -> None:
    async with serving(strict=True) as server:
        assert await call_status(server, "sk", {"model": MODEL}) == (400, "session.type")
        body = {"session": {"model": MODEL}}
        status, answer = await post(server, "client_secrets", json=body)
        assert (status, answer["error"]["param"]) == (400, "session.type")


async def test_strict_models_are_known_ones() -> None:
    async with serving(strict=True) as server:
        session = {**SESSION, "model": "gpt-9"}
        assert await call_status(server, "sk", session) == (404, "model")
        assert await handshake_error(server, query="?model=gpt-9") == 404
        for model in ("gpt-realtime", "gpt-realtime-2.1", "gpt-4o-mini-realtime-preview"):
            async with connected(server, query=f"?model={model}") as client:
                await client.wait("session.created")


async def test_a_strict_socket_needs_a_model_unless_its_key_has_a_session() -> None:
    async with serving(strict=True) as server:
        assert await handshake_error(server, query="") == 400
        key = await new_key(server, session=SESSION)
        async with connected(server, query="", headers=bearer(key)) as client:
            await client.wait("session.created")


async def test_a_strict_server_takes_no_standard_key_from_a_page() -> None:
    page = {"Origin": "http://localhost:3000"}
    standard = ["realtime", "openai-insecure-api-key.sk-test"]
    async with serving(strict=True) as server:
        assert await handshake_error(server, headers=page, protocols=standard) == 401
        async with connected(server, headers={}, protocols=standard) as client:  # a program
            await client.wait("session.created")
        key = await new_key(server, session=SESSION)
        ephemeral = ["realtime", f"openai-insecure-api-key.{key}"]
        async with connected(server, headers=page, protocols=ephemeral) as client:
            await client.wait("session.created")


async def test_a_strict_ephemeral_key_makes_no_other_and_hangs_up_nobody() -> None:
    async with serving(strict=True) as server:
        key = await new_key(server, session=SESSION)
        for path in ("client_secrets", "calls/rtc_x/hangup"):
            status, answer = await post(server, path, headers=bearer(key))
            assert (status, answer["error"]["code"]) == (403, "insufficient_permissions")
        assert (await post(server, "calls/rtc_x/hangup", headers=BEARER))[0] == 404
