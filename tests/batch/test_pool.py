"""Sessions of one process: who begins when, and what the process is judged by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realtime_core.audio import frame_from_mono
from realtime_core.batch.engine import JobResult
from realtime_core.batch.job import JobEnvironment, JobSettings
from realtime_core.batch.job_tap import JobTap
from realtime_core.batch.manifest import Job, JobTurn
from realtime_core.batch.pool import PoolEvents, SessionPool
from realtime_core.hookspecs import hookimpl
from realtime_core.plugins import PluginManager
from realtime_transports.memory import OpenAIRealtimeMemory
from tests.batch.recordings import write_tone


class Door:
    """Transports that connect when the test lets them; a plugin."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()
        self.knocked = asyncio.Semaphore(0)
        self.waiting = 0

    def make(self, *, pace: str, **given: Any) -> OpenAIRealtimeMemory:
        door = self

        class Waiting(OpenAIRealtimeMemory):
            async def connect(self, **more: Any) -> None:
                door.waiting += 1
                door.knocked.release()
                await door.is_open.wait()
                await super().connect(**more)

        return Waiting(**given)

    @hookimpl
    def realtime_transports(self) -> dict[str, Callable[..., Any]]:
        return {"door": self.make}


class Bench:
    def __init__(self, folder: Path) -> None:
        self.door = Door()
        self.results: asyncio.Queue[JobResult] = asyncio.Queue()
        self.loaded = 0
        self.turn = JobTurn(audio=str(write_tone(folder / "q.wav")), name="q.wav")
        plugins = PluginManager(allow=())
        plugins.register(self.door, "door")
        self.pool = SessionPool(
            JobSettings(transport="door", transport_options={"pace": "fast"}),
            JobEnvironment(plugins),
            folder / "scratch",
            PoolEvents(self.results.put_nowait, on_loaded=self.note_loaded),
        )
        self.pool.start()

    def note_loaded(self) -> None:
        self.loaded += 1

    def add(self, count: int) -> None:
        for number in range(count):
            self.pool.add(Job(id=f"j{number}", turns=(self.turn,)))

    async def finish(self, count: int) -> None:
        for _ in range(count):
            assert (await self.results.get()).row.status == "ok"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await made.pool.close()


async def test_the_first_session_connects_alone_and_the_others_follow(bench: Bench):
    bench.add(3)
    await bench.door.knocked.acquire()
    for _ in range(50):
        await asyncio.sleep(0)
    assert (bench.door.waiting, bench.pool.running, bench.loaded) == (1, 3, 0)
    bench.door.is_open.set()
    await bench.finish(3)
    assert (bench.door.waiting, bench.loaded) == (3, 1)


async def test_nobody_waits_for_a_first_session_that_has_no_luck(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("realtime_core.batch.pool.LOADED_WITHIN_S", 0.01)
    bench.add(3)
    for _ in range(3):
        await bench.door.knocked.acquire()
    bench.door.is_open.set()
    await bench.finish(3)


async def test_audio_is_late_only_where_it_is_of_a_turn():
    late: list[float] = []
    tap = JobTap(None, is_realtime=True, on_late=late.append)
    frame = frame_from_mono(np.zeros(480, np.int16), 24_000)
    due_s = asyncio.get_running_loop().time() - 1.0
    tap.sent(frame, due_s)
    assert (tap.lateness_s, late) == (None, [])
    tap.begin_turn()
    tap.sent(frame, due_s)
    assert tap.lateness_s == late[0] >= 1.0
