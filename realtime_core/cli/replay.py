"""``realtime replay``: does the engine still do what a record says?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from realtime_core.cli.exit_codes import ExitCode, InputError
from realtime_core.cli.text import one_line
from realtime_core.plugins import PluginManager
from realtime_core.record import RecordError, read_record
from realtime_core.replay import Difference, Replay, ReplayResult

__all__ = ["replay_record"]

MOST_CHARS = 2_000
"""Of an event on the terminal; with ``--json`` it is whole."""


async def replay_record(path: Path, allow: list[str] | None, *, as_json: bool) -> ExitCode:
    """Feed a record to its engine and print what came of it.

    Raises:
        InputError: The file cannot be read, or is no record.
        PluginError: There is no such engine.
    """
    plugins = PluginManager(allow=allow)
    try:
        result = Replay(read_record(path), plugins.engine).run()
    except (OSError, RecordError) as exc:
        raise InputError(f"{path}: {_reason(exc)}") from exc
    if as_json:
        print(json.dumps({"record": str(path), **asdict(result)}))
    else:
        _print(path, result)
    return ExitCode.FAILED if result.difference else ExitCode.DONE


def _print(path: Path, result: ReplayResult) -> None:
    if result.difference is not None:
        _print_difference(path, result.difference)
        return
    print(one_line(f"{path}: {result.compared} events in {result.steps} steps, all as recorded"))


def _print_difference(path: Path, difference: Difference) -> None:
    print(one_line(f"{path}:{difference.line}: the engine does something else now"))
    print(f"  recorded: {_shown(difference.expected)}")
    print(f"  now:      {_shown(difference.actual)}")


def _shown(value: Any) -> str:
    text = one_line(value if isinstance(value, str) else json.dumps(value, sort_keys=True))
    return text if len(text) <= MOST_CHARS else f"{text[:MOST_CHARS]} … ({len(text)} characters)"


def _reason(exc: Exception) -> str:
    return exc.strerror or str(exc) if isinstance(exc, OSError) else str(exc)
