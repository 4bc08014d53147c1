"""The command ``realtime batch``, in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
from pathlib import Path

import pytest

from realtime_core.batch.results_file import read_rows
from realtime_core.batch.run import BatchSummary
from realtime_core.cli.batch import summary_lines
from tests.batch.recordings import many_jobs, write_manifest, write_tone
from tests.end_to_end.commands import Ended, Running

IN_MEMORY = ("--transport", "memory", "--processes", "0", "--no-plugins")


def batch(*arguments: str | Path, **env: str) -> Ended:
    with Running("batch", *arguments, **env) as running:
        return running.end()


def test_all_goes_well_and_the_exit_code_is_0(tmp_path: Path):
    ended = batch(many_jobs(tmp_path, 5), "--out", tmp_path / "out", *IN_MEMORY)
    assert (ended.code, ended.err) == (0, "")
    *progress, done, took, results, following = ended.out.splitlines()
    assert re.fullmatch(r"5 of 5 jobs done, 0 failed, \d sessions?, [\d.]+ jobs/s", progress[-1])
    assert done == "done: 5 of 5 jobs went well, 0 failed"
    assert re.fullmatch(r"took: [\d.]+ s, [\d.]+ sessions at a time, \d at most", took)
    assert results == f"results: {tmp_path / 'out' / 'results.jsonl'}"
    assert following == f"next: realtime report {tmp_path / 'out'}"
    assert len(list(read_rows(tmp_path / "out"))) == 5


def test_a_failed_job_makes_the_exit_code_1_also_when_it_failed_before(tmp_path: Path):
    (tmp_path / "bad.wav").write_text("no audio")
    for _ in range(2):
        ended = batch(tmp_path / "bad.wav", "--out", tmp_path / "out", *IN_MEMORY)
        assert (ended.code, ended.err) == (1, "")
        assert "done: 0 of 1 jobs went well, 1 failed" in ended.out
        assert "failed: 1 x input: QuestionError: " in ended.out
    assert "(1 of them before this start)" in ended.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nothing.wav",), "there is no file or folder 'nothing.wav'"),
        ((".", "--transport", "fax"), "there is no transport 'fax'"),
        ((".", "--pace", "fast"), "webrtc sends audio in real time"),
        ((".", "--to", "openai"), "OPENAI_API_KEY is not set"),
        ((".", "--max-sessions", "0"), "--max-sessions"),
        ((), "INPUTS"),
    ],
)
def test_wrong_use_is_exit_code_2_and_nothing_is_written(
    tmp_path: Path, arguments: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
):
    write_tone(tmp_path / "q.wav")
    monkeypatch.chdir(tmp_path)
    ended = batch(*arguments, "--out", tmp_path / "out")
    assert ended.code == 2
    assert told in ended.err.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_a_wrong_manifest_is_refused_with_file_and_line(tmp_path: Path):
    manifest = write_manifest(tmp_path, [{"audio": "x.wav"}, {"id": "../x", "audio": "x.wav"}])
    ended = batch(manifest, "--out", tmp_path / "out", *IN_MEMORY)
    assert ended.code == 2
    assert f"{manifest}:1: there is no file 'x.wav'" in ended.err
    assert f"{manifest}:2: the id '../x' has '/' in it" in ended.err


def test_json_is_one_object(tmp_path: Path):
    ended = batch(many_jobs(tmp_path, 2), "--out", tmp_path / "out", "--json", *IN_MEMORY)
    summary = json.loads(ended.out)
    assert summary.pop("duration_s") > 0
    assert 0 < summary.pop("sessions") <= summary.pop("most_sessions") <= 2
    assert summary == {
        "folder": str(tmp_path / "out"),
        "total": 2,
        "ok": 2,
        "failed": 0,
        "resumed": 0,
        "late": 0,
    }


def test_the_end_tells_what_to_know_before_the_latencies_are_read(tmp_path: Path):
    summary = BatchSummary(
        folder=tmp_path / "a folder",
        total=200,
        ok=198,
        failed=2,
        resumed=20,
        duration_s=3725.2,
        sessions=6.25,
        most_sessions=9,
        late=31,
    )
    assert list(summary_lines(summary)) == [
        "done: 198 of 200 jobs went well, 2 failed (20 of them before this start)",
        "took: 1 h 02 min, 6.2 sessions at a time, 9 at most",
        "late: audio left late in 31 jobs; their latencies are partly this machine's",
        f"results: {tmp_path}/a folder/results.jsonl",
        f"next: realtime report '{tmp_path}/a folder'",
    ]
    nothing_left = dataclasses.replace(summary, most_sessions=0, late=0, duration_s=0.01)
    assert list(summary_lines(nothing_left))[1] == "took: 0.0 s"


def test_another_batch_in_the_folder_is_refused(tmp_path: Path):
    batch(many_jobs(tmp_path, 1), "--out", tmp_path / "out", *IN_MEMORY)
    other = batch(many_jobs(tmp_path, 2), "--out", tmp_path / "out", *IN_MEMORY)
    assert other.code == 2
    assert "has another batch, with different recordings or manifest" in other.err
    same = batch(many_jobs(tmp_path, 1), "--out", tmp_path / "out", "--no-resume", *IN_MEMORY)
    assert same.code == 2
    assert "has a batch already" in same.err


def test_an_interruption_is_exit_code_130_and_the_next_start_goes_on(tmp_path: Path):
    # Long recordings in real time: it cannot be over before the signal comes.
    write_tone(tmp_path / "long.wav", 60.0)
    write_tone(tmp_path / "q.wav", 0.3)
    entries = [{"id": "short", "audio": "q.wav"}, {"id": "long", "audio": "long.wav"}]
    manifest = write_manifest(tmp_path, entries)
    slowly = ("--transport", "websocket", "--pace", "realtime", "--no-plugins")
    with Running("batch", manifest, "--out", tmp_path / "out", *slowly) as running:
        results = tmp_path / "out" / "results.jsonl"
        while not (results.exists() and results.read_bytes().endswith(b"\n")):
            assert running.process.poll() is None
        running.process.send_signal(signal.SIGINT)
        ended = running.end()
    assert ended.code == 130, ended.err
    assert ended.err == (
        "interrupted\nnote: 1 of 2 jobs are done; the same command goes on from there\n"
    )
    assert [row.id for row in read_rows(tmp_path / "out")] == ["short"]
    assert not list((tmp_path / "out").rglob("*.part*"))
