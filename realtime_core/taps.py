"""Several taps as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from realtime_core.audio import AudioFrame, AudioTap

__all__ = ["is_tap", "join_taps"]


def is_tap(thing: object) -> TypeGuard[AudioTap]:
    """Whether it has what an `AudioTap` has: some sources are taps, too."""
    return callable(getattr(thing, "sent", None)) and callable(getattr(thing, "heard", None))


def join_taps(*taps: AudioTap | None) -> AudioTap | None:
    """One tap that shows all of them what it sees, in this order; None where there is none."""
    present = [tap for tap in taps if tap is not None]
    if len(present) > 1:
        return _Taps(present)
    return present[0] if present else None


class _Taps:
    def __init__(self, taps: list[AudioTap]) -> None:
        self._taps = taps

    def sent(self, frame: AudioFrame, at_s: float) -> None:
        for tap in self._taps:
            tap.sent(frame, at_s)

    def heard(self, frame: AudioFrame, at_s: float) -> None:
        for tap in self._taps:
            tap.heard(frame, at_s)
