from __future__ import annotations

from pathlib import Path

import pytest

from realtime_core.batch.results import Packets, ResultRow
from realtime_core.report.comparison import compare
from realtime_core.report.metrics import METRICS
from realtime_core.report.runs import Run
from tests.report.samples import FAILURES, make_row


def run(name: str, rows: list[ResultRow]) -> Run:
    return Run(name, Path(name), tuple(rows))


def rows(count: int, **options: float) -> list[ResultRow]:
    options = {"failing": 0.0, **options}
    return [make_row(Path(), number, with_audio=False, **options) for number in range(count)]


def failed(row: ResultRow) -> ResultRow:
    return row.model_copy(update={"status": "failed", "error": FAILURES[1], "turns": ()})


def verdicts(before: list[ResultRow], after: list[ResultRow]) -> dict[str, str]:
    found = compare(run("a", before), run("b", after))
    return {each.metric.key: each.verdict for each in found.changes}


def test_a_faster_run_is_better_and_the_way_back_is_worse():
    slow, fast = rows(40), rows(40, slowness=0.7)
    assert verdicts(slow, fast)["voice_to_voice_ms"] == "better"
    assert verdicts(fast, slow)["voice_to_voice_ms"] == "worse"


def test_runs_that_are_the_same_differ_in_nothing():
    same = rows(40)
    assert set(verdicts(same, same).values()) == {"unclear"}


def test_chance_is_no_change():
    # Other conversations under the same ids: all differ, and in no direction.
    assert verdicts(rows(40), rows(40, seed=7))["voice_to_voice_ms"] == "unclear"


def test_a_few_conversations_tell_nothing():
    assert set(verdicts(rows(5), rows(5, slowness=0.5)).values()) == {"few"}


def test_what_is_neither_better_nor_worse_is_only_different():
    before = rows(40)
    after = [
        row.model_copy(update={"usage": row.usage.model_copy(update={"total_tokens": 500})})
        for row in before
    ]
    assert verdicts(before, after)["tokens"] == "different"


def test_conversations_are_paired_by_id_whatever_their_order():
    before, after = rows(30), rows(30, slowness=0.9)
    found = compare(run("a", before[:25]), run("b", after[:4:-1]))
    assert sorted(a.id for a, _ in found.pairs) == [f"call-{n:04}" for n in range(5, 25)]
    assert all(a.id == b.id for a, b in found.pairs)
    assert [row.id for row in found.only_before] == [f"call-{n:04}" for n in range(5)]
    assert sorted(row.id for row in found.only_after) == [f"call-{n:04}" for n in range(25, 30)]


def test_failures_that_appear_and_vanish_are_named():
    before, after = rows(20), rows(20)
    before[3], after[8], after[9] = failed(before[3]), failed(after[8]), failed(after[9])
    found = compare(run("a", before), run("b", after))
    assert found.appeared == ("call-0008", "call-0009")
    assert found.vanished == ("call-0003",)
    share = next(each for each in found.changes if each.metric.key == "failed")
    assert (share.headline.before, share.headline.after) == (5, 10)


def test_a_conversation_that_failed_in_one_run_is_no_pair_of_its_figures():
    before, after = rows(20), rows(20)
    after[8] = failed(after[8])
    found = compare(run("a", before), run("b", after))
    latency = next(each for each in found.changes if each.metric.key == "voice_to_voice_ms")
    assert latency.headline.pairs == 19


def test_the_word_error_rate_is_compared_by_its_mean():
    found = compare(run("a", rows(60, errors=0.1)), run("b", rows(60, errors=0.5)))
    (change,) = [each for each in found.changes if each.metric.key == "word_error_rate"]
    assert change.metric.statistic == "mean"
    assert change.verdict == "worse"
    assert change in found.of("worse")


def test_a_conversations_figure_is_the_mean_of_its_turns():
    row = rows(3)[2]
    metric = next(each for each in METRICS if each.key == "voice_to_voice_ms")
    values = [turn.latency.voice_to_voice_ms for turn in row.turns]
    assert len(values) == 3
    assert metric.value(row) == pytest.approx(sum(values) / 3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("received", "lost", "share"), [(95, 5, 5.0), (100, -2, 0.0), (0, 0, None), (None, 3, None)]
)
def test_packet_loss_is_of_all_that_should_have_come(received, lost, share):
    metric = next(each for each in METRICS if each.key == "packet_loss")
    row = rows(1)[0].model_copy(update={"packets": Packets(received=received, lost=lost)})
    assert metric.value(row) == share
