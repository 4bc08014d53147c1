"""A conversation as it was heard, in one file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from realtime_audio_plugins.sound_span import SILENCE_PEAK
from realtime_audio_plugins.sound_writer import make_sound_writer, require_sound_name
from realtime_core.errors import AudioError, UserError
from realtime_core.resample import StreamingResampler

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from realtime_audio_plugins.sound_writer import SoundWriter
    from realtime_core.audio import AudioFrame, Pcm16

__all__ = ["MixedRecorder", "StereoRecorder"]

_JITTER_S = 0.04
"""Frames that follow each other are written without a gap as long as their times deviate less."""
_MAX_LEAD_S = 2.0
"""How much of one side is held in memory while nothing comes from the other."""


class ConversationRecorder(ABC):
    """Puts what was sent and what was heard on one time line. A subclass says in which channels.

    An `AudioTap`. The time line begins with the first frame of either side. Where a side has no
    audio it is silent. A side whose audio came in a burst, ahead of its time, is moved back into
    place, to within 40 ms, at its next silence. Files are written as `FileSink` writes them, in the
    same formats: under a temporary name until closed as complete; WAV is valid at every moment. At
    most two seconds are held in memory.
    """

    _channels: ClassVar[int]

    def __init__(self, path: str | os.PathLike[str], rate_hz: int = 24_000) -> None:
        """Name the file; `open` creates it.

        Args:
            path: The final name; its end is the format, as for `FileSink`.
            rate_hz: Samples per second of the file; both sides are resampled to it.

        Raises:
            UserError: The name ends in something else, or the format has no such rate.
        """
        self.path = require_sound_name(path, rate_hz)
        self.rate_hz = rate_hz
        self._left = _Lane(rate_hz)
        self._right = _Lane(rate_hz)
        self._begin_s: float | None = None
        self._writer: SoundWriter | None = None
        self._partial_path: Path | None = None
        self._failure: AudioError | None = None

    @property
    def partial_path(self) -> Path | None:
        """The temporary name, as for `FileSink`; None before `open`."""
        return self._partial_path

    @property
    def duration_s(self) -> float:
        """How long the file plays, in seconds: to within 0.1 s until closed, then exactly.

        That may be more than the times of the frames say: audio that came in a burst plays on.
        """
        return max(self._left.end, self._right.end) / self.rate_hz

    def open(self) -> None:
        """Create the file. Opening twice is fine.

        Raises:
            AudioError: The directory is missing or cannot be written to.
        """
        if self._writer is None:
            self._writer = make_sound_writer(self.path, self.rate_hz, self._channels)
            self._partial_path = self._writer.partial_path

    def sent(self, frame: AudioFrame, at_s: float) -> None:
        """Record a frame of the user's. See `AudioTap.sent`.

        Raises:
            AudioError: The disk is full; told once, after which frames are ignored.
        """
        self._record(self._left, frame, at_s)

    def heard(self, frame: AudioFrame, at_s: float) -> None:
        """Record a frame of the agent's. Otherwise as `sent`."""
        self._record(self._right, frame, at_s)

    def close(self, *, complete: bool = True) -> None:
        """Write what is held and give the file its final name. Closing twice is fine.

        Args:
            complete: False when the conversation ended early by a failure; the file then keeps
                its temporary name.

        Raises:
            AudioError: The file could not be completed, now or before; it keeps its temporary
                name.
        """
        if self._writer is None:
            return
        failure = self._failure
        if failure is None:
            try:
                self._finish()
            except AudioError as exc:
                failure = exc
        writer, self._writer = self._writer, None
        writer.close(complete=complete and failure is None)
        if failure is not None and complete:
            raise failure

    def _record(self, lane: _Lane, frame: AudioFrame, at_s: float) -> None:
        if self._writer is None:
            raise UserError(f"{str(self.path)!r} is not open")
        if self._failure is not None:
            return
        if self._begin_s is None:
            self._begin_s = at_s
        lane.push(frame, at_s - self._begin_s)
        try:
            self._write_common()
        except AudioError as exc:
            self._failure = exc
            raise

    def _write_common(self) -> None:
        """Write as far as both sides are known, or presumed silent."""
        known_until = max(self._left.end, self._right.end) - round(_MAX_LEAD_S * self.rate_hz)
        for lane in (self._left, self._right):
            lane.pad_to(known_until)
        self._write(min(self._left.held, self._right.held))

    def _finish(self) -> None:
        for lane in (self._left, self._right):
            lane.flush()
        end = max(self._left.end, self._right.end)
        for lane in (self._left, self._right):
            lane.pad_to(end)
        self._write(self._left.held)

    def _write(self, count: int) -> None:
        if self._writer is None:
            return
        while count > 0:
            piece = min(count, self.rate_hz)
            self._writer.write(self._combine(self._left.take(piece), self._right.take(piece)))
            count -= piece

    @staticmethod
    @abstractmethod
    def _combine(sent: Pcm16, heard: Pcm16) -> Pcm16:
        """The file's samples: from two of shape (n,), one of shape (n, channels)."""


