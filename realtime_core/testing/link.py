"""A bad network's decisions, deterministic by seed: no sockets and no clock.

`udp_relay` carries packets as decided here.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from realtime_core.errors import UserError

__all__ = ["Link", "LinkConditions", "LinkStats", "is_media"]

REORDERED_BY_S = 0.03
"""How long a packet that is to be overtaken is held back: longer than one packet's audio."""


@dataclass(frozen=True, slots=True)
class LinkConditions:
    """How bad the network is, in each direction."""

    loss: float = 0.0
    """Share of media packets that are lost, 0 to 1."""
    delay_s: float = 0.0
    """Added to each packet, in seconds."""
    jitter_s: float = 0.0
    """Up to so many seconds more for a media packet, evenly spread; the order stays."""
    reorder: float = 0.0
    """Share of media packets that the next ones overtake."""
    duplicate: float = 0.0
    """Share of media packets that come twice."""
    rate_bps: float | None = None
    """Bits per second of UDP payload that pass; None is no limit."""
    queue_s: float = 0.5
    """The longest wait for the rate, in seconds; what would wait longer is lost."""
    media_only: bool = True
    """Whether loss, jitter, reordering and duplicates spare all but RTP and RTCP: connecting and
    events then work as ever, and each media packet meets the same fate in each run."""

    def __post_init__(self) -> None:
        """Refuse what no network does.

        Raises:
            UserError: A share is outside 0 to 1, or a time or rate is negative.
        """
        for name in ("loss", "reorder", "duplicate"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} is a share from 0 to 1, not {getattr(self, name)!r}")
        for name in ("delay_s", "jitter_s", "queue_s"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(f"{name} is a time from 0, not {getattr(self, name)!r}")
        if self.rate_bps is not None and not self.rate_bps > 0:
            raise UserError(f"rate_bps is a rate above 0, not {self.rate_bps!r}")


@dataclass(slots=True)
class LinkStats:
    """What became of the packets of one direction."""

    received: int = 0
    passed: int = 0
    """Sent on, duplicates included."""
    lost: int = 0
    """By `LinkConditions.loss`, or by `UdpRelay.drops`."""
    overflowed: int = 0
    """Lost because too much was waiting."""
    duplicated: int = 0
    reordered: int = 0
    received_bytes: int = 0
    passed_bytes: int = 0


def is_media(packet: bytes) -> bool:
    """Whether it is RTP or RTCP, and not of ICE or DTLS (RFC 7983 section 7)."""
    return bool(packet) and 128 <= packet[0] <= 191


class Link:
    """Decides what happens to the packets of one direction."""

    def __init__(self, conditions: LinkConditions, seed: int | str) -> None:
        """Begin.

        Args:
            conditions: How bad it is; may be exchanged at any time.
            seed: The same gives the same fates. Media and other packets are drawn for apart, as
                the number of the others depends on timing.
        """
        self.conditions = conditions
        self.stats = LinkStats()
        self._media_chance = random.Random(f"{seed}:media")  # noqa: S311 - a simulation
        self._other_chance = random.Random(f"{seed}:other")  # noqa: S311 - a simulation
        self._busy_until_s = 0.0
        self._last_due_s = 0.0

    def admit(self, packet: bytes, now_s: float) -> list[float]:
        """When to send a packet on: never, once or twice.

        Args:
            packet: It arrives now.
            now_s: The time, in seconds of any clock that only goes forward.
        """
        stats, conditions = self.stats, self.conditions
        stats.received += 1
        stats.received_bytes += len(packet)
        chance = self._media_chance if is_media(packet) else self._other_chance
        # Always the same number of draws, so that changing one condition moves no other's fates.
        lost, jitter, reordered, twice = (chance.random() for _ in range(4))
        is_spared = conditions.media_only and not is_media(packet)
        if lost < conditions.loss and not is_spared:
            stats.lost += 1
            return []
        due_s = self._through_the_bottleneck(len(packet), now_s)
        if due_s is None:
            stats.overflowed += 1
            return []
        due_s += conditions.delay_s
        if is_spared:
            return [due_s]
        return self._disturbed(due_s, jitter, reordered, twice)

    def _disturbed(
        self, due_s: float, jitter: float, reordered: float, twice: float
    ) -> list[float]:
        conditions, stats = self.conditions, self.stats
        due_s = max(due_s + jitter * conditions.jitter_s, self._last_due_s)
        self._last_due_s = due_s
        if reordered < conditions.reorder:
            stats.reordered += 1
            due_s += REORDERED_BY_S  # the next ones do not wait for it
        if twice < conditions.duplicate:
            stats.duplicated += 1
            return [due_s, due_s]
        return [due_s]

    def _through_the_bottleneck(self, size_bytes: int, now_s: float) -> float | None:
        rate_bps = self.conditions.rate_bps
        if rate_bps is None:
            return now_s
        begin_s = max(now_s, self._busy_until_s)
        if begin_s - now_s > self.conditions.queue_s:
            return None
        self._busy_until_s = begin_s + size_bytes * 8 / rate_bps
        return self._busy_until_s
