"""Latencies of two runs are compared only as far as the machine's load lets them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from realtime_core.batch.results import ResultRow
from realtime_core.report.comparison import Comparison, compare
from realtime_core.report.conditions import Conditions
from realtime_core.report.runs import Run
from tests.report.samples import make_row

REMOTE = {"to": "openai"}
HERE = {"to": "local"}


def rows(count: int = 40, every_s: float = 3.0, **options: float) -> list[ResultRow]:
    """Conversations, one begun each so many seconds."""
    made = [make_row(Path(), n, failing=0.0, with_audio=False, **options) for n in range(count)]
    begin = made[0].started_at
    return [
        row.model_copy(update={"started_at": begin + timedelta(seconds=every_s * n)})
        for n, row in enumerate(made)
    ]


def slower(row: ResultRow, by_ms: float) -> ResultRow:
    turns = tuple(
        turn.model_copy(
            update={
                "latency": turn.latency.model_copy(
                    update={"voice_to_voice_ms": (turn.latency.voice_to_voice_ms or 0) + by_ms}
                )
            }
        )
        for turn in row.turns
    )
    return row.model_copy(update={"turns": turns})


def later(row: ResultRow, by_ms: float) -> ResultRow:
    return row.model_copy(update={"media_lateness_ms": (row.media_lateness_ms or 0) + by_ms})


def compared(
    before: list[ResultRow], after: list[ResultRow], settings: dict[str, Any]
) -> Comparison:
    return compare(
        Run("a", Path("a"), tuple(before), settings), Run("b", Path("b"), tuple(after), settings)
    )


def verdict(found: Comparison, key: str = "voice_to_voice_ms") -> str:
    return next(each.verdict for each in found.changes if each.metric.key == key)


def unlike(found: Comparison) -> list[str]:
    return [each.key for each in found.load.unlike]


def test_slower_with_more_sessions_at_a_time_is_not_comparable():
    found = compared(rows(), [slower(row, 300) for row in rows(every_s=1.0)], REMOTE)
    assert unlike(found) == ["sessions"]
    assert verdict(found) == "incomparable"
    (difference,) = found.load.unlike
    assert difference.text.startswith("sessions at a time ")


def test_faster_with_more_sessions_at_a_time_is_better_all_the_more():
    found = compared(rows(), [slower(row, -50) for row in rows(every_s=1.0)], REMOTE)
    assert verdict(found) == "better"


def test_slower_with_fewer_sessions_at_a_time_is_worse_all_the_more():
    found = compared(rows(every_s=1.0), [slower(row, 50) for row in rows()], REMOTE)
    assert verdict(found) == "worse"


def test_no_change_with_more_sessions_may_hide_one():
    assert verdict(compared(rows(), rows(every_s=1.0), REMOTE)) == "incomparable"


def test_a_few_more_sessions_are_the_same_load():
    found = compared(rows(), [slower(row, 300) for row in rows(every_s=2.8)], HERE)
    assert not found.load.unlike
    assert verdict(found) == "worse"


def test_where_the_server_shares_the_machine_late_audio_tells_of_more_than_it_adds():
    after = [slower(later(row, 15), 150) for row in rows()]
    found = compared(rows(), after, HERE)
    assert unlike(found) == ["media_lateness_ms"]
    assert verdict(found) == "incomparable"
    assert verdict(compared(rows(), after, {"to": "http://127.0.0.1:8080/v1"})) == "incomparable"
    assert verdict(compared(rows(), after, {})) == "incomparable"


def test_with_a_server_elsewhere_late_audio_explains_no_more_than_its_lateness():
    late = [later(row, 40) for row in rows()]
    assert verdict(compared(rows(), [slower(row, 150) for row in late], REMOTE)) == "worse"
    assert verdict(compared(rows(), [slower(row, 30) for row in late], REMOTE)) == "incomparable"
    assert verdict(compared(rows(), [slower(row, -30) for row in late], REMOTE)) == "better"


def test_no_change_and_late_audio_may_be_a_change_for_the_better():
    found = compared(rows(), [later(row, 40) for row in rows()], REMOTE)
    assert verdict(found) == "incomparable"


def test_how_many_packets_a_late_machine_loses_nobody_knows():
    def losing(row: ResultRow, lost: int) -> ResultRow:
        assert row.packets is not None
        packets = row.packets.model_copy(update={"received": 1000, "lost": lost})
        return row.model_copy(update={"packets": packets})

    before, after = ([losing(row, lost) for row in rows()] for lost in (0, 30))
    assert verdict(compared(before, after, REMOTE), "packet_loss") == "worse"
    late = [later(row, 200) for row in after]
    assert verdict(compared(before, late, REMOTE), "packet_loss") == "incomparable"


def test_lateness_that_no_timer_could_tell_apart_is_none():
    found = compared(rows(), [slower(later(row, 0.9), 150) for row in rows()], HERE)
    assert not found.load.unlike
    assert verdict(found) == "worse"


def test_words_are_compared_whatever_the_load():
    found = compared(rows(errors=0.1), rows(every_s=1.0, errors=0.6), HERE)
    assert verdict(found, "word_error_rate") == "worse"
    assert verdict(found, "connect_ms") == "incomparable"


def test_audio_sent_at_once_and_audio_sent_in_real_time_have_other_latencies():
    at_once = [row.model_copy(update={"media_lateness_ms": None}) for row in rows()]
    for before, after in ((rows(), at_once), (at_once, rows())):
        found = compared(before, after, REMOTE)
        assert unlike(found) == ["pace"]
        assert verdict(found, "first_audio_ms") == "incomparable"


def test_a_few_conversations_tell_nothing_of_the_load_either():
    assert verdict(compared(rows(5), [later(row, 90) for row in rows(5)], HERE)) == "few"


def test_truncation_is_as_wrong_with_too_little_as_with_too_much():
    def truncated(row: ResultRow, error_ms: float) -> ResultRow:
        latency = row.turns[0].latency.model_copy(update={"truncation_error_ms": error_ms})
        turn = row.turns[0].model_copy(update={"latency": latency})
        return row.model_copy(update={"turns": (turn,)})

    before = [truncated(row, 10.0) for row in rows()]
    after = [truncated(row, -400.0) for row in rows()]
    assert verdict(compared(before, after, REMOTE), "truncation_error_ms") == "worse"


@pytest.mark.parametrize(
    ("begins", "lasts", "mean", "most"),
    [
        ([0, 0, 0], [4, 4, 4], 3.0, 3),
        ([0, 4, 8], [4, 4, 4], 1.0, 1),
        ([0, 2], [4, 4], 1.5, 2),
        ([0], [0], 1.0, 1),
        # The long one shares half its time, the short one all of its own.
        ([0, 0], [4, 2], (1.5 + 2.0) / 2, 2),
    ],
)
def test_sessions_at_a_time_are_those_that_ran_together(begins, lasts, mean, most):
    base = make_row(Path(), 0, failing=0.0, with_audio=False)
    ran = [
        base.model_copy(
            update={"started_at": base.started_at + timedelta(seconds=begin), "duration_s": last}
        )
        for begin, last in zip(begins, lasts, strict=True)
    ]
    found = Conditions.of(ran)
    assert found.sessions == pytest.approx(mean)
    assert found.most_sessions == most
    assert (found.ended_at - found.began_at).total_seconds() == pytest.approx(
        max(b + d for b, d in zip(begins, lasts, strict=True))
    )
