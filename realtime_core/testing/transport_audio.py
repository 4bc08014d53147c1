"""The contract of audio: source to far end, far end to sink, and nobody's failure stops a call."""

from __future__ import annotations

import asyncio
from typing import Any

from realtime_core.audio import AudioSink, AudioSource
from realtime_core.errors import AudioError
from realtime_core.testing.conversation import part_labels
from realtime_core.testing.demand import require
from realtime_core.testing.doubles import (
    RATE_HZ,
    FailingSink,
    FailingSource,
    Samples,
    Store,
    StuckSink,
    level,
    loud,
)
from realtime_core.testing.harness import Capability, TransportHarness
from realtime_core.testing.suite import Suite, needs
from realtime_core.testing.trial import Trial
from realtime_core.transport import RealtimeTransportLayer

__all__ = ["AudioContract"]

LOUD = 5_000
QUIET = 300
"""Codecs make a little noise of silence."""

SHARE = 0.9
"""Of the audio that must arrive: codecs cut a little at the edges."""


class AudioContract(Suite):
    """A part of `TransportContract`. Transports without source or sink skip it."""

    async def test_the_sources_audio_reaches_the_far_end(self, harness: TransportHarness) -> None:
        needs(harness, Capability.SOURCE)
        source = Samples(loud(0.5))
        async with Trial(harness, source=source) as trial:
            await trial.connect()
            await trial.transport.wait_source_ended()
            require(
                source.is_read,
                "wait_source_ended() returns when the source has ended, and not before",
                seen="it returned while there was more to read",
                see=RealtimeTransportLayer.wait_source_ended,
            )
            enough = round(SHARE * 0.5 * RATE_HZ)
            await trial.far_end.wait_until(
                lambda: int((abs(trial.far_end.heard.astype("i4")) > QUIET).sum()) > 0.8 * enough
            )
            require(
                level(trial.far_end.heard) > LOUD,
                "the source's audio comes to the server",
                seen=f"{len(trial.far_end.heard)} samples, level {level(trial.far_end.heard)}",
                see=RealtimeTransportLayer.wait_source_ended,
            )
        require(
            "close" not in source.calls and "open" in source.calls,
            "a source given as an object is opened, and closed by whoever made it",
            seen=source.calls,
            see=AudioSource,
        )

    async def test_nothing_of_the_source_leaves_while_muted(
        self, harness: TransportHarness
    ) -> None:
        needs(harness, Capability.SOURCE, Capability.MUTE)
        async with Trial(harness, source=Samples(loud(0.3))) as trial:
            trial.transport.mute(True)
            await trial.connect()
            await trial.transport.wait_source_ended()
            await trial.sent_all()
            require(
                level(trial.far_end.heard) < QUIET,
                "what was muted before connect() is muted: no sample of the source leaves",
                seen=f"level {level(trial.far_end.heard)}",
                see=RealtimeTransportLayer.mute,
            )

    async def test_mute_holds_for_later_connections_too(self, harness: TransportHarness) -> None:
        needs(harness, Capability.MUTE)
        options: dict[str, Any] = (
            {"source": Samples(loud(0.1))} if harness.can(Capability.SOURCE) else {}
        )
        async with Trial(harness, **options) as trial:
            seen = [trial.transport.muted]
            for muted in (True, False, True):
                trial.transport.mute(muted)
                seen.append(trial.transport.muted)
            await trial.connect()
            seen.append(trial.transport.muted)
            trial.transport.close()
            await trial.transport.wait_closed()
            await trial.connect()
            seen.append(trial.transport.muted)
            require(
                seen == [False, True, False, True, True, True],
                "mute() holds before, during and after connections",
                seen=seen,
                see=RealtimeTransportLayer.mute,
            )

    async def test_the_models_audio_reaches_the_sink_and_listeners(
        self, harness: TransportHarness
    ) -> None:
        needs(harness, Capability.SINK)
        sink = Store()
        async with Trial(harness, sink=sink) as trial:
            await trial.connect()
            self._speak(trial, 0.5)
            enough = SHARE * 0.5 * RATE_HZ
            await trial.wait(lambda: sum(len(e.data) // 2 for e in trial.of("audio")) >= enough)
            await trial.transport.wait_heard()
            seen = len(sink.samples) / RATE_HZ, level(sink.samples)
            require(
                seen[0] >= SHARE * 0.5 and seen[1] > LOUD,
                "the model's audio is in the sink when wait_heard() returns",
                seen=f"{seen[0]:.2f} s of 0.5 s, level {seen[1]}",
                see=RealtimeTransportLayer.wait_heard,
            )
            labels = {(e.response_id, e.item_id, e.content_index) for e in trial.of("audio")}
            require(
                labels == {("resp_1", "item_1", 0)},
                "`audio` says which response, item and part it belongs to",
                seen=labels,
                see="realtime_core.events.AudioEvent",
            )
        require(
            not [call for call in sink.calls if call.startswith("close")] and "open" in sink.calls,
            "a sink given as an object is opened, and closed by whoever made it",
            seen=sink.calls,
            see=AudioSink,
        )

    async def test_interrupting_clears_the_sink(self, harness: TransportHarness) -> None:
        needs(harness, Capability.SINK)
        sink = Store()
        async with Trial(harness, sink=sink) as trial:
            await trial.connect()
            self._speak(trial, 0.5)
            await trial.wait(lambda: trial.of("audio"))
            trial.transport.interrupt()
            require(
                "clear" in sink.calls,
                "interrupt() makes what was not heard yet stop at once: the sink is cleared",
                seen=sink.calls,
                see=RealtimeTransportLayer.interrupt,
            )

    async def test_an_interruption_is_told_once(self, harness: TransportHarness) -> None:
        needs(harness, Capability.SINK)
        async with Trial(harness, sink=Store()) as trial:
            await trial.connect()
            trial.transport.interrupt()
            self._speak(trial, 0.5)
            await trial.wait(lambda: trial.of("audio"))
            seen = [trial.names.count("audio_interrupted")]
            for _ in range(2):
                trial.transport.interrupt()
                seen.append(trial.names.count("audio_interrupted"))
            require(
                seen == [0, 1, 1],
                "`audio_interrupted` tells, once, that audio was cut off",
                seen=seen,
                see=RealtimeTransportLayer.interrupt,
            )

    async def test_a_source_that_fails_is_reported_and_the_call_goes_on(
        self, harness: TransportHarness
    ) -> None:
        needs(harness, Capability.SOURCE)
        async with Trial(harness, may_fail=True, source=FailingSource(loud(0.1))) as trial:
            await trial.connect()
            await trial.wait(lambda: trial.errors(AudioError))
            await self._check_goes_on(trial, "FailingSource")

    async def test_a_sink_that_fails_is_reported_and_the_call_goes_on(
        self, harness: TransportHarness
    ) -> None:
        needs(harness, Capability.SINK)
        async with Trial(harness, may_fail=True, sink=FailingSink()) as trial:
            await trial.connect()
            self._speak(trial, 0.3)
            await trial.wait(lambda: trial.errors(AudioError))
            trial.transport.interrupt()
            await self._check_goes_on(trial, "FailingSink")

    async def test_a_sink_that_never_returns_holds_nothing_up(
        self, harness: TransportHarness
    ) -> None:
        needs(harness, Capability.SINK)
        sink = StuckSink()
        async with Trial(harness, sink=sink) as trial:
            await trial.connect()
            self._speak(trial, 0.3)
            await trial.wait(lambda: trial.of("audio"))
            trial.send(*trial.script.written("resp_2", "item_2", "on and on"))
            await trial.wait_for("turn_done")
            waiting = asyncio.ensure_future(trial.transport.wait_heard())
            await asyncio.sleep(0)
            trial.transport.close()
            await asyncio.gather(waiting, return_exceptions=True)

    def _speak(self, trial: Trial, duration_s: float) -> None:
        labels = part_labels("resp_1", "item_1")
        part = {"type": "audio", "transcript": ""}
        trial.send(
            trial.script.created("resp_1"),
            trial.script.event("response.content_part.added", part=part, **labels),
            trial.script.event("output_audio_buffer.started", response_id="resp_1"),
        )
        trial.far_end.speak(loud(duration_s), labels)

    async def _check_goes_on(self, trial: Trial, culprit: str) -> None:
        trial.transport.send_message("and on")
        await trial.sent_all()
        errors = [str(error) for error in trial.errors(AudioError)]
        require(
            len(errors) == 1 and culprit in errors[0] and trial.transport.status == "connected",
            "a source or sink that raises is reported once as `error`, an AudioError with its "
            "name, and the call goes on",
            seen=errors,
            see=AudioError,
        )
