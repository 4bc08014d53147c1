"""Whatever is killed, and whenever: each job is in the results exactly once."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import soundfile

from realtime_core.batch.job import JobSettings
from realtime_core.batch.results_file import read_rows
from realtime_core.batch.run import BatchProgress, run_batch
from realtime_core.batch.worker import WorkerSetup
from realtime_core.batch.worker_process import WorkerProcess
from realtime_core.errors import RealtimeError
from tests.batch.children import children_of, is_gone_within
from tests.batch.recordings import in_memory, many_jobs, write_manifest, write_tone

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")


def check_complete(out: Path, count: int) -> None:
    """All rows are there once, and what has a final name is whole."""
    rows = list(read_rows(out))
    assert Counter(row.id for row in rows) == Counter(f"j{n}" for n in range(count))
    for row in rows:
        assert row.status == "ok", row.error
        for file in row.audio_files:
            path = out / file.path
            assert path.stat().st_size == file.size_bytes
            assert soundfile.info(path).frames
    left = [path.name for path in out.rglob("*") if ".part" in path.name]
    assert not left
    assert not (out / ".work").exists()


async def test_workers_that_are_killed_lose_and_double_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    manifest = many_jobs(tmp_path, 120)
    rng = random.Random(7)  # noqa: S311 - which moments, not how secret
    moments = set(rng.sample(range(1, 110), 4))
    killed = []

    def kill_sometimes(progress: BatchProgress) -> None:
        if progress.row is not None and progress.done in moments:
            pid = rng.choice(children_of(os.getpid()))
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    with caplog.at_level(logging.WARNING):
        summary = await run_batch(
            [manifest], tmp_path / "out", in_memory(processes=2), on_progress=kill_sometimes
        )
    assert (summary.ok, summary.failed) == (120, 0)
    assert len(killed) == 4
    assert "(signal 9)" in caplog.text
    check_complete(tmp_path / "out", 120)


# What the folder sees: batch.json gets its name, then for each job its recordings theirs (twice
# for the first of all, as there is no folder for them yet), the row is begun, and written.
@pytest.mark.parametrize("kill_at", [0, 1, 2, 3, 4, 5, 6, 7, 40])
def test_a_driver_that_is_killed_goes_on_with_the_next_start(tmp_path: Path, kill_at: int):
    run_killed(tmp_path, processes=0, kill_at=kill_at, count=15)


@pytest.mark.parametrize("kill_at", [5, 30])
def test_a_killed_drivers_workers_end_and_their_work_is_done_again(tmp_path: Path, kill_at: int):
    children = run_killed(tmp_path, processes=2, kill_at=kill_at, count=30)
    assert children
    for pid in children:
        assert is_gone_within(pid, 20.0)


def run_killed(folder: Path, *, processes: int, kill_at: int, count: int) -> list[int]:
    manifest = many_jobs(folder, count)
    arguments = [str(manifest), str(folder / "out"), str(processes)]
    command = [sys.executable, "-m", "tests.batch.killed_driver", *arguments]
    ended = subprocess.run(
        [*command, str(kill_at)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    done = (
        len(list(read_rows(folder / "out"))) if (folder / "out" / "results.jsonl").exists() else 0
    )
    assert done < count
    again = subprocess.run(
        [*command, "1000000"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert again.stdout == "survived", again.stderr
    check_complete(folder / "out", count)
    return [int(pid) for pid in ended.stdout.split()]


async def test_a_batch_that_is_cancelled_ends_its_workers_and_goes_on_later(tmp_path: Path):
    manifest = many_jobs(tmp_path, 60)
    workers: list[int] = []

    def cancel(progress: BatchProgress) -> None:
        if progress.row is not None and progress.done == 10:
            workers.extend(children_of(os.getpid()))
            running.cancel()

    options = in_memory(processes=2)
    running = asyncio.create_task(
        run_batch([manifest], tmp_path / "out", options, on_progress=cancel)
    )
    with pytest.raises(asyncio.CancelledError) as caught:
        await running
    done = len(list(read_rows(tmp_path / "out")))
    note = f"{done} of 60 jobs are done; the same command goes on from there"
    assert caught.value.__notes__ == [note]
    assert workers
    assert not children_of(os.getpid())
    before = [row.id for row in read_rows(tmp_path / "out")]
    summary = await run_batch([manifest], tmp_path / "out", options)
    assert summary.resumed == len(before)
    assert [row.id for row in read_rows(tmp_path / "out")][: len(before)] == before
    check_complete(tmp_path / "out", 60)


def install_plugin(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str) -> Path:
    """Have this process and its children find a plugin; gives the folder that it is in."""
    site = folder / "site"
    about = site / f"{name}-1.dist-info"
    about.mkdir(parents=True)
    (site / f"{name}_plugin.py").write_text(source)
    (about / "METADATA").write_text(f"Name: {name}\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[realtime.plugins]\n{name} = {name}_plugin\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.syspath_prepend(str(site))
    return site


CRASHING_PLUGIN = """
import os, signal
from realtime_core import hookimpl
from realtime_core.middleware import EventMiddleware

