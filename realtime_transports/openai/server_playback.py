"""What the caller has heard of the answers (WebRTC, where the server plays them)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["CutOff", "Playback", "PlaybackChange"]

RATE_HZ = 24_000

TRAVEL_S = 0.15
"""How long after it left the last sample counts as heard: the network, and a jitter buffer, which
holds back 80 ms in aiortc and about as much in browsers."""


class PlaybackChange(NamedTuple):
    """An `output_audio_buffer` event is due."""

    event_type: str
    response_id: str


class CutOff(NamedTuple):
    """An answer of which not everything will be heard."""

    response_id: str
    item_id: str
    content_index: int
    heard_ms: int
    was_audible: bool
    """Whether `started` was told of the answer and `stopped` was not; of one of its cuts only."""


@dataclass
class _Stretch:
    """The audio of one item, which is a stretch of everything ever queued."""

    response_id: str
    item_id: str
    content_index: int
    start: int
    end: int
    is_complete: bool = False
    is_started: bool = False
    over_at_s: float | None = None


class Playback:
    """Follows the queue of the outgoing track; places are counted in samples played so far."""

    def __init__(self) -> None:
        """Begin with nothing queued."""
        self._stretches: deque[_Stretch] = deque()
        self._queued_until = 0
        self._played = 0
        self._audible: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether everything that was queued has been heard."""
        return not self._stretches

    def queue(self, response_id: str, item_id: str, content_index: int, samples: int) -> None:
        """Audio of an answer was queued."""
        last = self._stretches[-1] if self._stretches else None
        if last is None or last.item_id != item_id:
            start = self._queued_until
            last = _Stretch(response_id, item_id, content_index, start, start)
            self._stretches.append(last)
        self._queued_until += samples
        last.end = self._queued_until

    def complete(self, response_id: str, now_s: float) -> list[PlaybackChange]:
        """No more audio of this answer will be queued."""
        for stretch in self._stretches:
            if stretch.response_id == response_id:
                stretch.is_complete = True
        return self.advance(now_s)

    def played(self, samples: int, now_s: float) -> list[PlaybackChange]:
        """So many samples in all have left; what was cleared is not among them."""
        self._played = samples
        return self.advance(now_s)

    def advance(self, now_s: float) -> list[PlaybackChange]:
        """What is due by now."""
        changes: list[PlaybackChange] = []
        while self._stretches:
            stretch = self._stretches[0]
            if not stretch.is_started and self._played > stretch.start:
                stretch.is_started = True
                if self._audible != stretch.response_id:  # else it is the answer's next item
                    self._audible = stretch.response_id
                    changes.append(PlaybackChange("started", stretch.response_id))
            if not self._is_over(stretch, now_s):
                break
            self._stretches.popleft()
            if not self._stretches or self._stretches[0].response_id != stretch.response_id:
                self._audible = None
                changes.append(PlaybackChange("stopped", stretch.response_id))
        return changes

    def next_deadline(self) -> float | None:
        """When `advance` should be called again without anything having happened."""
        return self._stretches[0].over_at_s if self._stretches else None

    def cut_off(self) -> list[CutOff]:
        """The queue is dropped: forget it, and tell how far each answer in it was heard."""
        cuts = []
        for stretch in self._stretches:
            heard = max(0, min(self._played, stretch.end) - stretch.start)
            cuts.append(
                CutOff(
                    stretch.response_id,
                    stretch.item_id,
                    stretch.content_index,
                    heard * 1000 // RATE_HZ,
                    was_audible=self._audible == stretch.response_id,
                )
            )
            if cuts[-1].was_audible:
                self._audible = None
        self._stretches.clear()
        self._queued_until = self._played
        return cuts

    def _is_over(self, stretch: _Stretch, now_s: float) -> bool:
        if not stretch.is_started or not stretch.is_complete or self._played < stretch.end:
            return False
        if self._played > stretch.end:  # the next answer is audible already
            return True
        if stretch.over_at_s is None:
            stretch.over_at_s = now_s + TRAVEL_S
        return now_s >= stretch.over_at_s
