"""Posts the offer and reads the answer: the one HTTP exchange of a call."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol

from realtime_core.errors import ConnectError, ConnectStage, TransportError

if TYPE_CHECKING:
    import ssl

    from pydantic import SecretStr

__all__ = [
    "AiohttpClient",
    "CallAnswer",
    "HttpAnswer",
    "HttpClient",
    "Signaling",
    "content_without_key",
]

MAX_ANSWER_BYTES = 1_000_000
"""An SDP answer has a few kilobytes; reading ends here."""

MAX_DETAIL_CHARS = 2_000
"""How much of a body that is no JSON error goes into a message."""

MIN_REAL_KEY_CHARS = 16
"""Shorter keys are made up for a server that takes any; they occur in what it sends by chance."""


@dataclass(frozen=True)
class HttpAnswer:
    """What a server answered."""

    status: int
    reason: str
    headers: Mapping[str, str]
    """Names are compared without regard to case."""
    body: bytes = b""
    body_error: Exception | None = None
    """Why the body could not be read to its end."""


class HttpClient(Protocol):
    """Sends one request at a time. It follows no redirects and raises `TransportError`."""

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        """Post a body and read the answer."""

    async def close(self) -> None:
        """Release everything."""


class AiohttpClient:
    """`HttpClient` on aiohttp, with proxies from the environment."""

    def __init__(self, *, ssl_context: ssl.SSLContext | None = None) -> None:
        """Set the trust.

        Args:
            ssl_context: Which certificates to trust; None means the system's.
        """
        self._ssl_context = ssl_context

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        """Post a body and read at most a megabyte of the answer."""
        import aiohttp

        ssl_context = True if self._ssl_context is None else self._ssl_context
        try:
            # A session for one request: calls are rare, and nothing is left to be closed later.
            async with (
                aiohttp.ClientSession(trust_env=True, timeout=aiohttp.ClientTimeout()) as session,
                session.post(
                    url, headers=headers, data=body, allow_redirects=False, ssl=ssl_context
                ) as response,
            ):
                content, body_error = await _read_capped(response)
                return HttpAnswer(
                    response.status, response.reason or "", response.headers, content, body_error
                )
        except aiohttp.ClientResponseError as exc:
            # Its repr holds the request's headers, the key among them (aiohttp 3.14).
            raise TransportError(
                f"the server's HTTP answer cannot be read: {exc.message}"
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise TransportError(f"{url} cannot be reached: {exc}") from exc

    async def close(self) -> None:
        """Nothing stays open between requests."""


async def _read_capped(response: Any) -> tuple[bytes, Exception | None]:
    import aiohttp

    content = bytearray()
    try:
        async for chunk in response.content.iter_chunked(65_536):
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                message = f"the answer has more than {MAX_ANSWER_BYTES} bytes"
                return b"", TransportError(message)
    except (aiohttp.ClientError, OSError) as exc:
        return bytes(content), TransportError(f"the answer broke off: {exc}")
    return bytes(content), None


@dataclass(frozen=True)
class CallAnswer:
    """An accepted call."""

    sdp: str
    call_id: str | None


@dataclass(frozen=True)
class Signaling:
    """How to place a call at an endpoint."""

    http: HttpClient
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent besides our own; they win over them. They may hold secrets."""
    organization: str | None = None
    project: str | None = None

    async def place_call(
        self,
        url: str,
        offer_sdp: str,
        *,
        api_key: SecretStr,
        session: Mapping[str, Any] | None = None,
    ) -> CallAnswer:
        """Post the offer.

        Args:
            url: The full endpoint.
            offer_sdp: The offer.
            api_key: Sent as bearer token.
            session: The session's configuration, sent with the offer as multipart; None posts the
                offer alone, for a key that belongs to a configured session (API reference,
                "Create call").

        Raises:
            ConnectError: No call came about; at stage `http`.
        """
        outcome = await self._exchange(url, _body(offer_sdp, session), api_key)
        if isinstance(outcome, ConnectError):
            # Not chained: what aiohttp raises may quote the server, which may quote the key, and
            # its frames hold the request's headers.
            raise outcome
        return outcome

    async def _exchange(
        self, url: str, content: tuple[str, bytes], api_key: SecretStr
    ) -> CallAnswer | ConnectError:
        content_type, body = content
        try:
            answer = await self.http.post(
                url, headers=self._headers(api_key, content_type), body=body
            )
        except TransportError as exc:
            return ConnectError(ConnectStage.HTTP, _without(str(exc), api_key))
        if not 200 <= answer.status < 300:
            return _refusal(answer, api_key)
        if answer.body_error is not None:
            return ConnectError(ConnectStage.HTTP, _without(str(answer.body_error), api_key))
        return _accepted(answer, api_key)

    def _headers(self, api_key: SecretStr, content_type: str) -> dict[str, str]:
        headers = {
            "Content-Type": content_type,
            "Authorization": f"Bearer {api_key.get_secret_value()}",
            "User-Agent": f"realtime-transports/{version('realtime-transports')}",
        }
        if self.organization:
            headers["OpenAI-Organization"] = self.organization
        if self.project:
            headers["OpenAI-Project"] = self.project
        return headers | dict(self.headers)


