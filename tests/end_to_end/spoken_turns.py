"""Spoken turns over WebRTC, measured at the caller's ends of the two tracks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from tests.end_to_end.stock_client import BLOCK, SpeakingTrack, StockCaller
from tests.speech_corpus import Recording

RATE_HZ = 48_000
SILENCE_S = 0.5
"""The VAD's setting; the API's default."""

WINDOW = RATE_HZ // 100
SPEECH_BELOW_PEAK_DB = 35.0
"""What is quieter than that, compared with its loudest 10 ms, is no speech any more."""

LOUD = 300
"""The peak of a frame in which something is heard; silence is 0, give or take the codec."""

NO_ANSWER_S = 4.0
QUIET_S = 0.4

SESSION = {
    "type": "realtime",
    "audio": {
        "input": {
            "transcription": {"model": "whisper-1"},
            "turn_detection": {
                "type": "server_vad",
                "silence_duration_ms": round(SILENCE_S * 1000),
            },
        }
    },
}


@dataclass
class SpokenTurn:
    """What came of one recording."""

    name: str
    said: str
    understood: str
    delay_s: float | None
    """From the end of speech to the first sound of the answer, less the VAD's silence; None where
    no turn ended after the speech did."""
    stages_s: dict[str, float] = field(default_factory=dict)
    """When events came, counted like the delay."""


class _TimedTrack(SpeakingTrack):
    """Tells when a sample left, as a microphone would have it: when its block was complete."""

    def __init__(self) -> None:
        super().__init__()
        self.marked = 0
        """How many samples of what is pending are to leave before `marked_s`."""
        self.marked_s: float | None = None

    async def recv(self) -> av.AudioFrame | av.Packet:
        block = await super().recv()
        if self.marked > BLOCK:
            self.marked -= BLOCK
        elif self.marked > 0:
            late_s = (BLOCK - self.marked) / RATE_HZ
            self.marked_s = asyncio.get_running_loop().time() - late_s
            self.marked = 0
        return block


class SpokenCaller(StockCaller):
    """Says recordings, and notes when what comes back comes: off the network, not out of the jitter
    buffer, where aiortc keeps it for another 100 ms."""

    def __init__(self) -> None:
        super().__init__()
        self._arrived_s: dict[int, float] = {}
        """By the packet's place on the time line."""
        self._loud: list[tuple[float, float]] = []
        """When each packet came in which something is heard, and when it was heard."""
        self._times: list[float] = []
        self._last_loud_s = 0.0

    def make_track(self) -> SpeakingTrack:
        return _TimedTrack()

    async def turn(self, recording: Recording) -> SpokenTurn:
        """Say a recording, hear the answer begin, and cut it off."""
        await self._wait_quiet()
        samples = recording.samples(RATE_HZ)
        seen = len(self.events)
        track = self.track
        assert isinstance(track, _TimedTrack)
        track.marked, track.marked_s = end_of_speech(samples), None
        await self.say(samples)
        ended_s = track.marked_s
        assert ended_s is not None
        began = await self._answer_begins(ended_s)
        origin_s = ended_s + SILENCE_S
        stages = {
            event["type"]: round(at_s - origin_s, 4)
            for event, at_s in zip(self.events[seen:], self._times[seen:], strict=True)
            if at_s > ended_s and event["type"].count(".delta") == 0
        }
        words = [
            event["transcript"]
            for event in self.events[seen:]
            if event["type"] == "conversation.item.input_audio_transcription.completed"
        ]
        self.send("output_audio_buffer.clear")
        delay_s = None
        if began is not None:
            delay_s = began[0] - origin_s
            stages["heard"] = round(began[1] - origin_s, 4)
        return SpokenTurn(recording.name, recording.text, " ".join(words), delay_s, stages)

    async def _answer_begins(self, ended_s: float) -> tuple[float, float] | None:
        """When the first sound of the answer to what ended then came, and was heard."""
        try:
            async with asyncio.timeout(NO_ANSWER_S):
                while (found := self._first_answer(ended_s)) is None:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return None
        return found

    def _first_answer(self, ended_s: float) -> tuple[float, float] | None:
        stopped = (
            at_s
            for event, at_s in zip(self.events, self._times, strict=True)
            if event["type"] == "input_audio_buffer.speech_stopped" and at_s > ended_s
        )
        stopped_s = next(stopped, None)
        if stopped_s is None:
            return None
        return next((times for times in self._loud if times[0] > stopped_s), None)

    async def _wait_quiet(self) -> None:
        """Nothing was heard for a while, and nothing is being answered."""
        loop = asyncio.get_running_loop()
        while True:
            done = len(self.of_type("response.done")) == len(self.of_type("response.created"))
            left_s = self._last_loud_s + QUIET_S - loop.time()
            if done and left_s <= 0:
                self._loud.clear()
                return
            await asyncio.sleep(max(left_s, 0.05))

    async def call(self, url: str, session: dict[str, Any] | None = None, key: str = "sk") -> None:
        for receiver in self.pc.getReceivers():
            self._note_packets(receiver)
        await super().call(url, session, key)

    def _note_packets(self, receiver: Any) -> None:
        handle = receiver._handle_rtp_packet
        first: int | None = None

        async def note(packet: Any, arrival_time_ms: int) -> None:
            nonlocal first
            first = packet.timestamp if first is None else first
            place = (packet.timestamp - first) % 2**32
            self._arrived_s[place] = asyncio.get_running_loop().time()
            await handle(packet, arrival_time_ms=arrival_time_ms)

        receiver._handle_rtp_packet = note

    def _take(self, message: str) -> None:
        super()._take(message)
        self._times.append(asyncio.get_running_loop().time())

    async def _read(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, av.AudioFrame)
            arrived_s = self._arrived_s.pop(frame.pts)
            if np.abs(frame.to_ndarray()).max() > LOUD:
                self._last_loud_s = asyncio.get_running_loop().time()
                self._loud.append((arrived_s, self._last_loud_s))
                self._arrived.set()


def end_of_speech(samples: NDArray[np.int16]) -> int:
    """How many samples there are up to the end of the last 10 ms that are loud."""
    whole = len(samples) // WINDOW
    windows = samples[: whole * WINDOW].reshape(whole, WINDOW).astype(np.float64)
    levels = 10 * np.log10(np.mean(windows**2, axis=1) + 1e-9)
    loud = np.flatnonzero(levels > levels.max() - SPEECH_BELOW_PEAK_DB)
    return int(loud[-1] + 1) * WINDOW


def percentile(values: list[float], share: float) -> float:
    """The nearest of the values; of none, nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def summary(turns: list[SpokenTurn]) -> dict[str, Any]:
    """The figures of a row of turns."""
    from tests.speech_corpus import word_error_rate

    delays = [turn.delay_s for turn in turns if turn.delay_s is not None]
    heard = [turn.stages_s["heard"] for turn in turns if "heard" in turn.stages_s]
    return {
        "turns": len(turns),
        "word_error_rate": round(
            word_error_rate([t.said for t in turns], [t.understood for t in turns]), 4
        ),
        "answered": len(delays),
        "delay_p50_s": round(percentile(delays, 0.5), 3),
        "delay_p95_s": round(percentile(delays, 0.95), 3),
        "delay_max_s": round(max(delays), 3),
        "heard_p50_s": round(percentile(heard, 0.5), 3),
        "heard_p95_s": round(percentile(heard, 0.95), 3),
    }
