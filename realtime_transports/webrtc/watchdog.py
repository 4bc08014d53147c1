"""Decides when a silent link is a lost link. Plain logic; time is an argument.

A peer may be silent for good reasons (discontinuous transmission, a muted user), so silence only
leads to a question: a STUN binding request, which every ICE agent answers (RFC 7675). No answer and
no packet of any other kind until `LOST_AFTER_S`: the link is lost. When the program itself stood
still, packets may wait unread, so that time does not count.

    state     packet came      silent ≥ 1 s       silent ≥ 2.5 s
    alive     alive            probing, PROBE     -
    probing   alive            probing, PROBE     lost, LOST
    lost      alive, RECOVERED lost, PROBE        lost, PROBE
"""

from __future__ import annotations

import enum

__all__ = ["TICK_S", "LinkWatchdog", "Verdict"]

TICK_S = 0.25
"""How often `LinkWatchdog.check` wants to be called."""

PROBE_AFTER_S = 1.0
LOST_AFTER_S = 2.5


class Verdict(enum.Enum):
    """What to do about a link."""

    PROBE = enum.auto()
    """Ask the peer for a sign of life."""
    LOST = enum.auto()
    """Tell that the link is lost; once."""
    RECOVERED = enum.auto()
    """Tell that the peer is back; once."""


class LinkWatchdog:
    """Watches over one link."""

    def __init__(self, now_s: float) -> None:
        """Begin with a link that works.

        Args:
            now_s: The time, in seconds of any clock.
        """
        self._checked_at_s = now_s
        self._excused_until_s = now_s
        self._is_lost = False

    def check(self, now_s: float, last_packet_s: float) -> Verdict | None:
        """Judge the link, every `TICK_S`.

        Args:
            now_s: The time.
            last_packet_s: When the last packet of any kind came from the peer.
        """
        stood_still = now_s - self._checked_at_s > 2 * TICK_S
        self._checked_at_s = now_s
        if stood_still and not self._is_lost:
            self._excused_until_s = now_s
        silent_s = now_s - max(last_packet_s, self._excused_until_s)
        if silent_s < PROBE_AFTER_S:
            was_lost, self._is_lost = self._is_lost, False
            return Verdict.RECOVERED if was_lost else None
        if silent_s >= LOST_AFTER_S and not self._is_lost:
            self._is_lost = True
            return Verdict.LOST
        return Verdict.PROBE
