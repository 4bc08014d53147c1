"""How many sessions at a time a process carries, found out by trying. Decides without a clock.

While there is more to do than is allowed, the number grows: one by one in real time, as what a
session costs shows only while it talks, and too many of them distort whole conversations; by half
elsewhere, until it was too much. It was too much when the event loop or the audio that leaves is
late by more than a block of audio lasts: then what is measured is this machine and not the agent.
The number is cut at once, what runs is let run, and nothing grows for a while, as the sessions that
were too much are still there.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PacingRules", "SessionPacing", "StartPacing"]

START_APART_S = 0.1
"""To connect takes some 50 ms of a processor (DTLS, codecs): sessions that all do it in the same
instant are late together, and so are those that talk meanwhile."""


@dataclass(frozen=True, slots=True)
class PacingRules:
    """The numbers by which `SessionPacing` decides."""

    initial: int = 2
    most: int | None = None
    """Never more than these; None sets no bound."""
    late_s: float = 0.02
    """A block of audio: more than this is late."""
    cut: float = 0.75
    """What is left of the sessions when they were too many."""
    growth: float = 0.0
    """The share by which they grow at once, until it was too much; at least one."""
    settle_s: float = 1.0
    """How long all must be well before there are more."""
    careful_settle_s: float = 2.0
    """The same, once it has been too much."""
    recover_s: float = 3.0
    """How long after a cut nothing is looked at: what runs is still too much."""

    @classmethod
    def of(cls, *, is_realtime: bool, most: int | None) -> PacingRules:
        """Those for jobs that take as long as they are spoken, or for others."""
        return cls(most=most, growth=0.0 if is_realtime else 0.5)


class SessionPacing:
    """Says how many sessions may run. Every call gets the time, in seconds of any clock."""

    def __init__(self, rules: PacingRules | None = None) -> None:
        """Begin with `PacingRules.initial`."""
        self._rules = rules or PacingRules()
        self._allowed = self._bounded(self._rules.initial)
        self._is_careful = False
        self._well_since_s: float | None = None
        self._blind_until_s = float("-inf")

    @property
    def allowed(self) -> int:
        """How many sessions may run now; at least one."""
        return self._allowed

    def observe(self, now_s: float, *, running: int, lag_s: float, lateness_s: float) -> None:
        """Look at how it goes.

        Args:
            now_s: The time.
            running: How many sessions there are.
            lag_s: How late the event loop is, nearly always (a high percentile of a short time).
            lateness_s: How late audio leaves that is sent in real time, likewise.
        """
        if max(lag_s, lateness_s) > self._rules.late_s:
            self._well_since_s = None
            if now_s >= self._blind_until_s:
                self._cut(now_s, running)
            return
        if running < self._allowed:
            # There is not enough to do to learn anything.
            self._well_since_s = None
            return
        if self._well_since_s is None:
            self._well_since_s = now_s
        settle_s = self._rules.careful_settle_s if self._is_careful else self._rules.settle_s
        if now_s - self._well_since_s >= settle_s:
            self._well_since_s = now_s
            self._allowed = self._bounded(self._allowed + self._step())

    def _cut(self, now_s: float, running: int) -> None:
        self._is_careful = True
        self._blind_until_s = now_s + self._rules.recover_s
        self._allowed = self._bounded(int(min(running, self._allowed) * self._rules.cut))

    def _step(self) -> int:
        return 1 if self._is_careful else max(1, int(self._allowed * self._rules.growth))

    def _bounded(self, sessions: int) -> int:
        most = self._rules.most
        return max(1, sessions if most is None else min(most, sessions))


class StartPacing:
    """Says when the next session in real time may begin."""

    def __init__(self) -> None:
        """The first one may at once."""
        self._next_s = float("-inf")

    def take_delay(self, now_s: float) -> float:
        """Seconds to wait before the next session; each call is one session."""
        begin_s = max(now_s, self._next_s)
        self._next_s = begin_s + START_APART_S
        return begin_s - now_s
