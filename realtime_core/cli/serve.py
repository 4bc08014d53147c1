"""``realtime serve``: a local server until it is interrupted."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from realtime_core.cli.exit_codes import ExitCode
from realtime_core.cli.serve_display import ServeDisplay, make_display
from realtime_core.cli.serve_options import ServeOptions
from realtime_core.errors import TransportError, UserError
from realtime_core.loop_lag import keep_what_is_loaded
from realtime_core.plugins import PluginManager

__all__ = ["serve_until_stopped"]


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
        **options.extra(),
    )
    await _serve(server, options, display)
    return ExitCode.DONE


async def _serve(server: Any, options: ServeOptions, display: ServeDisplay) -> None:
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(server)
        except TransportError as exc:
            raise UserError(_without_details(exc, options)) from exc
        keep_what_is_loaded()
        # Not before: while models are loaded, a signal cancels that, as it does in all commands.
        stopped = asyncio.Event()
        _call_when_stopped(stopped.set)
        display.listening(server.url, options.responder, needs_key=options.api_key is not None)
        await stopped.wait()
    display.stopped()


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


def _without_details(exc: TransportError, options: ServeOptions) -> str:
    """The message, but shorter where asyncio words at length what the system says."""
    cause = exc.__cause__
    if not isinstance(cause, OSError) or cause.errno is None:
        return str(exc)
    if cause.errno == errno.EADDRINUSE:
        return f"port {options.port} is in use already; choose another one with --port"
    reason = cause.strerror if isinstance(cause, socket.gaierror) else os.strerror(cause.errno)
    return f"cannot listen on {options.host} port {options.port}: {reason}"
