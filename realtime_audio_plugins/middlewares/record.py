"""Writes down a conversation so that it can be looked at, heard, and fed to the engine again."""

from __future__ import annotations

import asyncio
import datetime as dt
import importlib.metadata
import json
import time
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from pydantic import Field

from realtime_audio_plugins.recorder import StereoRecorder
from realtime_core.errors import UserError
from realtime_core.middleware import EventMiddleware
from realtime_core.record import FORMAT, FORMAT_VERSION, RecordForm
from realtime_core.specs import SpecOptions

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from realtime_core.audio import AudioFrame, AudioTap
    from realtime_core.events import Emit
    from realtime_core.middleware import EngineStep, EngineWatch

__all__ = ["RecordMiddleware", "RecordOptions"]

DISTRIBUTION = "realtime-transports"

SENDS_KEPT = 1_000
"""Client events that may still be reported as not sent."""


class RecordOptions(SpecOptions):
    """Options of ``record``."""

    spec_argument: ClassVar[str | None] = "path"

    path: str = Field(min_length=1, description="the file", examples=["'record:call.jsonl'"])
    audio: bool | None = Field(
        None,
        description="keep audio, in events and as FLAC; left out: unless something is redacted",
    )
    redact: str = Field("", description="patterns to leave out, such as email,phone")
    pattern: str | None = Field(None, description="a further pattern, a regular expression")


class RecordMiddleware(EventMiddleware):
    """Records one transport: every wire event, and all that the engine got and decided.

    The file is there from the first connection on and grows line by line, each of which is handed
    to the system at once: a process that is killed loses at most the line it was writing. The
    audio of each connection is in a FLAC file beside it, left the user, right the model, written
    as `StereoRecorder` writes it.

    Its place among the middlewares matters little: it notes what the engine got and decided, and
    beside it, where another middleware changed or dropped an event, what came by here.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        audio: bool | None = None,
        redact: Sequence[str] = (),
        pattern: str | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Name the file; nothing is opened before the transport connects.

        Args:
            path: Where the record goes, in the place of what is there. Its audio goes beside it.
            audio: Whether audio is kept, in events and as FLAC. None keeps it unless something is
                redacted, which no one can do to speech.
            redact: Presets of `realtime_core.masking` to leave out of what is said.
            pattern: A further regular expression.
            clock: Seconds; None means the running event loop's.

        Raises:
            UserError: The directory is not there, or the path is one itself.
            ValidationError: There is no such preset, or no such expression.
        """
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise UserError(
                f"cannot record to {str(path)!r}: "
                f"the directory {str(self.path.parent)!r} does not exist"
            )
        if self.path.is_dir():
            raise UserError(f"cannot record to {str(path)!r}: it is a directory")
        keeps_audio = not (redact or pattern) if audio is None else audio
        form = RecordForm(audio=keeps_audio, redact=redact, pattern=pattern)
        self._file = _RecordFile(self.path, form, clock or _loop_time)
        self._journal = _Journal(self._file)
        self._media = _Media(self._file) if keeps_audio else None

    @classmethod
    def from_options(cls, options: RecordOptions) -> RecordMiddleware:
        """What ``record`` in a spec makes."""
        presets = [name.strip() for name in options.redact.split(",") if name.strip()]
        return cls(options.path, audio=options.audio, redact=presets, pattern=options.pattern)

    @property
    def name(self) -> str:
        """What it is called in errors."""
        return "record"

    @property
    def tap(self) -> AudioTap | None:
        """What writes the audio."""
        return self._media

    @property
    def watch(self) -> EngineWatch:
        """What writes down the engine's life."""
        return self._journal

    def incoming(self, event: dict[str, Any]) -> dict[str, Any]:
        """Note an event of the server."""
        self._journal.passed_in(event)
        return event

    def outgoing(self, event: dict[str, Any]) -> dict[str, Any]:
        """Note an event for the server."""
        self._journal.passed_out(event)
        return event

    def link_opened(self, model: str) -> None:  # noqa: ARG002 - the engine's step has it
        """From now on there is audio to record."""
        self._file.hold_open()
        if self._media is not None and not self._file.has_failed:
            self._media.begin()

    def link_closed(self) -> None:
        """Complete what belongs to the link. A later one goes on in the same record."""
        try:
            if self._media is not None:
                self._media.end()
        finally:
            self._file.let_go()

    def error_reported(self, error: Exception) -> None:
        """Note an error of the transport's own."""
        self._file.write("error", {"error": self._file.form.write(error)})


