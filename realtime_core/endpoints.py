"""Where a command places its calls, and which key it shows there."""

from __future__ import annotations

import os
import re
from collections.abc import Container
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from realtime_core.errors import UserError
from realtime_core.hosts import is_loopback_host
from realtime_core.masking import SECRETS

__all__ = ["Endpoint", "endpoint_for"]

CALLS_PATH = "/realtime/calls"
SOCKET_PATH = "/realtime"
SOCKET_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
PLACEHOLDER_KEY = "local"
"""A server on this machine asks for some key and takes any."""
SECRET_PARAMETER = re.compile(r"(?i)(.*[_-])?(key|apikey|token|secret|password|sig|signature)")


@dataclass(frozen=True)
class Endpoint:
    """Where to place the call."""

    url: str | None
    """None means the provider's own."""
    key_variable: str
    default_key: str | None
    is_loopback: bool

    @property
    def name(self) -> str:
        """What to call it."""
        return self.url or "OpenAI"

    def api_key(self) -> str:
        """The key.

        Raises:
            UserError: It is not set.
        """
        key = os.environ.get(self.key_variable) or self.default_key
        if not key:
            raise UserError(f"{self.key_variable} is not set; it must hold the API key")
        return key


def endpoint_for(to: str, *, is_socket: bool = False) -> Endpoint:
    """What ``--to`` means.

    Args:
        to: ``openai``, a base URL ending in ``/v1``, or a full endpoint.
        is_socket: Whether a WebSocket is to be opened there rather than an offer posted.

    Raises:
        UserError: It is none of these.
    """
    if to == "openai":
        return Endpoint(None, "OPENAI_API_KEY", None, is_loopback=False)
    host = _checked_host(to, SOCKET_SCHEMES if is_socket else ("http", "https"))
    base = to.rstrip("/")
    url = to
    if base.endswith("/v1"):
        url = base + (SOCKET_PATH if is_socket else CALLS_PATH)
    if is_socket:
        scheme, _, rest = url.partition("://")
        url = f"{SOCKET_SCHEMES[scheme.lower()]}://{rest}"
    is_loopback = is_loopback_host(host)
    return Endpoint(url, "REALTIME_API_KEY", PLACEHOLDER_KEY if is_loopback else None, is_loopback)


def _checked_host(to: str, schemes: Container[str]) -> str:
    try:
        parts = urlsplit(to)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        raise UserError(f"--to {to}: {exc}") from exc
    if parts.username is not None or parts.password is not None:
        # Not repeated here, as it holds a secret.
        raise UserError("--to: a URL with a user name or password is not taken; set the API key")
    if any(_is_secret(name, value) for name, value in parse_qsl(parts.query)):
        raise UserError("--to: a URL with a key in it is not taken; set the API key")
    if parts.scheme not in schemes or not host:
        raise UserError(f"--to {to}: give local, openai, or a URL that begins with http(s)://")
    if parts.path in ("", "/"):
        raise UserError(f"--to {to}: give the base URL, ending in /v1, or the full endpoint")
    return host


def _is_secret(name: str, value: str) -> bool:
    """Whether a parameter would be a key in messages, reports and the list of processes."""
    return SECRET_PARAMETER.fullmatch(name) is not None or SECRETS.search(value) is not None
