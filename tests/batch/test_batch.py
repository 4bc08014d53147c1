"""Whole batches: the library's call over memory, and over real links to a local server."""

from __future__ import annotations

import asyncio
import builtins
import itertools
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import soundfile

from realtime_audio_plugins import FileSink
from realtime_core.batch.engine import EngineState, JobResult
from realtime_core.batch.job import JobSettings
from realtime_core.batch.results import ResultRow
from realtime_core.batch.results_file import read_rows
from realtime_core.batch.run import BatchOptions, BatchProgress, run_batch
from realtime_core.batch.word_errors import word_error_rate
from realtime_core.errors import AudioError, PluginError, RealtimeError, UserError
from realtime_core.hookspecs import hookimpl
from realtime_core.plugins import PluginManager
from realtime_transports.local_server import LocalRealtimeServer
from tests.audio.full_disk import full_disk, needs_limits
from tests.batch.recordings import DATA, QUESTION, in_memory, many_jobs, write_manifest, write_tone

KINDS = ("question", "question_end", "answer", "answer_end")
KEY = "sk-canary-of-the-batch-0123456789"


def rows_by_id(out: Path) -> dict[str, ResultRow]:
    rows = list(read_rows(out))
    assert len({row.id for row in rows}) == len(rows)
    return {row.id: row for row in rows}


async def test_one_bad_file_is_one_failed_row(tmp_path: Path):
    (tmp_path / "in").mkdir()
    write_tone(tmp_path / "in" / "good.wav")
    (tmp_path / "in" / "bad.wav").write_bytes(b"RIFF")
    told: list[BatchProgress] = []
    summary = await run_batch(
        [tmp_path / "in"], tmp_path / "out", in_memory(), on_progress=told.append
    )
    assert (summary.total, summary.ok, summary.failed, summary.resumed) == (2, 1, 1, 0)
    rows = rows_by_id(tmp_path / "out")
    assert rows["good"].status == "ok"
    assert rows["bad"].error is not None
    assert rows["bad"].error.stage == "input"
    last = [each for each in told if each.row is not None][-1]
    assert (last.done, last.failed, last.total) == (2, 1, 2)
    assert last.left_s == 0


@pytest.mark.parametrize("processes", [0, 1])
async def test_files_may_be_called_anything(tmp_path: Path, processes: int):
    (tmp_path / "in").mkdir()
    question = write_tone(tmp_path / "q.wav").read_bytes()
    names = [b"a\nb.wav", b"-rf.wav", b" .wav", b"CON.wav", b"%s{0}$HOME.wav", b"?&=.wav"]
    not_text = b"\xff.wav"  # libsndfile's wrapper cannot open such a file
    for name in [*names, not_text]:
        (tmp_path / "in" / os.fsdecode(name)).write_bytes(question)
    summary = await run_batch([tmp_path / "in"], tmp_path / "out", in_memory(processes=processes))
    rows = rows_by_id(tmp_path / "out")
    assert (summary.ok, summary.failed) == (len(names), 1)
    (bad,) = [row for row in rows.values() if row.error is not None]
    assert bad.error is not None
    assert (bad.error.stage, bad.turns[0].question[-5:]) == ("input", "\ufffd.wav")
    assert {path.name for path in (tmp_path / "out" / "audio").iterdir()} == set(rows) - {bad.id}


async def test_results_may_lie_among_the_recordings(tmp_path: Path):
    write_tone(tmp_path / "q.wav")
    await run_batch([tmp_path], tmp_path / "out", in_memory())
    again = await run_batch([tmp_path], tmp_path / "out", in_memory())
    assert (again.total, again.resumed) == (1, 1)


async def test_a_disk_that_does_not_take_the_rows_ends_the_batch_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    def break_disk(progress: BatchProgress) -> None:
        if progress.row is not None:
            monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(UserError, match=r"out cannot be written: .*Input/output error"):
        await run_batch(
            [many_jobs(tmp_path, 3)], tmp_path / "out", in_memory(), on_progress=break_disk
        )


