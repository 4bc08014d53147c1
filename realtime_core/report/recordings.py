"""The recordings that a report plays: inside it, where they lie, or copied to beside it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

import numpy as np

from realtime_core.batch.results import AudioFile, ResultRow
from realtime_core.errors import AudioError
from realtime_core.report.waveform import Samples, Waveform, outline

if TYPE_CHECKING:
    import soundfile

__all__ = [
    "EmbedLimit",
    "Recording",
    "as_base64",
    "chosen_to_embed",
    "compress",
    "find_recording",
    "read_outline",
    "relative_url",
]

BLOCK_FRAMES = 65_536
MOST_CHANNELS = 2
OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
OTHER_RATE_HZ = 48_000
"""For recordings at a rate that Opus does not have."""

COMPRESSION = 0.92
"""Of libsndfile, which makes a bitrate of it: 55 kbit/s for two channels of speech at 16 kHz."""

EMBEDDED_BYTES_PER_S = 10_000
"""What a second takes inside the page, base64 included."""


@dataclass(frozen=True)
class Recording:
    """A conversation's recording, found."""

    path: Path
    described: AudioFile
    is_stereo: bool
    """The user left, the agent right; else it is the agent alone."""


@dataclass(frozen=True)
class EmbedLimit:
    """How much of the audio goes into the page. None is no limit."""

    conversations: int | None = 50
    size_bytes: int | None = 20_000_000
    """Estimated."""


def find_recording(row: ResultRow, folder: Path) -> Recording | None:
    """The recording of a row, the whole conversation if there is one; None where none is left.

    A path that leads out of the folder is not followed: results may be those of a stranger.
    """
    for file, is_stereo in ((row.conversation, True), (row.answer, False)):
        if file is None:
            continue
        path = (folder / file.path).resolve()
        if path.is_relative_to(folder.resolve()) and path.is_file():
            return Recording(path, file, is_stereo)
    return None


def chosen_to_embed(
    durations_s: Sequence[float | None], order: Sequence[int], limit: EmbedLimit
) -> frozenset[int]:
    """Which conversations have their audio inside the page.

    Args:
        durations_s: How long each one's recordings are together; None where there are none.
        order: The conversations by their numbers; those that come first are chosen first.
        limit: How many, and how much.
    """
    chosen: list[int] = []
    size = 0.0
    for number in order:
        duration_s = durations_s[number]
        if duration_s is None:
            continue
        if limit.conversations is not None and len(chosen) >= limit.conversations:
            break
        size += duration_s * EMBEDDED_BYTES_PER_S
        if limit.size_bytes is not None and size > limit.size_bytes:
            break
        chosen.append(number)
    return frozenset(chosen)


def read_outline(path: Path) -> Waveform:
    """A recording's outline.

    Raises:
        AudioError: It cannot be read, or is none of a conversation.
    """
    with _opened(path) as sound:
        return outline(_blocks(sound), sound.frames, sound.samplerate)


def compress(path: Path, to: Path | BinaryIO) -> None:
    """Write a recording as Ogg Opus.

    Raises:
        AudioError: It cannot be read or written.
    """
    import soundfile

    from realtime_core.resample import StreamingResampler

    with _opened(path) as sound:
        rate_hz = sound.samplerate if sound.samplerate in OPUS_RATES_HZ else OTHER_RATE_HZ
        resampler = StreamingResampler(sound.samplerate, rate_hz, sound.channels)
        with soundfile.SoundFile(
            to,
            "w",
            rate_hz,
            sound.channels,
            format="OGG",
            subtype="OPUS",
            compression_level=COMPRESSION,
        ) as out:
            for block in _blocks(sound):
                out.write(resampler.push(block))
            out.write(resampler.flush())


def as_base64(path: Path) -> str:
    """A recording as Ogg Opus, for the page.

    Raises:
        AudioError: It cannot be read.
    """
    buffer = io.BytesIO()
    compress(path, buffer)
    return base64.b64encode(buffer.getvalue()).decode()


def relative_url(path: Path, folder: Path) -> str | None:
    """How a page in a folder names a file below it; None for a file that lies elsewhere."""
    path, folder = path.resolve(), folder.resolve()
    if not path.is_relative_to(folder):
        return None
    return quote(path.relative_to(folder).as_posix())


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    import soundfile

    try:
        with soundfile.SoundFile(path) as sound:
            if sound.channels > MOST_CHANNELS:
                raise AudioError(f"{path.name} has {sound.channels} channels; at most 2 make sense")
            yield sound
    except (soundfile.LibsndfileError, OSError, ValueError) as exc:
        raise AudioError(f"{path.name} cannot be read: {exc}") from exc


def _blocks(sound: Any) -> Iterator[Samples]:
    while len(block := sound.read(BLOCK_FRAMES, dtype="int16", always_2d=True)):
        yield np.ascontiguousarray(block)
