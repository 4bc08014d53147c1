"""Where speech is cut for the recogniser, from probabilities alone."""

from __future__ import annotations

import hypothesis
from hypothesis import strategies as st

from realtime_audio_plugins.speech.segments import Limits, Span, find_segments

LIMITS = Limits(pause=5, padding=2, apart=20, longest=50)


def frames(*runs: tuple[float, int]) -> list[float]:
    return [probability for probability, count in runs for _ in range(count)]


def test_silence_has_no_segment() -> None:
    assert find_segments([], LIMITS) == []
    assert find_segments(frames((0.1, 100)), LIMITS) == []


def test_a_click_of_one_frame_is_no_speech() -> None:
    assert find_segments(frames((0.1, 10), (0.9, 1), (0.1, 10)), LIMITS) == []


def test_speech_is_widened_on_both_sides() -> None:
    assert find_segments(frames((0.1, 10), (0.9, 10), (0.1, 10)), LIMITS) == [Span(8, 22)]
    assert find_segments(frames((0.9, 10)), LIMITS) == [Span(0, 10)]


def test_speech_that_goes_on_needs_less_than_speech_that_begins() -> None:
    assert find_segments(frames((0.4, 10)), LIMITS) == []
    assert find_segments(frames((0.9, 2), (0.4, 10), (0.1, 9)), LIMITS) == [Span(0, 14)]


def test_stretches_with_a_short_pause_are_one_segment() -> None:
    speech = frames((0.9, 10), (0.1, 10), (0.9, 10))
    assert find_segments(speech, LIMITS) == [Span(0, 30)]


def test_stretches_with_a_long_pause_are_two() -> None:
    speech = frames((0.9, 10), (0.1, 30), (0.9, 10))
    assert find_segments(speech, LIMITS) == [Span(0, 12), Span(38, 50)]


def test_stretches_that_would_be_too_long_together_are_two() -> None:
    speech = frames((0.9, 30), (0.1, 8), (0.9, 30))
    assert find_segments(speech, LIMITS) == [Span(0, 32), Span(36, 68)]


def test_speech_without_a_pause_is_cut_where_it_is_least_likely() -> None:
    speech = frames((0.9, 40), (0.6, 1), (0.9, 40))
    assert find_segments(speech, LIMITS) == [Span(0, 40), Span(40, 81)]


@hypothesis.given(st.lists(st.floats(0, 1), max_size=400))
def test_segments_are_in_order_and_short_and_hold_all_that_is_surely_speech(
    probabilities: list[float],
) -> None:
    segments = find_segments(probabilities, LIMITS)
    end = 0
    for segment in segments:
        assert end <= segment.start < segment.end <= len(probabilities)
        assert segment.length <= LIMITS.longest
        end = segment.end
    inside = {index for segment in segments for index in range(segment.start, segment.end)}
    for index in range(1, len(probabilities)):
        if min(probabilities[index - 1 : index + 1]) >= 0.5:
            assert {index - 1, index} <= inside
