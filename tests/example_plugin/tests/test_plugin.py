import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from realtime_core.plugins import PluginManager
from realtime_transports import OpenAIRealtimeWebSocket

from realtime_example.dial import DialSource
from realtime_example.label import LabelMiddleware
from realtime_example.parts import PartsSink

COMMAND = Path(sysconfig.get_path("scripts")) / "realtime"


def test_realtime_plugins_lists_it():
    done = subprocess.run(
        [COMMAND, "plugins", "--json"], capture_output=True, text=True, check=True
    )
    (ours,) = [each for each in json.loads(done.stdout) if each["name"] == "example"]
    assert ours["distribution"] == "realtime-example"
    assert ours["error"] is None
    assert ours["provides"] == {
        "source": ["dial"],
        "sink": ["parts"],
        "middleware": ["label"],
        "transport": ["lines"],
    }
    assert [option["name"] for option in ours["options"]["source"]["dial"]] == [
        "keys",
        "tone_ms",
        "pause_ms",
    ]


def test_the_manager_makes_each(tmp_path):
    plugins = PluginManager()
    assert isinstance(plugins.source("dial:5550100"), DialSource)
    assert isinstance(plugins.sink(f"parts:{tmp_path}?seconds=5"), PartsSink)
    assert isinstance(plugins.middleware("label:sales?key=team"), LabelMiddleware)
    lines = plugins.factory("transport", "lines")(api_key="any")
    assert isinstance(lines, OpenAIRealtimeWebSocket)


def test_listing_plugins_does_not_import_the_transport():
    code = (
        "import sys; from realtime_core.plugins import PluginManager; PluginManager().statuses(); "
        "sys.exit('realtime_example.lines' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("middleware", [[], ["--middleware", "label:sales"]])
def test_the_command_takes_them(tmp_path, middleware):
    question, answer = "dial:5550100", f"parts:{tmp_path / 'answers'}"
    done = subprocess.run(
        [COMMAND, "run", question, "--out", answer, "--json", *middleware],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "answers").glob("*.wav"))
