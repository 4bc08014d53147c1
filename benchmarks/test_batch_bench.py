"""How many jobs a second a batch does where the agent costs nothing, and in how much memory."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from realtime_core.batch import BatchOptions, BatchProgress, JobSettings, read_rows, run_batch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads its memory from /proc")

JOBS = 10_000
WARM_JOBS = 1_000
"""After these, all that is loaded once has been."""

LEAST_JOBS_PER_S = 200
"""Of processor time: on a machine that nobody else works on, also of the time that passes."""


def resident_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def write_jobs(folder: Path) -> Path:
    """So many questions of a second, which the parrot answers with the same."""
    t = np.arange(24_000) / 24_000
    soundfile.write(folder / "q.wav", (8000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16), 24_000)
    manifest = folder / "jobs.jsonl"
    with manifest.open("w") as file:
        for number in range(JOBS):
            file.write(json.dumps({"id": f"j{number}", "audio": "q.wav"}) + "\n")
    return manifest


@pytest.mark.timeout(600)
def test_ten_thousand_jobs_in_one_process(benchmark: Any, tmp_path: Path) -> None:
    manifest = write_jobs(tmp_path)
    resident: list[float] = []

    def note(progress: BatchProgress) -> None:
        if progress.row is not None and progress.done % WARM_JOBS == 0:
            resident.append(resident_mb())

    settings = JobSettings(transport="memory", records_conversation=False)
    options = BatchOptions(settings, responder="parrot", processes=0, allow=())

    def run() -> float:
        running = run_batch([manifest], tmp_path / "out", options, on_progress=note)
        return asyncio.run(running).duration_s

    began_s = time.process_time()
    duration_s = benchmark.pedantic(run, rounds=1)
    busy_s = time.process_time() - began_s
    growth_mb = max(resident) - resident[0]
    figures = {
        "jobs a second": JOBS / duration_s,
        # What the same process would do on a machine that nobody else works on.
        "jobs a second of processor time": JOBS / busy_s,
        "growth in MB": growth_mb,
    }
    for name, figure in figures.items():
        benchmark.extra_info[name] = round(figure, 1)
        print(f"{name}: {figure:.1f}")  # noqa: T201 - for whoever looks on, with -s
    rows = list(read_rows(tmp_path / "out"))
    assert len({row.id for row in rows}) == len(rows) == JOBS
    assert all(row.status == "ok" for row in rows)
    assert growth_mb <= 50
    assert JOBS / busy_s >= LEAST_JOBS_PER_S