class StereoRecorder(ConversationRecorder):
    """Writes what was sent to the left channel and what was heard to the right, on one time line.

    Otherwise see `ConversationRecorder`.
    """

    _channels = 2

    @staticmethod
    def _combine(sent: Pcm16, heard: Pcm16) -> Pcm16:
        return np.stack([sent, heard], axis=1)


class MixedRecorder(ConversationRecorder):
    """Writes what was sent and what was heard into one channel, added up and clipped.

    Otherwise see `ConversationRecorder`.
    """

    _channels = 1

    @staticmethod
    def _combine(sent: Pcm16, heard: Pcm16) -> Pcm16:
        total = np.clip(sent.astype(np.int32) + heard, -32_768, 32_767)
        mixed: Pcm16 = total.astype(np.int16).reshape(-1, 1)
        return mixed


class _Lane:
    """One side's audio on the time line, mono, at the file's rate."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._resampler: StreamingResampler | None = None
        self._input_end_s = 0.0
        self._blocks: deque[Pcm16] = deque()
        self.held = 0
        """How many samples wait to be taken."""
        self.end = 0
        """Where the next sample will lie on the time line."""

    def push(self, frame: AudioFrame, at_s: float) -> None:
        """Add a frame that belongs at this time, or after what is there already."""
        if at_s - self._input_end_s > _JITTER_S:
            self.flush()
            self.pad_to(round(at_s * self._rate_hz))
            self._input_end_s = at_s
        mono = frame.to_mono()
        is_ahead = self._input_end_s - at_s > _JITTER_S
        if is_ahead and not (np.abs(mono.astype(np.int32)) > SILENCE_PEAK).any():
            return
        if self._resampler is None or self._resampler.in_rate_hz != frame.rate_hz:
            self.flush()
            self._resampler = StreamingResampler(frame.rate_hz, self._rate_hz)
        self._append(self._resampler.push(mono.reshape(-1, 1))[:, 0])
        self._input_end_s += frame.duration_s

    def pad_to(self, end: int) -> None:
        """Add silence up to a place on the time line, unless something lies there already."""
        if end > self.end:
            self.flush()
        if end > self.end:
            # A view of one zero: hours of silence take no memory.
            self._append(np.broadcast_to(np.zeros(1, np.int16), (end - self.end,)))
            self._input_end_s = max(self._input_end_s, self.end / self._rate_hz)

    def flush(self) -> None:
        """Add what the resampler holds."""
        if self._resampler is not None:
            self._append(self._resampler.flush()[:, 0])

    def take(self, count: int) -> Pcm16:
        """Return and forget the oldest samples, of which there must be so many."""
        pieces: list[Pcm16] = []
        self.held -= count
        while count:
            block = self._blocks.popleft()
            if len(block) > count:
                self._blocks.appendleft(block[count:])
            pieces.append(block[:count])
            count -= len(pieces[-1])
        return np.concatenate(pieces)

    def _append(self, samples: Pcm16) -> None:
        if len(samples):
            self._blocks.append(samples)
            self.held += len(samples)
            self.end += len(samples)
