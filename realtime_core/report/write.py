"""Writes a report: reads the recordings, fills the page, and puts it in its place whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realtime_core.errors import AudioError, UserError
from realtime_core.report.comparison import Comparison, compare
from realtime_core.report.data import (
    Pairing,
    column_described,
    columns,
    conversation,
    pair_rows,
    table_rows,
)
from realtime_core.report.metrics import METRICS
from realtime_core.report.page import PageParts, render
from realtime_core.report.recordings import (
    EmbedLimit,
    Recording,
    as_base64,
    chosen_to_embed,
    compress,
    find_recording,
    read_outline,
    relative_url,
)
from realtime_core.report.runs import Run

__all__ = ["Report", "write_report"]

RUN_LETTERS = "ab"


@dataclass(frozen=True)
class Report:
    """What was written."""

    path: Path
    size_bytes: int
    embedded: int
    """Recordings inside the page."""
    beside: int
    """Recordings that the page plays from where it lies: they have to be moved with it."""
    comparison: Comparison | None


@dataclass(frozen=True)
class _Told:
    """A conversation, ready for the page."""

    name: str
    described: dict[str, Any]
    sound: str | None
    """Of a recording inside the page."""


def write_report(
    runs: Sequence[Run],
    out: Path,
    *,
    limit: EmbedLimit | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Report:
    """Write one HTML file about a run, or about how the second of two differs from the first.

    Recordings that are not inside the page are played from where they are if that is below the
    page's folder; else compressed copies are put into a folder beside it, ``NAME-audio``.

    Args:
        runs: One or two.
        out: The file; what has its name is replaced when the new one is complete.
        limit: How much audio goes into the page; None means `EmbedLimit`'s defaults. Failed and
            slow conversations come first.
        on_progress: Told how many conversations are read, of how many; what it raises ends it all.

    Raises:
        UserError: The file cannot be written, or no conversation is in both runs.
    """
    if not 1 <= len(runs) <= 2:
        raise UserError(f"a report is about one run or two, not {len(runs)}")
    lines = pair_rows(runs)
    comparison = compare(*runs) if len(runs) == 2 else None
    with _writing(out) as write:
        told = _read_all(_Reader(runs, lines, out, limit or EmbedLimit()), on_progress)
        shown = columns(runs)
        html = render(
            PageParts(
                runs=runs,
                comparison=comparison,
                table={
                    "runs": [run.name for run in runs],
                    "columns": [column_described(metric, comparison) for metric in shown],
                    "rows": table_rows(lines, shown),
                },
                conversations=[(each.name, each.described) for each in told],
                sounds=[(each.name, each.sound) for each in told if each.sound is not None],
            )
        )
        size_bytes = write(html)
    embedded = sum(each.sound is not None for each in told)
    with_audio = sum(each.described["audio"] is not None for each in told)
    return Report(out, size_bytes, embedded, with_audio - embedded, comparison)


class _Reader:
    """Reads the recordings of a report."""

    def __init__(
        self, runs: Sequence[Run], lines: Sequence[Pairing], out: Path, limit: EmbedLimit
    ) -> None:
        self._runs = runs
        self._out = out
        self._copies = out.with_name(f"{out.stem}-audio")
        self._recordings = [[find_recording(row, run.folder) for row in run.rows] for run in runs]
        chosen = chosen_to_embed(
            [self._duration_s(line) for line in lines], _most_telling_first(lines), limit
        )
        self._embedded = {
            (number, place)
            for line_number in chosen
            for number, place in enumerate(lines[line_number].places)
        }
        self.places = [
            (number, place) for number, run in enumerate(runs) for place in range(len(run.rows))
        ]
        """Each conversation: the run's number and its own there."""

    def read(self, at: tuple[int, int]) -> _Told:
        """One conversation, with its recording read."""
        number, place = at
        row = self._runs[number].rows[place]
        recording = self._recordings[number][place]
        name = f"{RUN_LETTERS[number]}-{place}"
        if recording is None:
            problem = "The recording is not there any more." if row.audio_files else ""
            return _Told(name, conversation(row, None, problem), None)
        try:
            audio, sound = self._read_audio(recording, name, is_embedded=at in self._embedded)
        except AudioError as exc:
            return _Told(name, conversation(row, None, str(exc)), None)
        return _Told(name, conversation(row, audio, ""), sound)

    def _read_audio(
        self, recording: Recording, name: str, *, is_embedded: bool
    ) -> tuple[dict[str, Any], str | None]:
        waveform = read_outline(recording.path)
        audio = {
            "duration_s": recording.described.duration_s,
            "is_stereo": recording.is_stereo and len(waveform.lowest) == 2,
            "waveform": waveform.described(),
            "url": None,
        }
        if is_embedded:
            return audio, as_base64(recording.path)
        audio["url"] = relative_url(recording.path, self._out.parent) or self._copy(recording, name)
        return audio, None

    def _copy(self, recording: Recording, name: str) -> str | None:
        # Not named by id: results may be a stranger's, and their ids anything.
        copy = self._copies / f"{name}.opus"
        with _telling(copy):
            self._copies.mkdir(exist_ok=True)
            compress(recording.path, copy)
        return relative_url(copy, self._out.parent)

    def _duration_s(self, line: Pairing) -> float | None:
        found = [
            recording.described.duration_s
            for number, place in enumerate(line.places)
            if place is not None and (recording := self._recordings[number][place]) is not None
        ]
        return sum(found) if found else None


def _most_telling_first(lines: Sequence[Pairing]) -> list[int]:
    """The lines' numbers: failed conversations, then the slowest answers."""

    def rank(number: int) -> tuple[bool, float, int]:
        rows = [row for row in lines[number].rows if row is not None]
        values = [
            value
            for row in rows
            for metric in METRICS[:2]
            if (value := metric.value(row)) is not None
        ]
        is_failed = any(row.status == "failed" for row in rows)
        return (not is_failed, -max(values, default=0.0), number)

    return sorted(range(len(lines)), key=rank)


def _read_all(reader: _Reader, on_progress: Callable[[int, int], None]) -> list[_Told]:
    told: list[_Told] = []
    # Codecs run outside of the interpreter's lock.
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        try:
            for each in pool.map(reader.read, reader.places):
                told.append(each)
                on_progress(len(told), len(reader.places))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return told


@contextmanager
def _writing(out: Path) -> Iterator[Callable[[str], int]]:
    """Let a page be written whole or not at all. Whether it can be is known before the work."""
    if out.is_dir():
        raise UserError(f"{out} is a folder; name the report's file")
    partial = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")

    def write(html: str) -> int:
        # Halves of characters, which JSON may hold, have no bytes.
        content = html.encode("utf-8", "replace")
        with _telling(out):
            partial.write_bytes(content)
            partial.replace(out)
        return len(content)

    with _telling(out):
        partial.touch(exist_ok=False)
    try:
        yield write
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise UserError(f"{path} cannot be written: {exc.strerror or exc}") from exc