class _RecordFile:
    """Lines in a file, each written at once. One that cannot be written is told; no more follow."""

    def __init__(self, path: Path, form: RecordForm, clock: Callable[[], float]) -> None:
        self.path = path
        self.form = form
        self.engine: str | None = None
        self._clock = clock
        self._begin_s: float | None = None
        self._handle: BinaryIO | None = None
        self.has_failed = False

    def hold_open(self) -> None:
        """Keep the file open between lines."""
        if self._handle is None and not self.has_failed:
            self._begin()
            self._handle = self.path.open("ab", buffering=0)

    def let_go(self) -> None:
        """Open it for each line from now on."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()

    def write(self, kind: str, fields: Mapping[str, Any], at_s: float | None = None) -> None:
        """Append a line.

        Args:
            kind: What it tells.
            fields: The rest of it, in its final form.
            at_s: When it happened, by the clock; None means now.

        Raises:
            OSError: The disk is full, or the file cannot be created.
        """
        if self.has_failed:
            return
        began_s = self._begin()
        time_s = round((self._clock() if at_s is None else at_s) - began_s, 6)
        line = _line({"t": time_s, "kind": kind, **fields})
        with self._telling_once():
            if self._handle is not None:
                self._handle.write(line)
                return
            with self.path.open("ab", buffering=0) as file:
                file.write(line)

    def _begin(self) -> float:
        if self._begin_s is None:
            with self._telling_once():
                self.path.write_bytes(_line(self._header()))
            self._begin_s = self._clock()
        return self._begin_s

    @contextmanager
    def _telling_once(self) -> Iterator[None]:
        """A record with a hole is no record, and of each event the same would be told."""
        try:
            yield
        except OSError:
            self.has_failed = True
            raise

    def _header(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "library": importlib.metadata.version(DISTRIBUTION),
            "begun_at": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
            "engine": self.engine,
            "options": self.form.options,
        }


class _Journal:
    """The engine's life, as lines. An `EngineWatch`."""

    def __init__(self, file: _RecordFile) -> None:
        self._file = file
        self._before: list[EngineStep] = []
        """Steps before anything happened: a transport that never connects leaves no file."""
        self._is_begun = False
        self._received: Any = None
        self._wire_in: dict[str, Any] | None = None
        self._decided: Sequence[Mapping[str, Any]] = ()
        self._sends: deque[tuple[Mapping[str, Any], int]] = deque(maxlen=SENDS_KEPT)
        self._send_count = 0

    def attached(self, engine: str) -> None:
        if self._file.engine is not None:
            raise UserError("a record is of one transport; make one for each")
        self._file.engine = engine

    def entered(self, step: EngineStep) -> None:
        if step.name.endswith("=") and not self._is_begun:
            self._before.append(step)
            return
        before, self._before = self._before, []
        self._is_begun = True
        for each in (*before, step):
            self._write_step(each)

    def raised(self, error: Exception) -> None:
        self._file.write("raised", {"error": type(error).__name__})

    def decided(self, events: Sequence[Mapping[str, Any]]) -> None:
        self._decided = events
        for event in events:
            self._send_count += 1
            self._sends.append((event, self._send_count))
            self._file.write(
                "out", {"send": self._send_count, "event": self._file.form.write(event)}
            )

    def told(self, emits: Sequence[Emit]) -> None:
        for emit in emits:
            args = [self._file.form.write(each, self._received) for each in emit.args]
            self._file.write("told", {"type": emit.type, "args": args})

    def passed_in(self, event: dict[str, Any]) -> None:
        """A server event came by."""
        self._tell_wire_in()
        self._wire_in = event

    def passed_out(self, event: dict[str, Any]) -> None:
        """A client event came by."""
        if event not in self._decided:
            self._write_wire("out", event)

    def _write_step(self, step: EngineStep) -> None:
        form = self._file.form
        fields: dict[str, Any] = {}
        if step.name == "receive":
            self._received = step.args[0]
            if self._wire_in == self._received:
                self._wire_in = None
            self._tell_wire_in()
            kind, fields["event"] = "in", form.write(self._received)
        else:
            self._tell_wire_in()
            kind, fields["name"] = "call", step.name
            fields["args"] = form.write_args(self._with_numbers(step))
        if step.kwargs:
            fields["with"] = form.write(step.kwargs)
        if step.untaken:
            fields["untaken"] = list(step.untaken)
        if step.now is not None:
            fields["now"] = step.now
        self._file.write(kind, fields)

    def _with_numbers(self, step: EngineStep) -> Sequence[Any]:
        """The arguments, with a client event that was decided on named by its number."""
        if step.name not in ("send_dropped", "send_failed"):
            return step.args
        event, *rest = step.args
        numbers = (number for each, number in reversed(self._sends) if each is event)
        return [next(numbers, None), *rest]

    def _tell_wire_in(self) -> None:
        """A server event that came by was changed or dropped before the engine got it."""
        event, self._wire_in = self._wire_in, None
        if event is not None:
            self._write_wire("in", event)

    def _write_wire(self, direction: str, event: Mapping[str, Any]) -> None:
        self._file.write("wire", {"direction": direction, "event": self._file.form.write(event)})


class _Media:
    """The audio of each connection, in a file of its own. An `AudioTap`."""

    def __init__(self, file: _RecordFile) -> None:
        self._file = file
        self._count = 0
        self._recorder: StereoRecorder | None = None
        self._is_told = False

    def begin(self) -> None:
        """A connection begins."""
        self._count += 1
        suffix = ".flac" if self._count == 1 else f".{self._count}.flac"
        self._recorder = StereoRecorder(self._file.path.with_suffix(suffix))
        self._is_told = False

    def end(self) -> None:
        """The connection is over; what comes late is not of interest."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.close()

    def sent(self, frame: AudioFrame, at_s: float) -> None:
        if self._recorder is not None:
            self._open(self._recorder, at_s)
            self._recorder.sent(frame, at_s)

    def heard(self, frame: AudioFrame, at_s: float) -> None:
        if self._recorder is not None:
            self._open(self._recorder, at_s)
            self._recorder.heard(frame, at_s)

    def _open(self, recorder: StereoRecorder, at_s: float) -> None:
        if self._is_told:
            return
        self._is_told = True
        recorder.open()
        partial = recorder.partial_path
        names = {"path": recorder.path.name, "until_complete": partial.name if partial else None}
        self._file.write("media", names, at_s)


def _line(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, allow_nan=False, separators=(",", ":")) + "\n").encode("ascii")


def _loop_time() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()
