"""WAV files that are valid at every moment."""

from __future__ import annotations

import contextlib
import os
import struct
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from realtime_audio_plugins.sound_writer import SoundWriter
from realtime_core.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from realtime_core.audio import Pcm16

__all__ = ["WavWriter"]

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_MAX_DATA_BYTES = 0xFFFFFFFF - _HEADER.size
_SAMPLE_BYTES = 2


class WavWriter(SoundWriter):
    """A growing WAV file of 16 bits a sample.

    Each `write` puts the samples on disk and then corrects the header: a process that is killed
    leaves a file that plays.
    """

    def __init__(self, path: Path, rate_hz: int, channels: int) -> None:
        """Create the file.

        Args:
            path: The final name.
            rate_hz: Samples per second.
            channels: How many channels.

        Raises:
            AudioError: The file cannot be created there.
        """
        super().__init__(path, rate_hz, channels)
        with self._creating():
            self._file: BinaryIO = self.partial_path.open("xb")
        try:
            self._put(b"")
        except AudioError:
            self.close(complete=False)
            raise

    def write(self, samples: Pcm16, *, settled: int | None = None) -> None:  # noqa: ARG002 - all can be cut
        """Append samples. See `SoundWriter.write`."""
        data = np.ascontiguousarray(samples, dtype="<i2").tobytes()
        if self._data_bytes + len(data) > _MAX_DATA_BYTES:
            raise AudioError(f"{str(self.path)!r} would exceed 4 GiB, the most a WAV file can hold")
        self._put(data)

    def cut_to(self, sample_count: int) -> None:
        """Drop what comes after that many samples. See `SoundWriter.cut_to`."""
        if sample_count >= self.sample_count:
            return
        self.sample_count = sample_count
        self._put(b"")
        with self._writing() as file:
            file.truncate(_HEADER.size + self._data_bytes)

    @property
    def _frame_bytes(self) -> int:
        return _SAMPLE_BYTES * self._channels

    @property
    def _data_bytes(self) -> int:
        return self.sample_count * self._frame_bytes

    def _finish(self, *, complete: bool) -> None:  # noqa: ARG002 - it is whole at every moment
        try:
            self._file.close()
        except OSError as exc:
            raise self._error(exc) from exc

    def _put(self, data: bytes) -> None:
        """Append the data, then say so in the header: in this order the file is always valid."""
        with self._writing() as file:
            file.seek(0, os.SEEK_END)
            file.write(data)
            file.flush()
            self.sample_count += len(data) // self._frame_bytes
            file.seek(0)
            file.write(self._header())
            file.flush()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[BinaryIO]:
        self._require_open()
        try:
            yield self._file
        except OSError as exc:
            self._failure = self._error(exc)
            raise self._failure from exc

    def _header(self) -> bytes:
        return _HEADER.pack(
            b"RIFF",
            _HEADER.size - 8 + self._data_bytes,
            b"WAVE",
            b"fmt ",
            16,  # bytes in this chunk
            1,  # PCM
            self._channels,
            self.rate_hz,
            self.rate_hz * self._frame_bytes,
            self._frame_bytes,
            8 * _SAMPLE_BYTES,
            b"data",
            self._data_bytes,
        )
