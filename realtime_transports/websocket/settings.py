"""What can be set about a WebSocket connection besides who talks to whom."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypedDict

from realtime_transports.connecting import ConnectTimeouts
from realtime_transports.http_client import make_ssl_context, request_headers
from realtime_transports.websocket.endpoint import (
    AUTHORIZATION,
    Credentials,
    SocketOptions,
    open_with_aiohttp,
)
from realtime_transports.websocket.socket import AiohttpWebSocket, SocketRequest, WebSocket

__all__ = ["ConnectionOptions", "ConnectionSettings", "CreateWebSocket", "connection_settings"]

CreateWebSocket: TypeAlias = Callable[[SocketRequest], WebSocket | Awaitable[WebSocket]]
"""Makes the socket for a request; it may be a coroutine function."""


class ConnectionOptions(TypedDict, total=False):
    """The keyword arguments that all transports over a WebSocket take."""

    url: str | None
    """The full endpoint, used as it is; None means OpenAI's."""
    use_insecure_api_key: bool
    """Do not refuse any key under `require_ephemeral_key`."""
    require_ephemeral_key: bool
    """Refuse keys that do not begin with ``ek_``, as browsers must."""
    key_in_subprotocol: bool
    """Send the key as browsers must, which set no headers."""
    key_header: str
    """The header with the key; in ``Authorization``, the default, it is a bearer token."""
    create_web_socket: CreateWebSocket | None
    """Makes the socket; None means aiohttp, with proxies from the environment. What it has opened
    when it is cancelled it closes itself."""
    skip_open_event_listeners: bool
    """Take the socket for open as soon as it is made."""
    headers: Mapping[str, str] | None
    """More headers for the request; they win over ours."""
    organization: str | None
    """OpenAI's organization id."""
    project: str | None
    """OpenAI's project id."""
    ca_file: str | None
    """Certificates to trust, PEM; None means the system's."""
    heartbeat_s: float
    """After so long without a message, 10 s unless said otherwise, the server is asked for a sign
    of life; without an answer within half that time the connection is lost."""
    timeouts: ConnectTimeouts | None
    """The deadline of each stage."""


@dataclass(frozen=True)
class ConnectionSettings:
    """The same, with defaults and checked."""

    url: str | None
    credentials: Credentials
    requires_ephemeral_key: bool
    create_web_socket: CreateWebSocket
    skips_open: bool
    timeouts: ConnectTimeouts


def connection_settings(options: ConnectionOptions) -> ConnectionSettings:
    """The settings for the arguments.

    Raises:
        TypeError: There is no such argument.
        UserError: One of them cannot be used.
    """
    unknown = options.keys() - ConnectionOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"no such options: {', '.join(sorted(unknown))}")
    own_headers = request_headers(
        organization=options.get("organization"), project=options.get("project")
    )
    socket_options = SocketOptions(
        make_ssl_context(options.get("ca_file")), options.get("heartbeat_s", 10.0)
    )

    def create_with_aiohttp(request: SocketRequest) -> WebSocket:
        return AiohttpWebSocket(lambda: open_with_aiohttp(request, socket_options))

    return ConnectionSettings(
        url=options.get("url"),
        credentials=Credentials(
            own_headers | dict(options.get("headers") or {}),
            options.get("key_header", AUTHORIZATION),
            options.get("key_in_subprotocol", False),
        ),
        requires_ephemeral_key=(
            options.get("require_ephemeral_key", False)
            and not options.get("use_insecure_api_key", False)
        ),
        create_web_socket=options.get("create_web_socket") or create_with_aiohttp,
        skips_open=options.get("skip_open_event_listeners", False),
        timeouts=options.get("timeouts") or ConnectTimeouts(),
    )
