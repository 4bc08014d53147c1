"""Microphone and speaker on a stand-in for sounddevice whose clock is turned by hand."""

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partialmethod
from types import SimpleNamespace

import numpy as np
import pytest

from realtime_audio_plugins import MicrophoneSource, SpeakerSink
from realtime_audio_plugins.portaudio import list_devices
from realtime_core.audio import AudioFrame, frame_from_mono
from realtime_core.devices import AudioDevice
from realtime_core.errors import AudioError, UserError


class FakePortAudioError(Exception):
    pass


class FakeStream:
    """A stream whose callback a test calls, from a thread of its own as PortAudio does."""

    def __init__(self, host, kind, options):
        self.host = host
        self.kind = kind
        self.options = options
        self.time = 0.0
        self.latency = 0.01
        self.is_running = False
        self.is_closed = False
        if host.open_error:
            raise FakePortAudioError(host.open_error)

    def start(self):
        if self.host.start_error:
            raise FakePortAudioError(self.host.start_error)
        self.is_running = True

    def close(self):
        if self.is_running:
            self._in_thread(self.options["finished_callback"])
        self.is_running = False
        self.is_closed = True

    def unplug(self):
        self._in_thread(self.options["finished_callback"])
        self.is_running = False

    def record(self, samples):
        self._in_thread(self.options["callback"], samples.reshape(-1, 1), len(samples), None, None)

    def play(self):
        """Let the device take its next block; what it took."""
        out = np.full((self.options["blocksize"], self.options["channels"]), 77, np.int16)
        dac_time = self.time + self.latency if self.latency is not None else 0.0
        times = SimpleNamespace(outputBufferDacTime=dac_time)
        self._in_thread(self.options["callback"], out, len(out), times, None)
        self.time += len(out) / self.options["samplerate"]
        return out

    @staticmethod
    def _in_thread(function, *arguments):
        with ThreadPoolExecutor(1) as thread:
            thread.submit(function, *arguments).result()


class FakeSoundDevice:
    """The part of sounddevice's module that is used."""

    PortAudioError = FakePortAudioError

    def __init__(self):
        self.devices = [
            self._device(0, "Built-in Audio", 2, 2),
            self._device(1, "USB Headset", 1, 2),
            self._device(2, "USB Webcam", 2, 0, 44_100),
            self._device(3, "HDMI", 0, 8),
        ]
        self.default = 0
        self.refused_rates = {}
        self.open_error = self.start_error = None
        self.streams = []

    @staticmethod
    def _device(index, name, inputs, outputs, rate_hz=48_000):
        return {
            "index": index,
            "name": name,
            "max_input_channels": inputs,
            "max_output_channels": outputs,
            "default_samplerate": float(rate_hz),
        }

    def query_devices(self, kind=None):
        if kind is None:
            return self.devices
        if self.default is None:
            raise FakePortAudioError("Error querying device -1")
        return self.devices[self.default]

    def check_input_settings(self, *, device, channels, dtype, samplerate):
        if samplerate == self.refused_rates.get(device):
            raise FakePortAudioError("Invalid sample rate")

    check_output_settings = check_input_settings

    def _open(self, kind, **options):
        stream = FakeStream(self, kind, options)
        self.streams.append(stream)
        return stream

    InputStream = partialmethod(_open, "input")
    OutputStream = partialmethod(_open, "output")

    @property
    def stream(self):
        return self.streams[-1]


@pytest.fixture
def host(monkeypatch):
    host = FakeSoundDevice()
    monkeypatch.setitem(sys.modules, "sounddevice", host)
    yield host
    assert all(stream.is_closed for stream in host.streams)


@pytest.fixture
async def microphone(host):
    microphone = MicrophoneSource()
    await microphone.open()
    yield microphone
    await microphone.close()


@pytest.fixture
async def speaker(host):
    speaker = SpeakerSink()
    await speaker.open()
    yield speaker
    await speaker.close()


