"""What a person sees of a conversation: on a terminal, in a pipe, as JSON."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from realtime_core.audio import AudioFrame
from realtime_core.cli.progress import Progress, make_progress
from realtime_core.emitter import Emitter
from realtime_core.events import TextDelta, TranscriptDelta

NASTY = "[red]Hi[/red]\x1b[2J \x1b]0;title\x07:smile:\r\nthere\ud800 [/bold]\\"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Transport(Emitter):
    """Events are all that a display needs of a transport."""


class Tap:
    """Keeps what passes."""

    def __init__(self) -> None:
        self.passed: list[tuple[str, AudioFrame, float]] = []

    def sent(self, frame: AudioFrame, at_s: float) -> None:
        self.passed.append(("sent", frame, at_s))

    def heard(self, frame: AudioFrame, at_s: float) -> None:
        self.passed.append(("heard", frame, at_s))


def frame_of(duration_s: float, value: int = 1000) -> AudioFrame:
    return AudioFrame(np.full((round(48_000 * duration_s), 1), value, np.int16), 48_000)


def report_with(**changes: Any) -> dict[str, Any]:
    return {
        "endpoint": "http://127.0.0.1:8080/v1/realtime/calls",
        "is_embedded": False,
        "connect_s": {"sdp": 0.012, "http": 0.03},
        "question": {"path": "question.wav", "duration_s": 2.5, "transcript": "Hi?"},
        "answer": {"path": "answer.wav", "duration_s": 3.25, "transcript": "Hello."},
        "stereo": None,
        "voice_to_voice_s": 0.8843,
        "first_audio_s": 0.3567,
        **changes,
    }


def report_on(terminal: Terminal, progress: Progress, report: dict[str, Any]) -> str:
    """What the report puts on the terminal."""
    begin = len(terminal.getvalue())
    with contextlib.redirect_stdout(terminal):
        progress.print_report(report)
    return terminal.getvalue()[begin:]


def delta(text: str) -> TranscriptDelta:
    return TranscriptDelta(text, "item_1", "resp_1")


def live_line(progress: Progress, width: int) -> str:
    """What a terminal of this width shows now."""
    console = Console(file=Terminal(), width=width, force_terminal=True, color_system=None)
    console.print(progress)
    shown: str = console.file.getvalue()
    assert shown.count("\n") == 1, f"more than a line: {shown!r}"
    line = shown.removesuffix("\n")
    assert len(line) <= width
    return line


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


@contextmanager
def progress_on(terminal: Terminal) -> Iterator[Progress]:
    with contextlib.redirect_stdout(terminal), make_progress(as_json=False) as progress:
        yield progress


def test_a_pipe_gets_plain_lines_as_things_happen(capsys: pytest.CaptureFixture[str]):
    transport = Transport()
    with make_progress(as_json=False) as progress:
        progress.follow(transport, "http://host/v1", 2.5)
        transport.emit("connected")
        transport.emit("response.created", {"type": "response.created"})
        transport.emit("audio_transcript_delta", delta("Hello."))
    assert capsys.readouterr().out.splitlines() == [
        "connecting to http://host/v1",
        "connected; the question begins",
        "the answer begins",
    ]


def test_the_report_is_plain_in_a_pipe(capsys: pytest.CaptureFixture[str]):
    with make_progress(as_json=False) as progress:
        progress.print_report(report_with(stereo="both.wav", is_embedded=True))
    assert capsys.readouterr().out.splitlines() == [
        "connected to: http://127.0.0.1:8080/v1/realtime/calls (local server in this process)",
        "connect time: 0.04 s (sdp 12 ms, http 30 ms)",
        "question: 2.50 s sent from question.wav",
        "answer: 3.25 s received in answer.wav",
        "understood: Hi?",
        "answered: Hello.",
        "voice to voice: 884 ms from the user's last sound to the agent's first",
        "first audio: 357 ms from asking for the answer to its first sound",
        "conversation: both.wav (left: user, right: agent)",
    ]


def test_what_is_unknown_is_left_out_of_the_report(capsys: pytest.CaptureFixture[str]):
    with make_progress(as_json=False) as progress:
        answer = {"path": "answer.wav", "duration_s": None, "transcript": ""}
        question = {"path": "question.wav", "duration_s": 2.5, "transcript": ""}
        figures = {"voice_to_voice_s": None, "first_audio_s": None}
        progress.print_report(report_with(question=question, answer=answer, **figures))
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == [
        "question: 2.50 s sent from question.wav",
        "answer: audio received in answer.wav",
    ]


def test_what_the_server_understood_is_put_together(capsys: pytest.CaptureFixture[str]):
    transport = Transport()
    with make_progress(as_json=False) as progress:
        progress.follow(transport, "http://host/v1", 2.5)
        for words in ("Where is it?", "", None, "Quick!"):
            event = "conversation.item.input_audio_transcription.completed"
            transport.emit(event, {"transcript": words})
    assert progress.understood == "Where is it? Quick!"


def test_variables_that_force_colour_make_no_terminal_of_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with make_progress(as_json=False) as progress:
        progress.print_report(report_with())
    assert "\x1b" not in capsys.readouterr().out


def test_json_is_the_report_and_nothing_else(capsys: pytest.CaptureFixture[str]):
    transport = Transport()
    with make_progress(as_json=True) as progress:
        progress.follow(transport, "http://host/v1", 2.5)
        transport.emit("connected")
        progress.print_report(report_with())
    assert json.loads(capsys.readouterr().out) == report_with()


def test_words_of_the_server_bring_no_control_characters_into_a_pipe(
    capsys: pytest.CaptureFixture[str],
):
    with make_progress(as_json=False) as progress:
        answer = {"path": "a.wav", "duration_s": 1.0, "transcript": NASTY}
        progress.print_report(report_with(answer=answer))
    out = capsys.readouterr().out
    expected = (
        "answered: [red]Hi[/red] [2J ]0;title :smile: there\N{REPLACEMENT CHARACTER} [/bold]\\"
    )
    assert expected in out.splitlines()


def test_a_terminal_shows_one_line_that_goes_and_then_the_report(terminal: Terminal):
    transport = Transport()
    with progress_on(terminal) as progress:
        progress.follow(transport, "http://host/v1", 2.5)
        transport.emit("connected")
    assert "question 0.0 of 2.5 s" in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[2K")  # erased
    shown = report_on(terminal, progress, report_with())
    assert "\x1b[1manswer\x1b[0m: 3.25 s received in answer.wav\n" in shown


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TERM", "dumb")
    with progress_on(terminal) as progress:
        progress.follow(Transport(), "http://host/v1", 2.5)
        progress.print_report(report_with())
    assert "\x1b" not in terminal.getvalue()


def test_words_of_the_server_bring_no_escape_codes_onto_a_terminal(terminal: Terminal):
    transport = Transport()
    with progress_on(terminal) as progress:
        progress.follow(transport, "http://host/v1", 2.5)
        transport.emit("connected")
        transport.emit("audio_transcript_delta", delta(NASTY))
        live = live_line(progress, 120)
    answer = {"path": "a.wav", "duration_s": 1.0, "transcript": NASTY}
    shown = report_on(terminal, progress, report_with(answer=answer))
    shown = shown.replace("\x1b[1m", "").replace("\x1b[0m", "")
    for text in (live, shown):
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "[red]Hi[/red] [2J ]0;title :smile: there" in text


def test_a_long_path_is_left_to_the_terminal_to_break(terminal: Terminal):
    path = "/somewhere" * 20 + "/answer.wav"
    with progress_on(terminal) as progress:
        pass
    answer = {"path": path, "duration_s": 1.0, "transcript": "word " * 100}
    lines = report_on(terminal, progress, report_with(answer=answer)).splitlines()
    assert any(line.endswith(path) for line in lines)
    assert all(len(line) <= 80 for line in lines if line.startswith("word"))


@pytest.mark.parametrize("width", [10, 20, 40, 80, 200])
def test_the_live_line_is_one_line_at_every_width(terminal: Terminal, width: int):
    transport = Transport()
    with progress_on(terminal) as progress:
        progress.follow(transport, "http://a-host-with-a-long-name.example/v1", 2.5)
        live_line(progress, width)
        transport.emit("connected")
        live_line(progress, width)
        transport.emit("audio_transcript_delta", delta("Some words, 世界, and more of them. " * 90))
        live_line(progress, width)


def test_the_live_line_tells_how_far_it_is(terminal: Terminal):
    transport = Transport()
    with progress_on(terminal) as progress:
        meter = progress.watch(None)
        progress.follow(transport, "http://host/v1", 2.5)
        meter.sent(frame_of(0.3), 0.0)  # silence before the call, which is no question
        assert live_line(progress, 80)[2:] == "connecting to http://host/v1"
        transport.emit("connected")
        meter.sent(frame_of(1.2), 0.3)
        meter.heard(frame_of(1.0, value=0), 0.3)
        assert live_line(progress, 80)[2:] == "question 1.2 of 2.5 s"
        meter.sent(frame_of(1.5), 1.5)
        assert live_line(progress, 80)[2:] == "question 2.5 of 2.5 s, waiting for the answer"
        meter.heard(frame_of(0.7), 3.0)
        transport.emit("audio_transcript_delta", delta("Hello,\nwo"))
        transport.emit("output_text_delta", TextDelta("rld", "item_1", "resp_1"))
        assert live_line(progress, 80)[2:] == "question 2.5 of 2.5 s, answer 0.7 s: Hello, world"


def test_of_a_long_answer_the_end_is_shown(terminal: Terminal):
    transport = Transport()
    with progress_on(terminal) as progress:
        progress.follow(transport, "http://host/v1", 2.5)
        transport.emit("connected")
        for number in range(1000):
            transport.emit("audio_transcript_delta", delta(f"word {number} "))
        line = live_line(progress, 60)
    assert line.endswith("word 999")
    assert ": ..." in line


def test_a_question_of_unknown_length_is_counted(terminal: Terminal):
    transport = Transport()
    with progress_on(terminal) as progress:
        meter = progress.watch(None)
        progress.follow(transport, "http://host/v1", None)
        transport.emit("connected")
        meter.sent(frame_of(1.2), 0.0)
        assert live_line(progress, 80)[2:] == "question 1.2 s"


@pytest.mark.parametrize("as_json", [False, True])
def test_a_meter_passes_everything_on(as_json: bool):
    tap = Tap()
    with make_progress(as_json=as_json) as progress:
        meter = progress.watch(tap)
        one, other = frame_of(0.02), frame_of(0.02, value=0)
        meter.sent(one, 1.0)
        meter.heard(other, 2.0)
    assert tap.passed == [("sent", one, 1.0), ("heard", other, 2.0)]
