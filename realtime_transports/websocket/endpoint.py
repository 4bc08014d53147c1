"""Where and how a WebSocket to a Realtime server is opened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from realtime_core.errors import ConnectError, ConnectStage, RealtimeError, TransportError
from realtime_transports.http_client import (
    HttpAnswer,
    endpoint_hint,
    read_capped,
    refusal,
    without_key,
)
from realtime_transports.proxy import proxy_for
from realtime_transports.websocket.socket import CLOSE_DEADLINE_S, SocketRequest

if TYPE_CHECKING:
    import ssl

    from aiohttp import ClientRequest, ClientResponse, ClientWebSocketResponse
    from pydantic import SecretStr

__all__ = ["DEFAULT_SOCKET_URL", "Credentials", "SocketOptions", "open_with_aiohttp", "socket_url"]

DEFAULT_SOCKET_URL = "wss://api.openai.com/v1/realtime"

SOCKET_PATH = "/realtime"

MAX_MESSAGE_BYTES = 32 * 1024 * 1024
"""The largest event of the API holds 15 MiB of audio in base64."""

AUTHORIZATION = "Authorization"


def socket_url(url: str | None, *, model: str, call_id: str | None) -> str:
    """The address to open.

    Args:
        url: An endpoint, used as it is unless there is a call; None means OpenAI's.
        model: Named in OpenAI's own address.
        call_id: A running call to attach to.
    """
    if not call_id:
        return url or f"{DEFAULT_SOCKET_URL}?model={quote(model, safe='')}"
    endpoint, _, query = (url or DEFAULT_SOCKET_URL).partition("?")
    given = [field for field in query.split("&") if field]
    kept = [field for field in given if field.partition("=")[0] not in ("model", "call_id")]
    call = f"call_id={quote(call_id, safe='')}"
    return f"{endpoint}?{'&'.join([*kept, call])}"


@dataclass(frozen=True)
class Credentials:
    """How a request shows that it may."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent besides the key; they win. They may hold secrets."""
    key_header: str = AUTHORIZATION
    """Holds the key: as bearer token if it is this one, else alone."""
    key_in_subprotocol: bool = False
    """True sends no headers, as in a browser."""

    def request(self, url: str, api_key: SecretStr) -> SocketRequest:
        """The request for an address."""
        key = api_key.get_secret_value()
        if self.key_in_subprotocol:
            subprotocols = ("realtime", f"openai-insecure-api-key.{key}")
            return SocketRequest(url, api_key, subprotocols=subprotocols)
        shown = f"Bearer {key}" if self.key_header == AUTHORIZATION else key
        return SocketRequest(url, api_key, {self.key_header: shown, **self.headers})


@dataclass(frozen=True)
class SocketOptions:
    """How connections are opened."""

    ssl_context: ssl.SSLContext | None = None
    """Which certificates to trust; None means the system's."""
    heartbeat_s: float = 10.0
    """After so long without a message the server is asked whether it is still there; it has half
    as long again to answer."""


@asynccontextmanager
async def open_with_aiohttp(
    request: SocketRequest, options: SocketOptions
) -> AsyncIterator[ClientWebSocketResponse[Any]]:
    """Open a connection, with proxies from the environment.

    Raises:
        ConnectError: There is no way there, or the server refuses; at stage `http`. It shows no
            key, and nothing that holds one is chained to it.
    """
    import aiohttp

    refused: list[HttpAnswer] = []
    session = aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(), middlewares=[_only_upgrades(refused)]
    )
    async with session:
        failure: str | None = None
        url = _http_url(request.url)
        try:
            _check_scheme(request.url)
            socket = await session.ws_connect(
                url,
                proxy=proxy_for(url),
                headers=request.headers,
                protocols=request.subprotocols,
                heartbeat=options.heartbeat_s,
                max_msg_size=MAX_MESSAGE_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_DEADLINE_S),
                ssl=True if options.ssl_context is None else options.ssl_context,
            )
        except _RefusedError:
            failure = "refused"
        except aiohttp.ClientResponseError as exc:
            failure = f"the server's HTTP answer cannot be read: {exc.message}"
        except TransportError as exc:
            failure = str(exc)
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            failure = f"{request.url} cannot be reached: {exc}"
        # Raised outside the handlers: what aiohttp raises has frames that hold the key.
        if refused:
            # Taken out of the list, which this frame keeps: the server may have repeated the key.
            hint = endpoint_hint("url", request.url, SOCKET_PATH)
            raise refusal(
                "Realtime connection request", refused.pop(), request.api_key, hint_404=hint
            )
        if failure is not None:
            raise ConnectError(ConnectStage.HTTP, without_key(failure, request.api_key))
        async with socket:
            yield socket


class _RefusedError(RealtimeError):
    """The server answered something else than an upgrade."""


def _only_upgrades(
    refused: list[HttpAnswer],
) -> Callable[..., Awaitable[ClientResponse]]:
    """A middleware that keeps any other answer: aiohttp would follow redirects, with the key."""

    async def upgrade(
        request: ClientRequest, handler: Callable[[ClientRequest], Awaitable[ClientResponse]]
    ) -> ClientResponse:
        response = await handler(request)
        if response.status == 101:
            return response
        refused.append(await read_capped(response))
        response.close()
        raise _RefusedError

    return upgrade


def _check_scheme(url: str) -> None:
    """Say what is wrong with an address of which aiohttp would only repeat the text.

    Raises:
        TransportError: It has no scheme under which a WebSocket can be opened.
    """
    if not url.lower().startswith(("ws://", "wss://", "http://", "https://")):
        raise TransportError(f"{url} is no URL that can be used: it needs ws:// or wss://")


def _http_url(url: str) -> str:
    """The same address with HTTP's scheme, under which aiohttp looks for a proxy."""
    scheme, separator, rest = url.partition("://")
    schemes = {"wss": "https", "ws": "http"}
    return f"{schemes.get(scheme.lower(), scheme)}{separator}{rest}"
