"""What of the model's audio came, what is still to be heard, and where it is cut off.

For links whose audio comes in events: the client plays it, part after part, and the server knows
only what it sent. Whoever plays tells how much of all that came is still unheard. That is the end
of what came, so it says for each part how far it was heard.

A part that comes in several stretches, with another part between, is cut off where the first
unheard stretch is.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["ClientPlayback", "CutOff", "PartPlace", "PlayingAudio"]


class PartPlace(NamedTuple):
    """Where a part of audio stands in the conversation."""

    item_id: str
    content_index: int


class CutOff(NamedTuple):
    """A part of which not everything will be heard."""

    place: PartPlace
    heard_ms: int
    """From the part's beginning, rounded down."""


@dataclass(slots=True, eq=False)
class PlayingAudio:
    """A stretch of a part's audio that came and was not interrupted. Compared by identity."""

    place: PartPlace
    begins_ms: float
    """What of the part came before this stretch."""
    length_ms: float = 0.0
    """What came of it so far."""
    is_complete: bool = False
    """Whether no more of it comes."""


class ClientPlayback:
    """Follows the audio of one connection."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._stretches: deque[PlayingAudio] = deque()
        self._length_ms = 0.0
        """Of all stretches but the last."""
        self._came_ms: dict[PartPlace, float] = {}
        """How much came of each part, but for the last stretch."""

    @property
    def last(self) -> PlayingAudio | None:
        """What came last and was not interrupted; it may have been heard to its end already."""
        return self._stretches[-1] if self._stretches else None

    def add(self, place: PartPlace, length_ms: float, *, unheard_ms: float) -> None:
        """Audio came.

        Args:
            place: What it belongs to.
            length_ms: How much.
            unheard_ms: How much of what came before is still to be heard.
        """
        last = self.last
        if last is None or last.place != place:
            last = self._begin(place, unheard_ms)
        last.length_ms += length_ms

    def complete(self) -> None:
        """No more comes of what came last; that no more comes of the others is plain."""
        if self._stretches:
            self._stretches[-1].is_complete = True

    def cut_off_late(self, place: PartPlace) -> CutOff | None:
        """Where a part ends of which no more is played; None while some of it is."""
        if any(stretch.place == place for stretch in self._stretches):
            return None
        return CutOff(place, _whole_ms(self._came_ms.get(place, 0.0)))

    def cut_off(self, unheard_ms: float) -> list[CutOff]:
        """Forget everything, and tell of which parts not everything was heard, in their order.

        A part that may go on counts as one of them, even if all that came of it was heard.
        """
        cuts: dict[PartPlace, CutOff] = {}
        if self._stretches:
            self._note_came(self._stretches[-1])
        for stretch in reversed(self._stretches):
            unheard = min(stretch.length_ms, max(0.0, unheard_ms))
            unheard_ms -= unheard
            if unheard > 0 or not stretch.is_complete:
                heard_ms = stretch.begins_ms + stretch.length_ms - unheard
                cuts.pop(stretch.place, None)  # it is cut off earlier than was thought
                cuts[stretch.place] = CutOff(stretch.place, _whole_ms(heard_ms))
        self.clear()
        return list(reversed(cuts.values()))

    def clear(self) -> None:
        """Forget what is to be heard."""
        self._stretches.clear()
        self._length_ms = 0.0

    def forget(self) -> None:
        """Forget everything: the connection is gone."""
        self.clear()
        self._came_ms.clear()

    def _begin(self, place: PartPlace, unheard_ms: float) -> PlayingAudio:
        last = self.last
        if last is not None:
            last.is_complete = True  # parts come one after the other
            self._length_ms += last.length_ms
            self._note_came(last)
            self._drop_heard(unheard_ms)
        stretch = PlayingAudio(place, self._came_ms.get(place, 0.0))
        self._stretches.append(stretch)
        return stretch

    def _note_came(self, stretch: PlayingAudio) -> None:
        self._came_ms[stretch.place] = stretch.begins_ms + stretch.length_ms

    def _drop_heard(self, unheard_ms: float) -> None:
        """Forget stretches that were heard to their end, so that they do not pile up."""
        while self._stretches and self._length_ms - self._stretches[0].length_ms >= unheard_ms:
            self._length_ms -= self._stretches.popleft().length_ms


def _whole_ms(duration_ms: float) -> int:
    """Rounded down, but for what is the error of floats: 99.9999999 are 100."""
    return math.floor(round(duration_ms, 6))
