"""Which proxy the environment wants for an address, and nothing else of the environment.

aiohttp's `trust_env` would read `~/.netrc` too: a matching entry cannot be combined with our
``Authorization``, and beside another header, such as Azure's ``api-key``, its password would go to
the server unasked (aiohttp 3.14).
"""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment

from realtime_core.errors import TransportError

__all__ = ["proxy_for"]

SCHEMES = ("http", "https")


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
    if not proxy or not parts.hostname or proxy_bypass_environment(_host_and_port(url)):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"  # as curl takes it
    if not _is_usable(proxy):
        raise TransportError(
            f"the proxy in the environment's {parts.scheme}_proxy cannot be used; it looks like "
            "http://user:password@host:3128"
        )
    return proxy


def _host_and_port(url: str) -> str:
    """What ``no_proxy`` is compared with: its entries may name a port."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _is_usable(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        return parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
