"""Shows a conversation while it runs: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from realtime_core.cli.terminal import live_console
from realtime_core.cli.text import one_line, tail

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from realtime_core.audio import AudioFrame, AudioTap
    from realtime_core.transport import RealtimeTransportLayer

__all__ = ["Progress", "make_progress"]

UNDERSTOOD = "conversation.item.input_audio_transcription.completed"
SHOWN_CHARACTERS = 1000
"""More of a transcript fits into no line."""

FIGURES = (
    ("voice to voice", "voice_to_voice_s", "from the user's last sound to the agent's first"),
    ("first audio", "first_audio_s", "from asking for the answer to its first sound"),
)

TITLES_OF_FILES = ("question", "answer", "conversation", "report")


class Progress(ABC):
    """Follows one conversation."""

    def __init__(self) -> None:
        """Nothing has happened."""
        self._meter = _Meter()
        self._understood: list[str] = []

    @property
    def understood(self) -> str:
        """What the server took the user's words for; empty where it did not say."""
        return " ".join(self._understood)

    def watch(self, tap: AudioTap | None) -> AudioTap:
        """A tap that measures what passes, and passes it on."""
        self._meter.inner = tap
        return self._meter

    def follow(
        self, transport: RealtimeTransportLayer, endpoint: str, question_s: float | None
    ) -> None:
        """Listen to a transport that is about to connect.

        Args:
            transport: The transport.
            endpoint: What to call the other end.
            question_s: How long the question is, in seconds.
        """
        self._meter.endpoint = endpoint
        self._meter.question_s = question_s
        self._say(f"connecting to {endpoint}")
        transport.on("connected", self._on_connected)
        transport.on("response.created", lambda _: self._say("the answer begins"))
        transport.on(UNDERSTOOD, self._on_understood)
        transport.on("audio_transcript_delta", lambda event: self._on_text(event.delta))
        transport.on("output_text_delta", lambda event: self._on_text(event.delta))

    @abstractmethod
    def print_report(self, report: dict[str, Any]) -> None:
        """Show what came of it."""

    def _on_connected(self) -> None:
        self._meter.is_connected = True
        self._say("connected; the question begins")

    def _on_understood(self, event: Mapping[str, Any]) -> None:
        words = event.get("transcript")
        if isinstance(words, str) and words:
            self._understood.append(words)

    def _on_text(self, delta: str) -> None:
        self._meter.transcript = (self._meter.transcript + delta)[-SHOWN_CHARACTERS:]

    def _say(self, line: str) -> None:  # noqa: B027 - not every display has lines
        """Tell one thing that happened."""


class _Meter:
    """A tap that counts seconds: of the question sent, and of answer heard."""

    def __init__(self) -> None:
        self.inner: AudioTap | None = None
        self.endpoint = ""
        self.question_s: float | None = None
        self.is_connected = False
        self.sent_s = 0.0
        self.heard_s = 0.0
        self.transcript = ""

    def sent(self, frame: AudioFrame, at_s: float) -> None:
        """Count once the question flows."""
        if self.is_connected:
            self.sent_s += frame.duration_s
        if self.inner is not None:
            self.inner.sent(frame, at_s)

    def heard(self, frame: AudioFrame, at_s: float) -> None:
        """Count what is no silence."""
        if frame.samples.any():
            self.heard_s += frame.duration_s
        if self.inner is not None:
            self.inner.heard(frame, at_s)

    def line(self, width: int) -> str:
        """The state in one line of at most so many columns."""
        line = self._state()
        room = width - len(line) - 2
        words = one_line(self.transcript)
        if words and self.is_connected and room > 8:
            line = f"{line}: {tail(words, room)}"
        return line

    def _state(self) -> str:
        if not self.is_connected:
            return f"connecting to {one_line(self.endpoint)}" if self.endpoint else "preparing"
        sent_s = self.sent_s if self.question_s is None else min(self.sent_s, self.question_s)
        of = "" if self.question_s is None else f" of {self.question_s:.1f}"
        line = f"question {sent_s:.1f}{of} s"
        if self.heard_s or self.transcript:
            return f"{line}, answer {self.heard_s:.1f} s"
        is_all_sent = self.question_s is not None and self.sent_s >= self.question_s
        return f"{line}, waiting for the answer" if is_all_sent else line


class _Silent(Progress):
    """For ``--json``: the result alone."""

    def print_report(self, report: dict[str, Any]) -> None:
        print(json.dumps(report))


class _Lines(Progress):
    """For logs and pipes."""

    def print_report(self, report: dict[str, Any]) -> None:
        for title, text in _report_lines(report):
            print(f"{title}: {one_line(text)}")

    def _say(self, line: str) -> None:
        print(one_line(line), flush=True)


class _Live(Progress):
    """For people: a line that changes, and the report in its place at the end."""

    def __init__(self, console: Console) -> None:
        from rich.spinner import Spinner

        super().__init__()
        self._console = console
        self._spinner = Spinner("line" if console.options.ascii_only else "dots")

    def print_report(self, report: dict[str, Any]) -> None:
        from rich.text import Text

        for title, text in _report_lines(report):
            line = Text.assemble((title, "bold"), ": ", one_line(text))
            # A path that the terminal breaks, and not we, can be copied whole.
            self._console.print(line, soft_wrap=title in TITLES_OF_FILES)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        line = self._meter.line(options.max_width - 2)
        frame = str(self._spinner.render(console.get_time()))
        yield Text(f"{frame} {line}", no_wrap=True, overflow="ellipsis")


@contextmanager
def make_progress(*, as_json: bool) -> Iterator[Progress]:
    """The display that suits the output, shown while the context lasts."""
    if as_json:
        yield _Silent()
        return
    console = live_console()
    if console is None:
        yield _Lines()
        return
    from rich.live import Live

    progress = _Live(console)
    with Live(
        progress,
        console=console,
        refresh_per_second=10,
        transient=True,
        redirect_stderr=sys.stderr.isatty(),
    ):
        yield progress


def _report_lines(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    connect_s = report["connect_s"]
    phases = ", ".join(f"{stage} {s * 1000:.0f} ms" for stage, s in connect_s.items())
    is_local = " (local server in this process)" if report["is_embedded"] else ""
    yield "connected to", f"{report['endpoint']}{is_local}"
    yield "connect time", f"{sum(connect_s.values()):.2f} s ({phases})"
    question, answer = report["question"], report["answer"]
    yield "question", f"{_seconds(question['duration_s'])} sent from {question['path']}"
    yield "answer", f"{_seconds(answer['duration_s'])} received in {answer['path']}"
    if question["transcript"]:
        yield "understood", question["transcript"]
    if answer["transcript"]:
        yield "answered", answer["transcript"]
    for title, key, about in FIGURES:
        if report[key] is not None:
            yield title, f"{report[key] * 1000:.0f} ms {about}"
    if report["stereo"]:
        yield "conversation", f"{report['stereo']} (left: user, right: agent)"
    if "report" in report:
        yield "report", report["report"]


def _seconds(duration_s: float | None) -> str:
    return "audio" if duration_s is None else f"{duration_s:.2f} s"
