"""The server: opens a port, serves sessions, closes everything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Self

from aiohttp import web

from realtime_core.errors import TransportError, UserError
from realtime_core.plugins import default_plugins
from realtime_transports.local_server.guard import (
    WILDCARD_HOSTS,
    AccessRules,
    is_loopback_host,
    make_guard,
)
from realtime_transports.local_server.responders import Responder
from realtime_transports.local_server.routes import MAX_BODY_BYTES, Routes

if TYPE_CHECKING:
    from types import TracebackType

    from realtime_core.plugins import PluginManager

__all__ = ["LocalRealtimeServer"]

log = logging.getLogger(__name__)

CLOSE_DEADLINE_S = 8.0
MAX_PORT = 65_535


class LocalRealtimeServer:
    """A Realtime server on this machine.

    Example::

        async with LocalRealtimeServer() as server:
            transport = OpenAIRealtimeWebRTC(base_url=f"{server.url}/realtime/calls")

    Any key is accepted, so listen on other addresses than loopback only where everybody may talk
    to it.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        responder: str | Responder = "parrot",
        allowed_hosts: Collection[str] = (),
        allowed_origins: Collection[str] = (),
        plugins: PluginManager | None = None,
    ) -> None:
        """Prepare; `async with` opens it.

        Args:
            host: The address to listen on.
            port: The port; 0 takes a free one.
            responder: What answers: the name of a plugin's, with ``:`` and an argument if it takes
                one, or an object, which is not closed.
            allowed_hosts: Names, besides this machine's, under which it is reached.
            allowed_origins: Origins of pages, besides this machine's, that may use it.
            plugins: Where the responder is looked up; None means the installed ones.

        Raises:
            UserError: There is no such port.
        """
        if not 0 <= port <= MAX_PORT:
            raise UserError(f"there is no port {port}; ports are from 0 to {MAX_PORT}")
        self._rules = AccessRules(host, allowed_hosts, allowed_origins)
        self._port = port
        self._responder = responder
        self._plugins = plugins
        self._owned_responder: Responder | None = None
        self._routes: Routes | None = None
        self._runner: web.AppRunner | None = None
        self._url: str | None = None

    @property
    def url(self) -> str:
        """The base URL, ending in ``/v1``.

        Raises:
            TransportError: The server is not open.
        """
        if self._url is None:
            raise TransportError("the server is not open")
        return self._url

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen.

        Raises:
            PluginError: There is no such responder, or it cannot be made.
            TransportError: The address cannot be listened on.
            UserError: The server is open already.
        """
        if self._routes is not None:
            raise UserError("the server is open already; close it first")
        host = self._rules.host
        loopback = is_loopback_host(host) or host in WILDCARD_HOSTS
        self._routes = Routes(self._make_responder(), loopback=loopback)
        try:
            await self._listen(self._routes, host)
        except BaseException:
            await self.close()
            raise

    async def _listen(self, routes: Routes, host: str) -> None:
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[make_guard(self._rules)])
        routes.add_to(app)
        runner = self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, self._port).start()
        except (OSError, ValueError) as exc:  # the latter for a host that cannot be a name
            raise TransportError(f"cannot listen on {host} port {self._port}: {exc}") from exc
        name = f"[{host}]" if ":" in host else host
        self._url = f"http://{name}:{runner.addresses[0][1]}/v1"
        log.info("listening on %s", self._url)

    async def close(self) -> None:
        """End every session and stop listening. Closing twice is fine."""
        self._url = None
        routes, self._routes = self._routes, None
        runner, self._runner = self._runner, None
        responder, self._owned_responder = self._owned_responder, None
        try:
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                if routes is not None:
                    await routes.close()
                if responder is not None:
                    await responder.close()
        except TimeoutError:
            log.warning("sessions still ran %.0f s after the server's end", CLOSE_DEADLINE_S)
        finally:
            if runner is not None:
                await runner.cleanup()

    def _make_responder(self) -> Responder:
        if isinstance(self._responder, Responder):
            return self._responder
        made: Responder = (self._plugins or default_plugins()).responder(self._responder)
        self._owned_responder = made
        return made
