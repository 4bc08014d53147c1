"""Shows how far a batch is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from realtime_core.cli.terminal import live_console
from realtime_core.cli.text import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from realtime_core.batch.results import ResultRow
    from realtime_core.batch.run import BatchProgress

__all__ = ["BatchDisplay", "make_batch_display", "span"]

LINE_EVERY_S = 10.0


class BatchDisplay(Protocol):
    """Shows a batch."""

    def show(self, progress: BatchProgress) -> None:
        """Something has changed."""


class _Silent:
    """For ``--json``: the summary alone."""

    def show(self, progress: BatchProgress) -> None:
        pass


class _Lines:
    """For logs and pipes: each failure, and now and then how far it is."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def show(self, progress: BatchProgress) -> None:
        if progress.row is not None and progress.row.status == "failed":
            print(_failure_line(progress.row), flush=True)
        is_last = progress.row is not None and progress.done == progress.total
        if progress.elapsed_s >= self._next_s or is_last:
            self._next_s = progress.elapsed_s + LINE_EVERY_S
            print(_state_line(progress), flush=True)


class _Bar:
    """For people."""

    def __init__(self, console: Console, bar: Progress) -> None:
        self._console = console
        self._bar = bar
        self._task = bar.add_task("", total=None)

    def show(self, progress: BatchProgress) -> None:
        from rich.text import Text

        if progress.row is not None and progress.row.status == "failed":
            self._console.print(Text(_failure_line(progress.row), style="red"))
        description = f"{_sessions(progress)}, {progress.rate:.1f} jobs/s"
        if progress.failed:
            description += f", {progress.failed} failed"
        if (left_s := progress.left_s) is not None:
            description += f", {span(left_s)} left"
        self._bar.update(
            self._task, total=progress.total, completed=progress.done, description=description
        )


@contextmanager
def make_batch_display(*, as_json: bool) -> Iterator[BatchDisplay]:
    """The display that suits the output, shown while the context lasts."""
    if as_json:
        yield _Silent()
        return
    console = live_console()
    if console is None:
        yield _Lines()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    with Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
        redirect_stderr=sys.stderr.isatty(),
    ) as bar:
        yield _Bar(console, bar)


def _failure_line(row: ResultRow) -> str:
    error = row.error
    if error is None:
        return one_line(f"failed: {row.id}")
    turn = f", turn {error.turn}" if error.turn and len(row.turns) > 1 else ""
    attempts = f" ({row.attempts} attempts)" if row.attempts > 1 else ""
    return one_line(f"failed: {row.id}: {error.stage}{turn}: {error.message}{attempts}")


def _state_line(progress: BatchProgress) -> str:
    line = f"{progress.done} of {progress.total} jobs done, {progress.failed} failed"
    line += f", {_sessions(progress)}, {progress.rate:.1f} jobs/s"
    if (left_s := progress.left_s) is not None and progress.done < progress.total:
        line += f", {span(left_s)} left"
    return line


def _sessions(progress: BatchProgress) -> str:
    running = progress.state.running
    return f"{running} session{'' if running == 1 else 's'}"


def span(seconds: float) -> str:
    """A time, for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
