"""What may be written behind the names of this package's sources, sinks and recorders."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from realtime_core.specs import SpecOptions

__all__ = [
    "FileOptions",
    "MicrophoneOptions",
    "NoOptions",
    "PcmSinkOptions",
    "PcmSourceOptions",
    "RecorderOptions",
    "SilenceOptions",
    "SpeakerOptions",
    "ToneOptions",
]


def _device(value: object) -> object:
    """An index where it is a number, part of a name where it is not."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


Device = Annotated[
    int | str | None,
    BeforeValidator(_device),
    Field(description="index or part of the name; left out: the system's default"),
]
Rate = Annotated[int, Field(ge=1_000, le=768_000, description="samples per second")]
Channels = Annotated[int, Field(ge=1, le=64, description="channels, interleaved")]
BufferMs = Annotated[int, Field(ge=20, le=60_000)]


class NoOptions(SpecOptions):
    """Nothing may be written."""


class FileOptions(SpecOptions):
    """A file; the path may hold anything."""

    spec_argument: ClassVar[str | None] = "path"
    is_verbatim: ClassVar[bool] = True

    path: str = Field(min_length=1, description="the file", examples=["'file:question.wav'"])


class RecorderOptions(SpecOptions):
    """Where a recording goes."""

    spec_argument: ClassVar[str | None] = "path"
    is_verbatim: ClassVar[bool] = True

    path: str = Field(min_length=1, description="the file", examples=["'stereo:both.wav'"])


class MicrophoneOptions(SpecOptions):
    """A microphone."""

    spec_argument: ClassVar[str | None] = "device"

    device: Device = None
    buffer_ms: BufferMs = Field(200, description="milliseconds kept for a slow reader")
    aec: bool = Field(default=False, description="cancel the echo of what is heard (extra aec)")


class SpeakerOptions(SpecOptions):
    """A speaker."""

    spec_argument: ClassVar[str | None] = "device"

    device: Device = None
    buffer_ms: BufferMs = Field(500, description="milliseconds that may wait to be played")


class ToneOptions(SpecOptions):
    """A sine."""

    spec_argument: ClassVar[str | None] = "hz"

    hz: float = Field(440.0, gt=0, allow_inf_nan=False, description="frequency in Hz")
    seconds: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="when it ends; left out: never"
    )
    rate: Rate = 48_000
    amplitude: float = Field(0.5, ge=0, le=1, description="of the peak; 1 is full scale")


class SilenceOptions(SpecOptions):
    """Silence."""

    spec_argument: ClassVar[str | None] = "seconds"

    seconds: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="when it ends; left out: never"
    )
    rate: Rate = 48_000


class PcmSourceOptions(SpecOptions):
    """Samples of 16 bits, little endian, without a header, from a pipe."""

    spec_argument: ClassVar[str | None] = "path"

    path: str = Field("-", description="a pipe, device or file; - is standard input")
    rate: Rate = 24_000
    channels: Channels = 1
    live: bool = Field(
        default=False, description="drop the oldest instead of holding up the writer"
    )
    buffer_ms: BufferMs = Field(200, description="milliseconds kept for a slow reader")


class PcmSinkOptions(SpecOptions):
    """Samples of 16 bits, little endian, without a header, into a pipe."""

    spec_argument: ClassVar[str | None] = "path"

    path: str = Field("-", description="a pipe, device or file; - is standard output")
    rate: Rate = 24_000
    channels: Channels = 1
    buffer_ms: BufferMs = Field(500, description="milliseconds that may wait for the reader")
