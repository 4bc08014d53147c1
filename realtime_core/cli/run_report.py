"""What ``realtime run --report`` notes of a conversation, and makes a page of at its end."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_core.batch.job_tap import JobTap
from realtime_core.batch.listener import JobListener
from realtime_core.batch.results import (
    AudioFile,
    Mark,
    ResultRow,
    TurnLatency,
    TurnRow,
    Usage,
)
from realtime_core.cli.report import write_report_in_thread
from realtime_core.errors import UserError
from realtime_core.report.recordings import EmbedLimit
from realtime_core.report.runs import Run

if TYPE_CHECKING:
    from realtime_core.audio import AudioRecorder, AudioTap
    from realtime_core.transport import RealtimeTransportLayer
    from realtime_core.turn import TurnResult

__all__ = ["RunNotes", "noting"]

SPANS = ("question", "question_end", "answer", "answer_end")


@contextlib.contextmanager
def noting(out: Path, stereo: Path | None) -> Iterator[RunNotes]:
    """Notes for a page, with a place for the recording where the user wants none.

    Args:
        out: The page.
        stereo: Where the conversation is recorded anyway.

    Raises:
        UserError: The page's folder is not there, or it is a folder itself.
    """
    if out.is_dir():
        raise UserError(f"--report {out} is a folder; name the report's file")
    if not out.parent.is_dir():
        raise UserError(f"--report {out}: there is no folder {out.parent}")
    with tempfile.TemporaryDirectory(prefix="realtime-") as scratch:
        yield RunNotes(out, stereo or Path(scratch) / "conversation.wav")


class RunNotes:
    """Follows one conversation."""

    def __init__(self, out: Path, recording: Path) -> None:
        """Nothing has happened."""
        self.recording = recording
        self._out = out
        self._recorder: AudioRecorder | None = None
        self._tap: JobTap | None = None
        self._listener: JobListener | None = None
        self.measured: Any = None
        """What the ``metrics`` middleware tells of the turn; None when nothing was heard."""
        self._marks: list[tuple[float, str, str]] = []
        self._started_at = datetime.now(UTC)

    def watch(self, recorder: AudioRecorder | None) -> AudioTap:
        """A tap that notes when who speaks, and passes all on."""
        self._recorder = recorder
        self._tap = JobTap(recorder, is_realtime=True)
        return self._tap

    def follow(self, transport: RealtimeTransportLayer) -> None:
        """Listen to a transport that is about to connect."""
        self._started_at = datetime.now(UTC)
        self._listener = JobListener(
            transport, {}, on_mark=self._note_mark, on_answered_call=lambda: None
        )
        self._listener.begin_turn()
        # What leaves while it connects is no part of the turn, however late.
        transport.once("connected", self._begin_turn)

    async def write(self, name: str, told: dict[str, Any], result: TurnResult) -> None:
        """Write the page, when everything else is closed.

        Args:
            name: What to call the conversation.
            told: What the command reports of it.
            result: What the turn brought.

        Raises:
            UserError: It cannot be written.
        """
        row = self._row(name, told, result)
        settings = {"model": told["model"], "to": told["endpoint"]}
        run = Run(name=name, folder=self.recording.parent, rows=(row,), settings=settings)
        await write_report_in_thread([run], self._out, EmbedLimit(None, None), is_quiet=True)

    def _row(self, name: str, told: dict[str, Any], result: TurnResult) -> ResultRow:
        tap = self._tap
        usage = result.usage
        return ResultRow(
            id=name,
            status="ok",
            started_at=self._started_at,
            duration_s=round((datetime.now(UTC) - self._started_at).total_seconds(), 3),
            connect_ms={stage: 1000 * each for stage, each in told["connect_s"].items()},
            turns=(self._turn(told, result),),
            usage=Usage(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                total_tokens=usage.total_tokens,
            ),
            conversation=AudioFile(
                path=self.recording.name,
                duration_s=round(self._recorder.duration_s if self._recorder else 0.0, 3),
                size_bytes=self.recording.stat().st_size,
            ),
            marks=self._all_marks(),
            media_lateness_ms=_ms(tap.lateness_s if tap else None),
        )

    def _turn(self, told: dict[str, Any], result: TurnResult) -> TurnRow:
        heard = self._listener
        notes = heard.turns[-1] if heard else None
        return TurnRow(
            question=told["question"]["path"],
            question_s=told["question"]["duration_s"],
            question_transcript=heard.transcript(notes) if heard and notes else None,
            answer_transcript=result.transcript,
            answer_s=told["answer"]["duration_s"],
            responses=result.responses,
            tool_calls=tuple(notes.tool_calls) if notes else (),
            latency=self._latency(),
        )

    def _latency(self) -> TurnLatency:
        first = self.measured
        if first is None:
            return TurnLatency()
        lag = first.loop_lag
        return TurnLatency(
            voice_to_voice_ms=_ms(first.voice_to_voice_s),
            first_audio_ms=_ms(first.first_audio_s),
            interruption_to_silence_ms=_ms(first.interruption_to_silence_s),
            truncation_error_ms=first.truncation_error_ms,
            loop_lag_p95_ms=None if lag is None else lag.p95_ms,
            loop_lag_max_ms=None if lag is None else lag.max_ms,
        )

    def _begin_turn(self) -> None:
        if self._tap is not None:
            self._tap.begin_turn()

    def _note_mark(self, kind: str, text: str) -> None:
        if self._tap is not None:
            self._marks.append((self._tap.now_s(), kind, text))

    def _all_marks(self) -> tuple[Mark, ...]:
        tap = self._tap
        if tap is None or not tap.spans:
            return ()
        spans = [(getattr(tap.spans[-1], f"{kind}_s"), kind, "") for kind in SPANS]
        found = [*self._marks, *(each for each in spans if each[0] is not None)]
        return tuple(
            Mark.model_validate(
                {"at_s": tap.on_time_line(at_s), "kind": kind, "turn": 1, "text": text}
            )
            for at_s, kind, text in sorted(found)
        )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
