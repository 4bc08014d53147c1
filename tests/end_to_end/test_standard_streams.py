"""Commands whose standard streams are closed, broken or full."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from tests.end_to_end.commands import EXAMPLE, Running, environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell starts them")

RUN = ("run", EXAMPLE, "--responder", "parrot", "--no-plugins", "--out")


def redirected(how: str, *arguments: str | Path) -> Running:
    """The command with what a shell makes of its streams."""
    return Running(*arguments, prefix=("sh", "-c", f'exec "$0" "$@" {how}'))


@pytest.mark.parametrize("options", [(), ("--json",)], ids=" ".join)
def test_a_run_whose_reader_leaves_goes_on_to_its_end(options: tuple[str, ...], tmp_path: Path):
    answer = tmp_path / "answer.wav"
    with Running(*RUN, answer, *options) as running:
        assert running.process.stdout is not None
        running.process.stdout.close()
        assert running.process.wait(timeout=40) == 0
        assert running.process.stderr is not None
        assert running.process.stderr.read() == ""
    assert soundfile.info(answer).duration > 1


@pytest.mark.parametrize(
    "arguments", [["plugins"], ["plugins", "--json"], ["--help"]], ids=" ".join
)
def test_a_list_whose_reader_leaves_is_no_failure(arguments: list[str]):
    with Running(*arguments) as running:
        assert running.process.stdout is not None
        running.process.stdout.close()
        assert running.process.wait(timeout=40) == 0
        assert running.process.stderr is not None
        assert running.process.stderr.read() == ""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_failure_and_get_into_no_file(closed: str, tmp_path: Path):
    answer = tmp_path / "answer.wav"
    with redirected(closed, "-v", *RUN, answer) as running:
        assert running.end().code == 0
    assert soundfile.info(answer).duration > 1
    assert list(tmp_path.iterdir()) == [answer]


def test_an_error_is_not_told_on_standard_output_where_standard_error_is_closed():
    with redirected("2>&-", "run", "nowhere.wav", "--out", "a.wav") as running:
        ended = running.end()
    assert (ended.code, ended.out) == (2, "")


def test_audio_into_a_closed_stream_is_an_error(tmp_path: Path):
    with redirected(">&-", *RUN, "-") as running:
        ended = running.end()
    assert ended.code == 1
    assert "error: standard output cannot be written to: " in ended.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments",
    [["plugins"], ["plugins", "--json"], ["--help"], ["--version"]],
    ids=" ".join,
)
def test_a_full_disk_is_one_line(
    arguments: list[str], unbuffered: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with redirected(">/dev/full", *arguments) as running:
        ended = running.end()
    assert ended.code == 1
    assert ended.err == "error: standard output cannot be written: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_where_logs_cannot_be_written_all_else_goes_on():
    with redirected("2>/dev/full", "run", "nowhere.wav", "--out", "a.wav", "--json") as running:
        ended = running.end()
    assert ended.code == 2
    assert json.loads(ended.out)["error"] == "'nowhere.wav': no such file"


PRINT_AND_DIE = """
import os
from realtime_core.cli.standard_streams import reliable_streams
with reliable_streams():
    print("told")
    os._exit(0)
"""


def test_what_is_printed_leaves_at_once_where_python_is_told_so():
    ended = subprocess.run(
        [sys.executable, "-u", "-c", PRINT_AND_DIE],
        check=True,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert ended.stdout == "told\n"
