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

from realtime_core.cli.standard_streams import OutputError
from realtime_core.cli.text import one_line
from realtime_core.errors import AudioError, ConnectError, PluginError, RealtimeError, UserError

__all__ = ["ExitCode", "InputError", "exit_with", "tell_interrupted", "usage_error_as_json"]


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


INTERRUPTED = "interrupted"


class Interrupted(RealtimeError):  # noqa: N818 - that the user stops a command is no error
    """SIGINT or SIGTERM came."""


def exit_with(command: Coroutine[Any, Any, ExitCode], *, as_json: bool = False) -> NoReturn:
    """Run a command to its end and exit.

    Errors become one line on stderr, with a line for each of their notes.

    Args:
        command: It returns the exit code, or raises what becomes one.
        as_json: Print an error as one JSON object on stdout, too.
    """
    try:
        code = asyncio.run(_stoppable(command))
    except KeyboardInterrupt:  # a second one, while the command was closing everything
        code = _fail(Interrupted(INTERRUPTED), as_json=as_json)
    except RealtimeError as exc:
        code = _fail(exc, as_json=as_json)
    except Exception as exc:
        # A bug, ours or a plugin's: its traceback is worth more than a line.
        if as_json:
            _print_json(exc)
        raise
    raise typer.Exit(int(code))


def usage_error_as_json(exiting: SystemExit) -> None:
    """Print a refused command line as JSON, where an option asks for it.

    Args:
        exiting: What the parser raises after it has told on stderr what is wrong.
    """
    describe = getattr(exiting.__context__, "format_message", None)
    if describe is not None and "--json" in sys.argv:
        _print_json(UserError(describe()))


def tell_interrupted() -> None:
    """Say so on stderr; on a terminal, in place of the ^C that it shows."""
    begin = "\r" if sys.stderr.isatty() else ""
    print(f"{begin}{INTERRUPTED}", file=sys.stderr)


async def _stoppable(command: Coroutine[Any, Any, ExitCode]) -> ExitCode:
    """Let SIGTERM end the command as SIGINT does: with everything closed."""
    task = asyncio.current_task()
    if task is not None and sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await command
    except asyncio.CancelledError as exc:
        interrupted = Interrupted(INTERRUPTED)
        for note in _notes(exc):
            interrupted.add_note(note)
        raise interrupted from None


def _fail(exc: RealtimeError, *, as_json: bool) -> ExitCode:
    is_interrupted = isinstance(exc, Interrupted)
    if is_interrupted:
        tell_interrupted()
    else:
        print(one_line(f"error: {exc}"), file=sys.stderr)
    for note in _notes(exc):
        print(one_line(f"note: {note}"), file=sys.stderr)
    if as_json and not isinstance(exc, OutputError):  # where nothing can be printed
        _print_json(exc)
    if is_interrupted:
        return ExitCode.INTERRUPTED
    is_wrong_use = isinstance(exc, (UserError, PluginError, InputError))
    return ExitCode.WRONG_USE if is_wrong_use else ExitCode.FAILED


def _print_json(exc: Exception) -> None:
    described: dict[str, Any] = {"error": str(exc), "class": type(exc).__name__}
    if isinstance(exc, ConnectError):
        described |= {"stage": exc.stage.value, "status": exc.status}
    if notes := _notes(exc):
        described["notes"] = notes
    print(json.dumps(described))


def _notes(exc: BaseException) -> list[str]:
    return list(getattr(exc, "__notes__", ()))
