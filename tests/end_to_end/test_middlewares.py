"""All middlewares on a call with the local server, and the record of it from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

ROOT = Path(__file__).parents[2]
QUESTION = ROOT / "examples" / "question.wav"


def realtime(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    script = "from realtime_core.cli import main; main()"
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def call(tmp_path_factory) -> Path:
    """The folder of a call that was recorded, measured, logged and redacted."""
    folder = tmp_path_factory.mktemp("call")
    specs = ["record:call.jsonl", "metrics:turns.jsonl", "redact:email", "log?format=json"]
    middlewares = [argument for spec in specs for argument in ("--middleware", spec)]
    arguments = ("--out", "answer.wav", "--responder", "parrot", *middlewares)
    done = realtime("run", QUESTION, *arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_record_of_a_call_replays_to_the_same(call):
    done = realtime("replay", "call.jsonl", folder=call)
    assert done.returncode == 0, done.stdout
    assert "all as recorded" in done.stdout
    report = json.loads(realtime("replay", "call.jsonl", "--json", folder=call).stdout)
    assert report["difference"] is None
    assert report["compared"] > 20


def test_the_audio_of_the_call_is_beside_the_record(call):
    info = soundfile.info(call / "call.flac")
    assert info.channels == 2
    assert info.duration > 2 * soundfile.info(QUESTION).duration - 1


def test_the_turn_was_measured_by_its_audio(call):
    [turn] = [json.loads(line) for line in (call / "turns.jsonl").read_text().splitlines()]
    assert turn["measured_by"] == "audio"
    assert 0 < turn["first_audio_s"] < turn["voice_to_voice_s"] < 5
    assert turn["loop_lag"]["p50_ms"] <= turn["loop_lag"]["p95_ms"] <= turn["loop_lag"]["max_ms"]


def test_a_changed_record_is_told_at_the_line_with_exit_code_1(call, tmp_path):
    lines = (call / "call.jsonl").read_text().splitlines()
    index = next(n for n, line in enumerate(lines) if '"turn_started"' in line)
    lines[index] = lines[index].replace("turn_started", "turn_begun")
    (tmp_path / "changed.jsonl").write_text("\n".join(lines) + "\n")
    done = realtime("replay", "changed.jsonl", folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith(f"changed.jsonl:{index + 1}: ")
    assert "turn_begun" in done.stdout
    assert "turn_started" in done.stdout


@pytest.mark.parametrize("content", [b"", b"RIFF\0\0", b"{}\n", b"missing"])
def test_what_is_no_record_has_exit_code_2(tmp_path, content):
    if content != b"missing":
        (tmp_path / "r.jsonl").write_bytes(content)
    done = realtime("replay", "r.jsonl", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: r.jsonl: ")
    assert content == b"missing" or "line 1" in done.stderr


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("recrod:x", "did you mean 'record'"),
        ("record:none/x.jsonl", "does not exist"),
        ("redact", "redact what"),
        ("log?level=loud", "log: level"),
    ],
)
def test_a_middleware_that_cannot_be_made_is_told_before_the_call(tmp_path, spec, reason):
    arguments = ("--out", "a.wav", "--responder", "parrot", "--middleware", spec)
    done = realtime("run", QUESTION, *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert reason in done.stderr
