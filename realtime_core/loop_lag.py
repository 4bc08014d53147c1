"""How late the event loop is: whatever waits in it, audio among it, is late by as much."""

from __future__ import annotations

import asyncio
import atexit
import gc
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["LagMeter", "LoopLag", "keep_what_is_loaded", "percentile"]

EVERY_S = 0.02
"""As often as a block of audio is due."""

SAMPLES_KEPT = 30_000
"""Ten minutes: of a longer turn the last ones count."""


@dataclass(frozen=True, slots=True)
class LoopLag:
    """By how much timers were late, in milliseconds."""

    p50_ms: float
    p95_ms: float
    max_ms: float


class LagMeter:
    """Sets itself a timer again and again while it runs, and notes how late each one is."""

    def __init__(self) -> None:
        self._late_s: deque[float] = deque(maxlen=SAMPLES_KEPT)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, if there is an event loop."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self.stop()
        self._set(loop)

    def stop(self) -> None:
        """Set no more timers. Stopping twice is fine."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def take(self) -> LoopLag | None:
        """What was seen since the last call; None when that is nothing."""
        late_s, self._late_s = sorted(self._late_s), deque(maxlen=SAMPLES_KEPT)
        if not late_s:
            return None
        return LoopLag(
            _ms(percentile(late_s, 0.50)),
            _ms(percentile(late_s, 0.95)),
            _ms(percentile(late_s, 1.0)),
        )

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        due_s = loop.time() + EVERY_S
        self._timer = loop.call_at(due_s, self._on_due, loop, due_s)

    def _on_due(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        self._late_s.append(max(0.0, loop.time() - due_s))
        self._set(loop)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the values, in rising order, that so many do not exceed (nearest rank)."""
    return ordered[max(1, math.ceil(share * len(ordered))) - 1]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def keep_what_is_loaded() -> None:
    """Let the garbage collector look no more at what there is by now.

    It holds the loop up meanwhile, for 20 to 170 ms once all modules are loaded. For processes of
    our own: of what is kept here, cycles are freed at the end only.
    """
    gc.collect()
    gc.freeze()
    # Extension modules complain of what is still there when the process ends.
    atexit.register(gc.unfreeze)
