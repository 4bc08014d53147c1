"""``realtime devices``, with a system that a test plays."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from realtime_core.cli import devices as command
from realtime_core.cli.exit_codes import ExitCode
from realtime_core.devices import AudioDevice
from realtime_core.errors import AudioError
from realtime_core.hookspecs import hookimpl
from realtime_core.plugins import PluginManager

FOUND = [
    AudioDevice(0, "Built-in\x1b[31m Audio", 2, 2, 48_000, True, True),
    AudioDevice(11, "HDMI", 0, 8, 44_100),
]


def failing() -> list[AudioDevice]:
    raise AudioError("the package x is not installed; pip install x")


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What lists devices, by name; a test fills it."""
    listers: dict[str, object] = {}

    def manager(*, allow: list[str] | None) -> PluginManager:
        made = PluginManager(allow=allow, entry_points=[])
        hook = hookimpl(lambda: listers, specname="realtime_audio_devices")
        made.register(SimpleNamespace(realtime_audio_devices=hook), "mine")
        return made

    monkeypatch.setattr(command, "PluginManager", manager)
    return listers


async def test_devices_are_a_table(system, capsys: pytest.CaptureFixture[str]):
    system["cards"] = lambda: FOUND
    assert await command.list_devices([], as_json=False) is ExitCode.DONE
    assert capsys.readouterr().out.splitlines() == [
        "index  in  out      rate  name",
        "    0   2    2  48000 Hz  Built-in [31m Audio (default input, default output)",
        "   11   0    8  44100 Hz  HDMI",
    ]


async def test_devices_are_json(system, capsys: pytest.CaptureFixture[str]):
    system["cards"] = lambda: FOUND
    assert await command.list_devices([], as_json=True) is ExitCode.DONE
    told = json.loads(capsys.readouterr().out)
    assert told[1] == {
        "system": "cards",
        "index": 11,
        "name": "HDMI",
        "input_channels": 0,
        "output_channels": 8,
        "default_rate_hz": 44_100,
        "is_default_input": False,
        "is_default_output": False,
    }


async def test_what_is_missing_is_told_and_the_rest_is_listed(
    system, capsys: pytest.CaptureFixture[str]
):
    system["cards"] = lambda: FOUND
    system["broken"] = failing
    assert await command.list_devices([], as_json=False) is ExitCode.FAILED
    out, err = capsys.readouterr()
    assert "HDMI" in out
    assert err == "error: broken: the package x is not installed; pip install x\n"


async def test_a_machine_without_devices_is_told(system, capsys: pytest.CaptureFixture[str]):
    system["cards"] = list
    assert await command.list_devices([], as_json=False) is ExitCode.DONE
    assert capsys.readouterr().out == "this machine has no audio devices\n"
