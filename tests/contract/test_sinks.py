"""Every sink that our plugins bring keeps the contract."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from realtime_audio_plugins import FileSink
from realtime_core.audio import AudioSink, Pcm16
from realtime_core.plugins import default_plugins
from realtime_core.testing import AudioSinkContract
from realtime_core.testing.sinks import SinkCase
from tests.contract.own import own_names
from tests.contract.running_device import RunningSoundDevice


def make(spec: str) -> Callable[[], AudioSink]:
    return lambda: default_plugins().sink(spec)


def whole_file(path: Path) -> SinkCase:
    """A file sink that keeps silence too, so that what is stored can be compared."""

    def stored() -> Pcm16:
        samples, _ = soundfile.read(path, dtype="int16", always_2d=True)
        return samples[:, 0]

    return SinkCase(make=lambda: FileSink(path, skip_silence=False), stored=stored)


def raw_file(folder: Path) -> SinkCase:
    path = folder / "answer.raw"
    return SinkCase(
        make=make(f"pcm:{path}"),
        make_unusable=make(f"pcm:{folder / 'missing' / 'answer.raw'}"),
        stored=lambda: np.frombuffer(path.read_bytes(), "<i2"),
    )


CASES: dict[str, Callable[[Path], SinkCase]] = {
    **{
        f"file{suffix}": lambda folder, suffix=suffix: SinkCase(
            make=make(f"file:{folder / f'answer{suffix}'}"),
            make_unusable=make(f"file:{folder / 'missing' / f'answer{suffix}'}"),
        )
        for suffix in (".wav", ".flac", ".ogg", ".opus")
    },
    "file.wav with silence": lambda folder: whole_file(folder / "answer.wav"),
    "file.flac with silence": lambda folder: whole_file(folder / "answer.flac"),
    "null": lambda folder: SinkCase(make=make("null")),
    "pcm": raw_file,
    "speaker": lambda folder: SinkCase(make=make("speaker"), make_unusable=make("speaker:Another")),
}


def test_every_sink_of_ours_is_here():
    assert {name.partition(" ")[0].partition(".")[0] for name in CASES} == own_names("sink")


@pytest.mark.parametrize("name", CASES)
class TestSink(AudioSinkContract):
    @pytest.fixture
    def case(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SinkCase:
        monkeypatch.setitem(sys.modules, "sounddevice", RunningSoundDevice())
        return CASES[name](tmp_path)
