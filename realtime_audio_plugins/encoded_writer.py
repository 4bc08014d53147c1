"""FLAC and Ogg Opus files, through libsndfile. Loads soundfile: import it when used."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from realtime_audio_plugins.sound_writer import OPUS_SUFFIXES, SoundWriter
from realtime_core.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from realtime_core.audio import Pcm16

__all__ = ["EncodedWriter"]

_MAX_HELD_S = 10
"""How much that may yet be cut is held in memory as it is. More can only be the silence after a
sound; what exceeds this becomes digital silence of the same length."""


class EncodedWriter(SoundWriter):
    """A growing FLAC file of 16 bits, or Ogg Opus file.

    What is encoded cannot be taken back, so samples that may be cut are held until they are
    settled. A file without one sample is not readable in these formats: closed as complete, it gets
    20 ms of silence. What a killed process leaves can be read up to its last whole page (Ogg, about
    a second) or frame (FLAC, a fifth of a second), by programs that do not ask for its length.
    """

    def __init__(self, path: Path, rate_hz: int, channels: int) -> None:
        """Create the file.

        Args:
            path: The final name.
            rate_hz: Samples per second.
            channels: How many channels.

        Raises:
            AudioError: The file cannot be created there, or this libsndfile has no such format.
        """
        super().__init__(path, rate_hz, channels)
        is_opus = path.suffix.lower() in OPUS_SUFFIXES
        self._format, self._subtype = ("OGG", "OPUS") if is_opus else ("FLAC", "PCM_16")
        if not soundfile.check_format(self._format, self._subtype):
            raise AudioError(
                f"cannot write {str(path)!r}: libsndfile {soundfile.__libsndfile_version__} has no "
                f"{self._format} {self._subtype}"
            )
        self._held: deque[Pcm16] = deque()
        self._held_samples = 0
        self._more_silence = 0
        self._encoded_samples = 0
        self._file: soundfile.SoundFile | None = None
        with self._creating():
            # The number of channels may still change, so the encoder begins with the first sample.
            self.partial_path.open("xb").close()

    def write(self, samples: Pcm16, *, settled: int | None = None) -> None:
        """Append samples. See `SoundWriter.write`."""
        self._require_open()
        is_held = settled is not None and settled <= self.sample_count
        self.sample_count += len(samples)
        if is_held and self._held_samples >= _MAX_HELD_S * self.rate_hz:
            self._more_silence += len(samples)
            return
        if self._more_silence:
            # A view of one zero: hours of silence take no memory.
            shape = (self._more_silence, self._channels)
            self._hold(np.broadcast_to(np.zeros((1, 1), np.int16), shape))
            self._more_silence = 0
        self._hold(samples)
        self._encode_to(self.sample_count if settled is None else settled)

    def cut_to(self, sample_count: int) -> None:
        """Drop what comes after that many samples. See `SoundWriter.cut_to`.

        Raises:
            ValueError: They were called settled.
        """
        if sample_count < self._encoded_samples:
            raise ValueError(f"{self._encoded_samples - sample_count} samples are encoded already")
        self._encode_to(sample_count)
        self._held.clear()
        self._held_samples = self._more_silence = 0
        self.sample_count = min(self.sample_count, sample_count)

    def _finish(self, *, complete: bool) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._close_file)
            if self._failure is None:
                self._encode_to(self.sample_count)
            if complete and not self.sample_count:
                with self._encoding() as file:
                    file.write(np.zeros((self.rate_hz // 50, self._channels), np.int16))

    def _hold(self, samples: Pcm16) -> None:
        self._held.append(samples)
        self._held_samples += len(samples)

    def _encode_to(self, sample_count: int) -> None:
        """Encode what is held, up to that many samples of the whole file."""
        while self._held and self._encoded_samples < sample_count:
            block = self._held.popleft()
            size = min(len(block), sample_count - self._encoded_samples, self.rate_hz)
            if size < len(block):
                self._held.appendleft(block[size:])
            self._held_samples -= size
            with self._encoding() as file:
                file.write(np.ascontiguousarray(block[:size]))
            self._encoded_samples += size

    @contextlib.contextmanager
    def _encoding(self) -> Iterator[soundfile.SoundFile]:
        try:
            if self._file is None:
                self._file = soundfile.SoundFile(
                    self.partial_path,
                    "w",
                    samplerate=self.rate_hz,
                    channels=self._channels,
                    format=self._format,
                    subtype=self._subtype,
                )
            yield self._file
        except (OSError, AssertionError, soundfile.LibsndfileError) as exc:
            # AssertionError: soundfile's own check that all was written; a full disk fails it.
            self._failure = self._error(exc)
            raise self._failure from exc

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
        except soundfile.LibsndfileError as exc:
            raise self._error(exc) from exc
