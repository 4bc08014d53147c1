"""How runs went apart from what the agent did, and whether two of them went alike.

Load makes latencies longer and never shorter: audio leaves later, events are seen later, and a
server that shares the machine, or has more sessions to serve, answers later. So where one of two
runs had more load, its latencies are too long

* by no more than its audio left later and its event loop lagged more, which is known of each
  conversation, where the server is on another machine;
* by nobody knows how much, where the server is on this machine and lateness or lag tell that it
  was busier, and wherever more sessions ran at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from realtime_core.batch.results import ResultRow
from realtime_core.hosts import is_loopback_host
from realtime_core.report.figures import shown
from realtime_core.report.metrics import LOOP_LAG, MEDIA_LATENESS, Metric
from realtime_core.report.runs import Run
from realtime_core.report.statistics import Distribution, paired_change

__all__ = ["Conditions", "Load", "Unlike", "compare_load"]

Floats: TypeAlias = NDArray[np.float64]
Pair: TypeAlias = tuple[ResultRow, ResultRow]

ALIKE_FACTOR = 1.25
"""Two runs of the same kind differ by as much, and so does what they measure."""

LEAST_MS = 1.0
"""Of lateness and lag: timers are no better."""


@dataclass(frozen=True)
class Conditions:
    """What rows tell of how a run went."""

    sessions: float
    """How many there were while a conversation ran, itself included: the mean over all."""
    most_sessions: int
    workers: int
    lateness: Distribution | None
    """Of the most by which each conversation's audio left late, in ms."""
    loop_lag: Distribution | None
    """Of each conversation's 95th percentile, in ms."""
    began_at: datetime
    ended_at: datetime

    @classmethod
    def of(cls, rows: Sequence[ResultRow]) -> Conditions:
        """Those of a run's rows, of which there is at least one."""
        sessions, most = _sessions_at_a_time(rows)
        return cls(
            sessions=float(sessions.mean()),
            most_sessions=most,
            workers=len({row.worker for row in rows}),
            lateness=Distribution.of(_values(MEDIA_LATENESS, rows)),
            loop_lag=Distribution.of(_values(LOOP_LAG, rows)),
            began_at=min(row.started_at for row in rows),
            ended_at=max(_ended_at(row) for row in rows),
        )


@dataclass(frozen=True)
class Unlike:
    """Something of the load that differs so much that latencies do."""

    key: str
    title: str
    before: str
    after: str

    @property
    def text(self) -> str:
        """The figure in both runs, for people."""
        return f"{self.title.lower()} {self.before} → {self.after}"


@dataclass(frozen=True)
class Load:
    """How the load of two runs differs."""

    unlike: tuple[Unlike, ...] = ()
    lengthens_before: bool = False
    """Whether the first run's latencies are too long by nobody knows how much."""
    lengthens_after: bool = False
    excess_ms: tuple[float, ...] | None = None
    """By how much more the second run's latencies may be too long, in each pair, at most; None
    where load was alike, or that is not known."""

    @property
    def advice(self) -> str:
        """What to do about it; empty where load was alike."""
        keys = {each.key for each in self.unlike}
        if "pace" in keys:
            return "Run both at the same pace (--pace)."
        if "sessions" in keys:
            return "Run both again with the same --max-sessions, and nothing else on the machine."
        return "Run both again with nothing else on the machine." if keys else ""


def compare_load(before: Run, after: Run, pairs: Sequence[Pair]) -> Load:
    """How the load differed while the conversations ran that both runs have figures of."""
    whole = [(a, b) for a, b in pairs if a.status == b.status == "ok"]
    if not whole:
        return Load()
    if (pace := _other_pace(whole)) is not None:
        return Load((pace,), lengthens_before=True, lengthens_after=True)
    is_server_here = _is_server_here(before) or _is_server_here(after)
    found = [_sessions_unlike(before, after, whole)]
    found += [_late_unlike(metric, whole) for metric in (MEDIA_LATENESS, LOOP_LAG)]
    unlike = [each for each in found if each is not None]
    # Where lateness bounds what it adds, a difference is no reason to say nothing.
    grave = [each for each, _ in unlike if is_server_here or each.key == "sessions"]
    is_late = any(each.key != "sessions" for each, _ in unlike)
    return Load(
        tuple(each for each, _ in unlike),
        lengthens_before=any(not is_more for each, is_more in unlike if each in grave),
        lengthens_after=any(is_more for each, is_more in unlike if each in grave),
        excess_ms=_excess_ms(pairs) if is_late and not is_server_here else None,
    )


