"""One attempt at a job: connect, ask each question, hear each answer, and write down what came."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_core.answer import AnswerWatch, TurnFailedError, TurnResult
from realtime_core.batch.failures import as_text, describe_failure
from realtime_core.batch.job_tap import JobTap, TurnSpan
from realtime_core.batch.listener import JobListener, TurnNotes
from realtime_core.batch.packets import read_packets
from realtime_core.batch.questions import Questions, open_questions
from realtime_core.batch.results import (
    AudioFile,
    JobFailure,
    Mark,
    Packets,
    ResultRow,
    TurnLatency,
    TurnRow,
    Usage,
)
from realtime_core.errors import AudioError
from realtime_core.turn import QUIET_AFTER_S, TurnTaking, turn_config

if TYPE_CHECKING:
    from realtime_core.audio import AudioRecorder, AudioSink
    from realtime_core.batch.job import JobEnvironment, JobSettings
    from realtime_core.batch.manifest import Job
    from realtime_core.transport import RealtimeTransportLayer

__all__ = ["JobSession"]

log = logging.getLogger(__name__)

HELD_BACK_S = 0.2
"""What a transport may have read and not sent yet, when it asks for more."""

TAIL_S = 0.3
"""Behind each question in real time, as its last sounds are still in the codec and on the way."""

DEFAULT_DETECTION_S = 0.5
"""The silence that ends a turn where the server detects turns (API reference, ``server_vad``)."""

TRANSCRIPT_WAIT_S = 5.0

CLOSE_WAIT_S = 15.0


@dataclass
class _Asked:
    """A turn that was begun."""

    result: TurnResult
    notes: TurnNotes
    span: TurnSpan


class JobSession:
    """Runs once."""

    def __init__(
        self, job: Job, settings: JobSettings, folder: Path, environment: JobEnvironment
    ) -> None:
        """Nothing is opened yet; the arguments are as for `run_job`."""
        self._job = job
        self._settings = settings
        self._folder = folder
        self._environment = environment
        self._tap = JobTap(None, is_realtime=settings.is_realtime)
        self._listener: JobListener | None = None
        self._metrics: Any = None
        self._questions: Questions | None = None
        self._question_durations_s: list[float | None] = []
        self._asked: list[_Asked] = []
        self._marks: list[tuple[float, str, int, str]] = []
        self._connect_ms: dict[str, float] = {}
        self._packets: Packets | None = None
        self._files: dict[str, AudioFile] = {}
        self._is_connected = False
        self.failure: Exception | None = None
        """What ended it, if that was before its time."""

    async def run(self) -> ResultRow:
        """Do it all.

        Raises:
            asyncio.CancelledError: It was cancelled; everything is closed.
        """
        started_at = dt.datetime.now(dt.UTC)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        described: JobFailure | None = None
        try:
            await self._hold()
        except Exception as exc:  # plugins are foreign code, and a job must not end the batch
            self.failure = self._questions.failure if self._questions else None
            self.failure = self.failure or exc
            turn = len(self._asked) or None
            described = describe_failure(self.failure, is_connected=self._is_connected, turn=turn)
            described = self._without_key(described)
            if self._is_connected:
                self._note_mark("error", described.message)
        return self._row(described, started_at, loop.time() - began_s)

    async def _hold(self) -> None:
        try:
            self._folder.mkdir(parents=True)
        except OSError as exc:
            raise AudioError(f"cannot write {str(self._folder)!r}: {exc.strerror}") from exc
        plugins, settings = self._environment.plugins, self._settings
        async with AsyncExitStack() as stack:
            questions = self._questions = await open_questions(
                self._job.turns,
                plugins,
                folder=self._folder,
                silence_s=self._silence_s(),
                is_realtime=settings.is_realtime,
            )
            stack.push_async_callback(questions.close)
            self._question_durations_s = questions.durations_s
            sink = plugins.sink(f"file:{self._folder / 'answer.wav'}")
            await sink.open()
            stack.push_async_callback(self._close_sink, sink)
            recorder = None
            if settings.records_conversation:
                recorder = plugins.tap(f"stereo:{self._folder / 'conversation.wav'}")
                recorder.open()
                stack.callback(self._close_recorder, recorder)
            self._tap = JobTap(
                recorder, is_realtime=settings.is_realtime, on_late=self._environment.on_late
            )
            await self._converse(self._make_transport(questions, sink), questions)

    def _make_transport(self, questions: Questions, sink: AudioSink) -> RealtimeTransportLayer:
        plugins, settings = self._environment.plugins, self._settings
        middlewares = [plugins.middleware(spec) for spec in settings.middlewares]
        if settings.is_realtime:  # else its figures say nothing about the agent
            self._metrics = plugins.middleware("metrics")
            middlewares.append(self._metrics)
        make = plugins.factory("transport", settings.transport)
        transport: RealtimeTransportLayer = make(
            source=questions,
            sink=sink,
            tap=self._tap,
            model=settings.model,
            plugins=plugins,
            middlewares=middlewares,
            **settings.transport_options,
        )
        return transport

    async def _converse(self, transport: RealtimeTransportLayer, questions: Questions) -> None:
        answer = AnswerWatch(transport)
        listener = self._listener = JobListener(
            transport,
            self._job.tool_outputs,
            on_mark=self._note_mark,
            on_answered_call=answer.expect_response,
        )
        try:
            await transport.connect(
                api_key=self._environment.api_key,
                url=self._settings.url,
                initial_session_config=turn_config(
                    self._settings.session_config(self._job), self._settings.taking
                ),
            )
            self._is_connected = True
            self._environment.on_connected()
            self._note_phases(transport)
            for number in range(len(self._job.turns)):
                if number:
                    answer.begin_turn()
                listener.begin_turn()
                self._tap.begin_turn()
                span, notes = self._tap.spans[-1], listener.turns[-1]
                self._asked.append(_Asked(answer.result, notes, span))
                if number:
                    questions.begin_next()
                await self._take_turn(transport, questions, answer, number)
                await listener.wait_transcripts(TRANSCRIPT_WAIT_S)
        finally:
            try:
                self._packets = await read_packets(transport)
            finally:
                await self._close(transport)

    async def _take_turn(
        self,
        transport: RealtimeTransportLayer,
        questions: Questions,
        answer: AnswerWatch,
        number: int,
    ) -> None:
        settings = self._settings
        is_last = number == len(self._job.turns) - 1
        leaving = transport.wait_source_ended() if is_last else questions.wait_left()
        question_s = self._question_durations_s[number] or 0.0
        deadline_s = settings.deadline_s
        leaving_s = question_s + self._silence_s() + deadline_s
        try:
            async with asyncio.timeout(leaving_s):
                await answer.unless_failed(leaving)
        except TimeoutError:
            raise TurnFailedError(
                f"the server did not take the question of {question_s:.1f} s in {leaving_s:.0f} s"
            ) from None
        answer.question_ended()
        is_manual = settings.taking is TurnTaking.MANUAL
        if is_manual:
            transport.send_event({"type": "input_audio_buffer.commit"})
            transport.request_response()
        try:
            async with asyncio.timeout(deadline_s):
                await answer.wait_answered(quiet_s=None if is_manual else QUIET_AFTER_S)
                await answer.unless_failed(transport.wait_heard())
        except TimeoutError:
            raise TurnFailedError(answer.lateness(deadline_s)) from None

    def _silence_s(self) -> float:
        """How much silence follows a question."""
        held_back_s = HELD_BACK_S if len(self._job.turns) > 1 else 0.0
        if self._settings.taking is TurnTaking.MANUAL:
            return held_back_s + (TAIL_S if self._settings.is_realtime else 0.0)
        value: Any = self._settings.session_config(self._job)
        for name in ("audio", "input", "turn_detection", "silence_duration_ms"):
            value = value.get(name) if isinstance(value, dict) else None
        detection_s = value / 1000 if isinstance(value, int | float) else DEFAULT_DETECTION_S
        return held_back_s + TAIL_S + float(detection_s)

    # What is closed

    async def _close(self, transport: RealtimeTransportLayer) -> None:
        try:
            async with asyncio.timeout(CLOSE_WAIT_S):
                try:
                    transport.close()
                finally:
                    await transport.wait_closed()
        except TimeoutError:
            log.warning("a session did not close within %.0f s", CLOSE_WAIT_S)

    async def _close_sink(self, sink: AudioSink) -> None:
        duration_s = sink.duration_s
        await sink.close(complete=self._is_connected)
        self._note_file("answer", duration_s or 0.0)

    def _close_recorder(self, recorder: AudioRecorder) -> None:
        recorder.close(complete=self._is_connected)
        self._note_file("conversation", recorder.duration_s)

    def _note_file(self, name: str, duration_s: float) -> None:
        path = self._folder / f"{name}.wav"
        if not self._is_connected or not path.exists():
            return
        size_bytes = path.stat().st_size
        self._files[name] = AudioFile(
            path=path.name, duration_s=round(duration_s, 3), size_bytes=size_bytes
        )

    # What is told

    def _note_mark(self, kind: str, text: str) -> None:
        self._marks.append((self._tap.now_s(), kind, max(1, len(self._asked)), as_text(text)))

    def _note_phases(self, transport: RealtimeTransportLayer) -> None:
        self._connect_ms = {
            phase.stage.value: round(phase.duration_s * 1000, 3)
            for phase in getattr(transport, "connect_phases", ())
        }

    def _without_key(self, failure: JobFailure) -> JobFailure:
        """A server may repeat the key in any form; ours may be one that no pattern finds."""
        key = self._environment.api_key
        secret = key.get_secret_value() if key is not None else ""
        if len(secret) < 8 or secret not in failure.message:
            return failure
        return failure.model_copy(update={"message": failure.message.replace(secret, "[key]")})

    def _row(
        self, failure: JobFailure | None, started_at: dt.datetime, duration_s: float
    ) -> ResultRow:
        lateness_s = self._tap.lateness_s
        usages = [each.result.usage for each in self._asked]
        return ResultRow(
            id=self._job.id,
            status="ok" if failure is None else "failed",
            error=failure,
            started_at=started_at,
            duration_s=round(duration_s, 4),
            connect_ms=self._connect_ms,
            turns=tuple(self._turn_row(number) for number in range(len(self._job.turns))),
            usage=Usage(
                input_tokens=sum(each.input_tokens for each in usages),
                output_tokens=sum(each.output_tokens for each in usages),
                total_tokens=sum(each.total_tokens for each in usages),
            ),
            packets=self._packets,
            answer=self._files.get("answer"),
            conversation=self._files.get("conversation"),
            marks=self._all_marks(),
            media_lateness_ms=None if lateness_s is None else round(lateness_s * 1000, 2),
            worker=self._environment.worker,
        )

    def _turn_row(self, number: int) -> TurnRow:
        turn = self._job.turns[number]
        durations_s = self._question_durations_s
        question_s = durations_s[number] if number < len(durations_s) else None
        if number >= len(self._asked) or self._listener is None:
            return TurnRow(
                question=turn.name, question_s=question_s, expected=turn.expected, said=turn.said
            )
        asked = self._asked[number]
        transcript = self._listener.transcript(asked.notes)
        begin_s, end_s = asked.span.answer_s, asked.span.answer_end_s
        return TurnRow(
            question=turn.name,
            question_s=None if question_s is None else round(question_s, 3),
            question_transcript=None if transcript is None else as_text(transcript),
            answer_transcript=as_text(asked.result.transcript),
            answer_s=None if begin_s is None or end_s is None else round(end_s - begin_s, 3),
            responses=asked.result.responses,
            tool_calls=tuple(asked.notes.tool_calls),
            latency=self._latency(asked),
            expected=turn.expected,
            said=turn.said,
        )

    def _latency(self, asked: _Asked) -> TurnLatency:
        measured = [
            turn
            for turn in getattr(self._metrics, "turns", ())
            if turn.response_id in asked.notes.response_ids
        ]
        lags = [turn.loop_lag for turn in measured if turn.loop_lag is not None]
        figures: dict[str, float | None] = {}
        if not self._settings.is_realtime:
            figures["first_audio_ms"] = _ms(asked.result.first_audio_s)
        elif measured:
            first = measured[0]
            figures["first_audio_ms"] = _ms(first.first_audio_s)
            figures["voice_to_voice_ms"] = _ms(first.voice_to_voice_s)
            figures["interruption_to_silence_ms"] = _ms(first.interruption_to_silence_s)
            figures["truncation_error_ms"] = first.truncation_error_ms
        return TurnLatency(
            loop_lag_p95_ms=max((lag.p95_ms for lag in lags), default=None),
            loop_lag_max_ms=max((lag.max_ms for lag in lags), default=None),
            **figures,
        )

    def _all_marks(self) -> tuple[Mark, ...]:
        found: list[tuple[float, str, int, str]] = []
        for number, each in enumerate(self._asked, start=1):
            spans = {
                "question": each.span.question_s,
                "question_end": each.span.question_end_s,
                "answer": each.span.answer_s,
                "answer_end": each.span.answer_end_s,
            }
            found += [(at_s, kind, number, "") for kind, at_s in spans.items() if at_s is not None]
        found += self._marks
        return tuple(
            Mark.model_validate(
                {"at_s": self._tap.on_time_line(at_s), "kind": kind, "turn": turn, "text": text}
            )
            for at_s, kind, turn, text in sorted(found, key=lambda mark: mark[0])
        )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
