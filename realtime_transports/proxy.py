"""Which proxy the environment wants for an address, and nothing else of the environment.

aiohttp's `trust_env` would read `~/.netrc` too: a matching entry cannot be combined with our
``Authorization``, and beside another header, such as Azure's ``api-key``, its password would go to
the server unasked (aiohttp 3.14).
"""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import (  # type: ignore[attr-defined]  # typeshed leaves the second out
    getproxies_environment,
    proxy_bypass_environment,
)

from realtime_core.errors import TransportError

__all__ = ["proxy_for"]

DEFAULT_PORTS = {"http": 80, "https": 443}


def proxy_for(url: str) -> str | None:
    """The proxy for an address, with the credentials that it has; None without one.

    Args:
        url: With HTTP's scheme, also for a WebSocket.

    Raises:
        TransportError: The environment's proxy cannot be used; its address is not shown.
        ValueError: The URL is none.
    """
    parts = urlsplit(url)
    proxy = getproxies_environment().get(parts.scheme)
    # What no_proxy names may have a port.
    host = f"{parts.hostname}:{parts.port or DEFAULT_PORTS.get(parts.scheme)}"
    if not proxy or proxy_bypass_environment(host):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"  # as curl takes it
    if not _is_usable(proxy):
        raise TransportError(
            f"the proxy in the environment's {parts.scheme}_proxy cannot be used; it looks like "
            "http://user:password@host:3128"
        )
    return proxy


def _is_usable(proxy: str) -> bool:
    """Whether aiohttp takes it; its own error would show the password."""
    from yarl import URL

    try:
        url = URL(proxy)
    except ValueError:
        return False
    return url.scheme in DEFAULT_PORTS and bool(url.host)
