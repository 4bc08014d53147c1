"""The server: opens a port, serves sessions, closes everything."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Self, cast

from aiohttp import web
from pydantic import SecretStr

from realtime_core.errors import TransportError, UserError
from realtime_core.hosts import is_loopback_host
from realtime_core.plugins import default_plugins
from realtime_core.serving import RefusedRequest, ServedSession, ServerObserver
from realtime_transports.local_server.connections import Connections
from realtime_transports.local_server.errors import ApiError
from realtime_transports.local_server.faults import Faults
from realtime_transports.local_server.guard import (
    WILDCARD_HOSTS,
    AccessRules,
    HttpFaults,
    make_guard,
)
from realtime_transports.local_server.keys import KeyRing
from realtime_transports.local_server.records import Records
from realtime_transports.local_server.requests import peer_of
from realtime_transports.local_server.responders import Responder
from realtime_transports.local_server.routes import MAX_BODY_BYTES, RouteOptions, Routes
from realtime_transports.local_server.session import SessionOptions
from realtime_transports.openai.server_lifetime import SessionLimits

if TYPE_CHECKING:
    from types import TracebackType

    from realtime_core.plugins import PluginManager

__all__ = ["LocalRealtimeServer"]

log = logging.getLogger(__name__)

CLOSE_DEADLINE_S = 8.0
KEEP_ALIVE_S = 15.0
"""An idle connection, and one whose next request's headers do not end, lives so long."""

LINGERING_S = 1.0
"""How long the rest of a refused request's body is waited for, so that the client reads why."""

MAX_CONNECTIONS = 1_000
MAX_PORT = 65_535


