from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest

from realtime_core.batch.engine import EngineState
from realtime_core.batch.results import JobFailure, ResultRow, TurnRow
from realtime_core.batch.run import BatchProgress
from realtime_core.cli.batch_progress import make_batch_display


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def progress(done: int, elapsed_s: float, row: ResultRow | None = None) -> BatchProgress:
    state = EngineState(running=6, allowed=8, workers=2)
    return BatchProgress(
        total=100, done=done, failed=1, resumed=10, elapsed_s=elapsed_s, state=state, row=row
    )


def failed(**more: Any) -> ResultRow:
    return ResultRow(
        id="call\x1b[31m",
        status="failed",
        error=JobFailure(stage="http", kind="X", message="refused\nby all", **more),
        attempts=3,
        started_at=datetime.now(UTC),
        duration_s=1.0,
        turns=(TurnRow(question="a"), TurnRow(question="b")),
    )


def test_the_rate_and_what_is_left_count_from_this_start():
    half = progress(done=40, elapsed_s=60.0)
    assert half.rate == 0.5
    assert half.left_s == 120.0
    assert progress(done=10, elapsed_s=60.0).left_s is None
    assert progress(done=10, elapsed_s=0.0).rate == 0.0


def test_logs_get_each_failure_and_now_and_then_how_far_it_is(capsys: pytest.CaptureFixture[str]):
    with make_batch_display(as_json=False) as display:
        for second in range(10, 35):
            display.show(progress(done=second, elapsed_s=float(second)))
        display.show(progress(done=35, elapsed_s=33.0, row=failed(turn=2)))
    assert capsys.readouterr().out.splitlines() == [
        "10 of 100 jobs done, 1 failed, 6 sessions, 0.0 jobs/s",
        "20 of 100 jobs done, 1 failed, 6 sessions, 0.5 jobs/s, 2 min 40 s left",
        "30 of 100 jobs done, 1 failed, 6 sessions, 0.7 jobs/s, 1 min 45 s left",
        "failed: call [31m: http, turn 2: refused by all (3 attempts)",
    ]


def test_json_keeps_silent(capsys: pytest.CaptureFixture[str]):
    with make_batch_display(as_json=True) as display:
        display.show(progress(done=50, elapsed_s=1.0, row=failed()))
    assert capsys.readouterr().out == ""


def test_people_see_a_bar_with_all_that_matters(monkeypatch: pytest.MonkeyPatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with make_batch_display(as_json=False) as display:
        display.show(progress(done=40, elapsed_s=60.0, row=failed()))
    shown = terminal.getvalue()
    assert "failed: call [31m: http: refused by all (3 attempts)" in shown
    assert "40/100" in shown
    assert "6 sessions, 0.5 jobs/s, 1 failed, 2 min 00 s left" in shown
    assert "\x1b[31mcall" not in shown.replace("failed: call", "")


def test_a_terminal_that_can_do_nothing_gets_lines(monkeypatch: pytest.MonkeyPatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "dumb")
    with make_batch_display(as_json=False) as display:
        display.show(progress(done=40, elapsed_s=3600 * 5))
    assert terminal.getvalue().endswith("0.0 jobs/s, 10 h 00 min left\n")
