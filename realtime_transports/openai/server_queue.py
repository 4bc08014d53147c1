"""Client events in order, those that speak of audio held back until that audio has come.

Over WebRTC, audio and events travel apart: what was said before a commit may arrive after it. So a
commit (or clear) waits until as much audio came as may have been under way, and the events after
it wait too.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from realtime_transports.openai.server_audio import RATE_HZ
from realtime_transports.openai.server_outputs import JsonObject

__all__ = ["EventQueue"]

AUDIO_BOUND_EVENTS = frozenset({"input_audio_buffer.commit", "input_audio_buffer.clear"})

UNDER_WAY_S = 0.1
"""How much audio may be under way when an event comes: a packet in the jitter buffer, one in the
sender's encoder, the sender's microphone, and the network's reordering."""

UNDER_WAY_DEADLINE_S = 0.5
"""How long that is waited for; a caller may have stopped sending."""


class _Wait(NamedTuple):
    """What the event at the head waits for."""

    place: int
    deadline_s: float


class EventQueue:
    """The client events that were not handled yet. Places count the samples that came."""

    def __init__(self, *, has_track: bool) -> None:
        """Begin empty.

        Args:
            has_track: Whether audio travels apart from events.
        """
        self._has_track = has_track
        self._events: deque[JsonObject] = deque()
        self._wait: _Wait | None = None

    @property
    def deadline_s(self) -> float | None:
        """When the head is no longer held back; None where nothing waits."""
        return self._wait.deadline_s if self._wait else None

    def put(self, event: JsonObject) -> None:
        """Add an event, whose `type` is a string."""
        self._events.append(event)

    def head(self, position: int, now_s: float) -> JsonObject | None:
        """The next event, if it is its time; `pop` when it was handled.

        Args:
            position: How much audio came.
            now_s: The time.
        """
        if not self._events:
            return None
        event = self._events[0]
        if self._has_track and event["type"] in AUDIO_BOUND_EVENTS:
            if self._wait is None:
                place = position + round(UNDER_WAY_S * RATE_HZ)
                self._wait = _Wait(place, now_s + UNDER_WAY_DEADLINE_S)
            if position < self._wait.place and now_s < self._wait.deadline_s:
                return None
        return event

    def pop(self) -> None:
        """The head was handled."""
        self._events.popleft()
        self._wait = None

    def end_of_what_was_sent(self, position: int) -> int:
        """Place of the first sample that came after the head was sent."""
        return min(position, self._wait.place) if self._wait else position
