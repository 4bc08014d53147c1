"""Every source that our plugins bring keeps the contract."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from realtime_core.plugins import default_plugins
from realtime_core.testing import AudioSourceContract
from realtime_core.testing.sources import SourceCase
from tests.contract.own import own_names
from tests.contract.running_device import RunningSoundDevice

RATE_HZ = 16_000


def make(spec: str) -> Callable[[], object]:
    return lambda: default_plugins().source(spec)


def sound_file(folder: Path, suffix: str, channels: int) -> str:
    path = folder / f"question{suffix}"
    noise = np.random.default_rng(1).integers(-9_000, 9_000, (RATE_HZ, channels), np.int16)
    soundfile.write(path, noise, RATE_HZ)
    return f"file:{path}"


def pcm_file(folder: Path) -> str:
    path = folder / "question.raw"
    path.write_bytes(np.random.default_rng(1).integers(-9_000, 9_000, RATE_HZ, "<i2").tobytes())
    return f"pcm:{path}"


CASES: dict[str, Callable[[Path], SourceCase]] = {
    **{
        f"file{suffix} {channels}": lambda folder, suffix=suffix, channels=channels: SourceCase(
            make=make(sound_file(folder, suffix, channels)),
            make_unusable=make(f"file:{folder / 'missing.wav'}"),
        )
        for suffix in (".wav", ".flac", ".ogg", ".mp3")
        for channels in (1, 2)
    },
    "mic": lambda folder: SourceCase(
        make=make("mic"), ends=False, make_unusable=make("mic:Another")
    ),
    "null": lambda folder: SourceCase(make=make("null"), ends=False),
    "pcm": lambda folder: SourceCase(
        make=make(f"{pcm_file(folder)}?rate={RATE_HZ}"),
        make_unusable=make(f"pcm:{folder / 'missing.raw'}"),
    ),
    "silence": lambda folder: SourceCase(make=make("silence:0.33")),
    "tone": lambda folder: SourceCase(make=make("tone:440"), ends=False),
    "tone with end": lambda folder: SourceCase(make=make("tone:440?seconds=0.33")),
}


def test_every_source_of_ours_is_here():
    assert {name.partition(" ")[0].partition(".")[0] for name in CASES} == own_names("source")


@pytest.mark.parametrize("name", CASES)
class TestSource(AudioSourceContract):
    @pytest.fixture
    def case(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SourceCase:
        monkeypatch.setitem(sys.modules, "sounddevice", RunningSoundDevice())
        return CASES[name](tmp_path)
