"""``realtime plugins``: what is there, and what is broken."""

from __future__ import annotations

import json
from dataclasses import asdict

from realtime_core.cli.exit_codes import ExitCode
from realtime_core.plugins import PluginManager, PluginStatus

__all__ = ["list_plugins"]


async def list_plugins(allow: list[str] | None, *, as_json: bool) -> ExitCode:
    """Print all plugins; the exit code is 1 when one could not be loaded."""
    statuses = PluginManager(allow=allow).statuses()
    if as_json:
        print(json.dumps([asdict(status) for status in statuses], indent=2))
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
    if status.error:
        print("  could not be loaded:")
        print("".join(f"    {line}\n" for line in status.error.splitlines()), end="")
