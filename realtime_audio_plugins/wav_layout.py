"""What a WAV file's header promises, compared with what is there.

libsndfile reads a file that was cut short as if it were meant to end there, and one whose writer
never came back to fill in the length as if it were empty (both seen with 1.2.2). Here the
difference is made out.
"""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import WriteableBuffer

__all__ = ["RelabelledWav", "WavData", "find_wav_data"]

_CHUNK_HEADER = struct.Struct("<4sI")
_MAX_CHUNKS = 1000
_STREAMED_MIN_BYTES = 0x7FFF0000
"""From here on the length is no length: what cannot seek back to fill it in writes 0x7FFFF000
(SoX), 0x80000000 (arecord) or 0xFFFFFFFF (FFmpeg)."""


@dataclass(frozen=True, slots=True)
class WavData:
    """The data chunk of a WAV file."""

    start: int
    """Where the samples begin, in bytes from the file's start."""
    declared_bytes: int
    """How long the header says it is."""
    present_bytes: int
    """How much of the file is left from `start` on."""
    is_unlabelled: bool
    """Whether the header says 0, while what follows can only be samples."""

    @property
    def is_cut_short(self) -> bool:
        """Whether samples are missing at the end. False for a stream of unknown length."""
        return (
            self.declared_bytes > self.present_bytes and self.declared_bytes < _STREAMED_MIN_BYTES
        )


def find_wav_data(path: Path) -> WavData | None:
    """The data chunk; None when this is no RIFF WAV file or has no such chunk.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        intro = file.read(12)
        if intro[:4] != b"RIFF" or intro[8:12] != b"WAVE":
            return None
        for _ in range(_MAX_CHUNKS):
            name, length = _read_chunk_header(file)
            start = file.tell()
            if name == b"data":
                is_unlabelled = length == 0 and start < size and not _has_chunk(file, size)
                return WavData(start, length, size - start, is_unlabelled)
            if not name or start + length > size:
                return None
            file.seek(start + length + length % 2)
    return None


class RelabelledWav(io.FileIO):
    """A WAV file whose data chunk reads as reaching to the file's end."""

    def __init__(self, path: Path, data: WavData) -> None:
        """Open the file.

        Args:
            path: The file.
            data: Its data chunk.

        Raises:
            OSError: The file cannot be read.
        """
        super().__init__(path, "rb")
        self._length_at = data.start - 4
        self._length = struct.pack("<I", min(data.present_bytes, 0xFFFFFFFF))

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read as a file does; the bytes of the chunk's length are replaced."""
        begin = self.tell()
        count = super().readinto(buffer) or 0
        view = memoryview(buffer).cast("B")
        for offset, byte in enumerate(self._length, self._length_at):
            if begin <= offset < begin + count:
                view[offset - begin] = byte
        return count


def _read_chunk_header(file: BinaryIO) -> tuple[bytes, int]:
    header = file.read(_CHUNK_HEADER.size)
    if len(header) < _CHUNK_HEADER.size:
        return b"", 0
    name, length = _CHUNK_HEADER.unpack(header)
    return name, length


def _has_chunk(file: BinaryIO, size: int) -> bool:
    """Whether a chunk that fits into the file begins here. Samples hardly ever look like one."""
    name, length = _read_chunk_header(file)
    return (
        len(name) == 4
        and name.isascii()
        and name.decode().isprintable()
        and (file.tell() + length <= size)
    )
