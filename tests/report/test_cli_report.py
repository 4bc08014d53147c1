from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from realtime_core.cli.app import app
from realtime_core.cli.report import ReportOptions, embed_limit, make_report
from realtime_core.errors import UserError
from realtime_core.report import write
from realtime_core.report.recordings import EmbedLimit
from realtime_core.report.waveform import Waveform
from tests.report.samples import make_row, make_run, write_run


def realtime(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_a_report_lies_with_the_results(tmp_path: Path):
    make_run(tmp_path / "run", 12, with_audio=False)
    code, out, _ = realtime("report", tmp_path / "run")
    assert code == 0
    assert (tmp_path / "run" / "report.html").read_text().startswith("<!doctype html>")
    assert "run: 12 conversations, " in out


def test_a_comparison_lies_beside_the_runs_and_says_what_changed(tmp_path: Path):
    make_run(tmp_path / "a", 20, failing=0.0, with_audio=False)
    make_run(tmp_path / "b", 20, failing=0.0, with_audio=False, slowness=0.6)
    code, out, _ = realtime("report", tmp_path / "a", tmp_path / "b")
    assert code == 0
    assert (tmp_path / "comparison.html").exists()
    (line,) = [each for each in out.splitlines() if each.startswith("Voice to voice")]
    assert line.endswith(": better")
    assert "fail now and did not: none" in out


def test_what_load_may_have_made_is_not_called_worse(tmp_path: Path):
    rows = [make_row(tmp_path, n, failing=0.0, with_audio=False) for n in range(20)]
    slow = [make_row(tmp_path, n, failing=0.0, with_audio=False, slowness=2.0) for n in range(20)]
    busy = [row.model_copy(update={"started_at": rows[0].started_at}) for row in slow]
    write_run(tmp_path / "a", rows)
    write_run(tmp_path / "b", busy)
    arguments = ["report", tmp_path / "a", tmp_path / "b"]
    _, out, _ = realtime(*arguments)
    (line,) = [each for each in out.splitlines() if each.startswith("Voice to voice")]
    assert line.endswith(": not comparable")
    assert "not comparable, as load differed: sessions at a time " in out
    _, out, _ = realtime(*arguments, "--json")
    told = json.loads(out)["comparison"]
    assert told["changes"]["voice_to_voice_ms"]["verdict"] == "incomparable"
    assert told["unlike"][0]["key"] == "sessions"


def test_programs_get_the_changes_as_json(tmp_path: Path):
    for name, slowness in (("a", 1.0), ("b", 0.6)):
        make_run(tmp_path / name, 20, failing=0.0, with_audio=False, slowness=slowness)
    code, out, _ = realtime(
        "report", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "c.html", "--json"
    )
    told = json.loads(out)
    assert code == 0
    assert told["report"] == str(tmp_path / "c.html")
    change = told["comparison"]["changes"]["voice_to_voice_ms"]
    assert change["verdict"] == "better"
    assert change["low"] < change["after"] - change["before"] < change["high"] < 0


def test_what_is_no_folder_of_results_is_wrong_use(tmp_path: Path):
    code, _, err = realtime("report", tmp_path)
    assert code == 2
    assert "results.jsonl" in err


async def test_an_interrupted_report_leaves_the_old_page(tmp_path: Path, monkeypatch):
    make_run(tmp_path, 30, failing=0.0)
    (tmp_path / "report.html").write_text("old")
    loop, begun = asyncio.get_running_loop(), asyncio.Event()
    whole = write.read_outline

    def read_outline(path: Path) -> Waveform:
        loop.call_soon_threadsafe(begun.set)
        return whole(path)

    monkeypatch.setattr(write, "read_outline", read_outline)
    options = ReportOptions(folders=(tmp_path,), out=None, embed=None, as_json=True)
    making = asyncio.create_task(make_report(options))
    await begun.wait()
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert (tmp_path / "report.html").read_text() == "old"
    assert not list(tmp_path.glob(".report.html*"))  # noqa: ASYNC240 - nothing else runs


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (None, EmbedLimit()),
        ("all", EmbedLimit(None, None)),
        ("none", EmbedLimit(0, None)),
        ("7", EmbedLimit(7, None)),
    ],
)
def test_how_much_is_inside_can_be_chosen(text: str | None, limit: EmbedLimit):
    assert embed_limit(text) == limit


@pytest.mark.parametrize("text", ["", "some", "-1", "1.5", "²"])
def test_a_wrong_choice_is_wrong_use(text: str):
    with pytest.raises(UserError, match="--embed takes all, none or a number"):
        embed_limit(text)


def test_runs_of_other_conversations_are_not_compared(tmp_path: Path):
    write_run(tmp_path / "a", [make_row(tmp_path, n, with_audio=False) for n in range(3)])
    write_run(tmp_path / "b", [make_row(tmp_path, n, with_audio=False) for n in range(3, 6)])
    for as_json in ([], ["--json"]):
        code, out, err = realtime("report", tmp_path / "a", tmp_path / "b", *as_json)
        assert code == 2
        assert f"error: no conversation is in both {tmp_path / 'a'} and {tmp_path / 'b'}" in err
        assert "fail now" not in out
    assert not (tmp_path / "comparison.html").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "there is no folder {path}"),
        (Path.touch, "{path} is no folder; name the folder that has the batch"),
        (Path.mkdir, "there is no batch in {path}: it has no results.jsonl"),
    ],
)
def test_what_has_no_batch_is_told_in_words(tmp_path: Path, make, message: str):
    path = tmp_path / "results"
    make(path)
    code, _, err = realtime("report", path)
    assert code == 2
    assert message.format(path=path) in err


def test_too_few_pairs_are_told_with_how_many_there_must_be(tmp_path: Path):
    for name in ("a", "b"):
        make_run(tmp_path / name, 5, failing=0.0, with_audio=False)
    _, out, _ = realtime("report", tmp_path / "a", tmp_path / "b")
    (line,) = [each for each in out.splitlines() if each.startswith("Voice to voice")]
    assert line.endswith(": too few pairs to tell (5 of at least 8)")
