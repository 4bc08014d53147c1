"""Asks a responder's model for speech about a session's audio, piece after piece."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from realtime_transports.local_server.ending import end_tasks
from realtime_transports.openai.server_audio import RATE_HZ

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16
    from realtime_core.speech import SpeechDetector
    from realtime_transports.local_server.responders import Responder

__all__ = ["Listener"]

log = logging.getLogger(__name__)

MAX_QUEUED_S = 600
"""As much as a session's input buffer holds."""

MAX_PIECE_S = 1.0


class Listener:
    """Listens to one session, one stream after the other."""

    def __init__(
        self,
        responder: Responder,
        judged: Callable[[int, Sequence[float]], None],
        failed: Callable[[str], None],
    ) -> None:
        """Ask the responder for a model; `start` begins to listen.

        Args:
            responder: Makes a detector for each stream, or none.
            judged: Told how likely the next frames of a stream are speech.
            failed: Told why there will be no more.
        """
        self._responder = responder
        self._judged = judged
        self._failed = failed
        self._fresh = self._make_detector()
        self._pieces: deque[tuple[int, Pcm16]] = deque()
        self._queued_samples = 0
        self._came = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def frame_samples(self) -> int | None:
        """How long the model's frames are; None where there is no model."""
        return None if self._fresh is None else self._fresh.frame_samples

    def listen(self, stream: int, samples: Pcm16) -> None:
        """Listen to a piece of a stream: int16, mono, 24 kHz."""
        if self._queued_samples + len(samples) > MAX_QUEUED_S * RATE_HZ:
            self._failed("audio came faster than it could be listened to")
            return
        self._pieces.append((stream, samples))
        self._queued_samples += len(samples)
        self._came.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop. Closing twice is fine."""
        if self._task is not None:
            await end_tasks([self._task], self._responder)

    async def _run(self) -> None:
        current, detector = None, None
        while True:
            stream, samples = await self._next()
            if stream != current:
                current, detector = stream, self._take_detector()
            if detector is None:
                continue
            try:
                probabilities = await detector.push(samples)
            except Exception as exc:  # a responder's detector is foreign code
                name = type(self._responder).__name__
                log.exception("the detector of the responder %s failed", name)
                detector = None
                self._failed(f"the detector of {name} raised {type(exc).__name__}: {exc}")
                continue
            if len(probabilities):
                self._judged(stream, probabilities)

    async def _next(self) -> tuple[int, Pcm16]:
        """What is waiting of the oldest stream, put together."""
        while not self._pieces:
            self._came.clear()
            await self._came.wait()
        stream, first = self._pieces.popleft()
        taken, length = [first], len(first)
        while self._pieces and self._pieces[0][0] == stream and length < MAX_PIECE_S * RATE_HZ:
            taken.append(self._pieces.popleft()[1])
            length += len(taken[-1])
        self._queued_samples -= length
        return stream, np.concatenate(taken)

    def _take_detector(self) -> SpeechDetector | None:
        fresh, self._fresh = self._fresh, None
        return fresh or self._make_detector()

    def _make_detector(self) -> SpeechDetector | None:
        try:
            return self._responder.make_detector()
        except Exception:  # foreign code; turns are found by energy then
            log.exception("the responder %s made no detector", type(self._responder).__name__)
            return None
