"""``realtime devices``: what the microphone and the speaker choose from."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from realtime_core.cli.exit_codes import ExitCode
from realtime_core.cli.text import one_line
from realtime_core.errors import AudioError
from realtime_core.plugins import PluginManager

if TYPE_CHECKING:
    from realtime_core.devices import AudioDevice

__all__ = ["list_devices"]


async def list_devices(allow: list[str] | None, *, as_json: bool) -> ExitCode:
    """Print all devices; the exit code is 1 when a system could not be asked.

    In JSON: a list of objects, each with ``system`` and the fields of `AudioDevice`.
    """
    plugins = PluginManager(allow=allow)
    found: list[tuple[str, AudioDevice]] = []
    failures: list[str] = []
    for system in plugins.names("devices"):
        try:
            found += [(system, device) for device in plugins.factory("devices", system)()]
        except AudioError as exc:
            failures.append(f"{system}: {exc}")
    if as_json:
        print(json.dumps([{"system": system, **asdict(device)} for system, device in found]))
    elif found:
        for line in _table([device for _, device in found]):
            print(line)
    elif not failures:
        print("this machine has no audio devices")
    for failure in failures:
        print(f"error: {one_line(failure)}", file=sys.stderr)
    return ExitCode.FAILED if failures else ExitCode.DONE


def _table(devices: list[AudioDevice]) -> list[str]:
    rows = [("index", "in", "out", "rate", "name")]
    for device in devices:
        defaults = [
            name
            for name, is_default in (
                ("default input", device.is_default_input),
                ("default output", device.is_default_output),
            )
            if is_default
        ]
        name = one_line(device.name) + (f" ({', '.join(defaults)})" if defaults else "")
        channels = (str(device.input_channels), str(device.output_channels))
        rows.append((str(device.index), *channels, f"{device.default_rate_hz} Hz", name))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=False)), name])
        for *row, name in rows
    ]