def _body(offer_sdp: str, session: Mapping[str, Any] | None) -> tuple[str, bytes]:
    if session is None:
        return "application/sdp", offer_sdp.encode()
    boundary = f"realtime-{secrets.token_hex(12)}"
    parts = (
        ("sdp", "application/sdp", offer_sdp),
        ("session", "application/json", json.dumps(session)),
    )
    text = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n'
        f"Content-Type: {kind}\r\n\r\n{content}\r\n"
        for name, kind, content in parts
    )
    return f"multipart/form-data; boundary={boundary}", f"{text}--{boundary}--\r\n".encode()


def _accepted(answer: HttpAnswer, api_key: SecretStr) -> CallAnswer:
    call_id = _call_id(answer.headers)
    return CallAnswer(
        content_without_key(answer.body.decode(errors="replace"), api_key),
        None if call_id is None else content_without_key(call_id, api_key),
    )


def _refusal(answer: HttpAnswer, api_key: SecretStr) -> ConnectError:
    provider_message = _detail(answer, api_key) or None
    # The wording is that of OpenAI Agents JS, which programs match on.
    message = f"Realtime call request failed with status {answer.status}"
    if provider_message:
        message += f": {provider_message}"
    error = ConnectError(
        ConnectStage.HTTP, message, status=answer.status, provider_message=provider_message
    )
    if 300 <= answer.status < 400:
        error.add_note("redirects are not followed: they would take the key to another host")
    return error


def _detail(answer: HttpAnswer, api_key: SecretStr) -> str:
    """What the server says of its refusal: a JSON error's message, the body, or the reason."""
    text = "" if answer.body_error else answer.body.decode(errors="replace")
    # Cutting comes last: half a key would be a secret too.
    text = _without(_json_error(text) or text or answer.reason, api_key)
    return f"{text[:MAX_DETAIL_CHARS]}…" if len(text) > MAX_DETAIL_CHARS else text


def _json_error(text: str) -> str | None:
    """The message of an error in the API's form."""
    try:
        message = json.loads(text)["error"]["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None  # no JSON error: the text says what there is to say
    return message if isinstance(message, str) else None


def _without(text: str, api_key: SecretStr) -> str:
    """The text without the key: servers like to repeat it."""
    secret = api_key.get_secret_value()
    return text.replace(secret, "[key]") if secret else text


def content_without_key(text: str, api_key: SecretStr) -> str:
    """What a server sent, SDP or an event, without the key if that is a real one."""
    is_real = len(api_key.get_secret_value()) >= MIN_REAL_KEY_CHARS
    return _without(text, api_key) if is_real else text


def _call_id(headers: Mapping[str, str]) -> str | None:
    """The call id: the last segment of the path in `Location`."""
    location = headers.get("Location")
    if location is None:
        return None
    path = location.partition("?")[0].partition("#")[0]
    return path.rstrip("/").rpartition("/")[2]
