"""``realtime serve``: a local server until it is interrupted."""

from __future__ import annotations

import asyncio
import errno
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack

from realtime_core.cli.exit_codes import ExitCode
from realtime_core.errors import TransportError, UserError
from realtime_core.plugins import PluginManager

__all__ = ["serve_until_stopped"]


async def serve_until_stopped(
    host: str, port: int, responder: str, allow: list[str] | None
) -> ExitCode:
    """Serve until SIGINT or SIGTERM, which is the proper end.

    Raises:
        UserError: The address cannot be listened on.
        PluginError: There is no such responder.
    """
    plugins = PluginManager(allow=allow)
    make_server = plugins.factory("local server", "openai")
    server = make_server(host=host, port=port, responder=responder, plugins=plugins)
    async with AsyncExitStack() as stack:
        stopped = asyncio.Event()
        _call_when_stopped(stopped.set)
        try:
            await stack.enter_async_context(server)
        except TransportError as exc:
            raise UserError(_without_details(exc, port)) from exc
        print(f"serving the Realtime API at {server.url} (responder: {responder})")
        print(f"try: realtime run question.wav --out answer.wav --to {server.url}", flush=True)
        await stopped.wait()
    return ExitCode.DONE


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
