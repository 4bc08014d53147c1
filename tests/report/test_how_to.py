"""The programs of the page about comparing, run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from realtime_core.report import compare, read_run
from tests.report.samples import make_row, make_run, write_run

PAGE = (Path(__file__).parents[2] / "docs/how-to/compare-two-prompts.md").read_text()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    make_run(tmp_path / "brief", 20, failing=0.0, with_audio=False)
    make_run(tmp_path / "polite", 20, failing=0.0, with_audio=False, slowness=2.0)
    return tmp_path


def ended(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_the_program_prints_what_changed(runs: Path):
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    done = ended(program, runs)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^Voice to voice \d+\.\d+ worse$", done.stdout, re.MULTILINE)
    assert (runs / "comparison.html").exists()


def test_the_check_of_continuous_integration_fails_on_what_is_worse(runs: Path):
    (program,) = re.findall(r"<<'END'\n(.*?)^END$", PAGE, re.DOTALL | re.MULTILINE)
    command = "import sys; sys.argv[1:] = ['report', 'brief', 'polite', '--json']\n"
    command += "from realtime_core.cli import main; main()"
    told = ended(command, runs).stdout
    (runs / "changes.json").write_text(told)
    done = ended(program, runs)
    assert done.returncode == 1
    assert "'voice_to_voice_ms'" in done.stderr
    (runs / "changes.json").write_text(told.replace('"worse"', '"incomparable"'))
    assert ended(program, runs).returncode == 0


def test_the_page_names_all_verdicts_that_programs_get(tmp_path: Path):
    named = re.findall(r"`(\w+)`", PAGE.partition("A verdict is ")[2].partition(";")[0])
    assert named == ["better", "worse", "different", "unclear", "few", "incomparable"]
    rows = [make_row(tmp_path, n, failing=0.0, with_audio=False) for n in range(20)]
    for name in "ab":
        write_run(tmp_path / name, rows)
    found = compare(*[read_run(tmp_path / name) for name in "ab"])
    assert {each.verdict for each in found.changes} <= set(named)
