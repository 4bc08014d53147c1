"""Audio files through libsndfile, as 16-bit blocks. Loads soundfile: import it when used."""

from __future__ import annotations

import logging
import stat
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from realtime_audio_plugins.wav_layout import RelabelledWav, WavData, find_wav_data
from realtime_core.errors import AudioError

if TYPE_CHECKING:
    from pathlib import Path

    from realtime_core.audio import Pcm16

__all__ = ["SoundReader"]

_logger = logging.getLogger(__name__)

_BLOCKS_PER_SECOND = 10
_BLOCKS_READ_AHEAD = 2
"""Of what cannot fail to be decoded: a call of soundfile costs as much as 2,000 samples."""
_MIN_RATE_HZ = 1_000
_MAX_RATE_HZ = 768_000
_MAX_CHANNELS = 64
_UNKNOWN_LENGTH = 2**62
"""libsndfile gives a number near 2**63 for a stream whose header does not tell its length."""
_EXACT_AS_16_BIT = frozenset({"PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW"})
"""What fits into 16 bits. All else is read as float and rounded here, because libsndfile cuts off
the lower bits of 24, does not scale float and wraps what is too loud."""


class SoundReader:
    """An open audio file, read from start to end in blocks of 100 ms."""

    def __init__(self, path: Path) -> None:
        """Open the file and decode its first block.

        Raises:
            AudioError: There is no such file, it is no audio, has no samples, or its rate or
                number of channels is out of bounds.
        """
        self._path = path
        self._position = 0
        self._is_cut_short_told = False
        with ExitStack() as resources:
            _require_regular_file(path)
            data = _look_at(path)
            self._file = resources.enter_context(_open_soundfile(path, data, resources))
            self._require_within_limits()
            self._blocks: deque[Pcm16] = deque()
            self._decode_blocks()
            if not len(self._blocks[0]):
                raise AudioError(f"{str(path)!r} has no audio: not one sample is in it")
            self._resources = resources.pop_all()
        if data is not None and data.is_cut_short and self.duration_s is not None:
            expected_s = self.duration_s * data.declared_bytes / data.present_bytes
            self._warn_cut_short(expected_s, self.duration_s)

    @property
    def rate_hz(self) -> int:
        """Samples per second."""
        return int(self._file.samplerate)

    @property
    def channels(self) -> int:
        """How many channels."""
        return int(self._file.channels)

    @property
    def duration_s(self) -> float | None:
        """How long the file plays, in seconds; None when it does not say."""
        frames = int(self._file.frames)
        return None if frames >= _UNKNOWN_LENGTH else frames / self.rate_hz

    def read_block(self) -> Pcm16:
        """The next 100 ms, less at the end, nothing after it; int16, shape (n, channels)."""
        if not self._blocks:
            self._decode_blocks()
        return self._blocks.popleft()

    def close(self) -> None:
        """Close the file. Closing twice is fine."""
        self._resources.close()

    def _require_within_limits(self) -> None:
        if not _MIN_RATE_HZ <= self.rate_hz <= _MAX_RATE_HZ:
            raise AudioError(
                f"{str(self._path)!r} has a rate of {self.rate_hz} Hz; "
                f"{_MIN_RATE_HZ} to {_MAX_RATE_HZ} Hz can be read"
            )
        if self.channels > _MAX_CHANNELS:
            raise AudioError(
                f"{str(self._path)!r} has {self.channels} channels; "
                f"up to {_MAX_CHANNELS} can be read"
            )

    def _decode_blocks(self) -> None:
        """Get at least one block, which is empty at the end."""
        size = self.rate_hz // _BLOCKS_PER_SECOND
        count = _BLOCKS_READ_AHEAD if self._file.subtype in _EXACT_AS_16_BIT else 1
        block = self._decode_block(size * count)
        self._blocks.extend(block[at : at + size] for at in range(0, max(1, len(block)), size))

    def _decode_block(self, size: int) -> Pcm16:
        try:
            block = _decode(self._file, size)
        except soundfile.LibsndfileError as exc:
            _logger.warning("%r cannot be decoded further: %s", str(self._path), _reason(exc))
            block = np.zeros((0, self.channels), np.int16)
        self._position += len(block)
        if len(block) < size:
            self._check_end()
        return block

    def _check_end(self) -> None:
        """Tell, once, that less could be decoded than the header of a compressed file says."""
        is_cut_short = 0 < self._position < self._file.frames < _UNKNOWN_LENGTH
        if is_cut_short and not self._is_cut_short_told and self.duration_s is not None:
            self._is_cut_short_told = True
            self._warn_cut_short(self.duration_s, self._position / self.rate_hz)

    def _warn_cut_short(self, expected_s: float, found_s: float) -> None:
        name = str(self._path)
        _logger.warning("%r is cut short: %.2f s expected, %.2f s found", name, expected_s, found_s)


class _ForwardFile(soundfile.SoundFile):  # type: ignore[misc] # it ships no types
    """A file that is only read onward.

    After each block soundfile seeks to where the file stands anyway, if it can. libsndfile's MP3
    decoder then starts anew and gets the next samples wrong (soundfile 0.14, libsndfile 1.2.2).
    """

    def seekable(self) -> bool:
        return False


def _require_regular_file(path: Path) -> None:
    """Refuse what would block or make no sense before anything opens it."""
    try:
        status = path.stat()
    except FileNotFoundError as exc:
        raise AudioError(f"{str(path)!r}: no such file") from exc
    except (OSError, ValueError) as exc:
        raise AudioError(f"cannot read {str(path)!r}: {_reason(exc)}") from exc
    if stat.S_ISDIR(status.st_mode):
        raise AudioError(f"{str(path)!r} is a directory, not an audio file")
    if not stat.S_ISREG(status.st_mode):
        raise AudioError(f"{str(path)!r} is not a regular file")
    if not status.st_size:
        raise AudioError(f"{str(path)!r} is empty")


def _look_at(path: Path) -> WavData | None:
    try:
        return find_wav_data(path)
    except OSError as exc:
        raise AudioError(f"cannot read {str(path)!r}: {_reason(exc)}") from exc


def _open_soundfile(path: Path, data: WavData | None, resources: ExitStack) -> _ForwardFile:
    file: Path | RelabelledWav = path
    try:
        if data is not None and data.is_unlabelled:
            file = resources.enter_context(RelabelledWav(path, data))
        return _ForwardFile(file)
    except (OSError, TypeError, soundfile.LibsndfileError) as exc:
        # TypeError: soundfile wants to be told the rate of what is called .raw.
        raise AudioError(f"{str(path)!r} cannot be read as audio: {_reason(exc)}") from exc


def _decode(file: soundfile.SoundFile, size: int) -> Pcm16:
    samples: Pcm16
    if file.subtype in _EXACT_AS_16_BIT:
        samples = file.read(size, dtype="int16", always_2d=True)
        return samples
    scaled = file.read(size, dtype="float32", always_2d=True) * np.float32(32768)
    rounded = np.nan_to_num(np.rint(scaled), nan=0.0, posinf=32767, neginf=-32768)
    samples = np.clip(rounded, -32768, 32767).astype(np.int16)
    return samples


def _reason(exc: Exception) -> str:
    """What went wrong, in one line without a full stop."""
    text = getattr(exc, "error_string", None) or getattr(exc, "strerror", None) or str(exc)
    return " ".join(str(text).split()).rstrip(".").lower()
