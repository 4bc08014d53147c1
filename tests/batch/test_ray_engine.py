"""The engine ``ray`` with a fake in place of Ray: who gets which job, and what follows a death."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from realtime_core.batch import ray as engine_module
from realtime_core.batch import ray_cluster
from realtime_core.batch.engine import BatchContext, EngineState, JobResult
from realtime_core.batch.job import JobSettings
from realtime_core.batch.manifest import Job, JobTurn
from realtime_core.batch.ray import RayEngine
from realtime_core.batch.ray_actor import SessionActor
from realtime_core.errors import RealtimeError, UserError
from realtime_core.plugins import PluginManager
from tests.batch.fake_ray import FakeActor, FakeRay, install
from tests.batch.recordings import write_tone

KEY = "a-key-that-no-pattern-knows-of"


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    return install(monkeypatch)


class Bench:
    """Runs jobs over the memory transport on the fake."""

    def __init__(self, folder: Path, ray: FakeRay) -> None:
        self.ray = ray
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.question = write_tone(folder / "q.wav")
        self.notes: list[str] = []
        self.states: list[EngineState] = []
        self.on_result: Callable[[JobResult], Any] = lambda _: None

    def jobs(self, count: int) -> list[Job]:
        turn = JobTurn(audio=str(self.question), name="q.wav")
        return [Job(id=f"j{n}", turns=(turn,)) for n in range(count)]

    def context(self, **more: Any) -> BatchContext:
        def tell(state: EngineState) -> None:
            self.states.append(state)
            if state.note:
                self.notes.append(state.note)

        given: dict[str, Any] = {
            "settings": JobSettings(transport="memory"),
            "api_key": SecretStr(KEY),
            "scratch": self.scratch,
            "plugins": PluginManager(allow=()),
            "allow": (),
            "tell": tell,
        }
        return BatchContext(**{**given, **more})

    async def run(self, count: int, **more: Any) -> list[JobResult]:
        found = []
        async with aclosing(RayEngine().run(self.jobs(count), self.context(**more))) as results:
            async for result in results:
                found.append(result)
                self.on_result(result)
        return found


@pytest.fixture
def bench(tmp_path: Path, ray: FakeRay) -> Bench:
    return Bench(tmp_path, ray)


def ids(results: list[JobResult]) -> list[str]:
    return sorted(result.row.id for result in results)


# Jobs


async def test_each_job_comes_out_once_with_its_recordings_beside_the_results(bench: Bench):
    results = await bench.run(20)
    assert ids(results) == sorted(f"j{n}" for n in range(20))
    for result in results:
        assert result.row.status == "ok"
        assert result.folder is not None
        assert bench.scratch in result.folder.parents
        assert {path.name for path in result.folder.iterdir()} == {"answer.wav", "conversation.wav"}
        for file in result.row.audio_files:
            assert (result.folder / file.path).stat().st_size == file.size_bytes
    assert {result.row.worker.partition("@")[0] for result in results} == {"1", "2"}
    assert [path.name for path in bench.scratch.iterdir()] == ["done"]


async def test_actors_run_many_sessions_at_a_time_and_are_restarted_by_ray(bench: Bench):
    await bench.run(8)
    for actor in bench.ray.actors:
        assert actor.options["max_restarts"] == -1
        assert actor.options["max_task_retries"] == 0
        assert actor.options["max_concurrency"] >= 1000
        assert actor.killed == [True]
    assert max(state.running for state in bench.states) > 2


async def test_no_more_sessions_run_than_may(bench: Bench):
    await bench.run(12, max_sessions=3)
    assert max(state.running for state in bench.states) == 3
    assert max(state.allowed for state in bench.states) <= 3


# Deaths


class DyingActor(SessionActor):
    """Its process is killed as soon as it has a certain job, so many times."""

    victim = ""
    left = 0
    ray: FakeRay

    async def run(self, setup: Any, job: Job) -> Any:
        if job.id == self.victim and DyingActor.left:
            DyingActor.left -= 1
            asyncio.get_running_loop().create_task(self._handle().die())
            await asyncio.Event().wait()
        return await super().run(setup, job)

    def _handle(self) -> FakeActor:
        return next(each for each in self.ray.actors if each.process is self)


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch, ray: FakeRay) -> Callable[[str, int], None]:
    def set_up(victim: str, times: int) -> None:
        DyingActor.victim, DyingActor.left, DyingActor.ray = victim, times, ray
        monkeypatch.setattr(engine_module, "SessionActor", DyingActor)

    return set_up


@pytest.mark.parametrize("deaths", [1, 2])
async def test_jobs_of_a_dead_actor_are_run_again_and_none_twice(
    bench: Bench, dying: Callable[[str, int], None], deaths: int
):
    dying("j1", deaths)
    results = await bench.run(12)
    assert ids(results) == sorted(f"j{n}" for n in range(12))
    assert {result.row.status for result in results} == {"ok"}
    assert len(bench.notes) == deaths
    assert "run again" in bench.notes[0]
    assert sum(actor.deaths for actor in bench.ray.actors) == deaths


async def test_a_job_that_kills_every_worker_fails_and_harms_no_other(
    bench: Bench, dying: Callable[[str, int], None]
):
    dying("j1", 100)
    results = await bench.run(12)
    assert ids(results) == sorted(f"j{n}" for n in range(12))
    failed = [result for result in results if result.row.status == "failed"]
    assert [result.row.id for result in failed] == ["j1"]
    assert failed[0].row.error is not None
    assert failed[0].row.error.kind == "WorkerDied"
    assert failed[0].folder is None
    assert DyingActor.left == 97


async def test_an_actor_that_says_nothing_is_killed_and_its_jobs_are_run_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, ray: FakeRay
):
    monkeypatch.setattr(engine_module, "WATCH_DEADLINE_S", 0.05)

    class SilentOnce(SessionActor):
        async def watch(self, setup: Any, known: int) -> int:
            if known and not ray.actors[0].killed:
                await asyncio.Event().wait()
            return await super().watch(setup, known)

        async def run(self, setup: Any, job: Job) -> Any:
            if not ray.actors[0].killed:
                await asyncio.Event().wait()
            return await super().run(setup, job)

    monkeypatch.setattr(engine_module, "SessionActor", SilentOnce)
    monkeypatch.setattr("realtime_core.batch.ray_actor.TELL_EVERY_S", 0.01)
    results = await bench.run(3)
    assert ids(results) == ["j0", "j1", "j2"]
    assert ray.actors[0].killed == [False, True]
    assert "has said nothing" in bench.notes[0]


async def test_actors_that_never_get_ready_end_the_batch(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, ray: FakeRay
):
    class Stillborn(SessionActor):
        async def watch(self, setup: Any, known: int) -> int:
            for call in ray.actors[0].calls:
                call.cancel()
            await asyncio.Event().wait()
            return 0

    monkeypatch.setattr(engine_module, "SessionActor", Stillborn)
    with pytest.raises(RealtimeError, match="end before they are ready"):
        await bench.run(1)
    assert ray.shutdowns == 1


async def test_what_an_actor_cannot_do_is_told_and_not_tried_forever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    class Unable(SessionActor):
        async def watch(self, setup: Any, known: int) -> int:
            raise OSError("no space left")

    monkeypatch.setattr(engine_module, "SessionActor", Unable)
    with pytest.raises(RealtimeError, match="no space left"):
        await bench.run(1)


async def test_another_version_on_a_worker_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    class Old(SessionActor):
        async def greet(self) -> Any:
            greeting = await super().greet()
            return type(greeting)("0.0.1", "oldhost", greeting.pid)

    monkeypatch.setattr(engine_module, "SessionActor", Old)
    with pytest.raises(UserError, match=r"oldhost has realtime-transports 0\.0\.1"):
        await bench.run(1)


async def test_no_free_processor_is_an_error_and_no_endless_wait(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    class Pending(SessionActor):
        async def greet(self) -> Any:
            await asyncio.Event().wait()

    monkeypatch.setattr(engine_module, "SessionActor", Pending)
    monkeypatch.setattr(engine_module, "START_DEADLINE_S", 0.05)
    with pytest.raises(RealtimeError, match="free processor"):
        await bench.run(1)


async def test_leaving_early_ends_sessions_and_actors(bench: Bench):
    async with aclosing(RayEngine().run(bench.jobs(20), bench.context())) as results:
        await anext(results)
    assert [actor.killed for actor in bench.ray.actors] == [[True], [True]]
    assert bench.ray.shutdowns == 1
    assert not [path for path in bench.scratch.iterdir() if path.name.startswith("worker-")]


# Ray itself


async def test_one_of_our_own_stays_on_the_loopback_interface_and_is_ended(bench: Bench):
    await bench.run(1, processes=3)
    assert bench.ray.inits[0]["_node_ip_address"] == "127.0.0.1"
    assert bench.ray.inits[0]["include_dashboard"] is False
    assert bench.ray.inits[0]["address"] == "local"
    assert bench.ray.inits[0]["num_cpus"] == 3
    assert bench.ray.shutdowns == 1


async def test_processes_of_ray_inherit_no_key_and_this_one_keeps_its(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    seen: list[dict[str, str]] = []
    bench.ray.on_init = lambda: seen.append(dict(os.environ))
    await bench.run(1)
    assert KEY not in seen[0].values()
    assert seen[0]["RAY_USAGE_STATS_ENABLED"] == "0"
    assert os.environ["OPENAI_API_KEY"] == KEY
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "1"
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in os.environ


async def test_a_ray_that_would_listen_on_the_network_is_not_used(bench: Bench):
    bench.ray.node_address = "192.0.2.7"
    with pytest.raises(UserError, match="listen on the network"):
        await bench.run(1)
    assert bench.ray.shutdowns == 1
    assert not bench.ray.actors


async def test_a_ray_that_was_there_is_used_and_left(bench: Bench):
    bench.ray.is_up = True
    assert len(await bench.run(2)) == 2
    assert (bench.ray.inits, bench.ray.shutdowns) == ([], 0)


async def test_a_cluster_is_reached_by_its_address_and_left(bench: Bench):
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert len(await bench.run(2, address=address)) == 2
    assert bench.ray.inits[0]["address"] == address
    assert "_node_ip_address" not in bench.ray.inits[0]
    assert bench.ray.shutdowns == 1


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:0", "head:x", ":6379"])
async def test_what_is_no_address_is_refused(bench: Bench, address: str):
    with pytest.raises(UserError, match="host:port"):
        await bench.run(1, address=address)
    assert not bench.ray.inits


async def test_an_address_where_nobody_listens_is_told_at_once(bench: Bench):
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(UserError, match="nothing listens there"):
        await bench.run(1, address=f"127.0.0.1:{port}")


async def test_what_ray_says_about_a_cluster_is_told_in_a_line(bench: Bench):
    def refuse() -> None:
        raise RuntimeError("Version mismatch\nlots of\nlines")

    bench.ray.on_init = refuse
    with pytest.raises(UserError, match=r"RuntimeError: Version mismatch$"):
        await bench.run(1, address="auto")
    with pytest.raises(RealtimeError, match="Ray does not start"):
        await bench.run(1)


def assert_true(value: bool) -> None:
    assert value


def join_ray_thread() -> None:
    for thread in threading.enumerate():
        if thread.name == "ray":
            thread.join()


async def test_an_interrupt_while_ray_starts_ends_it(bench: Bench):
    started, released = threading.Event(), threading.Event()

    def start_slowly() -> None:
        started.set()
        released.wait()

    bench.ray.on_init = start_slowly
    running = asyncio.create_task(bench.run(1))
    await asyncio.to_thread(started.wait)
    running.cancel()
    await asyncio.sleep(0)
    released.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert bench.ray.shutdowns == 1


async def test_a_ray_that_does_not_start_in_time_is_an_error(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    released = threading.Event()
    bench.ray.on_init = lambda: assert_true(released.wait())
    monkeypatch.setattr(ray_cluster, "START_DEADLINE_S", 0.05)
    with pytest.raises(RealtimeError, match=r"within 0\.05 s"):
        await bench.run(1)
    assert not bench.ray.shutdowns
    released.set()
    await asyncio.to_thread(join_ray_thread)
    assert bench.ray.shutdowns == 1


async def test_a_cluster_that_never_answers_is_wrong_use(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    released = threading.Event()
    bench.ray.on_init = lambda: assert_true(released.wait())
    monkeypatch.setattr(ray_cluster, "CONNECT_DEADLINE_S", 0.05)
    with pytest.raises(UserError, match="RAY_AUTH_MODE=token"):
        await bench.run(1, address="auto")
    released.set()
    await asyncio.to_thread(join_ray_thread)


async def test_a_server_that_other_machines_do_not_reach_is_refused(bench: Bench):
    bench.ray.machines = ["192.0.2.1", "192.0.2.2"]
    settings = JobSettings(transport="websocket", url="ws://127.0.0.1:8080/v1/realtime")
    with pytest.raises(UserError, match="2 machines do not reach"):
        await bench.run(1, settings=settings, address="auto")
    assert not bench.ray.actors


async def test_no_worker_at_all_is_wrong_use(bench: Bench):
    with pytest.raises(UserError, match="at least one"):
        await bench.run(1, processes=0)


def test_without_ray_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"realtime-transports\[ray\]"):
        PluginManager(allow=()).factory("batch engine", "ray")()


async def test_ray_prints_nothing_on_our_output_meanwhile(bench: Bench):
    worker = sys.modules["ray._private.worker"]
    during: list[bool] = []
    bench.on_result = lambda _: during.append(worker._worker_logs_enabled)  # type: ignore[attr-defined]
    await bench.run(1)
    assert during == [False]
    assert worker._worker_logs_enabled is True  # type: ignore[attr-defined]
