"""The engine ``ray`` on Ray itself: the command, actors in processes of their own, kills."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.batch import ray_processes
from tests.batch.recordings import QUESTION, write_manifest
from tests.end_to_end.commands import Ended, Running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.timeout(300),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

KEY = "a-key-that-no-pattern-knows-of"
DEADLINE_S = 120.0
JOBS = 20


@pytest.fixture
def server() -> Iterator[str]:
    """A local server that takes one key; its base URL."""
    arguments = ("serve", "--port", "0", "--responder", "tone", "--no-plugins")
    with Running(*arguments, REALTIME_SERVE_API_KEY=KEY) as running:
        while "http://" not in (line := running.line()):
            assert running.process.poll() is None
        yield next(word for word in line.split() if word.startswith("http://"))


class Batch:
    """The same jobs at each start, in real time, half of their recordings by URL."""

    def __init__(self, folder: Path, server: str) -> None:
        self.server = server
        self.out = folder / "out"
        urls = [f"local://{QUESTION}", str(QUESTION)]
        self.manifest = write_manifest(
            folder, ({"id": f"j{n}", "audio": urls[n % 2]} for n in range(JOBS))
        )

    def start(self, *more: str) -> Running:
        return Running(
            *("batch", self.manifest, "--out", self.out, "--to", self.server, "--json"),
            *("--transport", "websocket", "--pace", "realtime", "--no-plugins"),
            *("--engine", "ray", "--processes", "2", *more),
            REALTIME_API_KEY=KEY,
        )

    def rows(self) -> list[dict[str, Any]]:
        """Those that are whole by now."""
        path = self.out / "results.jsonl"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]

    def assert_complete(self, ended: Ended) -> None:
        """Every job once, with sound recordings, and nothing half done."""
        assert ended.code == 0, ended.err
        summary = json.loads(ended.out)
        assert (summary["ok"], summary["total"]) == (JOBS, JOBS)
        rows = self.rows()
        assert sorted(row["id"] for row in rows) == sorted(f"j{n}" for n in range(JOBS))
        for row in rows:
            assert row["error"] is None
            for name in ("answer", "conversation"):
                path = self.out / row[name]["path"]
                assert path.stat().st_size == row[name]["size_bytes"]
                assert soundfile.info(path).duration > 0.3
        assert {path.name for path in self.out.iterdir()} <= {
            *("audio", "batch.json", "results.jsonl", ".lock")
        }


@pytest.fixture
def batch(tmp_path: Path, server: str) -> Batch:
    return Batch(tmp_path, server)


def wait_until(is_so: Callable[[], Any], running: Running | None = None) -> None:
    """Look again and again, as nothing tells when another process has come so far."""
    until_s = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < until_s, "it took too long"
        assert running is None or running.process.poll() is None, running.end()
        time.sleep(0.05)


def test_jobs_of_a_killed_actor_are_run_again_and_nobody_sees_the_key(batch: Batch):
    with batch.start() as running:
        driver = running.process.pid
        wait_until(lambda: len(ray_processes.actors(driver)) == 2, running)
        wait_until(lambda: len(batch.rows()) >= 3, running)
        below = ray_processes.descendants(driver)
        assert ray_processes.open_listeners(below) == []
        for pid in below:
            assert KEY not in ray_processes.command_line(pid)
            assert KEY.encode() not in ray_processes.environment_of(pid)
        victim = ray_processes.actors(driver)[0]
        session = session_folder(below)
        os.kill(victim, signal.SIGKILL)
        ended = running.end(DEADLINE_S)
    batch.assert_complete(ended)
    assert "run again" in ended.err
    assert {row["worker"].partition("@")[0] for row in batch.rows()} == {"1", "2"}
    wait_until(lambda: not any(map(ray_processes.is_alive, below)))
    for path in (each for each in session.rglob("*") if each.is_file()):
        assert KEY.encode() not in path.read_bytes(), path


def test_a_killed_driver_leaves_no_process_and_the_next_start_goes_on(batch: Batch):
    with batch.start() as running:
        wait_until(lambda: len(batch.rows()) >= 3, running)
        below = ray_processes.descendants(running.process.pid)
        actors = ray_processes.actors(running.process.pid)
        running.process.kill()
        running.process.wait()
    before = batch.rows()
    assert 3 <= len(before) < JOBS
    wait_until(lambda: not any(map(ray_processes.is_alive, actors)))
    with batch.start() as running:
        batch.assert_complete(running.end(DEADLINE_S))
    assert batch.rows()[: len(before)] == before
    # Two of Ray's own, which do nothing, look after their parent once a minute.
    wait_until(lambda: not any(map(ray_processes.is_alive, below)))


def test_an_interrupted_command_ends_its_ray_and_says_how_to_go_on(batch: Batch):
    with batch.start() as running:
        wait_until(batch.rows, running)
        below = ray_processes.descendants(running.process.pid)
        running.process.send_signal(signal.SIGINT)
        ended = running.end(DEADLINE_S)
    assert ended.code == 130, ended.err
    wait_until(lambda: not any(map(ray_processes.is_alive, below)))
    assert not list((batch.out).glob(".work/*"))


def session_folder(pids: list[int]) -> Path:
    """Where Ray keeps its logs."""
    for word in " ".join(map(ray_processes.command_line, pids)).split():
        found = next((part for part in Path(word.partition("=")[2]).parents), None)
        if found is not None and found.name.startswith("session_"):
            return found
    raise AssertionError("no process names Ray's folder")
