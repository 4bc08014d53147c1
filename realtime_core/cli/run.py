"""``realtime run``: a recording in, the answer out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_core.cli.exit_codes import ExitCode, InputError
from realtime_core.cli.progress import Progress, make_progress
from realtime_core.cli.run_options import RunOptions
from realtime_core.cli.streams import (
    explaining_files,
    spec_for,
    spec_with_end,
    uses_standard_stream,
)
from realtime_core.endpoints import Endpoint, endpoint_for
from realtime_core.errors import AudioError, UserError
from realtime_core.plugins import PluginManager
from realtime_core.turn import SHORTEST_QUESTION_S, Turn, TurnResult, TurnTaking

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from realtime_core.audio import AudioRecorder, AudioSink, AudioSource
    from realtime_core.cli.run_report import RunNotes
    from realtime_core.transport import RealtimeTransportLayer

__all__ = ["run_file"]

log = logging.getLogger(__name__)

LOCAL = "local"


async def run_file(options: RunOptions) -> ExitCode:
    """Do what the command promises.

    Raises:
        RealtimeError: What `exit_with` turns into an exit code.
    """
    _check_paths(options)
    plugins = PluginManager(allow=options.allow)
    with _noting(options) as notes:
        async with AsyncExitStack() as stack:
            conversation = await _set_up(options, plugins, stack, notes)
            report = await conversation.hold()
        # From here on everything is closed: before, the files were not under their names.
        if notes is not None:
            await notes.write(options.question.name, report, conversation.outcome.result)
            report["report"] = str(options.report)
    conversation.progress.print_report(report)
    return ExitCode.DONE


def _noting(options: RunOptions) -> AbstractContextManager[RunNotes | None]:
    if options.report is None:
        return nullcontext()
    from realtime_core.cli.run_report import noting

    return noting(options.report, options.stereo)


async def _set_up(
    options: RunOptions, plugins: PluginManager, stack: AsyncExitStack, notes: RunNotes | None
) -> _Conversation:
    """Open everything that the conversation needs; what is wrong with the input shows here."""
    source = plugins.source(spec_for("source", options.question, plugins))
    with explaining_files("sink", options.out, plugins):
        sink = plugins.sink(spec_for("sink", options.out, plugins))
    _check_end(source, options, plugins)
    recording = notes.recording if notes is not None else options.stereo
    recorder = plugins.tap(f"stereo:{recording}") if recording else None
    stack.enter_context(_telling_what_is_left(sink, recorder))
    try:
        with explaining_files("source", options.question, plugins):
            await source.open()
        stack.push_async_callback(source.close)
        _check_length(options.question, source)
        outcome = _Outcome()
        await sink.open()
        stack.push_async_callback(_close_sink, sink, outcome)
        if recorder is not None:
            recorder.open()
            stack.callback(lambda: recorder.close(complete=outcome.is_complete))
    except AudioError as exc:
        raise InputError(str(exc)) from exc
    endpoint = await _reach_endpoint(options, plugins, stack)
    progress = stack.enter_context(make_progress(as_json=options.as_json))
    return _Conversation(
        options, plugins, endpoint, source, sink, recorder, progress, outcome, notes
    )


@contextmanager
def _telling_what_is_left(*files: object) -> Iterator[None]:
    """Add the names of partial files to whatever ends the run early, an interruption too."""
    try:
        yield
    except BaseException as exc:
        for file in files:
            path = getattr(file, "partial_path", None)
            if path is not None and path.exists():
                exc.add_note(f"what came until then is in {path}")
        raise


async def _close_sink(sink: AudioSink, outcome: _Outcome) -> None:
    try:
        await sink.close(complete=outcome.is_complete)
    except AudioError as exc:
        # Ctrl-C goes to all programs of a pipe: the one that reads the answer is gone, too.
        if not outcome.is_interrupted:
            raise
        log.warning("%s", exc)


@dataclass
class _Outcome:
    is_complete: bool = False
    is_interrupted: bool = False
    result: TurnResult = field(default_factory=TurnResult)


@dataclass(frozen=True)
class _Conversation:
    options: RunOptions
    plugins: PluginManager
    endpoint: Endpoint
    source: AudioSource
    sink: AudioSink
    recorder: AudioRecorder | None
    progress: Progress
    outcome: _Outcome
    notes: RunNotes | None

    async def hold(self) -> dict[str, Any]:
        """Have the turn, and say what it brought."""
        notes = self.notes
        middlewares = [self.plugins.middleware(spec) for spec in self.options.middlewares or ()]
        metrics = self.plugins.middleware("metrics")
        middlewares.append(metrics)
        transport = self.plugins.factory("transport", "webrtc")(
            source=self.source,
            sink=self.sink,
            tap=self.progress.watch(notes.watch(self.recorder) if notes else self.recorder),
            model=self.options.model,
            base_url=self.endpoint.url,
            plugins=self.plugins,
            middlewares=middlewares,
        )
        self.progress.follow(transport, self.endpoint.name, self.source.duration_s)
        if notes is not None:
            notes.follow(transport)
        turn = Turn(transport, taking=self.options.taking)
        try:
            result = await turn.run(
                api_key=self.endpoint.api_key(),
                session_config=_session_config(self.options),
                deadline_s=self.options.deadline_s,
            )
        except asyncio.CancelledError as exc:
            # What has no known end is ended so: then all that was heard until now is the whole.
            has_no_end = self.source.duration_s is None
            self.outcome.is_complete = has_no_end and self.options.taking is TurnTaking.VAD
            self.outcome.is_interrupted = True
            out = self.options.out
            if self.outcome.is_complete and self.sink.duration_s and not uses_standard_stream(out):
                exc.add_note(f"what was heard until then is in {out}")
            raise
        self.outcome.is_complete = True
        self.outcome.result = result
        # Of the first answer, as the page of a run has it; the middleware is a plugin's.
        measured = next(iter(getattr(metrics, "turns", ())), None)
        if notes is not None:
            notes.measured = measured
        return self._report(transport, result, measured)

    def _report(
        self, transport: RealtimeTransportLayer, result: TurnResult, measured: Any
    ) -> dict[str, Any]:
        phases = getattr(transport, "connect_phases", ())
        return {
            "endpoint": self.endpoint.name,
            "is_embedded": self.options.to == LOCAL,
            "model": transport.current_model,
            "connect_s": {phase.stage.value: round(phase.duration_s, 4) for phase in phases},
            "question": {
                "path": str(self.options.question),
                "duration_s": _rounded(self.source.duration_s),
                "transcript": self.progress.understood,
            },
            "answer": {
                "path": str(self.options.out),
                "duration_s": _rounded(self.sink.duration_s),
                "transcript": result.transcript,
            },
            "stereo": str(self.options.stereo) if self.options.stereo else None,
            "responses": result.responses,
            "voice_to_voice_s": _rounded(getattr(measured, "voice_to_voice_s", None)),
            "first_audio_s": _rounded(getattr(measured, "first_audio_s", None)),
            "usage": asdict(result.usage),
        }


async def _reach_endpoint(
    options: RunOptions, plugins: PluginManager, stack: AsyncExitStack
) -> Endpoint:
    if options.to != LOCAL:
        endpoint = endpoint_for(options.to)
        endpoint.api_key()
        return endpoint
    make_server = plugins.factory("local server", "openai")
    server = make_server(host="127.0.0.1", port=0, responder=options.responder, plugins=plugins)
    running = await stack.enter_async_context(server)
    return endpoint_for(running.url)


def _session_config(options: RunOptions) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if options.instructions:
        config["instructions"] = options.instructions
    if options.voice:
        config["audio"] = {"output": {"voice": options.voice}}
    return config


def _check_paths(options: RunOptions) -> None:
    """Refuse to write over what is read, or two things to one place."""
    named = {
        "the question": options.question,
        "--out": options.out,
        "--stereo": options.stereo,
        "--report": options.report,
    }
    seen: dict[Path, str] = {}
    for name, path in named.items():
        if path is None or uses_standard_stream(path):
            continue
        other = seen.setdefault(path.resolve(), name)
        if other != name:
            raise UserError(f"{name} and {other} are the same file: {path}")


def _check_end(source: AudioSource, options: RunOptions, plugins: PluginManager) -> None:
    """Refuse to wait for ever: with manual turns, the question's end is the turn's."""
    if options.taking is not TurnTaking.MANUAL:
        return
    if source.is_endless:
        example = spec_with_end(options.question, plugins)
        end = f"give it an end, as in {example!r}, or " if example else ""
        raise UserError(
            f"{options.question} never ends, and with --turns manual the question's end is the "
            f"turn's: {end}use --turns vad"
        )
    if source.is_live:
        raise UserError(
            f"{options.question} is live, and with --turns manual the question's end is the "
            "turn's: use --turns vad"
        )


def _check_length(path: Path, source: AudioSource) -> None:
    duration_s = source.duration_s
    if duration_s is not None and duration_s < SHORTEST_QUESTION_S:
        raise InputError(
            f"{path} has {duration_s * 1000:.2g} ms of audio; "
            f"a question needs at least {SHORTEST_QUESTION_S * 1000:.0f} ms"
        )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
