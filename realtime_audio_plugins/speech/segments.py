"""Where in a recording somebody speaks, cut into pieces that a recogniser takes.

Rules, frame by frame:

* Speech begins with two frames in a row at 0.5 or more, and lasts until no frame has been at 0.35
  or more for a while.
* Each stretch is widened on both sides, for words begin and end softly.
* Stretches are put together while the whole is short enough and the pause between them is: a
  recogniser does better with a sentence than with its parts.
* A stretch that is too long is cut where speech is least likely, in its second half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Limits", "Span", "find_segments"]

START = 0.5
GO_ON = 0.35
START_FRAMES = 2


@dataclass(frozen=True, slots=True)
class Span:
    """Frames from `start` up to, not including, `end`."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """How many frames."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Limits:
    """All in frames."""

    pause: int
    """So long a pause ends a stretch of speech."""
    padding: int
    """By so much a stretch is widened, on each side."""
    apart: int
    """So long a pause is never inside a segment."""
    longest: int
    """A segment is no longer than this."""


def find_segments(probabilities: Sequence[float], limits: Limits) -> list[Span]:
    """The parts to recognise, in order; they do not overlap.

    Args:
        probabilities: Of speech, one a frame.
        limits: How to cut.
    """
    stretches = _widened(_find_speech(probabilities, limits.pause), limits, len(probabilities))
    segments: list[Span] = []
    for stretch in stretches:
        for part in _parts(stretch, probabilities, limits.longest):
            before = segments[-1] if segments else None
            if before is not None and _belong_together(before, part, limits):
                segments[-1] = Span(before.start, part.end)
            else:
                segments.append(part)
    return segments


def _belong_together(before: Span, after: Span, limits: Limits) -> bool:
    gap = after.start - before.end
    return gap < limits.apart and after.end - before.start <= limits.longest


def _find_speech(probabilities: Sequence[float], pause: int) -> list[Span]:
    found = []
    start: int | None = None
    last_spoken = loud = 0
    for index, probability in enumerate(probabilities):
        loud = loud + 1 if probability >= START else 0
        if start is None and loud >= START_FRAMES:
            start = index + 1 - START_FRAMES
        if probability >= GO_ON:
            last_spoken = index
        elif start is not None and index - last_spoken >= pause:
            found.append(Span(start, last_spoken + 1))
            start = None
    if start is not None:
        found.append(Span(start, last_spoken + 1))
    return found


def _widened(spans: Sequence[Span], limits: Limits, end: int) -> list[Span]:
    """Each with its padding; a pause too short for the padding of both is shared."""
    widened: list[Span] = []
    for index, span in enumerate(spans):
        start = max(span.start - limits.padding, 0)
        if widened:
            start = max(start, widened[-1].end)
        stop = min(span.end + limits.padding, end)
        if index + 1 < len(spans):
            stop = min(stop, (span.end + spans[index + 1].start) // 2)
        widened.append(Span(start, stop))
    return widened


def _parts(span: Span, probabilities: Sequence[float], longest: int) -> list[Span]:
    parts = []
    while span.length > longest:
        second_half = range(span.start + longest // 2, span.start + longest)
        cut = min(second_half, key=lambda index: probabilities[index])
        parts.append(Span(span.start, cut))
        span = Span(cut, span.end)
    return [*parts, span]
