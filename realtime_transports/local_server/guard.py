"""Who may talk to the server: a page of another site must not, whatever name it resolves to us.

A browser that visits a hostile page lets it send requests to 127.0.0.1: openly from the page's own
origin, or, after DNS rebinding, under a name that suddenly points here. The first is told by the
Origin header, the second by Host.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from realtime_transports.local_server.errors import ApiError, error_response

__all__ = ["AccessRules", "is_loopback_host", "make_guard"]

WILDCARD_HOSTS = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound to

ALLOWED_HEADERS = (
    "authorization, content-type, x-openai-agents-sdk, openai-beta, openai-safety-identifier"
)
PREFLIGHT_MAX_AGE_S = "600"


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
        return self.host in WILDCARD_HOSTS and _is_address(name)

    def allows_origin(self, header: str) -> bool:
        """Whether pages of this origin may use the server."""
        if header in self.origins:
            return True
        name = _host_name(header)
        return name is not None and (is_loopback_host(name) or name == self.host)


def is_loopback_host(name: str) -> bool:
    """Whether a host name or address always means this machine (RFC 6761 section 6.3)."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return _is_address(name) and ipaddress.ip_address(name).is_loopback


def make_guard(
    rules: AccessRules,
) -> Middleware:
    """A middleware that refuses strangers, answers preflights and shapes errors."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN)
        try:
            _check(request, rules)
            if request.method == hdrs.METH_OPTIONS:
                response: web.StreamResponse = web.Response(status=204)
            else:
                response = await handler(request)
        except ApiError as exc:
            response = error_response(exc)
        except web.HTTPException as exc:
            response = error_response(ApiError(exc.status, exc.reason, code=None))
        if origin is not None and rules.allows_origin(origin) and not response.prepared:
            _allow_origin(response, origin)
        return response

    return guard


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


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