@needs_limits
@pytest.mark.parametrize("limit", [0, 10_000])
async def test_a_full_disk_ends_the_batch_and_fails_no_job(tmp_path: Path, limit: int):
    inputs = [many_jobs(tmp_path, 5)]
    await run_batch([tmp_path / "q.wav"], tmp_path / "loaded", in_memory())
    one_done = asyncio.create_task(run_batch(inputs, tmp_path / "out", in_memory(max_sessions=1)))
    with full_disk(limit), pytest.raises(UserError, match="out cannot be written") as caught:
        await one_done
    if limit:
        (note,) = caught.value.__notes__
        assert note.endswith("of 5 jobs are done; the same command goes on from there")
    rows = rows_by_id(tmp_path / "out") if (tmp_path / "out" / "results.jsonl").exists() else {}
    assert not [row for row in rows.values() if row.status == "failed"]
    again = await run_batch(inputs, tmp_path / "out", in_memory())
    assert (again.ok, again.failed) == (5, 0)


async def test_a_recording_that_cannot_be_written_fails_its_job_alone_while_the_disk_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real = FileSink.write

    async def write(sink: FileSink, frame: Any) -> None:
        if sink.path.parent.name == "j1":
            raise AudioError("would exceed 4 GiB")
        await real(sink, frame)

    monkeypatch.setattr(FileSink, "write", write)
    summary = await run_batch([many_jobs(tmp_path, 3)], tmp_path / "out", in_memory())
    assert (summary.ok, summary.failed) == (2, 1)
    error = rows_by_id(tmp_path / "out")["j1"].error
    assert error is not None
    assert error.stage == "output"


async def test_an_error_of_the_engines_is_not_taken_for_one_of_the_folders(tmp_path: Path):
    class Broken:
        async def run(self, jobs: Any, context: Any) -> Any:
            raise ConnectionResetError("the cluster is gone")
            yield

        @hookimpl
        def realtime_batch_engines(self) -> Mapping[str, Any]:
            return {"broken": lambda: self}

    plugins = PluginManager(allow=())
    plugins.register(Broken(), "broken")
    inputs, options = [many_jobs(tmp_path, 1)], in_memory(engine="broken")
    with pytest.raises(RealtimeError, match="'broken' failed: the cluster is gone") as caught:
        await run_batch(inputs, tmp_path / "out", options, plugins=plugins)
    assert not isinstance(caught.value, UserError)


async def test_a_batch_that_is_done_is_done_and_failed_jobs_may_be_run_again(tmp_path: Path):
    manifest = write_manifest(tmp_path, [{"id": "j", "audio": "q.wav"}])
    (tmp_path / "q.wav").write_bytes(b"RIFF")  # as long as the good one: only a batch knows sizes
    write_tone(tmp_path / "good.wav")
    (tmp_path / "q.wav").write_bytes(b"\0" * (tmp_path / "good.wav").stat().st_size)
    out = tmp_path / "out"
    assert (await run_batch([manifest], out, in_memory())).failed == 1
    (tmp_path / "q.wav").write_bytes((tmp_path / "good.wav").read_bytes())
    again = await run_batch([manifest], out, in_memory())
    assert (again.failed, again.resumed) == (1, 1)
    retried = await run_batch([manifest], out, in_memory(retry_failed=True))
    assert (retried.ok, retried.failed, retried.resumed) == (1, 0, 0)
    assert rows_by_id(out)["j"].status == "ok"


async def test_what_cannot_work_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    manifest = many_jobs(tmp_path, 1)
    for options, error, told in (
        (in_memory(transport="fax"), PluginError, "no transport 'fax'"),
        (in_memory(engine="steam"), PluginError, "no batch engine 'steam'"),
        (in_memory(middlewares=("nothing",)), PluginError, "no middleware 'nothing'"),
        (in_memory(max_sessions=0), UserError, "max_sessions must be at least 1"),
        (in_memory(to="ftp://x/v1"), UserError, "begins with http"),
        (in_memory(to="openai"), UserError, "OPENAI_API_KEY is not set"),
    ):
        with pytest.raises(error, match=told):
            await run_batch([manifest], tmp_path / "out", options)
    with_expectation = write_manifest(tmp_path, [{"audio": "q.wav", "expected": "x"}])
    missing(monkeypatch, "jiwer", "pyarrow")
    with pytest.raises(UserError, match=r"realtime-transports\[batch\]"):
        await run_batch([with_expectation], tmp_path / "out", in_memory())
    with pytest.raises(UserError, match=r"realtime-transports\[parquet\]"):
        await run_batch([tmp_path / "q.wav"], tmp_path / "out", in_memory(parquet=True))
    assert not (tmp_path / "out").exists()


def missing(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] in packages:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)


