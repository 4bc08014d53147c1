"""How a command ends: the exit code says whose turn it is to do something."""

from __future__ import annotations

import asyncio
import enum
import json
import signal
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn

import typer

from realtime_core.errors import AudioError, ConnectError, PluginError, RealtimeError, UserError

__all__ = ["ExitCode", "InputError", "exit_with"]


class ExitCode(enum.IntEnum):
    """What the exit codes mean."""

    DONE = 0
    FAILED = 1
    """It failed on the way: the network, the provider."""
    WRONG_USE = 2
    """The call or the input is wrong; the same call will fail again."""
    INTERRUPTED = 130


class InputError(AudioError):
    """An input or output given by the user cannot be used."""


def exit_with(command: Coroutine[Any, Any, ExitCode], *, as_json: bool = False) -> NoReturn:
    """Run a command to its end and exit. Errors become one line, or one JSON object."""
    try:
        code = asyncio.run(_stoppable(command))
    except (KeyboardInterrupt, asyncio.CancelledError):
        _tell("interrupted", {"error": "interrupted"}, as_json=as_json)
        code = ExitCode.INTERRUPTED
    except RealtimeError as exc:
        _tell(f"error: {exc}", _described(exc), as_json=as_json)
        for note in getattr(exc, "__notes__", ()):
            _tell(f"note: {note}", None, as_json=as_json)
        code = ExitCode.WRONG_USE if _is_wrong_use(exc) else ExitCode.FAILED
    raise typer.Exit(int(code))


async def _stoppable(command: Coroutine[Any, Any, ExitCode]) -> ExitCode:
    """Let SIGTERM end the command as SIGINT does: with everything closed."""
    task = asyncio.ensure_future(command)
    loop = asyncio.get_running_loop()
    if sys.platform != "win32":
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def _is_wrong_use(exc: RealtimeError) -> bool:
    return isinstance(exc, (UserError, PluginError, InputError))


def _described(exc: RealtimeError) -> dict[str, Any]:
    described: dict[str, Any] = {"error": str(exc), "class": type(exc).__name__}
    if isinstance(exc, ConnectError):
        described |= {"stage": exc.stage.value, "status": exc.status}
    return described


def _tell(line: str, described: dict[str, Any] | None, *, as_json: bool) -> None:
    if not as_json:
        print(line, file=sys.stderr)
    elif described is not None:
        print(json.dumps(described))
