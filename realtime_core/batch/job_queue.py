"""Which worker gets which job, and what becomes of jobs whose worker died. Decides without I/O.

A job whose worker died is run again, at once. One that was under way when several workers died may
be what killed them: it is kept to the end and run alone, which shows whether it is the one and
harms no other job. If that worker dies too, the job has failed.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Protocol, TypeVar

from realtime_core.batch.failures import row_without_session
from realtime_core.batch.manifest import Job
from realtime_core.batch.results import JobFailure, ResultRow

__all__ = ["SUSPECT_DEATHS", "JobQueue", "share_of", "worker_count"]

JOBS_PER_WORKER = 4
"""Fewer are not worth the seconds that another process takes to start."""

SUSPECT_DEATHS = 2
"""A job that was under way when so many workers died is run alone from then on."""


class Worker(Protocol):
    """What has jobs."""

    jobs: dict[str, Job]
    """Those in its hands, by id."""
    allowed: int
    """How many it can have."""


WorkerT = TypeVar("WorkerT", bound=Worker)


def worker_count(wanted: int | None, *, cpus: int, jobs: int, most: int | None) -> int:
    """How many workers there are to be.

    Args:
        wanted: What the user says; None: a processor each.
        cpus: How many processors there are.
        jobs: How many jobs there are.
        most: The most sessions at a time.
    """
    count = min(cpus, math.ceil(jobs / JOBS_PER_WORKER)) if wanted is None else wanted
    return max(1, count if most is None else min(count, most))


def share_of(most: int | None, place: int, count: int) -> int | None:
    """A worker's part of the sessions; the first ones get what does not divide."""
    return None if most is None else most // count + (place < most % count)


class JobQueue:
    """The jobs of a batch that are in no worker's hands."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        """Begin with all of them, in their order."""
        self._waiting = deque(jobs)
        self._suspects: deque[Job] = deque()
        self._deaths: Counter[str] = Counter()
        self._unfinished = len(self._waiting)

    @property
    def unfinished(self) -> int:
        """How many have no result yet, those in a worker's hands included."""
        return self._unfinished

    def take_for(self, in_hand: Collection[str]) -> Job | None:
        """The next job for a worker; None when there is none for it now.

        Args:
            in_hand: The ids of the jobs that it has.
        """
        if any(self._deaths[job_id] >= SUSPECT_DEATHS for job_id in in_hand):
            return None  # it has one that is to be alone
        if self._waiting:
            return self._waiting.popleft()
        if self._suspects and not in_hand:
            return self._suspects.popleft()
        return None

    def take(self, workers: Iterable[WorkerT]) -> tuple[WorkerT, Job] | None:
        """The next job and who gets it: of those that have room, who has the fewest.

        Returns:
            None when nobody can get any now. Else the job is to be put into the worker's hands
            before the next call.
        """
        for worker in sorted(workers, key=lambda each: len(each.jobs)):
            if len(worker.jobs) < worker.allowed:
                job = self.take_for(worker.jobs)
                if job is not None:
                    return worker, job
        return None

    def finish(self) -> None:
        """A job that was taken has its result."""
        self._unfinished -= 1

    def lose(self, job: Job, ending: str, now: datetime) -> ResultRow | None:
        """A job that was taken came to nothing, as its worker died.

        Args:
            job: The job.
            ending: How the worker ended, for people.
            now: The time, for the row.

        Returns:
            The job's row, if it has died often enough; None if it is to be run again.
        """
        self._deaths[job.id] += 1
        deaths = self._deaths[job.id]
        if deaths > SUSPECT_DEATHS:
            self._unfinished -= 1
            return _row_of_the_dead(job, deaths, ending, now)
        if deaths == SUSPECT_DEATHS:
            self._suspects.append(job)
        else:
            self._waiting.appendleft(job)
        return None


def _row_of_the_dead(job: Job, deaths: int, ending: str, now: datetime) -> ResultRow:
    failure = JobFailure(
        stage="worker",
        kind="WorkerDied",
        message=f"{deaths} workers ended while they ran it, the last one alone with it ({ending})",
    )
    return row_without_session(job, failure, attempts=deaths, now=now)
