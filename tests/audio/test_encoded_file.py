"""FLAC and Ogg Opus files; what soundfile and our own source make of them."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from realtime_audio_plugins import FileSink, FileSource, MixedRecorder, StereoRecorder
from realtime_core.audio import AudioFrame, frame_from_mono
from realtime_core.errors import AudioError, UserError
from tests.audio.full_disk import full_disk, needs_limits

ROOT = Path(__file__).parents[2]
ENCODED = [".flac", ".ogg", ".opus"]


def speech_like(seconds, channels=1, rate_hz=24_000):
    """Noise below 2 kHz, as codecs for speech keep it."""
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((round(seconds * rate_hz), channels))
    kernel = np.hanning(24)[:, np.newaxis] / 12
    smooth = np.apply_along_axis(np.convolve, 0, noise, kernel[:, 0], mode="same")
    return np.rint(9_000 * smooth).astype(np.int16)


async def write_all(sink, samples, rate_hz=24_000, size=480):
    for begin in range(0, len(samples), size):
        await sink.write(AudioFrame(samples[begin : begin + size], rate_hz, begin))


async def written(path, samples, rate_hz=24_000, **options):
    sink = FileSink(path, rate_hz, **options)
    await sink.open()
    await write_all(sink, samples, rate_hz)
    await sink.close()
    return sink


async def read_file(path):
    source = FileSource(path)
    await source.open()
    blocks = []
    while (frame := await source.read()) is not None:
        blocks.append(frame.samples)
    await source.close()
    return np.concatenate(blocks)


@pytest.mark.parametrize("channels", [1, 2])
async def test_flac_gives_back_every_sample(tmp_path, channels):
    samples = speech_like(1.0, channels)
    sink = await written(tmp_path / "a.flac", samples, skip_silence=False)
    read, rate_hz = soundfile.read(tmp_path / "a.flac", dtype="int16", always_2d=True)
    assert rate_hz == 24_000
    assert np.array_equal(read, samples)
    assert soundfile.info(tmp_path / "a.flac").subtype == "PCM_16"
    assert sink.played_samples == 24_000
    assert sink.duration_s == 1.0
    assert os.listdir(tmp_path) == ["a.flac"]  # noqa: PTH208 - names are what is compared


@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 48_000])
async def test_opus_sounds_like_what_was_written(tmp_path, suffix, rate_hz):
    path = tmp_path / f"a{suffix}"
    samples = speech_like(2.0, rate_hz=rate_hz)
    await written(path, samples, rate_hz, skip_silence=False)
    info = soundfile.info(path)
    assert (info.format, info.subtype, info.samplerate) == ("OGG", "OPUS", rate_hz)
    read, _ = soundfile.read(path, dtype="int16")
    assert len(read) == len(samples)
    inner = slice(rate_hz // 4, -rate_hz // 4)
    assert np.corrcoef(read[inner], samples[inner, 0])[0, 1] > 0.9
    assert path.stat().st_size < samples.nbytes / 3


@pytest.mark.parametrize("suffix", [".wav", *ENCODED])
async def test_silence_at_both_ends_is_left_out_in_every_format(tmp_path, suffix):
    silence = np.zeros((24_000, 1), np.int16)
    tone = np.full((12_000, 1), 6_000, np.int16)
    pause = np.zeros((9_600, 1), np.int16)
    samples = np.concatenate([silence, tone, pause, tone, silence])
    sink = await written(tmp_path / f"a{suffix}", samples)
    assert sink.duration_s == pytest.approx(0.1 + 0.5 + 0.4 + 0.5 + 0.2)
    assert soundfile.info(tmp_path / f"a{suffix}").frames == round(1.7 * 24_000)


async def test_a_pause_of_minutes_is_kept_and_takes_no_memory(tmp_path):
    sink = FileSink(tmp_path / "a.flac")
    await sink.open()
    tone = np.full((480, 1), 6_000, np.int16)
    quiet = np.full((24_000, 1), 9, np.int16)
    await sink.write(AudioFrame(tone, 24_000))
    for _ in range(120):
        await sink.write(AudioFrame(quiet, 24_000))
        assert sink._writer._held_samples <= 11 * 24_000
    await sink.write(AudioFrame(tone, 24_000))
    await sink.close()
    read, _ = soundfile.read(tmp_path / "a.flac", dtype="int16")
    assert len(read) == 480 + 120 * 24_000 + 480
    assert (read[:480] == 6_000).all()
    assert (read[-480:] == 6_000).all()
    assert (read[480 : 10 * 24_000] == 9).all()
    assert not read[12 * 24_000 : -480].any()


async def test_a_pause_of_minutes_at_the_end_is_cut(tmp_path):
    sink = FileSink(tmp_path / "a.flac")
    await sink.open()
    await sink.write(AudioFrame(np.full((480, 1), 6_000, np.int16), 24_000))
    for _ in range(60):
        await sink.write(AudioFrame(np.zeros((24_000, 1), np.int16), 24_000))
    await sink.close()
    assert soundfile.info(tmp_path / "a.flac").frames == 480 + 4_800


@pytest.mark.parametrize("suffix", ENCODED)
async def test_where_nothing_was_heard_the_file_is_20_ms_of_silence(tmp_path, suffix):
    await written(tmp_path / f"a{suffix}", np.zeros((4_800, 1), np.int16))
    read = await read_file(tmp_path / f"a{suffix}")
    assert len(read) == 480
    assert not read.any()


@pytest.mark.parametrize("suffix", ENCODED)
async def test_a_failure_keeps_the_temporary_name(tmp_path, suffix):
    sink = FileSink(tmp_path / f"a{suffix}")
    await sink.open()
    assert sink.partial_path.name.endswith(f".part{suffix}")
    await write_all(sink, speech_like(0.5))
    await sink.close(complete=False)
    assert list(tmp_path.iterdir()) == [sink.partial_path]
    assert len(await read_file(sink.partial_path)) == 12_000


@pytest.mark.parametrize("suffix", ENCODED)
async def test_a_failure_before_the_first_sound_leaves_nothing(tmp_path, suffix):
    sink = FileSink(tmp_path / f"a{suffix}")
    await sink.open()
    await sink.close(complete=False)
    assert not list(tmp_path.iterdir())


async def test_opus_has_not_every_rate():
    with pytest.raises(UserError, match=r"at 44100 Hz: Opus has 8000, .* or 48000 Hz"):
        FileSink("a.opus", 44_100)


async def test_a_libsndfile_without_opus_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(soundfile, "check_format", lambda *_: False)
    with pytest.raises(AudioError, match=r"libsndfile .* has no OGG OPUS"):
        await FileSink(tmp_path / "a.opus").open()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ENCODED)
async def test_a_place_that_does_not_exist_is_told_when_opened(tmp_path, suffix):
    with pytest.raises(AudioError, match="does not exist"):
        await FileSink(tmp_path / f"missing/a{suffix}").open()
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(AudioError, match="it is a directory"):
        await FileSink(tmp_path / f"folder{suffix}").open()


@needs_limits
@pytest.mark.parametrize("suffix", ENCODED)
async def test_a_full_disk_is_told_and_the_final_name_never_appears(tmp_path, suffix):
    with full_disk():
        sink = FileSink(tmp_path / f"a{suffix}")
        await sink.open()
        with pytest.raises(AudioError, match="cannot write"):  # noqa: PT012 - now or when it is closed
            await write_all(sink, speech_like(20))
            await sink.close()
        await sink.close(complete=False)
        assert not sink.path.exists()


WRITER = """
import asyncio, sys
import numpy as np
from realtime_audio_plugins import FileSink
from realtime_core.audio import frame_from_mono

