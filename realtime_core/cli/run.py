"""``realtime run``: a recording in, the answer out."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from realtime_core.cli.exit_codes import ExitCode, InputError
from realtime_core.cli.progress import Progress, make_progress
from realtime_core.cli.streams import spec_for, uses_standard_stream
from realtime_core.errors import AudioError, UserError
from realtime_core.plugins import PluginManager
from realtime_core.turn import Turn, TurnResult, TurnTaking

if TYPE_CHECKING:
    from realtime_core.audio import AudioRecorder, AudioSink, AudioSource
    from realtime_core.transport import RealtimeTransportLayer

__all__ = ["Endpoint", "RunOptions", "endpoint_for", "run_file"]

log = logging.getLogger(__name__)

LOCAL = "local"
CALLS_PATH = "/realtime/calls"
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
PLACEHOLDER_KEY = "local"
"""A server on this machine asks for some key and takes any."""

SHORTEST_QUESTION_S = 0.1
"""The least that the Realtime API takes as a turn (error ``input_audio_buffer_commit_empty``)."""


@dataclass(frozen=True)
class RunOptions:
    """The command's options."""

    question: Path
    out: Path
    to: str
    taking: TurnTaking
    stereo: Path | None
    model: str | None
    instructions: str | None
    voice: str | None
    responder: str
    deadline_s: float
    as_json: bool
    allow: list[str] | None
    middlewares: tuple[str, ...] = ()
    """Specs; the first is the nearest to the program."""


@dataclass(frozen=True)
class Endpoint:
    """Where to place the call."""

    url: str | None
    """None means the provider's own."""
    key_variable: str
    default_key: str | None
    is_loopback: bool

    @property
    def name(self) -> str:
        """What to call it."""
        return self.url or "OpenAI"

    def api_key(self) -> str:
        """The key.

        Raises:
            UserError: It is not set.
        """
        key = os.environ.get(self.key_variable) or self.default_key
        if not key:
            raise UserError(f"{self.key_variable} is not set; it must hold the API key")
        return key


def endpoint_for(to: str) -> Endpoint:
    """What ``--to`` means.

    Args:
        to: ``openai``, a base URL ending in ``/v1``, or a full endpoint.

    Raises:
        UserError: It is none of these.
    """
    if to == "openai":
        return Endpoint(None, "OPENAI_API_KEY", None, is_loopback=False)
    host = _checked_host(to)
    base = to.rstrip("/")
    url = base + CALLS_PATH if base.endswith("/v1") else to
    is_loopback = host in LOOPBACK_HOSTS
    return Endpoint(url, "REALTIME_API_KEY", PLACEHOLDER_KEY if is_loopback else None, is_loopback)


def _checked_host(to: str) -> str:
    try:
        parts = urlsplit(to)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        raise UserError(f"--to {to}: {exc}") from exc
    if parts.username is not None or parts.password is not None:
        # Not repeated here, as it holds a secret.
        raise UserError("--to: a URL with a user name or password is not taken; set the API key")
    if parts.scheme not in ("http", "https") or not host:
        raise UserError(f"--to {to}: give local, openai, or a URL that begins with http(s)://")
    if parts.path in ("", "/"):
        raise UserError(f"--to {to}: give the base URL, ending in /v1, or the full endpoint")
    return host


async def run_file(options: RunOptions) -> ExitCode:
    """Do what the command promises.

    Raises:
        RealtimeError: What `exit_with` turns into an exit code.
    """
    _check_paths(options)
    plugins = PluginManager(allow=options.allow)
    async with AsyncExitStack() as stack:
        conversation = await _set_up(options, plugins, stack)
        report = await conversation.hold()
    # Printed last: until everything is closed, the answer is not under its name.
    conversation.progress.print_report(report)
    return ExitCode.DONE


async def _set_up(
    options: RunOptions, plugins: PluginManager, stack: AsyncExitStack
) -> _Conversation:
    """Open everything that the conversation needs; what is wrong with the input shows here."""
    source = plugins.source(spec_for("source", options.question, plugins))
    sink = plugins.sink(spec_for("sink", options.out, plugins))
    _check_end(source, options.taking)
    recorder = plugins.tap(f"stereo:{options.stereo}") if options.stereo else None
    stack.enter_context(_telling_what_is_left(sink, recorder))
    try:
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
    return _Conversation(options, plugins, endpoint, source, sink, recorder, progress, outcome)


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

    async def hold(self) -> dict[str, Any]:
        """Have the turn, and say what it brought."""
        transport = self.plugins.factory("transport", "webrtc")(
            source=self.source,
            sink=self.sink,
            tap=self.progress.watch(self.recorder),
            model=self.options.model,
            base_url=self.endpoint.url,
            plugins=self.plugins,
            middlewares=[self.plugins.middleware(spec) for spec in self.options.middlewares],
        )
        self.progress.follow(transport, self.endpoint.name, self.source.duration_s)
        turn = Turn(transport, taking=self.options.taking)
        try:
            result = await turn.run(
                api_key=self.endpoint.api_key(),
                session_config=_session_config(self.options),
                deadline_s=self.options.deadline_s,
            )
        except asyncio.CancelledError:
            # What has no end is ended so: then all that was heard until now is the whole.
            is_endless = self.source.duration_s is None
            self.outcome.is_complete = is_endless and self.options.taking is TurnTaking.VAD
            self.outcome.is_interrupted = True
            raise
        self.outcome.is_complete = True
        return self._report(transport, result)

    def _report(self, transport: RealtimeTransportLayer, result: TurnResult) -> dict[str, Any]:
        phases = getattr(transport, "connect_phases", ())
        return {
            "endpoint": self.endpoint.name,
            "is_embedded": self.options.to == LOCAL,
            "model": transport.current_model,
            "connect_s": {phase.stage.value: round(phase.duration_s, 4) for phase in phases},
            "question": {
                "path": str(self.options.question),
                "duration_s": _rounded(self.source.duration_s),
            },
            "answer": {
                "path": str(self.options.out),
                "duration_s": _rounded(self.sink.duration_s),
                "transcript": result.transcript,
            },
            "stereo": str(self.options.stereo) if self.options.stereo else None,
            "responses": result.responses,
            "latency_s": _rounded(result.latency_s),
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
    named = {"the question": options.question, "--out": options.out, "--stereo": options.stereo}
    seen: dict[Path, str] = {}
    for name, path in named.items():
        if path is None or uses_standard_stream(path):
            continue
        other = seen.setdefault(path.resolve(), name)
        if other != name:
            raise UserError(f"{name} and {other} are the same file: {path}")


def _check_end(source: AudioSource, taking: TurnTaking) -> None:
    if source.is_live and taking is TurnTaking.MANUAL:
        raise UserError(
            "--turns manual asks when the question ends, which live audio does not: use --turns vad"
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
