"""The echo of the agent's voice is removed and the user's voice stays: real speech, a made room."""

import asyncio
import contextlib
import logging
import sys

import numpy as np
import pytest
import soundfile
import soxr

from realtime_audio_plugins import EchoCancelledSource, MicrophoneSource
from realtime_audio_plugins.echo import _Canceller, _CaptureClock, _FarEnd
from realtime_core.audio import AudioSource, frame_from_mono
from realtime_core.errors import AudioError
from realtime_core.taps import is_tap
from tests.end_to_end.commands import EXAMPLE

RATE_HZ = 48_000


@pytest.fixture(scope="module", autouse=True)
def loaded():
    """Once for all, as the library opens sockets of its own that it keeps."""
    with contextlib.suppress(AudioError):
        _Canceller()


def speech(seconds):
    """The example's words, again and again, 48 kHz."""
    samples, rate_hz = soundfile.read(EXAMPLE, dtype="float64")
    words = soxr.resample(samples, rate_hz, RATE_HZ) * 32_767
    return np.tile(words, 20)[: round(seconds * RATE_HZ)]


def in_a_room(samples, delay_ms, level=0.3):
    """What a microphone hears of a speaker: late, quieter, and blurred over 50 ms."""
    rng = np.random.default_rng(0)
    response = rng.standard_normal(2_400) * np.exp(-np.arange(2_400) / 400)
    response /= np.sqrt((response**2).sum())
    echo = np.convolve(samples, response)[: len(samples)] * level
    return np.concatenate([np.zeros(delay_ms * 48), echo])[: len(samples)]


def power_db(samples):
    return 10 * np.log10(np.mean(np.asarray(samples, float) ** 2) + 1e-9)


class Scripted(AudioSource):
    """A microphone that hears what a test says, in frames of 20 ms."""

    is_live = True

    def __init__(self, samples, rate_hz=RATE_HZ):
        self.samples = np.rint(samples).astype(np.int16)
        self.rate_hz = rate_hz
        self.position = 0
        self.opened = self.closed = 0

    async def open(self):
        self.opened += 1

    async def read(self):
        size = self.rate_hz // 50
        piece = self.samples[self.position : self.position + size]
        if not len(piece):
            return None
        frame = frame_from_mono(piece, self.rate_hz, self.position)
        self.position += len(piece)
        return frame

    async def close(self):
        self.closed += 1


