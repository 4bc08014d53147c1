"""Sound files that are written: what all formats have in common.

A file grows under a name of its own beside the final one, ``answer.3f9c01.part.wav`` for
``answer.wav``, and gets the final name when it is closed as complete: who sees the final name sees
a whole file, and two processes that write the same file do not disturb each other.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from realtime_core.errors import AudioError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_core.audio import Pcm16

__all__ = ["SoundWriter", "make_sound_writer", "require_sound_name"]

SUFFIXES = (".wav", ".flac", ".ogg", ".opus")
OPUS_SUFFIXES = (".ogg", ".opus")
OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)


def require_sound_name(path: str | os.PathLike[str], rate_hz: int) -> Path:
    """The path, if audio of this rate can be written under that name.

    Raises:
        UserError: The name ends in no format that is written, or the format has no such rate.
    """
    result = Path(path)
    suffix = result.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(
            f"cannot write audio to {str(path)!r}: the name must end in {_listed(SUFFIXES)}"
        )
    if suffix in OPUS_SUFFIXES and rate_hz not in OPUS_RATES_HZ:
        raise UserError(
            f"cannot write {str(path)!r} at {rate_hz} Hz: Opus has "
            f"{_listed([str(rate) for rate in OPUS_RATES_HZ])} Hz"
        )
    return result


def make_sound_writer(path: Path, rate_hz: int, channels: int) -> SoundWriter:
    """Create a file in the format that its name says.

    Args:
        path: The final name, from `require_sound_name`.
        rate_hz: Samples per second.
        channels: How many channels.

    Raises:
        AudioError: The file cannot be created there.
    """
    if path.suffix.lower() == ".wav":
        from realtime_audio_plugins.wav_writer import WavWriter

        return WavWriter(path, rate_hz, channels)
    from realtime_audio_plugins.encoded_writer import EncodedWriter

    return EncodedWriter(path, rate_hz, channels)


class SoundWriter(ABC):
    """A growing sound file. A subclass writes its format."""

    def __init__(self, path: Path, rate_hz: int, channels: int) -> None:
        """Name the file; a subclass creates it.

        Args:
            path: The final name.
            rate_hz: Samples per second.
            channels: How many channels.
        """
        self.path = path
        suffix = path.suffix.lower()
        self.partial_path = path.with_name(f"{path.stem}.{secrets.token_hex(3)}.part{suffix}")
        self.rate_hz = rate_hz
        self.sample_count = 0
        """Samples per channel written."""
        self._channels = channels
        self._failure: AudioError | None = None
        self._is_closed = False

    @property
    def channels(self) -> int:
        """How many channels the file has. May be set while the file has no samples."""
        return self._channels

    @channels.setter
    def channels(self, channels: int) -> None:
        if self.sample_count:
            raise UserError(f"{str(self.path)!r} has {self._channels} channels already")
        self._channels = channels

    @abstractmethod
    def write(self, samples: Pcm16, *, settled: int | None = None) -> None:
        """Append samples.

        Args:
            samples: int16, shape (n, channels).
            settled: How many samples of the whole file `cut_to` will never drop; None: all.

        Raises:
            AudioError: The disk is full, or the file would exceed what the format can hold.
        """

    @abstractmethod
    def cut_to(self, sample_count: int) -> None:
        """Drop what comes after that many samples per channel.

        Raises:
            AudioError: The file cannot be written to.
        """

    def close(self, *, complete: bool) -> None:
        """Close the file, and give it its final name if it is complete.

        A file that is not complete keeps its temporary name; without samples it is removed.

        Raises:
            AudioError: The file could not be completed, now or before; what there is keeps its
                temporary name.
        """
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._finish(complete=complete and self._failure is None)
        except AudioError as exc:
            # A disk that is full has been told by `write`; closing repeats the attempt to write.
            self._failure = self._failure or exc
        if complete and self._failure is None:
            try:
                self.partial_path.replace(self.path)
            except OSError as exc:
                raise self._error(exc) from exc
            return
        if not self.sample_count:
            with contextlib.suppress(OSError):
                self.partial_path.unlink()
        if complete and self._failure is not None:
            raise self._failure

    @abstractmethod
    def _finish(self, *, complete: bool) -> None:
        """Write what is held, and close the file itself, whatever happens.

        Raises:
            AudioError: Something could not be written.
        """

    @contextlib.contextmanager
    def _creating(self) -> Iterator[None]:
        """Say what is wrong when the file cannot be created."""
        try:
            if self.path.is_dir():
                raise AudioError(f"cannot write {str(self.path)!r}: it is a directory")
            yield
        except FileNotFoundError as exc:
            raise AudioError(
                f"cannot write {str(self.path)!r}: "
                f"the directory {str(self.path.parent)!r} does not exist"
            ) from exc
        except (OSError, ValueError) as exc:
            raise self._error(exc) from exc

    def _require_open(self) -> None:
        if self._is_closed:
            raise UserError(f"{str(self.path)!r} is closed")

    def _error(self, exc: Exception) -> AudioError:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        return AudioError(f"cannot write {str(self.path)!r}: {reason.lower().rstrip('.')}")


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