class LocalRealtimeServer:
    """A Realtime server on this machine.

    Example::

        async with LocalRealtimeServer() as server:
            transport = OpenAIRealtimeWebRTC(base_url=f"{server.url}/realtime/calls")

    Unless it is told its key, any is accepted: listen on other addresses than loopback only where
    everybody may talk to it.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        responder: str | Responder = "speech",
        allowed_hosts: Collection[str] = (),
        allowed_origins: Collection[str] = (),
        plugins: PluginManager | None = None,
        api_key: str | SecretStr | None = None,
        strict: bool = False,
        faults: Faults | str | Iterable[str] | None = None,
        seed: int = 0,
        observer: ServerObserver | None = None,
        keep_events: bool = False,
        max_sessions: int = 64,
        max_session_s: float | None = 3_600.0,
        max_idle_s: float | None = None,
        header_deadline_s: float = 10.0,
        paces_audio: bool = False,
    ) -> None:
        """Prepare; `async with` opens it.

        Args:
            host: The address to listen on.
            port: The port; 0 takes a free one.
            responder: What answers: the name of a plugin's, with ``:`` and an argument if it takes
                one, or an object, which is not closed. ``"speech"`` hums, and understands nothing
                that is spoken, where the extra ``local`` is not installed.
            allowed_hosts: Names, besides this machine's, under which it is reached.
            allowed_origins: Origins of pages, besides this machine's, that may use it.
            plugins: Where the responder is looked up; None means the installed ones.
            api_key: The one standard key that is taken; None takes any.
            strict: Refuse what the real API refuses and this server takes otherwise.
            faults: What it does wrong, such as ``["latency=200ms", "loss=10%"]``.
            seed: Of what happens by chance: the same gives the same losses.
            observer: Told what happens, in the event loop.
            keep_events: Whether `sessions` keep their events.
            max_sessions: How many may run at a time.
            max_session_s: How long one may run, in seconds; None is for ever.
            max_idle_s: How long nothing may happen in one, in seconds; None is for ever.
            header_deadline_s: How long the headers of a connection's first request may take.
            paces_audio: Whether audio in events keeps the pace of speech; else it comes as fast as
                it is made, as the API's does.

        Raises:
            UserError: There is no such port, the key is empty, or a fault is none.
        """
        if not 0 <= port <= MAX_PORT:
            raise UserError(f"there is no port {port}; ports are from 0 to {MAX_PORT}")
        key = SecretStr(api_key) if isinstance(api_key, str) else api_key
        if key is not None and not key.get_secret_value().strip():
            raise UserError("the API key is empty; leave it out to take any")
        self._faults = Faults.of(faults)
        self._http_faults = HttpFaults(self._faults.http)
        self._rules = AccessRules(host, allowed_hosts, allowed_origins)
        self._port = port
        self._responder = responder
        self._plugins = plugins
        self._observer = observer
        self._options = RouteOptions(
            loopback=is_loopback_host(host) or host in WILDCARD_HOSTS,
            keys=KeyRing(key, are_expired=self._faults.expired_key),
            is_strict=strict,
            faults=self._faults,
            seed=seed,
            max_sessions=max_sessions,
            session=SessionOptions(
                limits=SessionLimits(max_session_s=max_session_s, max_idle_s=max_idle_s),
                paces_audio=paces_audio,
            ),
        )
        self._records = Records(self._faults, observer=observer, keeps_events=keep_events)
        self._connections = Connections(
            header_deadline_s=header_deadline_s, max_connections=MAX_CONNECTIONS
        )
        self._owned_responder: Responder | None = None
        self._routes: Routes | None = None
        self._runner: web.AppRunner | None = None
        self._url: str | None = None

    @property
    def sessions(self) -> Sequence[ServedSession]:
        """The sessions since the beginning, or since `forget_sessions`, as they began."""
        return self._records.sessions

    @property
    def url(self) -> str:
        """The base URL, ending in ``/v1``.

        Raises:
            TransportError: The server is not open.
        """
        if self._url is None:
            raise TransportError("the server is not open")
        return self._url

    @property
    def websocket_url(self) -> str:
        """The same for WebSockets: ``ws://``, ending in ``/v1``.

        Raises:
            TransportError: The server is not open.
        """
        return self.url.replace("http", "ws", 1)

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
        routes = self._routes = Routes(self._make_responder(), self._records, self._options)
        try:
            if self._owned_responder is not None:
                await self._owned_responder.open()
            await self._listen(routes, host)
            if self._routes is not routes:
                raise TransportError("the server was closed while it opened")
        except BaseException:
            await self.close()
            raise

    async def _listen(self, routes: Routes, host: str) -> None:
        guard = make_guard(self._rules, self._connections, self._note_refused, self._http_faults)
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[guard])
        routes.add_to(app)
        runner = self._runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=1.0,
            keepalive_timeout=KEEP_ALIVE_S,
            lingering_time=LINGERING_S,
        )
        await runner.setup()
        try:
            await _GuardedSite(runner, host, self._port, self._connections).start()
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
        async with contextlib.AsyncExitStack() as stack:  # each is closed though another fails
            if runner is not None:
                stack.push_async_callback(runner.cleanup)
            if responder is not None:
                stack.push_async_callback(
                    _close_in_time, responder.close, "the responder still ran"
                )
            if routes is not None:
                stack.push_async_callback(_close_in_time, routes.close, "sessions still ran")

    async def forget_sessions(self) -> None:
        """End every session and begin to count anew; the server stays open."""
        if self._routes is not None:
            await self._routes.end_sessions("the server ended it")
            self._routes.begin_anew()
        self._http_faults.begin_anew()
        self._records.sessions.clear()

    def _note_refused(self, request: web.Request, error: ApiError) -> None:
        log.info("refused %s %s: %s %s", request.method, request.path, error.status, error.code)
        if self._observer is not None:
            self._observer.request_refused(
                RefusedRequest(
                    method=request.method,
                    path=request.path,
                    peer=peer_of(request),
                    status=error.status,
                    code=error.code,
                    message=error.message,
                )
            )

    def _make_responder(self) -> Responder:
        if isinstance(self._responder, Responder):
            return self._responder
        made: Responder = (self._plugins or default_plugins()).responder(self._responder)
        self._owned_responder = made
        return made


async def _close_in_time(close: Callable[[], Awaitable[None]], problem: str) -> None:
    try:
        async with asyncio.timeout(CLOSE_DEADLINE_S):
            await close()
    except TimeoutError:
        log.warning("%s %.0f s after the server's end", problem, CLOSE_DEADLINE_S)


class _GuardedSite(web.BaseSite):
    """A TCP site whose connections have a deadline."""

    def __init__(
        self, runner: web.AppRunner, host: str, port: int, connections: Connections
    ) -> None:
        super().__init__(runner)
        self._host = host
        self._port = port
        self._connections = connections

    @property
    def name(self) -> str:
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        await super().start()
        factory = cast("Callable[[], asyncio.Protocol]", self._runner.server)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._connections.guard(factory), self._host or None, self._port
        )
