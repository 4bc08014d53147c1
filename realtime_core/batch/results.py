"""The rows of a batch's results: what became of each job, a JSON object a line.

A figure is None where a job has no such thing. Times are in the unit of the name; audio is named by
its path inside the results' folder, with ``/`` between the parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "DESCRIPTION",
    "RESULTS",
    "SCHEMA_VERSION",
    "AudioFile",
    "JobFailure",
    "Mark",
    "MarkKind",
    "Packets",
    "ResultRow",
    "ToolCall",
    "TurnLatency",
    "TurnRow",
    "Usage",
]

SCHEMA_VERSION = 1

DESCRIPTION = "batch.json"
RESULTS = "results.jsonl"
"""A folder that has both is a batch's."""

MarkKind: TypeAlias = Literal[
    "question", "question_end", "answer", "answer_end", "interrupted", "tool_call", "error"
]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class JobFailure(_Row):
    """Why a job failed."""

    stage: str
    """``input`` (the recording cannot be read), a `ConnectStage`, ``turn`` (connected, and no
    answer to the end), ``output`` (the answer cannot be written) or ``worker`` (whatever ran it
    was killed, again and again, or has a defect)."""
    kind: str
    """The error's class."""
    message: str
    turn: int | None = None
    """Which turn it was, from 1; None before the first."""
    status: int | None = None
    """The HTTP status, where a server refused."""
    code: str | None = None
    """The server's code for it, where it gave one."""
    is_retryable: bool = False
    """Whether it was worth another attempt; it may then have had all that were allowed."""


class ToolCall(_Row):
    """A function that the agent called."""

    name: str
    arguments: str
    """JSON, as the model wrote it."""
    output: str | None = None
    """What it was told; None where the manifest has no output for the tool."""


class TurnLatency(_Row):
    """How fast the agent was. The figures of the ``metrics`` middleware, in milliseconds."""

    voice_to_voice_ms: float | None = None
    """From the end of the user's speech to the first sound of the answer; None where audio was not
    sent in real time."""
    first_audio_ms: float | None = None
    """From asking for the answer to its first sound."""
    interruption_to_silence_ms: float | None = None
    truncation_error_ms: float | None = None
    loop_lag_p95_ms: float | None = None
    """How late this machine's event loop was meanwhile: the other figures are off by as much."""
    loop_lag_max_ms: float | None = None


class TurnRow(_Row):
    """One question and its answer."""

    question: str
    """The recording, as the manifest names it."""
    question_s: float | None = None
    """How long it is."""
    question_transcript: str | None = None
    """What the server understood; None where it does not say."""
    answer_transcript: str = ""
    """What the agent said or wrote."""
    answer_s: float | None = None
    """How much sound of the answer came, silence within included."""
    responses: int = 0
    tool_calls: tuple[ToolCall, ...] = ()
    latency: TurnLatency = TurnLatency()
    expected: str | None = None
    """What the agent was to say, from the manifest."""
    word_error_rate: float | None = None
    """Of the answer's transcript against `expected`, both in lower case and without punctuation."""
    said: str | None = None
    """What the user says in the recording, from the manifest."""
    question_word_error_rate: float | None = None
    """Of the question's transcript against `said`."""


class Mark(_Row):
    """Something that happened, on the time line of the conversation's recording."""

    at_s: float
    kind: MarkKind
    turn: int
    """From 1."""
    text: str = ""


class Usage(_Row):
    """Tokens, all responses together."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0


class Packets(_Row):
    """What the network did to the agent's audio; only over transports that see packets."""

    sent: int | None = None
    received: int | None = None
    lost: int | None = None
    jitter_ms: float | None = None
    round_trip_ms: float | None = None


class AudioFile(_Row):
    """A recording that the job left."""

    path: str
    """Relative to the results' folder."""
    duration_s: float
    size_bytes: int


class ResultRow(_Row):
    """What became of one job."""

    schema_version: Literal[1] = 1
    id: str
    status: Literal["ok", "failed"]
    error: JobFailure | None = None
    """Of the last attempt; None when all went well."""
    attempts: int = 1
    """How many sessions it took; all other figures are of the last."""
    started_at: datetime
    """When the last attempt began, in UTC."""
    duration_s: float
    """From then until its session was closed."""
    connect_ms: dict[str, float] = Field(default_factory=dict)
    """The stages of connecting (`ConnectStage`) that were passed, in their order."""
    turns: tuple[TurnRow, ...] = ()
    usage: Usage = Usage()
    packets: Packets | None = None
    answer: AudioFile | None = None
    """All that the agent said, without the silence around it."""
    conversation: AudioFile | None = None
    """Both sides as they were heard: the user left, the agent right. None where not recorded."""
    marks: tuple[Mark, ...] = ()
    media_lateness_ms: float | None = None
    """The most by which audio left late; much of it means that the machine had too much to do."""
    worker: str = ""
    """Which worker ran the last attempt."""

    @property
    def audio_files(self) -> tuple[AudioFile, ...]:
        """The recordings that there are."""
        return tuple(each for each in (self.answer, self.conversation) if each is not None)

    def to_line(self) -> bytes:
        """The row as a line of the results, with its end."""
        return self.model_dump_json().encode() + b"\n"

    def with_audio_under(self, folder: str) -> ResultRow:
        """The same row with its recordings in another folder."""
        moved: dict[str, Any] = {
            name: file.model_copy(update={"path": f"{folder}/{file.path}"})
            for name, file in (("answer", self.answer), ("conversation", self.conversation))
            if file is not None
        }
        return self.model_copy(update=moved) if moved else self


def parse_row(line: bytes | str | Mapping[str, Any]) -> ResultRow:
    """The row that a line holds.

    Raises:
        pydantic.ValidationError: It is none, or of another version of the schema.
    """
    if isinstance(line, Mapping):
        return ResultRow.model_validate(line)
    return ResultRow.model_validate_json(line)
