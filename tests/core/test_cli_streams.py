"""Where ``realtime run`` reads and writes, and where its text goes then."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from realtime_core.cli.streams import spec_for, standard_output_for, uses_standard_stream
from realtime_core.plugins import PluginManager


@pytest.fixture(scope="module")
def plugins() -> PluginManager:
    return PluginManager(allow=[])


@pytest.mark.parametrize(
    ("kind", "argument", "spec"),
    [
        ("source", "-", "pcm:-"),
        ("sink", "-", "pcm:-"),
        ("source", "question.wav", "file:question.wav"),
        ("source", "mic:", "mic:"),
        ("source", "mic", "mic"),
        ("source", "mic?aec=true", "mic?aec=true"),
        ("sink", "speaker", "speaker"),
        ("sink", "null.wav", "file:null.wav"),
        ("source", "m", "file:m"),
        ("source", "mic:USB?aec=true", "mic:USB?aec=true"),
        ("source", "tone:440", "tone:440"),
        ("sink", "tone:440", "file:tone:440"),
        ("sink", "speaker:3", "speaker:3"),
        ("source", "call: bob.wav", "file:call: bob.wav"),
        ("source", "c:sounds", "file:c:sounds"),
        ("source", "what?.wav", "file:what?.wav"),
    ],
)
def test_an_argument_is_a_stream_a_spec_or_a_file(
    plugins: PluginManager, kind: str, argument: str, spec: str
):
    assert spec_for(kind, Path(argument), plugins) == spec


def test_a_file_that_is_named_like_a_spec_is_the_file(
    plugins: PluginManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("tone:440").touch()
    assert spec_for("source", Path("tone:440"), plugins) == "file:tone:440"


@pytest.mark.parametrize("out", ["-", "pcm", "pcm:", "pcm:-", "pcm:-?rate=8000", "pcm?rate=8000"])
def test_text_goes_to_standard_error_where_audio_goes_to_standard_output(
    out: str, capsys: pytest.CaptureFixture[str]
):
    assert uses_standard_stream(Path(out))
    with standard_output_for(Path(out)):
        print("words")  # noqa: T201 - as the commands do
        assert sys.stdout is sys.stderr
    assert capsys.readouterr() == ("", "words\n")


@pytest.mark.parametrize(
    "out", ["answer.wav", "pcm:fifo", "null:", "-.wav", "pcm.wav", "pcm:-.raw"]
)
def test_text_goes_to_standard_output_otherwise(out: str, capsys: pytest.CaptureFixture[str]):
    with standard_output_for(Path(out)):
        print("words")  # noqa: T201 - as the commands do
    assert capsys.readouterr() == ("words\n", "")


@pytest.mark.parametrize(("kind", "argument"), [("source", "tone"), ("sink", "speaker:")])
def test_a_folder_hides_no_source_and_no_sink(
    plugins: PluginManager,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    argument: str,
):
    monkeypatch.chdir(tmp_path)
    Path(argument).mkdir()
    assert spec_for(kind, Path(argument), plugins) == argument
    assert spec_for(kind, tmp_path / argument, plugins) == f"file:{tmp_path / argument}"


def test_a_folder_hides_no_standard_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("pcm").mkdir()
    assert uses_standard_stream(Path("pcm"))
