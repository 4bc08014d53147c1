"""The one HTTP exchange of a call: what is sent, and what is made of the answer."""

from __future__ import annotations

import email
import email.policy
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from pydantic import SecretStr

from realtime_core.errors import ConnectError, ConnectStage, TransportError
from realtime_transports.http_client import HttpAnswer, content_without_key
from realtime_transports.webrtc.signaling import CallAnswer, Signaling

KEY = SecretStr("sk-proj-0123456789abcdef")
URL = "http://127.0.0.1/v1/realtime/calls"


class Http:
    """Gives one answer, and keeps what was posted."""

    def __init__(self, answer: HttpAnswer | Exception) -> None:
        self.answer = answer
        self.url = ""
        self.headers: Mapping[str, str] = {}
        self.body = b""

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        self.url, self.headers, self.body = url, headers, body
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def close(self) -> None:
        """Nothing."""


def answer(status: int = 201, body: str = "v=0", **more: Any) -> HttpAnswer:
    headers = CIMultiDict(more.pop("headers", {}))
    return HttpAnswer(status, more.pop("reason", ""), headers, body.encode(), **more)


async def place(http: Http, session: dict[str, Any] | None = None, **options: Any) -> CallAnswer:
    signaling = Signaling(http, **options)
    return await signaling.place_call(URL, "v=0\r\noffer", api_key=KEY, session=session)


async def fail(http: Http) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        await place(http)
    assert caught.value.stage is ConnectStage.HTTP
    return caught.value


async def test_the_offer_alone_is_posted_as_sdp() -> None:
    http = Http(answer())
    await place(http)
    assert (http.url, http.body) == (URL, b"v=0\r\noffer")
    assert http.headers["Content-Type"] == "application/sdp"
    assert http.headers["Authorization"] == f"Bearer {KEY.get_secret_value()}"
    assert http.headers["User-Agent"].startswith("realtime-transports/")


async def test_offer_and_session_are_posted_as_multipart() -> None:
    http, session = Http(answer()), {"type": "realtime", "instructions": "Grüße\r\n--x"}
    await place(http, session)
    head = f"Content-Type: {http.headers['Content-Type']}\r\n\r\n".encode()
    form = email.message_from_bytes(head + http.body, policy=email.policy.HTTP)
    parts = {
        part.get_param("name", header="content-disposition"): part for part in form.iter_parts()
    }
    assert parts["sdp"].get_content_type() == "application/sdp"
    assert parts["sdp"].get_payload() == "v=0\r\noffer"
    assert json.loads(parts["session"].get_payload()) == session


async def test_organization_project_and_headers_of_the_caller_are_sent() -> None:
    http = Http(answer())
    more = {"api-key": "azure", "User-Agent": "mine"}
    await place(http, headers=more, organization="org_1", project="proj_1")
    assert http.headers["OpenAI-Organization"] == "org_1"
    assert http.headers["OpenAI-Project"] == "proj_1"
    assert http.headers["api-key"] == "azure"
    assert http.headers["User-Agent"] == "mine"


@pytest.mark.parametrize(
    ("location", "call_id"),
    [
        ("/v1/realtime/calls/rtc_1", "rtc_1"),
        ("https://api.openai.com/v1/realtime/calls/rtc_1?x=/y#z", "rtc_1"),
        ("/v1/realtime/calls/rtc_1/", "rtc_1"),
        ("rtc_1", "rtc_1"),
        (None, None),
    ],
)
async def test_the_call_id_is_the_end_of_the_location(
    location: str | None, call_id: str | None
) -> None:
    headers = {} if location is None else {"location": location}
    assert (await place(Http(answer(headers=headers)))).call_id == call_id


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"error": {"message": "no quota"}}', "no quota"),
        ('{"error": {"message": ""}}', '{"error": {"message": ""}}'),
        ('{"error": "no"}', '{"error": "no"}'),
        ("[1]", "[1]"),
        ("<html>", "<html>"),
        ("", "Too Many Requests"),
        ("[" * 100_000, "[" * 2_000 + "…"),
    ],
)
async def test_a_refusal_has_status_and_the_providers_message(body: str, message: str) -> None:
    error = await fail(Http(answer(429, body, reason="Too Many Requests")))
    assert (error.status, error.provider_message) == (429, message)
    assert str(error) == f"Realtime call request failed with status 429: {message}"


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1/realtime/calls"),
        ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080/v1/realtime/calls"),
        ("http://127.0.0.1:8080/v1/realtime", "http://127.0.0.1:8080/v1/realtime/calls"),
        ("https://example.org", "https://example.org/v1/realtime/calls"),
        ("https://me:hunter2@example.org/v1?token=3", "https://example.org/v1/realtime/calls"),
    ],
)
async def test_a_404_where_no_calls_are_placed_names_the_endpoint_that_may_be_meant(
    url: str, meant: str
) -> None:
    signaling = Signaling(Http(answer(404, "", reason="Not Found")))
    with pytest.raises(ConnectError) as caught:
        await signaling.place_call(url, "v=0", api_key=KEY)
    assert str(caught.value) == (
        "Realtime call request failed with status 404: Not Found; "
        f"base_url is the full endpoint, here probably {meant}"
    )
    assert (caught.value.status, caught.value.provider_message) == (404, "Not Found")


@pytest.mark.parametrize("end", ["", "/", "?api-version=1"])
async def test_a_404_of_an_endpoint_for_calls_is_told_as_it_is(end: str) -> None:
    signaling = Signaling(Http(answer(404, "", reason="Not Found")))
    with pytest.raises(ConnectError) as caught:
        await signaling.place_call(URL + end, "v=0", api_key=KEY)
    assert str(caught.value) == "Realtime call request failed with status 404: Not Found"


async def test_a_refusal_whose_body_breaks_off_is_told_by_its_reason() -> None:
    error = await fail(Http(answer(500, "half", reason="Oops", body_error=TransportError("cut"))))
    assert error.provider_message == "Oops"


@pytest.mark.parametrize("status", [100, 199, 300, 304, 399, 400, 599])
async def test_only_success_is_success(status: int) -> None:
    error = await fail(Http(answer(status)))
    assert error.status == status
    assert bool(getattr(error, "__notes__", [])) == (300 <= status < 400)


@given(st.text(max_size=3_000), st.integers(0, 3_000))
async def test_no_part_of_the_key_is_in_an_error_wherever_it_stands(text: str, at: int) -> None:
    key = KEY.get_secret_value()
    for body in (text[:at] + key + text[at:], json.dumps({"error": {"message": text + key}})):
        error = await fail(Http(answer(401, body)))
        assert key[:8] not in str(error)
        assert key[:8] not in str(error.provider_message)


async def test_errors_of_the_network_lose_the_key_and_their_chain() -> None:
    key = KEY.get_secret_value()
    for failing in (
        Http(TransportError(f"cannot send {key}")),
        Http(answer(body_error=TransportError(f"broke off at {key}"))),
    ):
        error = await fail(failing)
        assert key not in str(error)
        assert error.__cause__ is None
        assert error.__context__ is None


def test_only_real_keys_are_taken_out_of_content() -> None:
    assert content_without_key("a key, sk-proj-0123456789abcdef", KEY) == "a key, [key]"
    assert content_without_key('{"type": "x"}', SecretStr("type")) == '{"type": "x"}'
    assert content_without_key("any", SecretStr("")) == "any"
