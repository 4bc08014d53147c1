"""Who may talk to the server: a page of another site must not, whatever name it resolves to us.

A browser that visits a hostile page lets it send requests to 127.0.0.1: openly from the page's own
origin, or, after DNS rebinding, under a name that suddenly points here. The first is told by the
Origin header, the second by Host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from realtime_core.hosts import is_address, is_loopback_host
from realtime_transports.local_server.errors import ApiError, error_response
from realtime_transports.local_server.faults import HTTP_ERRORS, HttpFault

if TYPE_CHECKING:
    from realtime_transports.local_server.connections import Connections

__all__ = ["AccessRules", "HttpFaults", "make_guard"]

WILDCARD_HOSTS = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound to

ALLOWED_HEADERS = (
    "authorization, api-key, content-type, x-openai-agents-sdk, openai-beta, "
    "openai-safety-identifier"
)
PREFLIGHT_MAX_AGE_S = "600"

REQUEST_DEADLINE_S = 30.0
"""From a request's headers to its answer; a body may not come byte by byte for ever."""


@dataclass(frozen=True)
class AccessRules:
    """Which names this server answers to and which pages may use it, besides this machine's."""

    host: str
    """The address it listens on."""
    hosts: Collection[str] = ()
    """More names it answers to."""
    origins: Collection[str] = ()
    """More origins that may use it, such as ``"https://app.example"``."""

    def allows_host(self, header: str) -> bool:
        """Whether a Host header names this server."""
        name = _host_name(f"//{header}")
        if name is None:
            return False
        if is_loopback_host(name) or name in (self.host, *self.hosts):
            return True
        # Rebinding needs a name; who listens on all addresses is reached by any of them.
        return self.host in WILDCARD_HOSTS and is_address(name)

    def allows_origin(self, header: str) -> bool:
        """Whether pages of this origin may use the server."""
        if header in self.origins:
            return True
        name = _host_name(header)
        return name is not None and (is_loopback_host(name) or name == self.host)


def make_guard(
    rules: AccessRules,
    connections: Connections,
    refused: Callable[[web.Request, ApiError], None],
    faults: HttpFaults,
) -> Middleware:
    """A middleware that refuses strangers, answers preflights and shapes errors.

    Args:
        rules: Who may use the server.
        connections: Told that a request has begun.
        refused: Told of each request that is answered by an error.
        faults: Which requests fail without a reason of their own.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        connections.request_began(request.transport)
        origin = request.headers.get(hdrs.ORIGIN)
        try:
            response = await _answer(request, handler)
        except ApiError as exc:
            refused(request, exc)
            response = error_response(exc)
        if origin is not None and rules.allows_origin(origin) and not response.prepared:
            _allow_origin(response, origin)
        return response

    async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        _check(request, rules)
        if request.method == hdrs.METH_OPTIONS:
            return web.Response(status=204)
        faults.raise_if_due()
        # A WebSocket's handler lasts as long as its session; its request has no body to wait for.
        deadline_s = None if request.method == hdrs.METH_GET else REQUEST_DEADLINE_S
        try:
            async with asyncio.timeout(deadline_s):
                return await handler(request)
        except web.HTTPException as exc:
            raise ApiError(exc.status, exc.reason, code=None) from exc
        except TimeoutError as exc:
            raise ApiError(408, "The request took too long.", code="request_timeout") from exc
        except ConnectionError as exc:
            raise ApiError(400, "The client left while calling.", code="client_left") from exc

    return guard


class HttpFaults:
    """Makes requests fail, the first so many or all."""

    def __init__(self, fault: HttpFault | None) -> None:
        """Begin to count; None fails none."""
        self._fault = fault
        self._done = 0

    def begin_anew(self) -> None:
        """The next request is the first one again."""
        self._done = 0

    def raise_if_due(self) -> None:
        """Fail this request if it is one of those.

        Raises:
            ApiError: It is.
        """
        fault = self._fault
        if fault is None or (fault.times is not None and self._done >= fault.times):
            return
        self._done += 1
        kind, code, message = HTTP_ERRORS.get(
            fault.status, HTTP_ERRORS[500] if fault.status >= 500 else HTTP_ERRORS[400]
        )
        raise ApiError(fault.status, message, code=code, kind=kind)


def _check(request: web.Request, rules: AccessRules) -> None:
    if not rules.allows_host(request.headers.get(hdrs.HOST, "")):
        raise ApiError(403, "this server does not answer to this Host", code="host_not_allowed")
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and not rules.allows_origin(origin):
        raise ApiError(403, "pages of this Origin may not use it", code="origin_not_allowed")


def _allow_origin(response: web.StreamResponse, origin: str) -> None:
    response.headers.update(
        {
            hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin,
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, OPTIONS",
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ALLOWED_HEADERS,
            hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: hdrs.LOCATION,
            hdrs.ACCESS_CONTROL_MAX_AGE: PREFLIGHT_MAX_AGE_S,
            hdrs.VARY: hdrs.ORIGIN,
        }
    )


def _host_name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