def _sessions_unlike(before: Run, after: Run, pairs: Sequence[Pair]) -> tuple[Unlike, bool] | None:
    means = []
    for side, run in enumerate((before, after)):
        of = dict(zip((row.id for row in run.rows), _sessions_at_a_time(run.rows)[0], strict=True))
        means.append(float(np.mean([of[pair[side].id] for pair in pairs])))
    if max(means) <= ALIKE_FACTOR * min(means):
        return None
    first, second = (f"{mean:.1f}" for mean in means)
    return Unlike("sessions", "Sessions at a time", first, second), means[1] > means[0]


def _late_unlike(metric: Metric, pairs: Sequence[Pair]) -> tuple[Unlike, bool] | None:
    values = [(metric.value(a), metric.value(b)) for a, b in pairs]
    both = [(a, b) for a, b in values if a is not None and b is not None]
    if not both:
        return None
    change = paired_change([a for a, _ in both], [b for _, b in both])
    low, high = sorted((change.before, change.after))
    if not change.is_clear or high <= ALIKE_FACTOR * low or high - low < LEAST_MS:
        return None
    texts = (shown(each, metric.unit) for each in (change.before, change.after))
    return Unlike(metric.key, metric.title, *texts), change.difference > 0


def _other_pace(pairs: Sequence[Pair]) -> Unlike | None:
    """In real time the answer's sound is waited for, else its first data: two figures."""
    paces = [any(pair[side].media_lateness_ms is not None for pair in pairs) for side in (0, 1)]
    if paces[0] == paces[1]:
        return None
    texts = ("in real time" if pace else "as fast as it is taken" for pace in paces)
    return Unlike("pace", "Audio sent", *texts)


def _excess_ms(pairs: Sequence[Pair]) -> tuple[float, ...]:
    return tuple(_late_ms(b) - _late_ms(a) for a, b in pairs)


def _late_ms(row: ResultRow) -> float:
    """By how much a conversation's latencies may be too long."""
    return sum(metric.value(row) or 0.0 for metric in (MEDIA_LATENESS, LOOP_LAG))


def _is_server_here(run: Run) -> bool:
    """Whether the server takes its time from the same machine; assumed where nobody says."""
    to = run.settings.get("to")
    if not isinstance(to, str) or to == "local" or run.settings.get("transport") == "memory":
        return True
    try:
        return is_loopback_host(urlsplit(to).hostname or "")
    except ValueError:
        return True


def _values(metric: Metric, rows: Sequence[ResultRow]) -> list[float]:
    return [value for row in rows if (value := metric.value(row)) is not None]


def _ended_at(row: ResultRow) -> datetime:
    return row.started_at + timedelta(seconds=row.duration_s)


def _sessions_at_a_time(rows: Sequence[ResultRow]) -> tuple[Floats, int]:
    """How many sessions there were, on average, while each row's ran, and the most ever."""
    begin_s = np.array([row.started_at.timestamp() for row in rows])
    end_s = begin_s + np.maximum([row.duration_s for row in rows], 1e-3)
    at_s = np.concatenate([begin_s, end_s])
    step = np.repeat([1, -1], len(rows))
    order = np.lexsort((step, at_s))  # what ends gives way to what begins in the same instant
    at_s, running = at_s[order], np.cumsum(step[order])
    # The integral over the time: between two events the number stays the same.
    passed = np.concatenate([[0.0], np.cumsum(running[:-1] * np.diff(at_s))])
    during = np.interp(end_s, at_s, passed) - np.interp(begin_s, at_s, passed)
    return during / (end_s - begin_s), int(running.max())
