"""Several taps as one."""

from __future__ import annotations

import numpy as np

from realtime_core.audio import AudioFrame, frame_from_mono
from realtime_core.taps import is_tap, join_taps


class Notes:
    def __init__(self, name: str, notes: list[tuple[str, str, float]]) -> None:
        self.name = name
        self.notes = notes

    def sent(self, frame: AudioFrame, at_s: float) -> None:
        self.notes.append((self.name, "sent", at_s))

    def heard(self, frame: AudioFrame, at_s: float) -> None:
        self.notes.append((self.name, "heard", at_s))


def test_each_tap_sees_each_frame_in_order():
    notes: list[tuple[str, str, float]] = []
    tap = join_taps(None, Notes("a", notes), Notes("b", notes))
    assert tap is not None
    frame = frame_from_mono(np.zeros(480, np.int16), 48_000)
    tap.sent(frame, 1.0)
    tap.heard(frame, 2.0)
    assert notes == [
        ("a", "sent", 1.0),
        ("b", "sent", 1.0),
        ("a", "heard", 2.0),
        ("b", "heard", 2.0),
    ]


def test_one_tap_stays_itself_and_none_is_none():
    tap = Notes("a", [])
    assert join_taps(None, tap) is tap
    assert join_taps(None) is None


def test_what_has_both_methods_is_a_tap():
    assert is_tap(Notes("a", []))
    assert not is_tap(object())
    assert not is_tap(None)