class Crashing(EventMiddleware):
    def outgoing(self, event):
        session = event.get("session") or {}
        if session.get("instructions") == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        return event

@hookimpl
def realtime_event_middlewares():
    return {"crashing": lambda _: Crashing()}
"""


async def test_a_job_that_kills_every_worker_fails_and_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    install_plugin(tmp_path, monkeypatch, "crashing", CRASHING_PLUGIN)
    write_tone(tmp_path / "q.wav")
    entries = [{"id": f"j{n}", "audio": "q.wav"} for n in range(20)]
    entries[3]["instructions"] = "crash"
    summary = await run_batch(
        [write_manifest(tmp_path, entries)],
        tmp_path / "out",
        in_memory(processes=1, allow=["crashing"], middlewares=("crashing",)),
    )
    assert (summary.ok, summary.failed) == (19, 1)
    (bad,) = [row for row in read_rows(tmp_path / "out") if row.status == "failed"]
    assert bad.id == "j3"
    assert bad.error is not None
    assert (bad.error.stage, bad.attempts) == ("worker", 3)
    assert "signal 9" in bad.error.message


async def test_a_worker_ends_by_itself_when_nobody_gives_it_jobs_any_more(tmp_path: Path):
    worker = WorkerProcess(
        WorkerSetup(name="1", scratch=tmp_path, settings=JobSettings(), allow=())
    )
    await worker.start()
    async for kind, _ in worker.messages():
        assert kind == "allowed"
        break
    assert await worker.end() == 0


async def test_a_worker_that_hangs_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("realtime_core.batch.worker_process.SILENT_S", 1.0)
    monkeypatch.setattr("realtime_core.batch.worker_process.FIRST_WORD_S", 60.0)
    stopped: list[int] = []

    def stop_once(progress: BatchProgress) -> None:
        if progress.row is not None and not stopped:
            stopped.extend(children_of(os.getpid()))
            os.kill(stopped[0], signal.SIGSTOP)

    summary = await run_batch(
        [many_jobs(tmp_path, 30)],
        tmp_path / "out",
        in_memory(processes=1),
        on_progress=stop_once,
    )
    assert summary.ok == 30
    assert len(stopped) == 1
    assert "worker 1 has said nothing for 2 s" in caplog.text
    check_complete(tmp_path / "out", 30)


HOLDING_PLUGIN = """
import __main__, subprocess
from realtime_core import hookimpl
from realtime_core.middleware import EventMiddleware

if getattr(__main__, "__file__", "").endswith("worker.py"):
    held = subprocess.Popen(["sleep", "600"], start_new_session=True)
    open(__file__ + ".pid", "w").write(str(held.pid))

@hookimpl
def realtime_event_middlewares():
    return {"holding": lambda _: EventMiddleware()}
"""


async def test_what_a_worker_leaves_running_does_not_keep_the_batch_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    site = install_plugin(tmp_path, monkeypatch, "holding", HOLDING_PLUGIN)
    options = in_memory(processes=1, allow=["holding"], middlewares=("holding",))
    try:
        async with asyncio.timeout(60):
            summary = await run_batch([many_jobs(tmp_path, 2)], tmp_path / "out", options)
    finally:
        pid_file = site / "holding_plugin.py.pid"
        os.kill(int(pid_file.read_text()), signal.SIGKILL)
    assert summary.ok == 2


async def test_workers_that_cannot_live_end_the_batch_with_their_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such thing >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(
        RealtimeError, match=r"before they are ready \(exit code 3\): no such thing"
    ):
        await run_batch([many_jobs(tmp_path, 5)], tmp_path / "out", in_memory(processes=1))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with pytest.raises(RealtimeError, match="a worker cannot be started"):
        await run_batch([many_jobs(tmp_path, 5)], tmp_path / "out", in_memory(processes=1))
