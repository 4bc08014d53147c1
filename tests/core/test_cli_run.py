"""``realtime run`` up to the call, and how the commands take their arguments."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from realtime_core.cli import main
from realtime_core.cli.app import app
from realtime_core.endpoints import Endpoint, endpoint_for
from realtime_core.errors import UserError
from realtime_core.plugins import PluginManager, PluginStatus

BASE = "http://127.0.0.1:8080/v1"


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def realtime(*arguments: str | Path) -> Ended:
    """Run the command in this process."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return Ended(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def question(tmp_path: Path) -> Path:
    path = tmp_path / "question.wav"
    soundfile.write(path, np.zeros(16_000), 16_000)
    return path


# Where to


@pytest.mark.parametrize(
    ("to", "url"),
    [
        (BASE, f"{BASE}/realtime/calls"),
        (f"{BASE}/", f"{BASE}/realtime/calls"),
        (f"{BASE}/realtime/calls", f"{BASE}/realtime/calls"),
        ("https://host/some/other/endpoint?a=b", "https://host/some/other/endpoint?a=b"),
        ("https://r.example/openai/v1", "https://r.example/openai/v1/realtime/calls"),
    ],
)
def test_a_base_url_is_completed_and_an_endpoint_is_left_alone(to: str, url: str):
    assert endpoint_for(to).url == url
    assert endpoint_for(to).name == url


def test_openai_is_the_providers_own_endpoint(monkeypatch: pytest.MonkeyPatch):
    endpoint = endpoint_for("openai")
    assert endpoint == Endpoint(None, "OPENAI_API_KEY", None, is_loopback=False)
    assert endpoint.name == "OpenAI"
    with pytest.raises(UserError, match="OPENAI_API_KEY is not set"):
        endpoint.api_key()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    assert endpoint.api_key() == "sk-test"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_server_on_this_machine_needs_no_key(host: str, monkeypatch: pytest.MonkeyPatch):
    endpoint = endpoint_for(f"http://{host}:8080/v1")
    assert endpoint.is_loopback
    assert endpoint.api_key()
    monkeypatch.setenv("REALTIME_API_KEY", "my-key")
    assert endpoint.api_key() == "my-key"


def test_a_server_elsewhere_needs_its_own_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-strangers")
    endpoint = endpoint_for("https://elsewhere.example/v1")
    assert not endpoint.is_loopback
    with pytest.raises(UserError, match="REALTIME_API_KEY is not set"):
        endpoint.api_key()


@pytest.mark.parametrize(
    "to",
    [
        "",
        "opneai",
        "127.0.0.1:8080/v1",
        "ftp://host/v1",
        "http:///v1",
        "http://[::1/v1",
        "http://host:port/v1",
        "http://host:99999/v1",
        "http://host",
        "http://host/",
    ],
)
def test_what_is_no_endpoint_is_refused_by_name(to: str):
    with pytest.raises(UserError) as refused:
        endpoint_for(to)
    assert str(refused.value).startswith(f"--to {to}")


def test_a_password_in_the_url_is_refused_and_not_repeated():
    with pytest.raises(UserError) as refused:
        endpoint_for("https://user:canary@host/v1")
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("name", ["key", "api-key", "api_key", "access_token", "X-Amz-Signature"])
def test_a_key_in_the_url_is_refused_and_not_repeated(name: str):
    with pytest.raises(UserError, match="a URL with a key in it") as refused:
        endpoint_for(f"https://host/v1?a=b&{name}=canary")
    assert "canary" not in str(refused.value)
    with pytest.raises(UserError, match="a URL with a key in it"):
        endpoint_for("https://host/v1?auth=sk-0123456789abcdefghij")
    assert endpoint_for("https://host/calls?monkey=a&api-version=1").url


# What is wrong shows before anything is sent


def header_alone(path: Path) -> None:
    soundfile.write(path, np.zeros(8_000), 16_000)
    path.write_bytes(path.read_bytes()[:30])


INPUTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no such file"),
    "empty": (lambda path: path.touch(), "empty"),
    "directory": (lambda path: path.mkdir(), "is a directory"),
    "no audio": (lambda path: path.write_text("Hello, world\n" * 100), "cannot be read as audio"),
    "truncated header": (header_alone, "cannot be read as audio"),
    "no samples": (lambda path: soundfile.write(path, np.zeros(0), 16_000), "not one sample"),
    "one sample": (lambda path: soundfile.write(path, np.zeros(1), 16_000), "at least 100 ms"),
    "too short": (lambda path: soundfile.write(path, np.zeros(1_599), 16_000), "at least 100 ms"),
}


