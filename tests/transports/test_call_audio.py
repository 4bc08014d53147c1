"""The audio of one call: who opens, who closes, and what the `audio` events say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realtime_audio_plugins.null import NullSink, NullSource
from realtime_core.audio import AudioFrame, frame_from_mono
from realtime_core.errors import AudioError, PluginError
from realtime_core.events import AudioEvent
from realtime_transports.audio.call_audio import AudioEvents, AudioSettings, CallAudio
from realtime_transports.openai.audio_labels import AudioLabel


class Source(NullSource):
    """Notes what happens to it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    async def open(self) -> None:
        self.calls.append("open")

    async def close(self) -> None:
        self.calls.append("close")


class Sink(NullSink):
    """Likewise."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    async def open(self) -> None:
        self.calls.append("open")

    async def close(self, *, complete: bool = True) -> None:
        self.calls.append(f"close {complete}")


class Plugins:
    """Makes the one source and sink that it has, of any spec."""

    def __init__(self, source: Source, sink: Sink) -> None:
        self._source, self._sink = source, sink

    def source(self, spec: str) -> Source:
        return self._source

    def sink(self, spec: str) -> Sink:
        return self._sink


async def open_and_close(settings: AudioSettings, *, complete: bool = True) -> dict[str, Any]:
    audio = CallAudio(settings)
    try:
        await audio.open(on_frame=lambda frame: None, on_error=pytest.fail)
    finally:
        await audio.close(complete=complete)
    return audio.media  # type: ignore[return-value]


def settings(source: Any, sink: Any, plugins: Any = None) -> AudioSettings:
    return AudioSettings(source, sink, None, plugins, lambda **options: options)  # type: ignore[arg-type,return-value]


async def test_objects_are_opened_and_left_open() -> None:
    source, sink = Source(), Sink()
    made = await open_and_close(settings(source, sink))
    assert (made["source"], made["sink"]) == (source, sink)
    assert (source.calls, sink.calls) == (["open"], ["open"])


@pytest.mark.parametrize("complete", [True, False])
async def test_what_a_spec_names_is_opened_and_closed(complete: bool) -> None:
    source, sink = Source(), Sink()
    await open_and_close(settings("any", "any", Plugins(source, sink)), complete=complete)
    assert (source.calls, sink.calls) == (["open", "close"], ["open", f"close {complete}"])


async def test_none_is_none() -> None:
    made = await open_and_close(settings(None, None))
    assert (made["source"], made["sink"]) == (None, None)


async def test_a_source_that_fails_to_open_leaves_no_sink_behind(tmp_path: Path) -> None:
    missing, answer = tmp_path / "missing.wav", tmp_path / "answer.wav"
    with pytest.raises(AudioError, match=r"missing\.wav"):
        await open_and_close(settings(f"file:{missing}", f"file:{answer}"), complete=False)
    assert not answer.exists()


async def test_an_unknown_spec_opens_nothing() -> None:
    sink = Sink()
    with pytest.raises(PluginError, match="did you mean 'tone'"):
        await open_and_close(settings("tonne:440", sink))
    assert sink.calls == []


class Listening:
    """An `AudioEvents` with all its ends at hand."""

    def __init__(self) -> None:
        self.label: AudioLabel | None = None
        self.is_wanted = True
        self.told: list[AudioEvent] = []
        self.events = AudioEvents(lambda: self.label, self.told.append, lambda: self.is_wanted)

    def push(self, duration_s: float) -> None:
        for n in range(round(duration_s * 50)):
            self.events.push(tone_frame(n))

    @property
    def told_s(self) -> float:
        return sum(len(event.data) for event in self.told) / 2 / 24_000


def tone_frame(n: int, channels: int = 1) -> AudioFrame:
    wave = 10_000 * np.sin(2 * np.pi * 440 * (np.arange(960) + n * 960) / 48_000)
    mono = frame_from_mono(wave.astype(np.int16), 48_000, n * 960)
    return AudioFrame(np.repeat(mono.samples, channels, axis=1), 48_000, n * 960)


def test_audio_events_are_24_khz_and_labelled() -> None:
    listening = Listening()
    listening.label = AudioLabel("resp_1", "item_1", 2)
    listening.push(1.0)
    assert {(e.response_id, e.item_id, e.content_index) for e in listening.told} == {
        ("resp_1", "item_1", 2)
    }
    assert 0.9 < listening.told_s <= 1.0
    samples = np.frombuffer(b"".join(e.data for e in listening.told), "<i2")
    spectrum = np.abs(np.fft.rfft(samples[:24_000], 24_000))
    assert spectrum.argmax() == 440


def test_nothing_is_told_between_responses_or_to_nobody() -> None:
    listening = Listening()
    listening.push(0.5)
    listening.label, listening.is_wanted = AudioLabel("resp_1"), False
    listening.push(0.5)
    assert listening.told == []


def test_the_tail_of_a_response_is_told_and_then_nothing() -> None:
    listening = Listening()
    listening.label = AudioLabel("resp_1")
    listening.push(0.5)
    listening.label = None
    listening.push(1.0)
    assert 0.6 < listening.told_s <= 0.72
    assert {event.response_id for event in listening.told} == {"resp_1"}


def test_what_comes_after_an_interruption_belongs_to_nothing() -> None:
    listening = Listening()
    listening.label = AudioLabel("resp_1")
    listening.push(0.5)
    listening.label = None
    listening.events.clear()
    before = len(listening.told)
    listening.push(0.5)
    assert len(listening.told) == before


def test_stereo_is_told_as_mono() -> None:
    one, both = Listening(), Listening()
    one.label = both.label = AudioLabel("resp_1")
    for n in range(25):
        one.events.push(tone_frame(n))
        both.events.push(tone_frame(n, channels=2))
    assert [event.data for event in one.told] == [event.data for event in both.told]