@pytest.fixture
def no_patience(monkeypatch):
    monkeypatch.setattr("realtime_audio_plugins.portaudio.STALL_TIMEOUT_S", 0.01)


def ramp(count, start=0):
    return np.arange(start, start + count, dtype=np.int16)


async def settle():
    """Let everything in the loop run that can run."""
    for _ in range(5):
        await asyncio.sleep(0)


# Microphone


async def test_what_the_microphone_hears_is_read_in_order(host, microphone):
    assert microphone.is_live
    host.stream.record(ramp(960))
    reading = [await microphone.read()]
    waiting = asyncio.create_task(microphone.read())
    await settle()
    assert not waiting.done()
    host.stream.record(ramp(960, 960))
    reading.append(await waiting)
    assert [frame.first_sample for frame in reading] == [0, 960]
    assert np.array_equal(np.concatenate([frame.samples[:, 0] for frame in reading]), ramp(1920))
    assert reading[0].rate_hz == 48_000


async def test_samples_are_copied_as_portaudio_reuses_its_buffer(host, microphone):
    buffer = ramp(960)
    host.stream.record(buffer)
    buffer[:] = 0
    assert (await microphone.read()).samples[-1, 0] == 959


async def test_a_slow_reader_loses_the_oldest_and_the_loss_is_counted(host, microphone):
    for block in range(25):
        host.stream.record(ramp(960, block * 960))
    assert microphone.dropped_samples == 15 * 960
    frames = [await microphone.read() for _ in range(10)]
    assert [frame.first_sample for frame in frames] == [960 * block for block in range(15, 25)]
    assert frames[0].samples[0, 0] == 15 * 960


async def test_a_cancelled_read_loses_nothing(host, microphone):
    waiting = asyncio.create_task(microphone.read())
    await settle()
    host.stream.record(ramp(960))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await microphone.read()).first_sample == 0


async def test_an_unplugged_microphone_is_an_error_after_what_it_heard(host, microphone):
    host.stream.record(ramp(960))
    host.stream.unplug()
    assert (await microphone.read()).first_sample == 0
    with pytest.raises(AudioError, match=r"the microphone 'Built-in Audio' stopped working"):
        await microphone.read()


async def test_a_microphone_that_falls_silent_without_a_word_is_an_error(
    host, no_patience, microphone
):
    with pytest.raises(AudioError, match="is it still plugged in"):
        await microphone.read()


