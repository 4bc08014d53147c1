"""HTTP as transports need it: one request at a time, and answers that show no key."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from realtime_core.errors import ConnectError, ConnectStage, TransportError, UserError
from realtime_transports.proxy import proxy_for

if TYPE_CHECKING:
    from pydantic import SecretStr

__all__ = [
    "AiohttpClient",
    "HttpAnswer",
    "HttpClient",
    "content_without_key",
    "endpoint_hint",
    "make_ssl_context",
    "read_capped",
    "refusal",
    "request_headers",
    "without_key",
]

MAX_ANSWER_BYTES = 1_000_000
"""An SDP answer has a few kilobytes; reading ends here."""

DEFAULT_TIMEOUT_S = 20.0
"""As for the stage `http` of a connection."""

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
    """Sends one request at a time, each with a deadline.

    It follows no redirects and raises `TransportError`.
    """

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        """Post a body and read the answer."""

    async def close(self) -> None:
        """Release everything."""


class AiohttpClient:
    """`HttpClient` on aiohttp, with proxies from the environment."""

    def __init__(
        self, *, ssl_context: ssl.SSLContext | None = None, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> None:
        """Set trust and patience.

        Args:
            ssl_context: Which certificates to trust; None means the system's.
            timeout_s: How long a request may take, its answer's last byte included.
        """
        self._ssl_context = ssl_context
        self._timeout_s = timeout_s

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        """Post a body and read at most a megabyte of the answer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                return await self._post(url, headers, body)
        # Raised outside the handler: the frames of what was given up hold the request's headers.
        raise TransportError(f"{url} did not answer within {self._timeout_s:g} s")

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        import aiohttp

        if not url.lower().startswith(("http://", "https://")):  # aiohttp only repeats the URL
            raise TransportError(f"{url} is no URL that can be used: it needs http:// or https://")
        ssl_context = True if self._ssl_context is None else self._ssl_context
        try:
            # A session for one request: calls are rare, and nothing is left to be closed later.
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout()) as session,
                session.post(
                    url,
                    headers=headers,
                    data=body,
                    allow_redirects=False,
                    ssl=ssl_context,
                    proxy=proxy_for(url),
                ) as response,
            ):
                return await read_capped(response)
        except aiohttp.ClientResponseError as exc:
            # Its repr holds the request's headers, the key among them (aiohttp 3.14).
            raise TransportError(
                f"the server's HTTP answer cannot be read: {exc.message}"
            ) from None
        except aiohttp.ClientConnectorError as exc:
            # Its own text speaks of aiohttp's settings rather than of what happened.
            # Its repr holds the proxy's address, with a password if that has one.
            reason = exc.os_error
            raise TransportError(f"{url} cannot be reached: {_reason(reason)}") from reason
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise TransportError(f"{url} cannot be reached: {exc}") from exc

    async def close(self) -> None:
        """Nothing stays open between requests."""


def _reason(exc: OSError) -> str:
    """What the system calls an error; asyncio puts a text of its own in the place of that."""
    if not isinstance(exc, ssl.SSLError) and exc.errno is not None and exc.errno > 0:
        return os.strerror(exc.errno)
    return exc.strerror or str(exc)  # of name resolution: those codes are negative


async def read_capped(response: Any) -> HttpAnswer:
    """The answer in an `aiohttp.ClientResponse`, with a megabyte of its body at most."""
    import aiohttp

    content = bytearray()
    error: Exception | None = None
    try:
        async for chunk in response.content.iter_chunked(65_536):
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                content.clear()
                error = TransportError(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
                break
    except (aiohttp.ClientError, OSError) as exc:
        error = TransportError(f"the answer broke off: {exc}")
    return HttpAnswer(
        response.status, response.reason or "", response.headers, bytes(content), error
    )


def make_ssl_context(ca_file: str | None) -> ssl.SSLContext | None:
    """Trust in the certificates of a file, or None for the system's trust.

    Raises:
        UserError: The file cannot be read or holds no certificate.
    """
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as exc:
        raise UserError(f"ca_file {ca_file} cannot be used: {exc}") from exc


def request_headers(
    *, organization: str | None = None, project: str | None = None
) -> dict[str, str]:
    """The headers of every request: who we are, and on whose account."""
    headers = {"User-Agent": f"realtime-transports/{version('realtime-transports')}"}
    if organization:
        headers["OpenAI-Organization"] = organization
    if project:
        headers["OpenAI-Project"] = project
    return headers


def refusal(
    what: str, answer: HttpAnswer, api_key: SecretStr, *, hint_404: str | None = None
) -> ConnectError:
    """The error for an answer that is no success, with the provider's own words.

    Args:
        what: What was refused; the message begins with it.
        answer: The answer.
        api_key: What must not be shown.
        hint_404: What the caller may have done wrong where there is no such address.
    """
    provider_message = _detail(answer, api_key) or None
    message = f"{what} failed with status {answer.status}"
    if provider_message:
        message += f": {provider_message}"
    if hint_404 and answer.status == 404:
        message += f"; {without_key(hint_404, api_key)}"
    error = ConnectError(
        ConnectStage.HTTP,
        message,
        status=answer.status,
        provider_message=provider_message,
        retry_after_s=_retry_after_s(answer.headers),
    )
    if 300 <= answer.status < 400:
        error.add_note("redirects are not followed: they would take the key to another host")
    return error


def endpoint_hint(option: str, url: str, end: str) -> str | None:
    """What to say of an address that looks like a part of an endpoint; None of a whole one.

    Args:
        option: The name under which the caller gave it.
        url: The address. Of it, neither query nor user and password are repeated.
        end: How an endpoint's path ends.
    """
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if path.endswith(end):
        return None
    base = path.removesuffix("/realtime") or "/v1"
    host = parts.netloc.rpartition("@")[2]
    return f"{option} is the full endpoint, here probably {parts.scheme}://{host}{base}{end}"


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long the server asks to wait: in seconds, or until a date (RFC 9110, 10.2.3)."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def without_key(text: str, api_key: SecretStr) -> str:
    """The text without the key: servers like to repeat it."""
    secret = api_key.get_secret_value()
    return text.replace(secret, "[key]") if secret else text


def content_without_key(text: str, api_key: SecretStr) -> str:
    """What a server sent, SDP or an event, without the key if that is a real one."""
    is_real = len(api_key.get_secret_value()) >= MIN_REAL_KEY_CHARS
    return without_key(text, api_key) if is_real else text


def _detail(answer: HttpAnswer, api_key: SecretStr) -> str:
    """What the server says of its refusal: a JSON error's message, the body, or the reason."""
    text = "" if answer.body_error else answer.body.decode(errors="replace")
    # Cutting comes last: half a key would be a secret too.
    text = without_key(_json_error(text) or text or answer.reason, api_key)
    return f"{text[:MAX_DETAIL_CHARS]}…" if len(text) > MAX_DETAIL_CHARS else text


def _json_error(text: str) -> str | None:
    """The message of an error in the API's form."""
    try:
        message = json.loads(text)["error"]["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None  # no JSON error: the text says what there is to say
    return message if isinstance(message, str) else None