class TurnedClock:
    """The loop's clock, turned by hand to the time a frame is handed over."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)


async def converse(monkeypatch, near, far, *, rate_hz=RATE_HZ, far_rate_hz=24_000):
    """Play `far` and hear `near` at the same time; what the canceller leaves."""
    clock = TurnedClock(monkeypatch)
    source = EchoCancelledSource(Scripted(near, rate_hz))
    await source.open()
    played = np.rint(soxr.resample(far, RATE_HZ, far_rate_hz)).astype(np.int16)
    size = far_rate_hz // 50
    cleaned = []
    index = 0
    while True:
        source.heard(
            frame_from_mono(played[index * size : (index + 1) * size], far_rate_hz), clock.now
        )
        clock.now += 0.02
        frame = await source.read()
        if frame is None:
            break
        cleaned.append(frame)
        index += 1
    monkeypatch.undo()
    await source.close()
    return cleaned


def joined(frames):
    return np.concatenate([frame.samples[:, 0] for frame in frames])


@pytest.mark.parametrize("delay_ms", [5, 60, 150])
async def test_the_echo_is_at_least_10_db_weaker_after_two_seconds(monkeypatch, delay_ms):
    pytest.importorskip("livekit.rtc")
    far = speech(8)
    echo = in_a_room(far, delay_ms)
    cleaned = joined(await converse(monkeypatch, echo, far))
    late = slice(2 * RATE_HZ, 8 * RATE_HZ - 960)
    assert power_db(echo[late]) - power_db(cleaned[late]) > 10
    assert abs(len(cleaned) - len(echo)) <= 480


async def test_what_the_user_says_stays(monkeypatch):
    pytest.importorskip("livekit.rtc")
    near = np.zeros(8 * RATE_HZ)
    near[3 * RATE_HZ : 5 * RATE_HZ] = speech(2)
    far = speech(3)
    far = np.concatenate([far, np.zeros(5 * RATE_HZ)])
    heard = near + in_a_room(far, 60)
    cleaned = joined(await converse(monkeypatch, heard, far))
    during = slice(int(3.4 * RATE_HZ), 5 * RATE_HZ)
    assert abs(power_db(near[during]) - power_db(cleaned[during])) < 3


async def test_what_the_user_says_at_the_same_time_is_not_swallowed(monkeypatch):
    pytest.importorskip("livekit.rtc")
    far = speech(8)
    near = np.zeros(8 * RATE_HZ)
    near[4 * RATE_HZ : 6 * RATE_HZ] = np.roll(speech(2), RATE_HZ) * 1.5
    cleaned = joined(await converse(monkeypatch, near + in_a_room(far, 60, 0.1), far))
    alone = slice(2 * RATE_HZ, 4 * RATE_HZ)
    together = slice(4 * RATE_HZ, 6 * RATE_HZ)
    assert power_db(near[together]) - power_db(cleaned[together]) < 6
    assert power_db(cleaned[together]) - power_db(cleaned[alone]) > 20


async def test_a_microphone_of_another_rate_is_brought_to_48_khz(monkeypatch):
    pytest.importorskip("livekit.rtc")
    far = speech(6)
    echo = in_a_room(far, 40)
    heard = soxr.resample(echo, RATE_HZ, 44_100)
    frames = await converse(monkeypatch, heard, far, rate_hz=44_100, far_rate_hz=48_000)
    assert {frame.rate_hz for frame in frames} == {RATE_HZ}
    late = slice(2 * RATE_HZ, 6 * RATE_HZ - 4_800)
    assert power_db(echo[late]) - power_db(joined(frames)[late]) > 10


async def test_frames_follow_each_other_without_a_gap(monkeypatch):
    pytest.importorskip("livekit.rtc")
    frames = await converse(monkeypatch, speech(1), np.zeros(RATE_HZ))
    starts = np.cumsum([0] + [len(frame.samples) for frame in frames[:-1]])
    assert [frame.first_sample for frame in frames] == list(starts)


async def test_one_who_is_not_told_what_is_played_says_so(caplog):
    pytest.importorskip("livekit.rtc")
    source = EchoCancelledSource(Scripted(speech(6)))
    await source.open()
    with caplog.at_level(logging.WARNING):
        while await source.read() is not None:
            pass
    await source.close()
    assert caplog.text.count("pass the source as the transport's tap") == 1


async def test_the_wrapped_source_is_opened_and_closed_with_it():
    pytest.importorskip("livekit.rtc")
    inner = Scripted(speech(0.1))
    source = EchoCancelledSource(inner)
    assert source.is_live
    assert not source.is_endless
    assert source.duration_s is None
    assert EchoCancelledSource(MicrophoneSource()).is_endless
    assert is_tap(source)
    await source.open()
    await source.open()
    await source.close()
    assert (inner.opened, inner.closed) == (1, 1)


async def test_the_missing_extra_is_named_before_anything_is_opened(monkeypatch):
    monkeypatch.setitem(sys.modules, "livekit", None)
    monkeypatch.setitem(sys.modules, "livekit.rtc", None)
    monkeypatch.setitem(sys.modules, "livekit.rtc.apm", None)
    inner = Scripted(speech(0.1))
    with pytest.raises(AudioError, match=r'pip install "realtime-transports\[aec\]"'):
        await EchoCancelledSource(inner).open()
    assert not inner.opened


# The two clocks


def test_what_is_played_lies_where_it_was_played():
    far = _FarEnd()
    far.push(frame_from_mono(np.full(480, 1, np.int16), RATE_HZ), 1.0)
    far.push(frame_from_mono(np.full(480, 2, np.int16), RATE_HZ), 1.012)
    far.push(frame_from_mono(np.full(480, 3, np.int16), RATE_HZ), 1.1)
    assert not far.take(0.98, 480).any()
    assert (far.take(0.995, 480) == [0] * 240 + [1] * 240).all()
    assert (far.take(1.005, 480) == [1] * 240 + [2] * 240).all()
    assert (far.take(1.015, 480) == [2] * 240 + [0] * 240).all()
    assert (far.take(1.1, 480) == 3).all()
    assert not far.take(1.2, 480).any()


def test_no_more_than_ten_seconds_are_held():
    far = _FarEnd()
    for _ in range(20):
        far.push(frame_from_mono(np.ones(RATE_HZ, np.int16), RATE_HZ), 0.0)
    assert len(far._blocks) == 10


def test_late_blocks_do_not_move_the_clock_and_a_drift_does():
    clock = _CaptureClock()
    for block in range(5_000):
        seconds = (block + 1) * 0.02 * 1.0005  # the device is slower than the loop
        clock.see(7.0 + seconds + 0.08 * (block % 3), round((block + 1) * 0.02 * RATE_HZ))
    real = 7.0 + 100 * 1.0005
    assert clock.time_of(100 * RATE_HZ) == pytest.approx(real, abs=0.012)
