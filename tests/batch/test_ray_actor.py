"""What an actor of the engine ``ray`` does, without Ray."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pydantic import SecretStr

from realtime_core.batch.job import JobSettings
from realtime_core.batch.manifest import Job, JobTurn
from realtime_core.batch.ray_actor import ActorSetup, Delivery, SessionActor, unpack
from tests.batch.recordings import write_tone

KEY = "a-key-that-no-pattern-knows-of"


@pytest.fixture
async def actor() -> AsyncIterator[SessionActor]:
    made = SessionActor()
    yield made
    await made.close()


def setup(scratch: Path) -> ActorSetup:
    return ActorSetup(
        name="7",
        settings=JobSettings(transport="memory"),
        api_key=SecretStr(KEY),
        scratch=scratch,
        allow=(),
        most=2,
    )


def job(audio: str, job_id: str = "j") -> Job:
    return Job(id=job_id, turns=(JobTurn(audio=audio, name="q.wav"),))


def sent(value: Any) -> Any:
    """As it comes out at the other end."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - our own


def inside(folder: Path) -> set[str]:
    return {path.name.partition("-")[0] for path in folder.iterdir()}


async def test_a_delivery_holds_the_recordings_and_leaves_none_behind(
    actor: SessionActor, tmp_path: Path
):
    delivery = await actor.run(setup(tmp_path), job(str(write_tone(tmp_path / "q.wav"))))
    assert delivery.row.status == "ok"
    assert {name[:4] for name in delivery.files} == {"answ", "conv"}
    assert all(content[:4] == b"RIFF" for content in delivery.files.values())
    assert delivery.row.worker.startswith("7@")
    assert inside(tmp_path) == {"q.wav", "worker"}
    assert actor._scratch is not None
    assert inside(actor._scratch) == set()
    await actor.close()
    assert inside(tmp_path) == {"q.wav"}


async def test_a_delivery_comes_through_a_pickle(actor: SessionActor, tmp_path: Path):
    question = job(str(write_tone(tmp_path / "q.wav")))
    delivery = sent(await actor.run(*sent((setup(tmp_path), question))))
    result = unpack(delivery, tmp_path / "there")
    assert result.folder == tmp_path / "there"
    samples, _ = soundfile.read(result.folder / "answer.wav")
    assert np.abs(samples).max() > 0.01


async def test_where_the_drivers_folder_is_not_seen_another_one_is_made(
    actor: SessionActor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    question = write_tone(tmp_path / "q.wav")
    delivery = await actor.run(setup(tmp_path / "nowhere"), job(str(question)))
    assert delivery.row.status == "ok"
    assert inside(elsewhere) == {"worker"}
    await actor.close()
    assert inside(elsewhere) == set()


async def test_a_job_that_is_under_way_is_not_begun_again(actor: SessionActor, tmp_path: Path):
    question = job(str(write_tone(tmp_path / "q.wav")))
    first, second = await asyncio.gather(
        actor.run(setup(tmp_path), question), actor.run(setup(tmp_path), question)
    )
    assert first is second
    again = await actor.run(setup(tmp_path), question)
    assert again.row.started_at > first.row.started_at


async def test_a_watch_returns_when_another_number_of_sessions_is_allowed(
    actor: SessionActor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert await actor.watch(setup(tmp_path), 0) == 2
    waiting = asyncio.create_task(actor.watch(setup(tmp_path), 2))
    await asyncio.sleep(0)
    assert not waiting.done()
    pool = actor._pool
    assert pool is not None
    pool._pacing._allowed = 3
    pool._events.on_change()
    assert await waiting == 3
    monkeypatch.setattr("realtime_core.batch.ray_actor.TELL_EVERY_S", 0.0)
    assert await actor.watch(setup(tmp_path), 3) == 3


async def test_a_recording_in_object_storage_is_fetched(actor: SessionActor, tmp_path: Path):
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    memory = fsspec.filesystem("memory")
    memory.pipe("/questions/q.wav", write_tone(tmp_path / "q.wav").read_bytes())
    delivery = await actor.run(setup(tmp_path), job("memory://questions/q.wav"))
    assert delivery.row.status == "ok"
    assert delivery.row.turns[0].question_s == pytest.approx(0.3)
    assert set(delivery.files) == {"answer.wav", "conversation.wav"}
    lacking = await actor.run(setup(tmp_path), job("memory://questions/none.wav", "k"))
    assert lacking.row.error is not None
    assert lacking.row.error.stage == "input"
    memory.rm("/questions", recursive=True)


def test_what_is_written_stays_in_its_folder(tmp_path: Path, actor_row: Delivery):
    for number, name in enumerate(("../x.wav", "/x.wav", "a/b.wav", "..", "")):
        with pytest.raises(ValueError, match="has the name"):
            unpack(Delivery(actor_row.row, {name: b"x"}), tmp_path / f"f{number}")
    assert not (tmp_path / "x.wav").exists()


@pytest.fixture
async def actor_row(actor: SessionActor, tmp_path: Path) -> Delivery:
    return await actor.run(setup(tmp_path), job(str(tmp_path / "none.wav")))


def test_a_job_without_recordings_has_no_folder(tmp_path: Path, actor_row: Delivery):
    assert actor_row.files == {}
    assert unpack(actor_row, tmp_path / "f").folder is None


def test_the_key_is_in_no_text_of_the_setup(tmp_path: Path):
    shown = setup(tmp_path)
    assert KEY not in f"{shown!r} {shown} {shown.model_dump_json()}"
