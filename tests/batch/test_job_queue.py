"""Which job comes next, and which are given up."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.batch.job_queue import SUSPECT_DEATHS, JobQueue, share_of, worker_count
from realtime_core.batch.manifest import Job, JobTurn

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def jobs(count: int) -> list[Job]:
    turn = JobTurn(audio="/q.wav", name="q.wav", expected="yes", said="well?")
    return [Job(id=f"j{n}", turns=(turn,)) for n in range(count)]


def ids(queue: JobQueue, count: int) -> list[str | None]:
    taken = [queue.take_for(()) for _ in range(count)]
    return [None if job is None else job.id for job in taken]


def lose_often(queue: JobQueue, times: int) -> Job:
    """The first job, lost so often."""
    for _ in range(times):
        job = queue.take_for(())
        assert job is not None
        assert queue.lose(job, "killed", NOW) is None
    return job


def test_jobs_come_in_their_order():
    assert ids(JobQueue(jobs(3)), 4) == ["j0", "j1", "j2", None]


def test_a_job_that_is_lost_once_is_the_next_one():
    queue = JobQueue(jobs(3))
    lose_often(queue, 1)
    assert ids(queue, 3) == ["j0", "j1", "j2"]


def test_a_job_that_was_there_at_two_deaths_waits_for_all_others():
    queue = JobQueue(jobs(3))
    lose_often(queue, SUSPECT_DEATHS)
    assert ids(queue, 3) == ["j1", "j2", "j0"]


def test_a_suspect_goes_to_a_worker_that_has_nothing_else():
    queue = JobQueue(jobs(1))
    lose_often(queue, SUSPECT_DEATHS)
    assert queue.take_for(["other"]) is None
    assert queue.take_for([]) is not None


def test_a_worker_that_has_a_suspect_gets_nothing_more():
    queue = JobQueue(jobs(2))
    suspect = lose_often(queue, SUSPECT_DEATHS)
    assert queue.take_for([suspect.id]) is None


def test_a_job_that_dies_alone_is_a_failed_row():
    queue = JobQueue(jobs(1))
    lose_often(queue, SUSPECT_DEATHS)
    job = queue.take_for(())
    assert job is not None
    row = queue.lose(job, "signal 9", NOW)
    assert row is not None
    assert row.error is not None
    assert (row.id, row.status, row.attempts) == ("j0", "failed", 3)
    assert (row.error.stage, row.error.kind) == ("worker", "WorkerDied")
    assert "3 workers ended" in row.error.message
    assert "signal 9" in row.error.message
    assert row.started_at == NOW
    assert [(turn.question, turn.expected, turn.said) for turn in row.turns] == [
        ("q.wav", "yes", "well?")
    ]
    assert queue.unfinished == 0
    assert queue.take_for(()) is None


@dataclass
class Worker:
    allowed: int
    jobs: dict[str, Job] = field(default_factory=dict)


def hand_out(queue: JobQueue, *workers: Worker) -> list[list[str]]:
    """Give as many as the workers can have."""
    while (taken := queue.take(workers)) is not None:
        worker, job = taken
        worker.jobs[job.id] = job
    return [list(worker.jobs) for worker in workers]


def test_who_has_the_fewest_gets_the_next_one():
    given = hand_out(JobQueue(jobs(5)), Worker(4), Worker(0), Worker(2), Worker(4))
    assert [len(each) for each in given] == [2, 0, 2, 1]


def test_nobody_gets_more_than_they_can_have():
    queue = JobQueue(jobs(5))
    assert hand_out(queue, Worker(2), Worker(1)) == [["j0", "j2"], ["j1"]]
    assert queue.unfinished == 5


def test_a_suspect_is_run_alone_while_other_workers_go_on():
    queue = JobQueue(jobs(4))
    suspect = lose_often(queue, SUSPECT_DEATHS)
    busy, free = Worker(3), Worker(0)
    assert hand_out(queue, busy, free) == [["j1", "j2", "j3"], []]
    free.allowed = 3
    assert hand_out(queue, busy, free)[1] == [suspect.id]
    queue.lose(busy.jobs.pop("j1"), "killed", NOW)
    assert hand_out(queue, busy, free) == [["j2", "j3", "j1"], [suspect.id]]


@pytest.mark.parametrize(
    ("wanted", "cpus", "job_count", "most", "count"),
    [
        (None, 8, 1000, None, 8),
        (None, 8, 9, None, 3),
        (None, 8, 1000, 5, 5),
        (3, 8, 1000, None, 3),
        (3, 1, 1, None, 3),
        (3, 8, 1000, 2, 2),
        (None, 0, 5, None, 1),
    ],
)
def test_there_are_as_many_workers_as_are_of_use(
    wanted: int | None, cpus: int, job_count: int, most: int | None, count: int
):
    assert worker_count(wanted, cpus=cpus, jobs=job_count, most=most) == count


def test_the_sessions_are_shared_out_to_the_last_one():
    assert [share_of(8, place, 3) for place in range(3)] == [3, 3, 2]
    assert share_of(None, 0, 3) is None


@given(st.integers(1, 6), st.lists(st.booleans(), max_size=40))
def test_each_job_has_one_end_whatever_dies(count: int, deaths: list[bool]):
    queue = JobQueue(jobs(count))
    ended = []
    fates = iter([*deaths, *[False] * 100])
    while (job := queue.take_for(())) is not None:
        if not next(fates):
            queue.finish()
            ended.append(job.id)
        elif queue.lose(job, "killed", NOW) is not None:
            ended.append(job.id)
    assert sorted(ended) == sorted(each.id for each in jobs(count))
    assert queue.unfinished == 0
