"""The recordings of a job as one audio source: a question, silence while it is answered, and on."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from realtime_core.audio import AudioFrame, AudioSource, frame_from_mono
from realtime_core.batch.manifest import is_url
from realtime_core.errors import AudioError, UserError
from realtime_core.resample import RateConverter
from realtime_core.turn import SHORTEST_QUESTION_S

if TYPE_CHECKING:
    from realtime_core.batch.manifest import JobTurn
    from realtime_core.plugins import PluginManager

__all__ = ["QuestionError", "Questions", "open_questions"]

FRAME_S = 0.1

IDLE_S = 10.0
"""A source that has nothing for so long sends a bit of silence: transports tell of those that have
nothing for 30 s."""


FETCH_DEADLINE_S = 300.0
"""For a recording that is elsewhere."""


class QuestionError(AudioError):
    """A recording of a job cannot be read."""

    def __init__(self, message: str, *, turn: int | None = None) -> None:
        """Name the turn, from 1."""
        super().__init__(message)
        self.turn = turn


async def open_questions(
    turns: Sequence[JobTurn],
    plugins: PluginManager,
    *,
    folder: Path,
    silence_s: float,
    is_realtime: bool,
) -> Questions:
    """Open all recordings, so that none turns out to be bad in the middle of a conversation.

    Args:
        turns: The recordings.
        plugins: Make sources.
        folder: Where recordings from elsewhere are put for as long as they are needed.
        silence_s: Sent behind each question. What the transport holds back, 0.2 s, is of it.
        is_realtime: Whether the transport takes audio as it would be spoken.

    Raises:
        QuestionError: One cannot be read, or is too short for a turn.
    """
    questions = Questions(silence_s=silence_s, is_realtime=is_realtime)
    try:
        for number, turn in enumerate(turns, start=1):
            path = await _fetched(turn.audio, folder, number) if is_url(turn.audio) else turn.audio
            source = plugins.source(f"file:{path}")
            await source.open()
            questions.add(source)
            if source.duration_s is not None and source.duration_s < SHORTEST_QUESTION_S:
                raise QuestionError(
                    f"{turn.name} has {source.duration_s * 1000:.2g} ms of audio; "
                    f"a question needs at least {SHORTEST_QUESTION_S * 1000:.0f} ms",
                    turn=number,
                )
    except (AudioError, UserError) as exc:  # the latter: no source can be called so
        await questions.close()
        if isinstance(exc, QuestionError):
            raise
        raise QuestionError(str(exc), turn=number) from exc
    except BaseException:
        await questions.close()
        raise
    return questions


async def _fetched(url: str, folder: Path, number: int) -> Path:
    """A copy of a recording that is elsewhere."""
    name = url.rstrip("/").rpartition("/")[2]
    path = folder / f"question-{number}.part{Path(name).suffix}"
    try:
        async with asyncio.timeout(FETCH_DEADLINE_S):
            await asyncio.to_thread(_copy, url, path)
    except TimeoutError as exc:
        raise QuestionError(f"{url} was not there within {FETCH_DEADLINE_S:g} s") from exc
    except ImportError as exc:
        raise QuestionError(f"{url} needs a package that is not installed: {exc}") from exc
    except Exception as exc:  # file systems of others raise anything
        raise QuestionError(f"{url} cannot be read: {type(exc).__name__}: {exc}") from exc
    return path


def _copy(url: str, path: Path) -> None:
    import fsspec

    with fsspec.open(url, "rb") as there, path.open("wb") as here:
        shutil.copyfileobj(there, here)


class Questions(AudioSource):
    """The recordings, each followed by silence. The first begins at once.

    Between questions a transport in real time is given silence, as it would be on a telephone;
    one that takes all as fast as it comes waits.
    """

    def __init__(self, *, silence_s: float, is_realtime: bool) -> None:
        """Begin without recordings; see `open_questions`."""
        self._silence_s = silence_s
        self._is_realtime = is_realtime
        self._sources: list[AudioSource] = []
        self._current = 0
        self._converter: RateConverter | None = None
        self._rate_hz: int | None = None
        self._position = 0
        self._silence_left = 0
        self._is_spoken = False
        self._may_begin = asyncio.Event()
        self._may_begin.set()
        self._left = asyncio.Event()
        self._failure: QuestionError | None = None

    def add(self, source: AudioSource) -> None:
        """One more recording, open; it is closed here."""
        self._sources.append(source)

    @property
    def durations_s(self) -> list[float | None]:
        """How long each recording is."""
        return [source.duration_s for source in self._sources]

    @property
    def failure(self) -> QuestionError | None:
        """What ended the source early."""
        return self._failure

    def begin_next(self) -> None:
        """Let the next question be heard."""
        self._current += 1
        self._is_spoken = False
        self._left.clear()
        self._may_begin.set()

    async def wait_left(self) -> None:
        """Wait until a question that is not the last has left, up to a part of its silence."""
        await self._left.wait()

    async def open(self) -> None:
        """Nothing: all recordings are open."""

    async def read(self) -> AudioFrame | None:
        """The next frame of the question that goes on, or of the silence around it."""
        if self._silence_left:
            return self._silence()
        if not self._is_spoken:
            frame = await self._read_question()
            if frame is not None:
                return frame
            self._is_spoken = True
            self._may_begin.clear()
            self._silence_left = round(self._silence_s * (self._rate_hz or 24_000))
            if self._silence_left:
                return self._silence()
        if self._current == len(self._sources) - 1:
            return None
        return await self._wait_next()

    async def _wait_next(self) -> AudioFrame:
        # Who asks for more has sent what it had, but for what it holds back.
        self._left.set()
        if not self._is_realtime:
            try:
                async with asyncio.timeout(IDLE_S):
                    await self._may_begin.wait()
            except TimeoutError:
                pass
        return self._silence()

    async def _read_question(self) -> AudioFrame | None:
        try:
            frame = await self._sources[self._current].read()
        except Exception as exc:
            self._failure = QuestionError(str(exc), turn=self._current + 1)
            raise self._failure from exc
        if frame is None:
            converter, self._converter = self._converter, None
            rest = converter.flush() if converter else np.zeros((0, 1), np.int16)
            return self._frame(rest[:, 0]) if len(rest) else None
        if self._rate_hz is None:
            self._rate_hz = frame.rate_hz
        if len(self._sources) == 1:
            return frame
        # A stream has one rate and one number of channels; the recordings may differ.
        if self._converter is None:
            self._converter = RateConverter(self._rate_hz, 1)
        mono = frame.to_mono().reshape(-1, 1)
        return self._frame(self._converter.push(mono, frame.rate_hz)[:, 0])

    def _silence(self) -> AudioFrame:
        """A frame, or what is left of the silence that is owed."""
        count = round(FRAME_S * (self._rate_hz or 24_000))
        if self._silence_left:
            count = min(count, self._silence_left)
            self._silence_left -= count
        return self._frame(np.zeros(count, np.int16))

    def _frame(self, samples: np.ndarray[tuple[int], np.dtype[np.int16]]) -> AudioFrame:
        frame = frame_from_mono(samples, self._rate_hz or 24_000, self._position)
        self._position += len(samples)
        return frame

    async def close(self) -> None:
        """Close all recordings."""
        sources, self._sources = self._sources, []
        for source in sources:
            await source.close()
