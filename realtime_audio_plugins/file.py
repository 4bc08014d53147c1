"""Audio from files and into files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from realtime_audio_plugins.sound_span import SoundSpan
from realtime_audio_plugins.sound_writer import make_sound_writer, require_sound_name
from realtime_core.audio import AudioFrame, AudioSink, AudioSource
from realtime_core.errors import AudioError, UserError

if TYPE_CHECKING:
    import os

    from realtime_audio_plugins.sound_reader import SoundReader
    from realtime_audio_plugins.sound_writer import SoundWriter

__all__ = ["FileSink", "FileSource"]


class FileSource(AudioSource):
    """Audio from a file in any format that libsndfile reads, in blocks of 100 ms.

    A file that was cut short (the network broke, the disk was full) is read to its end, with a
    warning in the log. A WAV file that never got its length (a stream, a recording still running)
    is read to its end too, without. Not read is what is no regular file, has less than 1 kHz, more
    than 768 kHz, or more than 64 channels.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Name the file; `open` looks at it.

        Args:
            path: The file.
        """
        self.path = Path(path)
        self._reader: SoundReader | None = None
        self._position = 0

    @property
    def rate_hz(self) -> int:
        """The file's rate. Raises `UserError` while not open."""
        return self._opened().rate_hz

    @property
    def channels(self) -> int:
        """The file's number of channels. Raises `UserError` while not open."""
        return self._opened().channels

    @property
    def duration_s(self) -> float | None:
        """How long the file plays, in seconds; None while not open, or when it does not say.

        For a WAV file what is there counts, not what the header promises.
        """
        return None if self._reader is None else self._reader.duration_s

    async def open(self) -> None:
        """Open the file and decode its first block.

        Raises:
            AudioError: There is no such file, it is no audio, it has no samples, or it is beyond
                the limits above.
        """
        if self._reader is None:
            from realtime_audio_plugins.sound_reader import SoundReader

            self._reader = SoundReader(self.path)
            self._position = 0

    async def read(self) -> AudioFrame | None:
        """The next 100 ms (the last frame may be shorter), or None at the end.

        Reading is done in the event loop: a block takes some 20 microseconds from a local disk.
        """
        # The loop gets its turn before the block is taken: cancelled here, nothing is lost.
        await asyncio.sleep(0)
        reader = self._opened()
        block = reader.read_block()
        if not len(block):
            return None
        frame = AudioFrame(block, reader.rate_hz, self._position)
        self._position += len(block)
        return frame

    async def close(self) -> None:
        """Close the file. Opened again it begins at its start."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _opened(self) -> SoundReader:
        if self._reader is None:
            raise UserError(f"{str(self.path)!r} is not open")
        return self._reader


class FileSink(AudioSink):
    """A WAV, FLAC or Ogg Opus file of 16 bits, with as many channels as the first frame has.

    The name says the format: ``.wav``, ``.flac``, ``.ogg`` or ``.opus``. While it is written it has
    a temporary name, see `partial_path`. The final name appears when it is closed as complete; a
    file that was there under this name is then replaced. When nothing was heard a WAV file has no
    samples, the others 20 ms of silence.

    A WAV file plays at every moment, even if the process is killed. Of the others, about the last
    second is then missing, and the file does not tell its length (`FileSource` reads it).

    With `skip_silence` what lies before the first sound is left out except for its last 100 ms,
    and what lies after the last sound except for the first 200 ms, so that the time spent waiting
    for an answer is not in it. Sound is what exceeds -60 dB of full scale; pauses stay.
    """

    def __init__(
        self, path: str | os.PathLike[str], rate_hz: int = 24_000, *, skip_silence: bool = True
    ) -> None:
        """Name the file; `open` creates it.

        Args:
            path: The final name; its end is the format.
            rate_hz: Samples per second; frames must have this rate. Opus has 8, 12, 16, 24, 48 kHz.
            skip_silence: Leave out silence at both ends.

        Raises:
            UserError: The name ends in something else, or the format has no such rate.
        """
        self.path = require_sound_name(path, rate_hz)
        self.rate_hz: int = rate_hz
        self._skip_silence = skip_silence
        self._span = self._new_span()
        self._writer: SoundWriter | None = None
        self._played_samples = 0
        self._partial_path: Path | None = None

    @property
    def partial_path(self) -> Path | None:
        """The temporary name, ``answer.3f9c01.part.wav`` for ``answer.wav``; None before `open`.

        After ``close(complete=False)`` the file is still there if anything was heard.
        """
        return self._partial_path

    @property
    def played_samples(self) -> int:
        """How many samples came, silence that is left out included."""
        return self._played_samples

    @property
    def duration_s(self) -> float:
        """How long the file will play when closed now, in seconds."""
        return self._span.kept_samples / self.rate_hz

    async def open(self) -> None:
        """Create the file under its temporary name.

        Raises:
            AudioError: The directory is missing or cannot be written to.
        """
        if self._writer is None:
            self._writer = make_sound_writer(self.path, self.rate_hz, 1)
            self._partial_path = self._writer.partial_path
            self._span = self._new_span()
            self._played_samples = 0

    async def write(self, frame: AudioFrame) -> None:
        """Store a frame; in a WAV file it is on disk when this returns.

        Raises:
            AudioError: The disk is full.
            UserError: The frame has another rate, or another number of channels than the first.
        """
        writer = self._opened()
        if frame.rate_hz != self.rate_hz:
            raise UserError(
                f"{str(self.path)!r} is written at {self.rate_hz} Hz, not {frame.rate_hz} Hz"
            )
        if not self._played_samples:
            writer.channels = frame.channels
        if frame.channels != writer.channels:
            raise UserError(
                f"{str(self.path)!r} has {writer.channels} channels, the frame {frame.channels}"
            )
        to_store = self._span.push(frame.samples)
        if len(to_store):
            writer.write(to_store, settled=self._span.kept_samples)
        self._played_samples += len(frame.samples)

    def clear(self) -> None:
        """Nothing: what is in the file counts as heard."""

    async def drain(self) -> None:
        """Nothing: what was written is stored, to the last sample when the file is closed."""

    async def close(self, *, complete: bool = True) -> None:
        """Close the file and give it its final name.

        Raises:
            AudioError: The file could not be completed; it keeps its temporary name.
        """
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            writer.cut_to(self._span.kept_samples)
        except AudioError:
            writer.close(complete=False)
            if complete:
                raise
            return
        writer.close(complete=complete)

    def _opened(self) -> SoundWriter:
        if self._writer is None:
            raise UserError(f"{str(self.path)!r} is not open")
        return self._writer

    def _new_span(self) -> SoundSpan:
        if not self._skip_silence:
            return SoundSpan.everything()
        return SoundSpan(before=self.rate_hz // 10, after=self.rate_hz // 5)
