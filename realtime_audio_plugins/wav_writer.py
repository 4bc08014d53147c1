"""WAV files that are valid at every moment, under a temporary name until they are complete."""

from __future__ import annotations

import contextlib
import os
import secrets
import struct
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from realtime_core.errors import AudioError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_core.audio import Pcm16

__all__ = ["WavWriter", "require_wav_name"]

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_MAX_DATA_BYTES = 0xFFFFFFFF - _HEADER.size
_SAMPLE_BYTES = 2


def require_wav_name(path: str | os.PathLike[str]) -> Path:
    """The path, if audio can be written under that name.

    Raises:
        UserError: The name ends in something other than ``.wav``.
    """
    result = Path(path)
    if result.suffix.lower() != ".wav":
        raise UserError(f"cannot write audio to {str(path)!r}: the name must end in .wav")
    return result


class WavWriter:
    """A growing WAV file of 16 bits a sample.

    It grows under a name of its own beside the final one, ``answer.3f9c01.part.wav`` for
    ``answer.wav``, and gets the final name when it is closed as complete. Each `write` puts the
    samples on disk and then corrects the header: a process that is killed leaves a file that
    plays, and two processes that write the same file do not disturb each other.
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
        self.path = path
        self.partial_path = path.with_name(f"{path.stem}.{secrets.token_hex(3)}.part.wav")
        self._rate_hz = rate_hz
        self._channels = channels
        self._data_bytes = 0
        self._failure: AudioError | None = None
        self._file: BinaryIO | None = self._create()
        try:
            self._put(b"")
        except AudioError:
            self.close(complete=False)
            raise

    @property
    def sample_count(self) -> int:
        """Samples per channel in the file."""
        return self._data_bytes // (_SAMPLE_BYTES * self._channels)

    @property
    def channels(self) -> int:
        """How many channels the file has. May be set while the file has no samples."""
        return self._channels

    @channels.setter
    def channels(self, channels: int) -> None:
        if self._data_bytes:
            raise UserError(f"{str(self.path)!r} has {self._channels} channels already")
        self._channels = channels

    def write(self, samples: Pcm16) -> None:
        """Append samples.

        Args:
            samples: int16, shape (n, channels).

        Raises:
            AudioError: The disk is full, or the file would exceed the 4 GiB of the format.
        """
        data = np.ascontiguousarray(samples, dtype="<i2").tobytes()
        if self._data_bytes + len(data) > _MAX_DATA_BYTES:
            raise AudioError(f"{str(self.path)!r} would exceed 4 GiB, the most a WAV file can hold")
        self._put(data)

    def cut_to(self, sample_count: int) -> None:
        """Drop what comes after that many samples per channel.

        Raises:
            AudioError: The file cannot be written to.
        """
        if sample_count >= self.sample_count:
            return
        self._data_bytes = sample_count * _SAMPLE_BYTES * self._channels
        self._put(b"")
        with self._writing() as file:
            file.truncate(_HEADER.size + self._data_bytes)

    def close(self, *, complete: bool) -> None:
        """Close the file, and give it its final name if it is complete.

        A file that is not complete keeps its temporary name; without samples it is removed.

        Raises:
            AudioError: The file could not be completed, now or before; what there is keeps its
                temporary name.
        """
        if self._file is None:
            return
        file, self._file = self._file, None
        if complete and self._failure is None:
            try:
                file.close()
                self.partial_path.replace(self.path)
            except OSError as exc:
                raise self._error(exc) from exc
            return
        # A disk that is full has been told by `write`; closing repeats the attempt to write.
        with contextlib.suppress(OSError):
            file.close()
        if not self._data_bytes:
            with contextlib.suppress(OSError):
                self.partial_path.unlink()
        if complete and self._failure is not None:
            raise self._failure

    def _create(self) -> BinaryIO:
        try:
            if self.path.is_dir():
                raise AudioError(f"cannot write {str(self.path)!r}: it is a directory")
            return self.partial_path.open("xb")
        except FileNotFoundError as exc:
            raise AudioError(
                f"cannot write {str(self.path)!r}: "
                f"the directory {str(self.path.parent)!r} does not exist"
            ) from exc
        except (OSError, ValueError) as exc:
            raise self._error(exc) from exc

    def _put(self, data: bytes) -> None:
        """Append the data, then say so in the header: in this order the file is always valid."""
        with self._writing() as file:
            file.seek(0, os.SEEK_END)
            file.write(data)
            file.flush()
            self._data_bytes += len(data)
            file.seek(0)
            file.write(self._header())
            file.flush()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[BinaryIO]:
        if self._file is None:
            raise UserError(f"{str(self.path)!r} is closed")
        try:
            yield self._file
        except OSError as exc:
            self._failure = self._error(exc)
            raise self._failure from exc

    def _header(self) -> bytes:
        frame_bytes = _SAMPLE_BYTES * self._channels
        return _HEADER.pack(
            b"RIFF",
            _HEADER.size - 8 + self._data_bytes,
            b"WAVE",
            b"fmt ",
            16,  # bytes in this chunk
            1,  # PCM
            self._channels,
            self._rate_hz,
            self._rate_hz * frame_bytes,
            frame_bytes,
            8 * _SAMPLE_BYTES,
            b"data",
            self._data_bytes,
        )

    def _error(self, exc: OSError | ValueError) -> AudioError:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        return AudioError(f"cannot write {str(self.path)!r}: {reason.lower()}")
