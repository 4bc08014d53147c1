"""The sink ``parts``: numbered WAV files, for what picks files up as they come."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import ClassVar

from pydantic import Field
from realtime_core.audio import AudioFrame, AudioSink
from realtime_core.errors import AudioError
from realtime_core.specs import SpecOptions

RATE_HZ = 24_000


class PartsOptions(SpecOptions):
    """What may be written behind ``parts``."""

    spec_argument: ClassVar[str | None] = "folder"

    folder: str = Field(
        min_length=1, description="where the files go", examples=["'parts:answers'"]
    )
    seconds: float = Field(10.0, gt=0, le=3_600, description="the length of each file")


class PartsSink(AudioSink):
    """Writes ``0001.wav``, ``0002.wav`` …; a file has this name once it is complete."""

    rate_hz = RATE_HZ
    """Transports resample to this, so every frame has it."""

    def __init__(self, folder: str | Path, *, part_s: float = 10.0) -> None:
        """Set the place; nothing is written before `open`."""
        self._folder = Path(folder)
        self._part_samples = max(1, round(part_s * RATE_HZ))
        self._part: wave.Wave_write | None = None
        self._part_count = 0
        self._is_open = False
        self._written = 0

    @property
    def duration_s(self) -> float | None:
        """How much has come."""
        return self._written / RATE_HZ

    async def open(self) -> None:
        """Make the folder."""
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as exc:
            raise AudioError(f"{self._folder} cannot be written to: {exc.strerror}") from exc
        self._is_open = True

    async def write(self, frame: AudioFrame) -> None:
        """Append the frame, to as many files as it takes."""
        if not self._is_open or frame.rate_hz != RATE_HZ:
            raise AudioError(f"an open sink takes frames of {RATE_HZ} Hz, not {frame.rate_hz} Hz")
        samples = frame.to_mono()
        # A few kilobytes to a local disk. What takes longer belongs in `asyncio.to_thread`.
        try:
            while len(samples):
                part = self._part or self._begin_part()
                room = self._part_samples - part.getnframes()
                part.writeframesraw(samples[:room].astype("<i2").tobytes())
                self._written += len(samples[:room])
                samples = samples[room:]
                if part.getnframes() == self._part_samples:
                    self._end_part()
        except OSError as exc:
            raise AudioError(f"{self._folder} cannot be written to: {exc.strerror}") from exc

    def clear(self) -> None:
        """Nothing: what was written is stored, which counts as heard."""

    async def drain(self) -> None:
        """Nothing: `write` has stored it."""

    @property
    def played_samples(self) -> int:
        """All that was written."""
        return self._written

    async def close(self, *, complete: bool = True) -> None:
        """Finish the last file; after a failure it keeps its temporary name."""
        self._is_open = False
        if self._part is not None:
            self._end_part(is_complete=complete)

    def _begin_part(self) -> wave.Wave_write:
        self._part_count += 1
        self._part = wave.open(str(self._path(".wav.part")), "wb")  # noqa: SIM115 - `_end_part` closes
        self._part.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        return self._part

    def _end_part(self, *, is_complete: bool = True) -> None:
        part, self._part = self._part, None
        if part is not None:
            part.close()
        if is_complete:
            self._path(".wav.part").replace(self._path(".wav"))

    def _path(self, suffix: str) -> Path:
        return self._folder / f"{self._part_count:04}{suffix}"


def make_parts(options: PartsOptions) -> PartsSink:
    """Make the sink that the options describe."""
    return PartsSink(options.folder, part_s=options.seconds)