@pytest.mark.parametrize("make", INPUTS)
def test_a_bad_question_is_one_line_and_leaves_nothing(make: str, tmp_path: Path):
    prepare, words = INPUTS[make]
    bad = tmp_path / "bad.wav"
    prepare(bad)
    (tmp_path / "out").mkdir()
    out = tmp_path / "out"
    ended = realtime("run", bad, "--out", out / "a.wav", "--stereo", out / "s.wav")
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert str(bad) in line
    assert not list(out.iterdir())


@pytest.mark.parametrize("option", ["--out", "--stereo"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere/answer.wav", "does not exist"),
        ("answer.txt", "the name must end in "),
        ("folder.wav", "is a directory"),
        ("question.wav/answer.wav", "not a directory"),
        ("question.wav", "are the same file"),
        ("../question.wav", "are the same file"),
    ],
)
def test_a_bad_place_for_the_answer_is_one_line(
    option: str, name: str, words: str, question: Path, tmp_path: Path
):
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "in").mkdir()
    place = tmp_path / ("in" if name.startswith("..") else "") / name
    options = {"--out": tmp_path / "ok.wav", option: place}
    before = question.read_bytes(), sorted(tmp_path.iterdir())
    ended = realtime("run", question, *(part for pair in options.items() for part in pair))
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert (question.read_bytes(), sorted(tmp_path.iterdir())) == before


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="everything is writable for root"
)
def test_a_place_without_permission_is_one_line(question: Path, tmp_path: Path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    ended = realtime("run", question, "--out", locked / "a.wav")
    assert ended.code == 2
    assert "permission denied" in ended.err


def test_two_outputs_in_one_file_are_refused(question: Path, tmp_path: Path):
    path = tmp_path / "a.wav"
    ended = realtime("run", question, "--out", path, "--stereo", path)
    assert ended.code == 2
    assert "--stereo and --out are the same file" in ended.err


def test_a_link_to_the_question_is_the_question(question: Path, tmp_path: Path):
    link = tmp_path / "link.wav"
    link.symlink_to(question)
    ended = realtime("run", question, "--out", link)
    assert ended.code == 2
    assert "are the same file" in ended.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "openai"], "OPENAI_API_KEY is not set"),
        (["--to", "https://elsewhere.example/v1"], "REALTIME_API_KEY is not set"),
        (["--to", "ftp://host"], "--to ftp://host: give local, openai, or a URL"),
        (["--responder", "parot"], "there is no responder 'parot'; did you mean 'parrot'?"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_nothing(
    arguments: list[str], words: str, question: Path, tmp_path: Path
):
    ended = realtime("run", question, "--out", tmp_path / "a.wav", *arguments)
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert words in line
    assert list(tmp_path.iterdir()) == [question]


@pytest.mark.parametrize(
    ("source", "close"),
    [
        ("toen:440", "tone"),
        ("mik", "mic"),
        ("fiel:question.wav", "file"),
        ("tome?rate=8000", "tone"),
    ],
)
def test_a_misspelt_source_is_told_with_the_nearest_and_all_there_are(
    source: str, close: str, tmp_path: Path
):
    ended = realtime("run", source, "--out", tmp_path / "a.wav")
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert "no such file" in line
    assert f"did you mean {close!r}? there are: file, mic, " in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("out", ["speker:", "speakr", "spaeker:USB"])
def test_a_misspelt_sink_is_told_with_the_nearest_and_all_there_are(out: str, question: Path):
    ended = realtime("run", question, "--out", out)
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert "did you mean 'speaker'? there are: file, null, pcm, speaker" in line


def test_a_missing_file_with_a_files_name_is_no_misspelt_source(tmp_path: Path):
    ended = realtime("run", "tome.wav", "--out", tmp_path / "a.wav")
    assert ended.err == "error: 'tome.wav': no such file\n"


@pytest.mark.parametrize("source", ["tone:440", "tone", "null:", "silence", "mic", "mic:?aec=true"])
def test_a_question_that_never_ends_is_refused_where_its_end_is_the_turns(
    source: str, tmp_path: Path
):
    ended = realtime("run", source, "--out", tmp_path / "a.wav")
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert line.startswith(f"error: {source} never ends, and with --turns manual")
    assert "--turns vad" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("source", "example"),
    [
        ("tone", "tone?seconds=2"),
        ("tone:440?rate=8000", "tone:440?rate=8000&seconds=2"),
        ("silence", "silence:2"),
    ],
)
def test_a_question_that_could_have_an_end_is_refused_with_how_to_give_it_one(
    source: str, example: str, tmp_path: Path
):
    ended = realtime("run", source, "--out", tmp_path / "a.wav")
    assert f"give it an end, as in {example!r}, or use --turns vad" in ended.err
    assert not PluginManager(allow=[]).source(example).is_endless


