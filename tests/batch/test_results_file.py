"""The folder of results: what is in it after whatever end."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.batch.engine import JobResult
from realtime_core.batch.manifest import Job, JobTurn
from realtime_core.batch.results import (
    AudioFile,
    JobFailure,
    ResultRow,
    TurnRow,
    parse_row,
)
from realtime_core.batch.results_file import BatchFolder, read_rows
from realtime_core.errors import UserError

SETTINGS = {"transport": "memory", "model": None}


def jobs(count: int = 3) -> list[Job]:
    return [Job(id=f"j{n}", turns=(JobTurn(audio="/q.wav", name="q"),)) for n in range(count)]


def row(job_id: str, **more: Any) -> ResultRow:
    values = {"status": "ok", "started_at": datetime.now(UTC), "duration_s": 1.0, **more}
    return ResultRow(id=job_id, **values)


def failed(job_id: str) -> ResultRow:
    return row(job_id, status="failed", error=JobFailure(stage="turn", kind="X", message="x"))


def result(batch: BatchFolder, job_id: str, content: bytes = b"RIFF") -> JobResult:
    folder = batch.scratch / job_id
    folder.mkdir()
    (folder / "answer.wav").write_bytes(content)
    (folder / "question-1.part.wav").write_bytes(b"")
    file = AudioFile(path="answer.wav", duration_s=1.0, size_bytes=len(content))
    return JobResult(row(job_id, answer=file), folder)


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_result_becomes_a_row_and_recordings_under_their_names(tmp_path: Path):
    with BatchFolder(tmp_path / "out").open(jobs(), SETTINGS) as batch:
        written = batch.take(result(batch, "j1"))
        assert written.answer is not None
        assert written.answer.path == "audio/j1/answer.wav"
        assert list(read_rows(batch.path)) == [written]
    assert names(tmp_path / "out") == {
        ".lock",
        "batch.json",
        "results.jsonl",
        "audio/j1/answer.wav",
    }


def test_what_is_done_is_known_to_the_next_start(tmp_path: Path):
    with BatchFolder(tmp_path).open(jobs(), SETTINGS) as batch:
        batch.take(JobResult(row("j0"), None))
        batch.take(JobResult(failed("j2"), None))
    with BatchFolder(tmp_path).open(jobs(), SETTINGS) as batch:
        assert batch.done == {"j0": True, "j2": False}


def test_failed_jobs_are_forgotten_when_they_shall_be_run_again(tmp_path: Path):
    with BatchFolder(tmp_path).open(jobs(), SETTINGS) as batch:
        batch.take(JobResult(failed("j2"), None))
        batch.take(JobResult(row("j0"), None))
    with BatchFolder(tmp_path).open(jobs(), SETTINGS, retry_failed=True) as batch:
        assert batch.done == {"j0": True}
    assert [each.id for each in read_rows(tmp_path)] == ["j0"]


def test_a_second_row_of_a_job_is_never_written(tmp_path: Path):
    with BatchFolder(tmp_path).open(jobs(), SETTINGS) as batch:
        batch.take(JobResult(row("j0"), None))
        with pytest.raises(ValueError, match="there is a row of j0 already"):
            batch.take(JobResult(row("j0"), None))


def test_another_batch_is_refused_with_what_differs(tmp_path: Path):
    BatchFolder(tmp_path).open(jobs(), SETTINGS).close()
    for others, settings, told in (
        (jobs(4), SETTINGS, "recordings or manifest"),
        (jobs(), {**SETTINGS, "model": "x"}, "model"),
        (jobs(), {"transport": "memory"}, None),
    ):
        if told is None:
            BatchFolder(tmp_path).open(others, settings).close()
            continue
        with pytest.raises(UserError, match=f"another batch, with different {told}; choose"):
            BatchFolder(tmp_path).open(others, settings)


def test_without_resume_a_folder_with_a_batch_is_refused(tmp_path: Path):
    BatchFolder(tmp_path).open(jobs(), SETTINGS, resume=False).close()
    with pytest.raises(UserError, match="has a batch already"):
        BatchFolder(tmp_path).open(jobs(), SETTINGS, resume=False)


def test_two_at_a_time_are_refused(tmp_path: Path):
    with BatchFolder(tmp_path).open(jobs(), SETTINGS):
        with pytest.raises(UserError, match="another process is writing"):
            BatchFolder(tmp_path).open(jobs(), SETTINGS)
        assert (tmp_path / ".work").exists()  # the other one's


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"format": "x", "version": 1}'])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "batch.json").write_bytes(content)
    with pytest.raises(UserError, match=r"batch\.json"):
        BatchFolder(tmp_path).open(jobs(), SETTINGS)


def test_results_of_nobody_knows_what_are_refused(tmp_path: Path):
    (tmp_path / "results.jsonl").write_text("")
    with pytest.raises(UserError, match=r"no batch.json"):
        BatchFolder(tmp_path).open(jobs(), SETTINGS)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        BatchFolder(tmp_path / "file" / "out").open(jobs(), SETTINGS)


def test_no_secret_is_written(tmp_path: Path):
    settings = {
        **SETTINGS,
        "session": {"tools": [{"headers": {"x": "hush"}}]},
        "to": "sk-" + "a" * 20,
    }
    BatchFolder(tmp_path).open(jobs(), settings).close()
    text = (tmp_path / "batch.json").read_text()
    assert "hush" not in text
    assert "aaaa" not in text
    BatchFolder(tmp_path).open(jobs(), settings).close()  # and it is still known


def test_what_is_left_without_a_row_is_replaced(tmp_path: Path):
    with BatchFolder(tmp_path).open(jobs(), SETTINGS) as batch:
        (tmp_path / "audio" / "j1").mkdir(parents=True)
        (tmp_path / "audio" / "j1" / "conversation.wav").write_bytes(b"old")
        batch.take(result(batch, "j1", b"new"))
    assert {path.name: path.read_bytes() for path in (tmp_path / "audio" / "j1").iterdir()} == {
        "answer.wav": b"new"
    }


def test_a_recording_that_broke_off_has_its_job_run_again_and_one_that_is_gone_not(
    tmp_path: Path,
):
    with BatchFolder(tmp_path).open(jobs(), SETTINGS) as batch:
        for job in jobs():
            batch.take(result(batch, job.id, b"RIFF and more"))
    (tmp_path / "audio" / "j0" / "answer.wav").write_bytes(b"RIFF")
    (tmp_path / "audio" / "j1" / "answer.wav").unlink()
    with BatchFolder(tmp_path).open(jobs(), SETTINGS) as batch:
        assert set(batch.done) == {"j1", "j2"}


def test_rows_are_read_up_to_one_that_is_being_written(tmp_path: Path):
    with BatchFolder(tmp_path).open(jobs(), SETTINGS) as batch:
        batch.take(JobResult(row("j0"), None))
    with (tmp_path / "results.jsonl").open("ab") as file:
        file.write(row("j1").to_line()[:-1])
    assert [each.id for each in read_rows(tmp_path)] == ["j0"]
    with (tmp_path / "results.jsonl").open("ab") as file:
        file.write(b"\n{}\n")
    with pytest.raises(UserError, match=r"results.jsonl:3: it is no row"):
        list(read_rows(tmp_path))
    with pytest.raises(UserError, match="cannot be read"):
        list(read_rows(tmp_path / "none"))


def test_a_disk_that_is_full_leaves_no_half_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with BatchFolder(tmp_path).open(jobs(), SETTINGS) as batch:
        batch.take(JobResult(row("j0"), None))
        whole = (tmp_path / "results.jsonl").read_bytes()
        write = os.write
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:10]))
        with pytest.raises(OSError, match="no space left"):
            batch.take(JobResult(row("j1"), None))
        assert (tmp_path / "results.jsonl").read_bytes() == whole


@given(st.data())
def test_wherever_a_file_of_results_was_cut_or_spoilt_the_whole_rows_stay(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    folder = tmp_path_factory.mktemp("batch")
    lines = [row(job.id).to_line() for job in jobs(5)]
    BatchFolder(folder).open(jobs(5), SETTINGS).close()
    content = b"".join(lines)
    cut = data.draw(st.integers(0, len(content)))
    (folder / "results.jsonl").write_bytes(content[:cut])
    whole = [f"j{n}" for n in range(5) if len(b"".join(lines[: n + 1])) <= cut]
    with BatchFolder(folder).open(jobs(5), SETTINGS) as batch:
        assert list(batch.done) == whole
        missing = [job.id for job in jobs(5) if job.id not in batch.done]
        for job_id in missing:
            batch.take(JobResult(row(job_id), None))
    assert [each.id for each in read_rows(folder)] == [f"j{n}" for n in range(5)]


def test_a_row_without_its_end_is_cut_off(tmp_path: Path):
    BatchFolder(tmp_path).open(jobs(2), SETTINGS).close()
    (tmp_path / "results.jsonl").write_bytes(row("j0").to_line()[:-1])
    with BatchFolder(tmp_path).open(jobs(2), SETTINGS) as batch:
        assert not batch.done
        batch.take(JobResult(row("j1"), None))
    assert [each.id for each in read_rows(tmp_path)] == ["j1"]


def test_lines_that_are_no_rows_or_doubled_are_dropped(tmp_path: Path):
    BatchFolder(tmp_path).open(jobs(), SETTINGS).close()
    first = row("j0").to_line()
    (tmp_path / "results.jsonl").write_bytes(
        first + b"\0" * 40 + b"\n" + first + row("stranger").to_line() + row("j2").to_line()
    )
    with BatchFolder(tmp_path).open(jobs(), SETTINGS) as batch:
        assert list(batch.done) == ["j0", "j2"]
    assert [each.id for each in read_rows(tmp_path)] == ["j0", "j2"]


def test_recordings_of_a_failed_row_go_when_the_job_is_run_again_and_leaves_none(tmp_path: Path):
    with BatchFolder(tmp_path).open(jobs(), SETTINGS) as batch:
        taken = result(batch, "j0")
        batch.take(JobResult(taken.row.model_copy(update={"status": "failed"}), taken.folder))
    with BatchFolder(tmp_path).open(jobs(), SETTINGS, retry_failed=True) as batch:
        (batch.scratch / "j0").mkdir()
        batch.take(JobResult(failed("j0"), batch.scratch / "j0"))
        assert not (tmp_path / "audio" / "j0").exists()


# A folder of somebody else's


@pytest.mark.parametrize("name", ["audio/j0/song.wav", ".work/notes.txt"])
def test_a_folder_that_holds_something_else_under_our_names_is_left_alone(
    tmp_path: Path, name: str
):
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    told = f"has {name.partition('/')[0]!r} in it already, and no batch"
    with pytest.raises(UserError, match=told):
        BatchFolder(tmp_path).open(jobs(), SETTINGS)
    assert names(tmp_path) == {name}


def test_results_that_lost_their_hidden_files_are_gone_on_with(tmp_path: Path):
    with BatchFolder(tmp_path).open(jobs(), SETTINGS) as batch:
        batch.take(result(batch, "j1"))
    (tmp_path / ".lock").unlink()
    with BatchFolder(tmp_path).open(jobs(), SETTINGS) as batch:
        assert list(batch.done) == ["j1"]


def test_a_disk_that_fails_keeps_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    batch = BatchFolder(tmp_path).open(jobs(), SETTINGS)
    batch.take(JobResult(row("j0"), None))

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output error"):
            batch.close()
    BatchFolder(tmp_path).open(jobs(), SETTINGS).close()


# Rows


def test_a_row_comes_back_from_its_line():
    one = row(
        "j",
        connect_ms={"http": 1.5},
        turns=(TurnRow(question="q", answer_transcript="a\n\u2028b"),),
    )
    line = one.to_line()
    assert line.count(b"\n") == 1
    assert parse_row(line) == parse_row(json.loads(line)) == one


@pytest.mark.parametrize("change", [{"schema_version": 2}, {"more": 1}, {"status": "well"}])
def test_a_row_of_another_schema_is_refused(change: dict[str, Any]):
    values = row("j").model_dump(mode="json")
    with pytest.raises(ValueError, match=next(iter(change))):
        parse_row({**values, **change})
