"""``realtime plugins``: what is there, and what is broken."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from realtime_core.cli.exit_codes import ExitCode
from realtime_core.cli.text import without_controls
from realtime_core.plugins import PluginManager, PluginStatus

if TYPE_CHECKING:
    from realtime_core.specs import Option

__all__ = ["list_plugins"]


async def list_plugins(allow: list[str] | None, *, as_json: bool) -> ExitCode:
    """Print all plugins; the exit code is 1 when one could not be loaded."""
    statuses = PluginManager(allow=allow).statuses()
    if as_json:
        print(json.dumps([asdict(status) for status in statuses], indent=2, default=str))
    else:
        for status in statuses:
            _print(status)
    return ExitCode.FAILED if any(status.error for status in statuses) else ExitCode.DONE


def _print(status: PluginStatus) -> None:
    origin = f"{status.distribution} {status.version}".strip()
    if not status.is_allowed:
        print(f"{status.name} ({origin}): not allowed, not loaded")
        return
    print(f"{status.name} ({origin})")
    for kind, names in status.provides.items():
        if names:
            print(f"  {kind}: {', '.join(names)}")
        for name, options in status.options.get(kind, {}).items():
            for line in _option_lines(name, options):
                print(f"    {without_controls(line)}")
    if status.error:
        print("  could not be loaded:")
        for line in status.error.splitlines():
            print(f"    {without_controls(line)}")


def _option_lines(name: str, options: Sequence[Option]) -> Iterator[str]:
    """How it is written, then a line for each option."""
    written = ""
    for option in options:
        if option.is_argument:
            place = f":{option.name.upper()}"
            written = place if option.is_required else f"[{place}]"
    others = [option.name for option in options if not option.is_argument]
    yield name + written + (f"[?{'=…&'.join(others)}=…]" if others else "")
    for option in options:
        default = "" if option.default in (None, "") else f", default {_as_written(option.default)}"
        shown = option.name.upper() if option.is_argument else option.name
        yield f"  {shown}: {option.description} ({option.kind}{default})"


def _as_written(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
