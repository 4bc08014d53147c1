"""Shows a conversation while it runs: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from realtime_core.audio import AudioFrame, AudioTap
    from realtime_core.transport import RealtimeTransportLayer

__all__ = ["Progress", "make_progress"]


class Progress(ABC):
    """Follows one conversation."""

    def __init__(self) -> None:
        """Nothing has happened."""
        self._meter = _Meter()

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
        self._meter.question_s = question_s
        self._say(f"connecting to {endpoint}")
        transport.on("connected", lambda: self._on_connected(transport, endpoint))
        transport.on("response.created", lambda _: self._say("the answer begins"))
        transport.on("audio_transcript_delta", lambda event: self._on_transcript(event.delta))

    @abstractmethod
    def print_report(self, report: dict[str, Any]) -> None:
        """Show what came of it."""

    def _on_connected(self, transport: RealtimeTransportLayer, endpoint: str) -> None:
        phases = getattr(transport, "connect_phases", ())
        times = ", ".join(f"{p.stage.value} {p.duration_s * 1000:.0f} ms" for p in phases)
        self._say(f"connected to {endpoint} ({times})")
        self._meter.is_connected = True

    def _on_transcript(self, delta: str) -> None:
        self._meter.transcript += delta

    def _say(self, line: str) -> None:
        """Tell one thing that happened."""


class _Meter:
    """A tap that counts seconds: of the question sent, and of answer heard."""

    def __init__(self) -> None:
        self.inner: AudioTap | None = None
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

    def line(self) -> str:
        """The state in one line."""
        if not self.is_connected:
            return "connecting …"
        sent_s = self.sent_s if self.question_s is None else min(self.sent_s, self.question_s)
        of = "" if self.question_s is None else f" of {self.question_s:.1f}"
        line = f"question {sent_s:.1f}{of} s · answer {self.heard_s:.1f} s"
        return f"{line} · {self.transcript}" if self.transcript else line


class _Silent(Progress):
    """For ``--json``: the result alone."""

    def print_report(self, report: dict[str, Any]) -> None:
        print(json.dumps(report))


class _Lines(Progress):
    """For logs and pipes."""

    def print_report(self, report: dict[str, Any]) -> None:
        for line in _report_lines(report):
            print(line)

    def _say(self, line: str) -> None:
        print(line, flush=True)


class _Live(Progress):
    """For people."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def print_report(self, report: dict[str, Any]) -> None:
        from rich.markup import escape

        for line in _report_lines(report):
            title, _, rest = line.partition(": ")
            self._console.print(f"[bold]{escape(title)}[/]: {escape(rest)}", highlight=False)

    def _say(self, line: str) -> None:
        self._console.print(line, style="dim", highlight=False, markup=False)

    def __rich__(self) -> Any:
        from rich.spinner import Spinner
        from rich.text import Text

        return Spinner("dots", Text(self._meter.line(), overflow="ellipsis", no_wrap=True))


@contextmanager
def make_progress(*, as_json: bool) -> Iterator[Progress]:
    """The display that suits the output, shown while the context lasts."""
    if as_json:
        yield _Silent()
        return
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        yield _Lines()
        return
    from rich.live import Live

    progress = _Live(console)
    with Live(progress, console=console, refresh_per_second=10, transient=True):
        yield progress


def _report_lines(report: dict[str, Any]) -> Iterator[str]:
    connect_s = report["connect_s"]
    phases = ", ".join(f"{stage} {s * 1000:.0f} ms" for stage, s in connect_s.items())
    yield f"connected to: {report['endpoint']} in {sum(connect_s.values()):.2f} s ({phases})"
    question, answer = report["question"], report["answer"]
    yield f"question: {question['path']}, {question['duration_s']:.2f} s sent"
    yield f"answer: {answer['path']}, {answer['duration_s']:.2f} s received"
    if answer["transcript"]:
        yield f"transcript: {answer['transcript']}"
    if report["latency_s"] is not None:
        yield f"latency: {report['latency_s'] * 1000:.0f} ms from the question's end to the answer"
    if report["stereo"]:
        yield f"conversation: {report['stereo']} (left: user, right: agent)"
