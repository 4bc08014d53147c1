"""``realtime serve``: a local server until it is interrupted."""

from __future__ import annotations

import asyncio
import signal
import sys

from realtime_core.cli.exit_codes import ExitCode
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
    stopped = asyncio.Event()
    if sys.platform != "win32":
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with make_server(host=host, port=port, responder=responder) as server:
        print(f"serving the Realtime API at {server.url} (responder: {responder})")
        print(f"try: realtime run question.wav --out answer.wav --to {server.url}", flush=True)
        await stopped.wait()
    return ExitCode.DONE