async def test_never_more_sessions_run_than_allowed(tmp_path: Path):
    states: list[EngineState] = []
    summary = await run_batch(
        [many_jobs(tmp_path, 20)],
        tmp_path / "out",
        in_memory(max_sessions=1),
        on_progress=lambda progress: states.append(progress.state),
    )
    assert max(state.running for state in states) == 1
    assert summary.most_sessions == 1
    assert 0 < summary.sessions <= 1


async def test_sessions_are_shared_out_among_workers(tmp_path: Path):
    states: list[EngineState] = []
    await run_batch(
        [many_jobs(tmp_path, 40)],
        tmp_path / "out",
        in_memory(max_sessions=3, processes=2),
        on_progress=lambda progress: states.append(progress.state),
    )
    assert max(state.running for state in states) <= 3
    workers = Counter(row.worker for row in read_rows(tmp_path / "out"))
    assert set(workers) <= {"1", "2"}


# Engines


class Doubling:
    """An engine that gives results twice, and of some jobs none."""

    def __init__(self, forgotten: set[str]) -> None:
        self.forgotten = forgotten

    async def run(self, jobs: Any, context: Any) -> Any:
        from realtime_core.batch.local import LocalEngine

        async for result in LocalEngine().run(jobs, context):
            if result.row.id not in self.forgotten:
                yield result
                yield JobResult(result.row, None)

    @hookimpl
    def realtime_batch_engines(self) -> Mapping[str, Any]:
        return {"doubling": lambda: self}


async def test_what_an_engine_does_twice_is_seen_once_and_what_it_forgets_is_told(tmp_path: Path):
    for forgotten in (set(), {"j2"}):
        plugins = PluginManager(allow=())
        plugins.register(Doubling(forgotten), "doubling")
        running = run_batch(
            [many_jobs(tmp_path, 4)],
            tmp_path / f"out-{len(forgotten)}",
            in_memory(engine="doubling"),
            plugins=plugins,
        )
        if forgotten:
            with pytest.raises(RealtimeError, match=r"no result for 1 jobs: \['j2'\]"):
                await running
        else:
            assert (await running).ok == 4
    assert len(rows_by_id(tmp_path / "out-1")) == 3


# Word error rates


@pytest.mark.parametrize(
    ("reference", "heard", "rate"),
    [
        ("Hello, World!", "hello world", 0.0),
        ("don\u2019t stop", "don't stop", 0.0),
        ("one two three four", "one too three", 0.5),
        ("", "anything", 1.0),
        ("", "", 0.0),
        ("a b", "", 1.0),
        ("a", "a b c", 2.0),
        ("Straße", "STRASSE", 0.0),
    ],
)
def test_word_error_rates_look_at_words_alone(reference: str, heard: str, rate: float):
    assert word_error_rate(reference, heard) == rate


async def test_word_error_rates_stand_in_the_row(tmp_path: Path):
    write_tone(tmp_path / "q.wav", 0.5)
    said = "(0.5 s of audio, played back)"
    entries = [
        {"id": "same", "audio": "q.wav", "expected": said},
        {"id": "other", "audio": "q.wav", "expected": "of audio", "said": "unheard"},
    ]
    await run_batch([write_manifest(tmp_path, entries)], tmp_path / "out", in_memory())
    rows = rows_by_id(tmp_path / "out")
    assert rows["same"].turns[0].word_error_rate == 0.0
    assert rows["other"].turns[0].word_error_rate == 2.5
    assert rows["other"].turns[0].question_word_error_rate is None  # nobody transcribes a tone


# Parquet


async def test_the_parquet_file_says_the_same_as_the_results(tmp_path: Path):
    pq = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    inputs = [many_jobs(tmp_path, 3), tmp_path / "bad.wav"]
    await run_batch(inputs, tmp_path / "out", in_memory(parquet=True))
    table = pq.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    for one, row in zip(table, read_rows(tmp_path / "out"), strict=True):
        one["connect_ms"] = dict(one["connect_ms"])
        assert ResultRow.model_validate(one) == row


# Over real links, from processes of their own