async def main():
    sink = FileSink(sys.argv[1])
    await sink.open()
    rng = np.random.default_rng(0)
    while True:
        await sink.write(frame_from_mono(rng.integers(-9000, 9000, 480).astype(np.int16), 24_000))
        print(sink.played_samples, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("suffix", ENCODED)
def test_what_a_killed_process_leaves_is_read_but_for_the_last_two_seconds(tmp_path, suffix):
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / f"a{suffix}")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        for _ in range(300):
            samples = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    (partial,) = tmp_path.iterdir()
    assert len(asyncio.run(read_file(partial))) >= samples - 2 * 24_000


# Recorders


@pytest.mark.parametrize("suffix", [".wav", *ENCODED])
def test_both_sides_are_added_up_in_one_channel(tmp_path, suffix):
    recorder = MixedRecorder(tmp_path / f"both{suffix}")
    recorder.open()
    for k in range(50):
        recorder.sent(frame_from_mono(np.full(480, 1_000, np.int16), 24_000), k / 50)
        recorder.heard(frame_from_mono(np.full(480, 2_000, np.int16), 24_000), 0.5 + k / 50)
    recorder.close()
    read, rate_hz = soundfile.read(recorder.path, dtype="int16")
    assert (rate_hz, read.shape) == (24_000, (36_000,))
    if suffix not in {".ogg", ".opus"}:
        assert (read[:12_000] == 1_000).all()
        assert (read[12_000:24_000] == 3_000).all()
        assert (read[24_000:] == 2_000).all()


def test_what_is_too_loud_together_is_clipped(tmp_path):
    recorder = MixedRecorder(tmp_path / "both.wav")
    recorder.open()
    for value, tap in ((30_000, recorder.sent), (30_000, recorder.heard)):
        tap(frame_from_mono(np.full(480, value, np.int16), 24_000), 0.0)
    for value, tap in ((-30_000, recorder.sent), (-30_000, recorder.heard)):
        tap(frame_from_mono(np.full(480, value, np.int16), 24_000), 0.02)
    recorder.close()
    read, _ = soundfile.read(recorder.path, dtype="int16")
    assert (read[:480] == 32_767).all()
    assert (read[480:] == -32_768).all()


def test_a_stereo_recording_may_be_flac(tmp_path):
    recorder = StereoRecorder(tmp_path / "both.flac")
    recorder.open()
    recorder.sent(frame_from_mono(np.full(480, 5, np.int16), 24_000), 0.0)
    recorder.heard(frame_from_mono(np.full(480, 7, np.int16), 24_000), 0.0)
    recorder.close()
    read, _ = soundfile.read(recorder.path, dtype="int16")
    assert (read == [5, 7]).all()