def stand_still(seconds):
    """Block the loop, as a program does that computes in it."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        pass


async def test_a_loop_that_stood_still_does_not_blame_the_device(
    host, no_patience, microphone, speaker
):
    reading = asyncio.create_task(microphone.read())
    writing = asyncio.create_task(speaker.write(frame_from_mono(ramp(24_960), 48_000)))
    await settle()
    host.streams[0].record(ramp(960))
    host.streams[1].play()
    stand_still(0.05)
    assert (await reading).first_sample == 0
    await writing


async def test_closing_ends_a_read_that_waits(host, microphone):
    waiting = asyncio.create_task(microphone.read())
    await settle()
    await microphone.close()
    assert await waiting is None
    await microphone.close()
    with pytest.raises(UserError, match="not open"):
        await microphone.read()


async def test_opening_twice_opens_one_device(host, microphone):
    await microphone.open()
    assert len(host.streams) == 1


async def test_a_microphone_opened_again_begins_anew(host, microphone):
    host.stream.record(ramp(960))
    await microphone.close()
    await microphone.open()
    host.stream.record(ramp(960))
    assert (await microphone.read()).first_sample == 0


# Choosing


@pytest.mark.parametrize(
    ("wanted", "index"), [(None, 0), (2, 2), ("webcam", 2), ("usb headset", 1), ("Built", 0)]
)
async def test_a_device_is_chosen_by_index_or_part_of_its_name(host, wanted, index):
    microphone = MicrophoneSource(wanted)
    await microphone.open()
    assert host.stream.options["device"] == index
    await microphone.close()


async def test_an_exact_name_wins_over_longer_ones(host):
    host.devices.append({**host.devices[1], "index": 4, "name": "USB Headset 2"})
    microphone = MicrophoneSource("USB Headset")
    await microphone.open()
    assert host.stream.options["device"] == 1
    await microphone.close()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("usb", r"2 microphones match 'usb'; there are: 1 \(USB Headset\), 2 \(USB Webcam\)"),
        ("hdmi", r"0 microphones match 'hdmi'; there are: 0 \(Built-in Audio\), 1 "),
        (3, "0 microphones match 3"),
        (9, "0 microphones match 9"),
    ],
)
async def test_a_choice_that_fits_none_or_several_lists_what_there_is(host, wanted, message):
    with pytest.raises(AudioError, match=message):
        await MicrophoneSource(wanted).open()


async def test_a_device_without_48_khz_is_used_at_its_own_rate(host):
    host.refused_rates = {2: 48_000}
    microphone = MicrophoneSource(2)
    await microphone.open()
    host.stream.record(ramp(882))
    assert (await microphone.read()).rate_hz == 44_100
    await microphone.close()


@pytest.mark.parametrize(
    ("make", "role", "keyword"),
    [(MicrophoneSource, "microphone", "source"), (SpeakerSink, "speaker", "sink")],
)
@pytest.mark.parametrize("wanted", [None, 7, "usb"])
async def test_a_machine_without_devices_is_told_what_to_do(host, make, role, keyword, wanted):
    host.default, host.devices = None, []
    with pytest.raises(AudioError) as caught:
        await make(wanted).open()
    told = f"this machine has no {role}; connect one, or give another {keyword}"
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("make", "there_are"),
    [(MicrophoneSource, r"1 \(USB Headset\)"), (SpeakerSink, r"3 \(HDMI\)")],
)
async def test_a_machine_without_a_default_lists_what_it_has(host, make, there_are):
    host.default = None
    with pytest.raises(AudioError, match=f"has no default; .*{there_are}.*; give one's index"):
        await make().open()


@pytest.mark.parametrize("wanted", [None, 1])
async def test_devices_that_cannot_be_listed_are_told_with_the_reason(host, monkeypatch, wanted):
    def query_devices(kind=None):
        raise FakePortAudioError(f"PortAudio not initialized, {kind}")

    monkeypatch.setattr(host, "query_devices", query_devices)
    with pytest.raises(AudioError, match="the audio devices cannot be listed: PortAudio not init"):
        await MicrophoneSource(wanted).open()


@pytest.mark.parametrize("make", [MicrophoneSource, SpeakerSink])
async def test_the_missing_extra_is_named(monkeypatch, make):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(AudioError, match="sounddevice is not installed") as caught:
        await make().open()
    assert 'pip install "realtime-transports[device]"' in str(caught.value)


@pytest.mark.parametrize("make", [MicrophoneSource, SpeakerSink])
@pytest.mark.parametrize("fault", ["open_error", "start_error"])
async def test_a_device_in_use_is_an_error_and_leaves_nothing_open(host, make, fault):
    setattr(host, fault, "Device unavailable")
    device = make()
    with pytest.raises(AudioError, match=r"'Built-in Audio' cannot be .*: Device unavailable"):
        await device.open()
    await device.close()


# Speaker


async def test_what_is_written_is_played_on_both_sides_and_silence_after_it(host, speaker):
    await speaker.write(frame_from_mono(ramp(1_000), 48_000))
    first, second = host.stream.play(), host.stream.play()
    assert np.array_equal(first, np.column_stack([ramp(960)] * 2))
    assert np.array_equal(second[:40], np.column_stack([ramp(40, 960)] * 2))
    assert not second[40:].any()


async def test_played_samples_follow_the_clock_of_the_device(host, speaker):
    await speaker.write(frame_from_mono(ramp(1_920), 48_000))
    assert speaker.played_samples == 0
    host.stream.play()
    # The device's clock stands at 20 ms; its first sample left at 10 ms.
    assert speaker.played_samples == 480
    host.stream.time = 0.025
    assert speaker.played_samples == 720
    host.stream.time = 0.030
    assert speaker.played_samples == 960
    host.stream.time = 5.0
    assert speaker.played_samples == 960
    host.stream.play()
    host.stream.time = 9.0
    assert speaker.played_samples == 1_920


async def test_a_driver_that_tells_no_time_counts_what_it_took(host, speaker):
    host.stream.latency = None
    await speaker.write(frame_from_mono(ramp(1_000), 48_000))
    host.stream.play()
    assert speaker.played_samples == 960


async def test_writing_waits_for_room(host, speaker):
    writing = asyncio.create_task(speaker.write(frame_from_mono(ramp(30_000), 48_000)))
    await settle()
    assert not writing.done()
    played = []
    while not writing.done():
        played.append(host.stream.play()[:, 0])
        await settle()
    assert len(played) == 7  # 30,000 samples less the 24,000 that may wait, in blocks of 960
    played += [host.stream.play()[:, 0] for _ in range(25)]
    assert np.array_equal(np.concatenate(played)[:30_000], ramp(30_000))


async def test_clear_drops_what_waits_and_what_still_waits_to_be_queued(host, speaker):
    writing = asyncio.create_task(speaker.write(frame_from_mono(ramp(30_000), 48_000)))
    await settle()
    host.stream.play()
    speaker.clear()
    await settle()
    host.stream.play()
    await writing
    assert not host.stream.play().any()
    await speaker.write(frame_from_mono(ramp(960, 5), 48_000))
    assert host.stream.play()[0, 0] == 5
    host.stream.time = 9.0
    assert speaker.played_samples == 1_920


async def test_drain_waits_until_the_last_sample_has_left(host, speaker):
    await speaker.write(frame_from_mono(ramp(960), 48_000))
    draining = asyncio.create_task(speaker.drain())
    host.stream.play()
    await settle()
    assert not draining.done()
    host.stream.play()
    host.stream.play()
    await draining
    assert speaker.played_samples == 960


async def test_drain_does_not_wait_for_what_is_written_meanwhile(host, speaker):
    await speaker.write(frame_from_mono(ramp(960), 48_000))
    draining = asyncio.create_task(speaker.drain())
    await settle()
    for _ in range(3):
        await speaker.write(frame_from_mono(ramp(960), 48_000))
        assert not draining.done()
        host.stream.play()
        await settle()
        if draining.done():
            break
    await draining
    assert 960 <= speaker.played_samples < 1_920


async def test_drain_is_over_when_what_it_waits_for_is_dropped(host, speaker):
    await speaker.write(frame_from_mono(ramp(9_600), 48_000))
    draining = asyncio.create_task(speaker.drain())
    await settle()
    speaker.clear()
    host.stream.play()
    await draining


async def test_several_channels_are_mixed(host, speaker):
    both = np.column_stack([np.full(960, 1_000), np.full(960, 3_000)]).astype(np.int16)
    await speaker.write(AudioFrame(both, 48_000))
    assert (host.stream.play() == 2_000).all()


async def test_an_unplugged_speaker_is_an_error(host, speaker):
    writing = asyncio.create_task(speaker.write(frame_from_mono(ramp(30_000), 48_000)))
    await settle()
    host.stream.unplug()
    with pytest.raises(AudioError, match="the speaker 'Built-in Audio' stopped working"):
        await writing
    with pytest.raises(AudioError, match="stopped working"):
        await speaker.write(frame_from_mono(ramp(960), 48_000))
    with pytest.raises(AudioError, match="stopped working"):
        await speaker.drain()


async def test_a_speaker_that_stops_without_a_word_is_an_error(host, no_patience, speaker):
    await speaker.write(frame_from_mono(ramp(960), 48_000))
    with pytest.raises(AudioError, match="is it still plugged in"):
        await speaker.drain()


async def test_closing_keeps_the_count_and_ends_a_write_that_waits(host, speaker):
    writing = asyncio.create_task(speaker.write(frame_from_mono(ramp(30_000), 48_000)))
    await settle()
    host.stream.play()
    await speaker.close()
    assert speaker.played_samples == 480
    await writing
    await speaker.close(complete=False)
    with pytest.raises(UserError, match="not open"):
        await speaker.write(frame_from_mono(ramp(960), 48_000))
    await speaker.drain()


async def test_frames_of_another_rate_are_refused(host, speaker):
    with pytest.raises(UserError, match="48000 Hz, not 24000 Hz"):
        await speaker.write(frame_from_mono(ramp(960), 24_000))


async def test_a_mono_speaker_is_played_in_mono(host):
    host.devices[3]["max_output_channels"] = 1
    speaker = SpeakerSink("hdmi")
    await speaker.open()
    await speaker.write(frame_from_mono(ramp(960), 48_000))
    assert host.stream.play().shape == (960, 1)
    await speaker.close()


def test_a_loop_that_ended_does_not_break_the_device(host):
    async def forget():
        speaker = SpeakerSink()
        await speaker.open()
        return speaker

    asyncio.run(forget())
    host.stream.play()
    host.stream.close()


# Slow systems


async def test_a_sound_system_that_does_not_answer_is_an_error_and_stops_nothing(host, monkeypatch):
    monkeypatch.setattr("realtime_audio_plugins.portaudio.OPEN_TIMEOUT_S", 0.05)
    answer = threading.Event()
    query = host.query_devices

    def slow_query(kind=None):
        assert answer.wait(10)
        return query(kind)

    monkeypatch.setattr(host, "query_devices", slow_query)
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    microphone = MicrophoneSource()
    with pytest.raises(AudioError, match=r"the microphone did not answer within 0\.05 s"):
        await microphone.open()
    assert turns > 10
    counting.cancel()
    answer.set()
    for _ in range(1_000):
        if host.streams and host.stream.is_closed:
            break
        await asyncio.sleep(0.001)
    # Opened too late, it was closed again by whoever opened it.
    assert host.stream.is_closed
    await microphone.close()


async def test_an_open_that_is_cancelled_leaves_no_device_open(host, monkeypatch):
    answer = threading.Event()
    query = host.query_devices

    def slow_query(kind=None):
        assert answer.wait(10)
        return query(kind)

    monkeypatch.setattr(host, "query_devices", slow_query)
    speaker = SpeakerSink()
    opening = asyncio.create_task(speaker.open())
    await settle()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    answer.set()
    for _ in range(1_000):
        if host.streams and host.stream.is_closed:
            break
        await asyncio.sleep(0.001)
    assert host.stream.is_closed


async def test_a_device_that_does_not_close_is_left_with_a_warning(host, monkeypatch, caplog):
    monkeypatch.setattr("realtime_audio_plugins.portaudio.CLOSE_TIMEOUT_S", 0.05)
    speaker = SpeakerSink()
    await speaker.open()
    stream, may_close = host.stream, threading.Event()
    close = stream.close
    monkeypatch.setattr(stream, "close", lambda: may_close.wait(10) and close())
    await speaker.close()
    assert "'Built-in Audio' did not answer" in caplog.text
    may_close.set()
    for _ in range(1_000):
        if stream.is_closed:
            break
        await asyncio.sleep(0.001)
    assert stream.is_closed


# Listing


def test_all_devices_are_listed(host):
    devices = list_devices()
    assert [device.index for device in devices] == [0, 1, 2, 3]
    assert devices[0] == AudioDevice(0, "Built-in Audio", 2, 2, 48_000, True, True)
    assert devices[3] == AudioDevice(3, "HDMI", 0, 8, 48_000)


def test_a_machine_without_a_default_has_devices_all_the_same(host):
    host.default = None
    assert not any(device.is_default_input for device in list_devices())


def test_listing_names_the_missing_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(AudioError, match=r'pip install "realtime-transports\[device\]"'):
        list_devices()