async def test_over_websocket_from_two_processes_as_fast_as_the_server_takes_it(tmp_path: Path):
    options = BatchOptions(
        settings=JobSettings(transport="websocket", transport_options={"pace": "fast"}),
        responder="parrot",
        processes=2,
        allow=(),
    )
    summary = await run_batch([QUESTION, *DATA.glob("*.wav")], tmp_path / "out", options)
    assert summary.failed == 0
    spoken_s = 0.0
    for row in rows_by_id(tmp_path / "out").values():
        assert row.answer is not None
        assert list(row.connect_ms)[-1] == "http"
        spoken_s += row.turns[0].question_s or 0.0
        assert row.answer.duration_s == pytest.approx(row.turns[0].question_s, abs=0.4)
        assert row.duration_s < (row.turns[0].question_s or 0.0)
        # Nothing was spoken in real time, so one sound is put behind the other.
        assert [mark.kind for mark in row.marks] == list(KINDS)
        assert row.conversation is not None
        both_s = (row.turns[0].question_s or 0.0) + row.answer.duration_s
        assert row.conversation.duration_s == pytest.approx(both_s, abs=0.5)


async def test_over_webrtc_everything_is_measured(tmp_path: Path):
    options = BatchOptions(responder="parrot", allow=(), processes=1)
    write_tone(tmp_path / "q.wav", 0.6)
    entries = [{"id": "two", "turns": [{"audio": "q.wav"}, {"audio": "q.wav"}]}]
    await run_batch([write_manifest(tmp_path, entries)], tmp_path / "out", options)
    (row,) = rows_by_id(tmp_path / "out").values()
    assert row.error is None
    assert {"http", "ice", "dtls", "channel", "session"} <= set(row.connect_ms)
    assert row.packets is not None
    assert row.packets.received
    assert row.packets.lost == 0
    assert row.media_lateness_ms is not None
    for file in row.audio_files:
        info = soundfile.info(tmp_path / "out" / file.path)
        assert file.duration_s == pytest.approx(info.duration, abs=0.001)
    for turn in row.turns:
        assert turn.latency.voice_to_voice_ms is not None
        assert turn.latency.first_audio_ms is not None
        assert 0 < turn.latency.first_audio_ms <= turn.latency.voice_to_voice_ms
        assert turn.answer_s == pytest.approx(turn.question_s, abs=0.5)
    marks = [(mark.turn, mark.kind) for mark in row.marks]
    assert marks == list(itertools.product((1, 2), KINDS))


async def test_a_server_that_is_full_is_waited_for(tmp_path: Path):
    async with LocalRealtimeServer(port=0, max_sessions=1) as server:
        options = BatchOptions(
            settings=JobSettings(
                transport="websocket", transport_options={"pace": "fast"}, max_attempts=20
            ),
            to=server.url,
            processes=0,
            max_sessions=2,
            allow=(),
        )
        summary = await run_batch([many_jobs(tmp_path, 3)], tmp_path / "out", options)
    assert (summary.ok, summary.failed) == (3, 0)
    rows = rows_by_id(tmp_path / "out").values()
    assert max(row.attempts for row in rows) > 1


@pytest.mark.parametrize("processes", [0, 1])
async def test_the_key_is_shown_to_the_server_and_nowhere_else(
    tmp_path: Path,
    processes: int,
    capfd: pytest.CaptureFixture[str],
    caplog: Any,
    monkeypatch: pytest.MonkeyPatch,
):
    caplog.set_level("DEBUG")
    seen: list[bytes] = []

    def look(progress: BatchProgress) -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.append(path.read_bytes() + path.with_name("environ").read_bytes())
            except OSError:
                continue

    async with LocalRealtimeServer(port=0, api_key=KEY) as server:
        options = BatchOptions(
            settings=JobSettings(transport="websocket", transport_options={"pace": "fast"}),
            to=server.url,
            processes=processes,
            allow=(),
        )
        inputs = [many_jobs(tmp_path, 2)]
        monkeypatch.setenv("REALTIME_API_KEY", KEY)
        good = await run_batch(inputs, tmp_path / "1", options, on_progress=look)
        wrong = KEY[::-1]
        bad = await run_batch(inputs, tmp_path / "2", options, api_key=wrong)
    assert (good.ok, bad.failed) == (2, 2)
    for row in rows_by_id(tmp_path / "2").values():
        assert row.error is not None
        assert (row.error.status, row.attempts) == (401, 1)
    written = all_bytes(tmp_path)
    told = caplog.text + "".join(capfd.readouterr())
    for key in (KEY, wrong):
        assert key.encode() not in written + b"".join(seen)
        assert key not in told


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_every_field_of_a_row_is_documented():
    schema = ResultRow.model_json_schema()
    page = (Path(__file__).parents[2] / "docs" / "reference" / "batch.md").read_text()
    names = {*schema["properties"]}
    for model in schema["$defs"].values():
        names |= {*model["properties"]}
    assert not {name for name in names if f"`{name}`" not in page}
