"""``realtime run --report``: the same page about one conversation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from realtime_core.cli.app import app

RATE_HZ = 24_000


@pytest.fixture
def question(tmp_path: Path) -> Path:
    at = np.arange(RATE_HZ) / RATE_HZ
    soundfile.write(tmp_path / "question.wav", 0.4 * np.sin(2 * np.pi * 300 * at), RATE_HZ)
    return tmp_path / "question.wav"


def run(question: Path, *more: str | Path) -> tuple[int, str, str]:
    answer = question.with_name("answer.wav")
    arguments = ["run", question, "--out", answer, "--responder", "parrot", *more]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def conversation_of(page: Path) -> Any:
    """What the page's script gets to know of its conversation."""
    pattern = r'<script type="application/json" id="c-a-0">(.*?)</script>'
    match = re.search(pattern, page.read_text())
    assert match
    return json.loads(match[1])


def test_a_page_tells_of_the_conversation(question: Path):
    page = question.with_name("page.html")
    code, out, err = run(question, "--report", page, "--json")
    assert code == 0, err
    assert json.loads(out)["report"] == str(page)
    told = conversation_of(page)
    assert told["id"] == "question.wav"
    (turn,) = told["turns"]
    assert turn["answer_transcript"]
    assert 0 < turn["latency"]["first_audio_ms"] < turn["latency"]["voice_to_voice_ms"] < 10_000
    # The command and its page say the same.
    for name in ("first_audio", "voice_to_voice"):
        told_ms = 1000 * json.loads(out)[f"{name}_s"]
        assert told_ms == pytest.approx(turn["latency"][f"{name}_ms"], abs=0.51)
    at_s = {mark["kind"]: mark["at_s"] for mark in told["marks"]}
    assert at_s["question_end"] - at_s["question"] == pytest.approx(1.0, abs=0.1)
    assert at_s["question_end"] < at_s["answer"] < at_s["answer_end"]
    assert told["audio"]["is_stereo"]
    assert told["audio"]["url"] is None
    assert 'id="s-a-0"' in page.read_text()
    assert sorted(each.name for each in page.parent.iterdir()) == [
        "answer.wav",
        "page.html",
        "question.wav",
    ]


def test_the_recording_that_is_wanted_anyway_is_kept(question: Path):
    page, stereo = question.with_name("page.html"), question.with_name("both.wav")
    code, out, err = run(question, "--report", page, "--stereo", stereo)
    assert code == 0, err
    info = soundfile.info(str(stereo))
    assert info.channels == 2
    duration_s = conversation_of(page)["conversation"]["duration_s"]
    assert duration_s == pytest.approx(info.duration, abs=0.001)
    assert f"report: {page}" in out
    assert page.exists()


def test_a_page_that_cannot_be_written_is_told_before_the_call(question: Path):
    code, _, err = run(question, "--report", question.parent / "none" / "page.html")
    assert code == 2
    assert "there is no folder" in err
    assert not question.with_name("answer.wav").exists()


def test_the_page_cannot_be_the_answer(question: Path):
    code, _, err = run(question, "--report", question.with_name("answer.wav"))
    assert code == 2
    assert "are the same file" in err