def test_live_audio_is_refused_where_its_end_is_the_turns(tmp_path: Path):
    ended = realtime("run", "pcm:-?live=true", "--out", tmp_path / "a.wav")
    assert ended.code == 2
    assert "--turns vad" in ended.err


def test_a_generated_question_that_is_too_short_is_refused(tmp_path: Path):
    ended = realtime("run", "tone:440?seconds=0.01", "--out", tmp_path / "a.wav")
    assert ended.code == 2
    assert "at least 100 ms" in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "q.wav"],
        ["run", "q.wav", "--out", "a.wav", "--turns", "maybe"],
        ["run", "q.wav", "--out", "a.wav", "--deadline", "0"],
        ["run", "q.wav", "--out", "a.wav", "--nope"],
        ["serve", "--port", "99999"],
        ["nope"],
    ],
    ids=" ".join,
)
def test_a_refused_command_line_has_exit_code_2(arguments: list[str]):
    ended = realtime(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err


def test_a_failure_is_one_json_object_where_asked_for(question: Path, tmp_path: Path):
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        to = f"http://127.0.0.1:{nobody_listens.getsockname()[1]}/v1"
        ended = realtime("run", question, "--out", tmp_path / "a.wav", "--to", to, "--json")
    assert ended.code == 1
    described = json.loads(ended.out)
    assert described["class"] == "ConnectError"
    assert described["stage"] == "http"
    assert described["error"].startswith(f"{to}/realtime/calls cannot be reached")
    assert ended.err == f"error: {described['error']}\n"
    assert list(tmp_path.iterdir()) == [question]


# The commands as a whole


@pytest.mark.parametrize("command", [[], ["run"], ["serve"], ["plugins"]], ids=" ".join)
def test_help_fits_80_columns(command: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    ended = realtime(*command, "--help")
    assert ended.code == 0
    assert all(len(line) <= 80 for line in ended.out.splitlines())


def test_plugins_are_listed_with_what_they_bring():
    ended = realtime("plugins", "--no-plugins")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert any(line.startswith("audio (realtime-transports ") for line in lines)
    assert "  transport: " in ended.out
    (sources,) = [line for line in lines if line.startswith("  source: ")]
    assert {"file", "mic", "tone"} <= set(sources.removeprefix("  source: ").split(", "))


def test_options_are_listed_with_their_defaults_as_they_are_written():
    lines = [line.strip() for line in realtime("plugins", "--no-plugins").out.splitlines()]
    assert "HZ: frequency in Hz (number, default 440)" in lines
    assert "aec: cancel the echo of what is heard (extra aec) (true|false, default false)" in lines
    assert "redact: patterns to leave out, such as email,phone (text)" in lines


def test_plugins_are_listed_as_json():
    ended = realtime("plugins", "--no-plugins", "--json")
    statuses = {status["name"]: status for status in json.loads(ended.out)}
    assert "file" in statuses["audio"]["provides"]["source"]
    assert statuses["audio"]["error"] is None


@pytest.mark.parametrize("as_json", [False, True])
def test_a_broken_plugin_is_told_with_its_traceback(as_json: bool, monkeypatch: pytest.MonkeyPatch):
    broken = PluginStatus("broken", "strange-dist", "1.0", error="Traceback:\n  oops\x1b[2J")
    absent = PluginStatus("absent", "other-dist", "1.0", is_allowed=False)
    monkeypatch.setattr(PluginManager, "statuses", lambda self: [broken, absent])
    ended = realtime("plugins", *(["--json"] if as_json else []))
    assert ended.code == 1
    if as_json:
        assert json.loads(ended.out)[0]["error"] == broken.error
    else:
        assert ended.out.splitlines() == [
            "broken (strange-dist 1.0)",
            "  could not be loaded:",
            "    Traceback:",
            "      oops [2J",
            "absent (other-dist 1.0): not allowed, not loaded",
        ]


def test_interrupted_before_anything_began_is_130(monkeypatch: pytest.MonkeyPatch):
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("realtime_core.cli.app.app", interrupted)
    with pytest.raises(SystemExit) as exiting:
        main()
    assert exiting.value.code == 130
