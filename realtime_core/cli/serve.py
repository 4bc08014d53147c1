"""``realtime serve``: a local server until it is interrupted."""

from __future__ import annotations

import asyncio
import errno
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from realtime_core.cli.exit_codes import ExitCode
from realtime_core.cli.serve_display import ServeDisplay, make_display
from realtime_core.errors import TransportError, UserError
from realtime_core.plugins import PluginManager

__all__ = ["ServeOptions", "serve_until_stopped"]


@dataclass(frozen=True)
class ServeOptions:
    """The command's options."""

    host: str
    port: int
    responder: str
    allow: list[str] | None
    extra: dict[str, Any]
    """What goes to the server as it is; what was not asked for is left out, so that a server that
    does not know it can be run."""
    is_quiet: bool = False
    as_json: bool = False


async def serve_until_stopped(options: ServeOptions) -> ExitCode:
    """Serve until SIGINT or SIGTERM, which is the proper end.

    Raises:
        UserError: The address cannot be listened on, or an option is wrong.
        PluginError: There is no such responder.
    """
    plugins = PluginManager(allow=options.allow)
    make_server = plugins.factory("local server", "openai")
    display = make_display(is_quiet=options.is_quiet, as_json=options.as_json)
    server = make_server(
        host=options.host,
        port=options.port,
        responder=options.responder,
        plugins=plugins,
        observer=display,
        **options.extra,
    )
    await _serve(server, options, display)
    return ExitCode.DONE


async def _serve(server: Any, options: ServeOptions, display: ServeDisplay) -> None:
    async with AsyncExitStack() as stack:
        stopped = asyncio.Event()
        _call_when_stopped(stopped.set)
        try:
            await stack.enter_async_context(server)
        except TransportError as exc:
            raise UserError(_without_details(exc, options.port)) from exc
        display.listening(server.url, options.responder, needs_key="api_key" in options.extra)
        await stopped.wait()


def _call_when_stopped(stop: Callable[[], None]) -> None:
    """Once; what is sent a second time ends the process as it always does."""
    if sys.platform == "win32":
        return
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)


def _without_details(exc: TransportError, port: int) -> str:
    """The message, but shorter where asyncio words a taken port at length."""
    cause = exc.__cause__
    if isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE:
        return f"port {port} is in use already; choose another one with --port"
    return str(exc)
