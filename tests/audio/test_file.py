"""Files in and out; what soundfile, scipy and the wave module make of them."""

import asyncio
import contextlib
import logging
import os
import signal
import struct
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

from realtime_audio_plugins import FileSink, FileSource
from realtime_core.audio import AudioFrame, frame_from_mono
from realtime_core.errors import AudioError, UserError
from tests.audio.full_disk import full_disk, needs_limits

ROOT = Path(__file__).parents[2]


async def read_all(source):
    frames = []
    while (frame := await source.read()) is not None:
        frames.append(frame)
    return frames


async def read_file(path):
    source = FileSource(path)
    await source.open()
    frames = await read_all(source)
    await source.close()
    return np.concatenate([frame.samples for frame in frames])


def speech_like(count, channels=1):
    rng = np.random.default_rng(1)
    return rng.integers(-20_000, 20_000, (count, channels)).astype(np.int16)


def wav_bytes(samples, rate_hz=16_000, *, riff_bytes=None, data_bytes=None, after=b""):
    data = samples.astype("<i2").tobytes()
    channels = samples.shape[1]
    return (
        struct.pack(
            "<4sI4s", b"RIFF", 36 + len(data) if riff_bytes is None else riff_bytes, b"WAVE"
        )
        + struct.pack("<4sIHHII", b"fmt ", 16, 1, channels, rate_hz, rate_hz * 2 * channels)
        + struct.pack("<HH", 2 * channels, 16)
        + struct.pack("<4sI", b"data", len(data) if data_bytes is None else data_bytes)
        + data
        + after
    )


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
async def test_any_rate_and_channel_count_is_read(tmp_path, rate_hz, channels):
    samples = speech_like(rate_hz // 3, channels)
    wavfile.write(tmp_path / "q.wav", rate_hz, samples)
    source = FileSource(tmp_path / "q.wav")
    await source.open()
    assert (source.rate_hz, source.channels) == (rate_hz, channels)
    assert source.duration_s == pytest.approx(1 / 3, abs=1e-4)
    frames = await read_all(source)
    await source.close()
    assert np.array_equal(np.concatenate([frame.samples for frame in frames]), samples)
    assert all(0 < frame.duration_s <= 0.1005 for frame in frames)
    starts = np.cumsum([0] + [len(frame.samples) for frame in frames[:-1]])
    assert [frame.first_sample for frame in frames] == list(starts)
    assert {frame.rate_hz for frame in frames} == {rate_hz}


@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        (".wav", "PCM_U8", 256),
        (".wav", "ULAW", 600),
        (".flac", "PCM_16", 0),
        (".flac", "PCM_24", 0),
        (".aiff", "PCM_16", 0),
        (".ogg", "VORBIS", 2_500),
        (".mp3", "MPEG_LAYER_III", 2_500),
    ],
)
async def test_what_soundfile_reads_is_read(tmp_path, suffix, subtype, tolerance):
    wave_form = np.rint(12_000 * np.sin(np.arange(32_000) / 20)).astype(np.int16)
    path = tmp_path / f"q{suffix}"
    soundfile.write(path, wave_form, 16_000, subtype=subtype)
    result = await read_file(path)
    assert len(result) == 32_000
    inner = slice(2_000, -2_000)
    assert np.abs(result[inner, 0].astype(int) - wave_form[inner]).max() <= tolerance


async def test_24_bits_are_rounded_and_not_cut_off(tmp_path):
    values = np.array([0, 127, 128, 129, 255, 256, -127, -129, 0x7FFFFF, -0x800000])
    soundfile.write(tmp_path / "q.wav", (values << 8).astype(np.int32), 8_000, subtype="PCM_24")
    assert [int(x) for x in (await read_file(tmp_path / "q.wav"))[:, 0]] == [
        0, 0, 0, 1, 1, 1, 0, -1, 32767, -32768,
    ]  # fmt: skip


async def test_float_is_scaled_and_clipped(tmp_path):
    values = np.array([0, 0.5, -0.5, 1.0, 1.5, -1.0, -7.0, np.nan, np.inf, -np.inf], np.float32)
    wavfile.write(tmp_path / "q.wav", 8_000, values)
    assert [int(x) for x in (await read_file(tmp_path / "q.wav"))[:, 0]] == [
        0, 16384, -16384, 32767, 32767, -32768, -32768, 0, 32767, -32768,
    ]  # fmt: skip


async def test_the_recordings_that_ship_are_speech_of_the_stated_form():
    recordings = [ROOT / "examples/question.wav", *sorted((ROOT / "tests/data").glob("*.wav"))]
    assert len(recordings) == 4
    for path in recordings:
        samples = await read_file(path)
        assert samples.shape[1] == 1
        assert 2 <= len(samples) / 16_000 <= 5
        assert 3_000 < np.abs(samples.astype(int)).max() < 32_768
    assert (ROOT / "examples/question.LICENSE.txt").exists()
    described = (ROOT / "tests/data/README.md").read_text()
    assert all(path.name in described for path in recordings[1:])


async def test_a_file_cut_short_is_read_to_its_end_with_a_warning(tmp_path, caplog):
    samples = speech_like(16_000)
    (tmp_path / "cut.wav").write_bytes(wav_bytes(samples)[: 44 + 2 * 5_000 + 1])
    assert np.array_equal(await read_file(tmp_path / "cut.wav"), samples[:5_000])
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        f"'{tmp_path}/cut.wav' is cut short: 1.00 s expected, 0.31 s found"
    )


@pytest.mark.parametrize(("suffix", "kept"), [(".flac", 0.6), (".mp3", 0.6)])
async def test_compressed_files_cut_short_are_read_as_far_as_they_go(
    tmp_path, caplog, suffix, kept
):
    path = tmp_path / f"cut{suffix}"
    soundfile.write(path, speech_like(48_000), 16_000)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    result = await read_file(path)
    assert 16_000 < len(result) < 32_000
    assert any("is cut short: 3.00 s expected" in message for message in caplog.messages)


@pytest.mark.parametrize(
    "lengths",
    [
        {"riff_bytes": 0xFFFFFFFF, "data_bytes": 0xFFFFFFFF},
        {"riff_bytes": 0xFFFFFFFF, "data_bytes": 0xFFFFFFFF - 36},
        {"riff_bytes": 0x7FFFF024, "data_bytes": 0x7FFFF000},
        {"riff_bytes": 0x80000024, "data_bytes": 0x80000000},
        {"riff_bytes": 0, "data_bytes": 0},
        {"riff_bytes": 36, "data_bytes": 0},
        {"data_bytes": 0},
    ],
)
@pytest.mark.parametrize("first", [0, 20_000])
async def test_streamed_files_are_read_without_a_warning(tmp_path, caplog, lengths, first):
    samples = speech_like(16_000, 2)
    samples[:100] = first
    (tmp_path / "streamed.wav").write_bytes(wav_bytes(samples, **lengths))
    assert np.array_equal(await read_file(tmp_path / "streamed.wav"), samples)
    assert not caplog.records


async def test_chunks_around_the_samples_are_no_audio(tmp_path, caplog):
    samples = speech_like(1_000)
    extra = struct.pack("<4sI4s", b"LIST", 4, b"INFO")
    plain = wav_bytes(samples, riff_bytes=36 + 2_000 + 24)
    (tmp_path / "q.wav").write_bytes(plain[:12] + extra + plain[12:] + extra)
    assert np.array_equal(await read_file(tmp_path / "q.wav"), samples)
    assert not caplog.records


SILENT = speech_like(0)
ONE_LINE_ERRORS = {
    "empty": (b"", "is empty"),
    "text": (b"hello world\n" * 100, "cannot be read as audio: format not recognised"),
    "html": (b"<html><body>404</body></html>" * 9, "cannot be read as audio"),
    "header cut in fmt": (wav_bytes(speech_like(99))[:30], "cannot be read as audio"),
    "header cut before data": (wav_bytes(speech_like(99))[:40], "cannot be read as audio"),
    "header alone": (wav_bytes(speech_like(99))[:44], "not one sample is in it"),
    "no samples": (wav_bytes(SILENT), "not one sample is in it"),
    "no samples but a chunk": (
        wav_bytes(SILENT, riff_bytes=48, after=struct.pack("<4sI4s", b"LIST", 4, b"INFO")),
        "not one sample is in it",
    ),
    "too slow": (wav_bytes(speech_like(99), 999), "has a rate of 999 Hz"),
    "too fast": (wav_bytes(speech_like(99), 768_001), "has a rate of 768001 Hz"),
    "too many channels": (wav_bytes(speech_like(99, 65)), "has 65 channels; up to 64"),
}


@pytest.mark.parametrize("name", ONE_LINE_ERRORS)
async def test_what_is_no_usable_audio_is_refused_in_one_line(tmp_path, name):
    content, message = ONE_LINE_ERRORS[name]
    path = tmp_path / "q.wav"
    path.write_bytes(content)
    source = FileSource(path)
    with pytest.raises(AudioError) as caught:
        await source.open()
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    await source.close()
    with pytest.raises(UserError, match="is not open"):
        await source.read()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.wav", "no such file"),
        ("", "is a directory, not an audio file"),
        ("fifo.wav", "is not a regular file"),
        ("headerless.raw", "cannot be read as audio"),
        ("headerless.raw/q.wav", "cannot read"),
        ("nul\0.wav", "cannot read"),
        ("cut.ogg", "cannot be read as audio"),
    ],
)
async def test_what_is_no_file_is_refused_at_once(tmp_path, name, message):
    os.mkfifo(tmp_path / "fifo.wav")
    (tmp_path / "headerless.raw").write_bytes(b"\1\2" * 100)
    soundfile.write(tmp_path / "cut.ogg", speech_like(16_000), 16_000)
    (tmp_path / "cut.ogg").write_bytes((tmp_path / "cut.ogg").read_bytes()[:3_000])
    with pytest.raises(AudioError, match=message):
        await FileSource(tmp_path / name).open()


async def test_one_sample_is_audio(tmp_path):
    (tmp_path / "q.wav").write_bytes(wav_bytes(speech_like(1)))
    source = FileSource(tmp_path / "q.wav")
    await source.open()
    assert source.duration_s == 1 / 16_000
    assert [len(frame.samples) for frame in await read_all(source)] == [1]
    await source.close()


async def test_a_cancelled_read_loses_nothing(tmp_path):
    samples = speech_like(16_000)
    (tmp_path / "q.wav").write_bytes(wav_bytes(samples))
    source = FileSource(tmp_path / "q.wav")
    await source.open()
    frames = []
    for attempt in range(80):
        task = asyncio.create_task(source.read())
        if attempt % 3:
            await asyncio.sleep(0)
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            frames.append(await task)
    frames += await read_all(source)
    await source.close()
    kept = [frame.samples for frame in frames if frame is not None]
    assert np.array_equal(np.concatenate(kept), samples)


async def test_a_source_opened_again_begins_at_its_start(tmp_path):
    (tmp_path / "q.wav").write_bytes(wav_bytes(speech_like(16_000)))
    source = FileSource(tmp_path / "q.wav")
    await source.open()
    first = await source.read()
    await source.open()
    assert (await source.read()).first_sample == 1_600
    await source.close()
    await source.close()
    await source.open()
    again = await source.read()
    await source.close()
    assert again.first_sample == 0
    assert np.array_equal(again.samples, first.samples)


def test_a_file_source_opens_nothing_before_open(tmp_path):
    code = (
        "import sys, realtime_audio_plugins as p; "
        "p.FileSource('q.wav'); p.FileSink('a.wav'); assert 'soundfile' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30, cwd=tmp_path, env={
        **os.environ, "PYTHONPATH": str(ROOT)
    })  # fmt: skip
    assert not list(tmp_path.iterdir())


# Sink


def readable_wav(path):
    """Rate and samples, as the standard library and scipy both see them."""
    with wave.open(str(path)) as file:
        assert file.getsampwidth() == 2
        content = file.readframes(file.getnframes())
        by_wave = np.frombuffer(content, "<i2").reshape(-1, file.getnchannels())
        rate_hz = file.getframerate()
    assert path.stat().st_size == 44 + len(content)
    if len(by_wave):
        rate_by_scipy, by_scipy = wavfile.read(path)
        assert rate_by_scipy == rate_hz
        assert np.array_equal(by_scipy.reshape(by_wave.shape), by_wave)
    return rate_hz, by_wave


def blocks(samples, sizes):
    begin = 0
    for size in sizes:
        yield samples[begin : begin + size]
        begin += size
    yield samples[begin:]


@settings(max_examples=40, deadline=None)
@given(
    lead=st.integers(0, 6_000),
    sound=st.integers(0, 3_000),
    pause=st.integers(0, 9_000),
    tail=st.integers(0, 9_000),
    channels=st.integers(1, 2),
    sizes=st.lists(st.integers(0, 2_000), max_size=20),
    skip_silence=st.booleans(),
)
async def test_a_file_holds_what_lies_between_the_silences_however_it_is_cut(
    tmp_path_factory, *, lead, sound, pause, tail, channels, sizes, skip_silence
):
    path = tmp_path_factory.mktemp("sink") / "a.wav"
    loud = np.full((sound, channels), 34, np.int16)
    loud[:, 0] = -34
    quiet = np.full((lead + pause + tail, channels), 33, np.int16)
    samples = np.concatenate([quiet[:lead], loud, quiet[:pause], loud, quiet[:tail]])
    sink = FileSink(path, skip_silence=skip_silence)
    await sink.open()
    for block in blocks(samples, sizes):
        await sink.write(AudioFrame(block, 24_000))
    assert sink.played_samples == len(samples)
    promised_s = sink.duration_s
    await sink.close()
    expected = samples
    if skip_silence:
        end = lead + 2 * sound + pause + 4_800
        expected = samples[max(0, lead - 2_400) : end] if sound else samples[:0]
    rate_hz, result = readable_wav(path)
    assert rate_hz == 24_000
    assert len(result) == round(promised_s * 24_000)
    assert np.array_equal(result.reshape(-1, channels), expected) or not len(expected)
    assert list(path.parent.iterdir()) == [path]


async def test_a_file_is_valid_after_every_write_and_named_when_complete(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"the answer of last time")
    samples = speech_like(4_800)
    sink = FileSink(path)
    assert sink.partial_path is None
    await sink.open()
    await sink.open()
    assert sink.partial_path.name.startswith("a.")
    assert sink.partial_path.name.endswith(".part.wav")
    assert len(readable_wav(sink.partial_path)[1]) == 0
    for index, block in enumerate(blocks(samples, [480] * 9), 1):
        await sink.write(AudioFrame(block, 24_000))
        assert np.array_equal(readable_wav(sink.partial_path)[1], samples[: 480 * index])
        assert path.read_bytes() == b"the answer of last time"
    sink.clear()
    await sink.drain()
    await sink.close()
    await sink.close()
    assert np.array_equal(readable_wav(path)[1], samples)
    assert list(tmp_path.iterdir()) == [path]


async def test_a_file_of_an_answer_cut_off_keeps_its_temporary_name(tmp_path):
    sink = FileSink(tmp_path / "a.wav")
    await sink.open()
    await sink.write(frame_from_mono(speech_like(500)[:, 0], 24_000))
    await sink.close(complete=False)
    assert list(tmp_path.iterdir()) == [sink.partial_path]
    assert len(readable_wav(sink.partial_path)[1]) == 500


async def test_nothing_is_left_of_a_file_without_audio_that_ended_early(tmp_path):
    sink = FileSink(tmp_path / "a.wav")
    await sink.open()
    await sink.write(frame_from_mono(np.zeros(500, np.int16), 24_000))
    await sink.close(complete=False)
    assert not list(tmp_path.iterdir())


async def test_an_answer_without_a_sound_is_a_valid_file_without_samples(tmp_path):
    sink = FileSink(tmp_path / "a.wav")
    await sink.open()
    await sink.write(frame_from_mono(np.zeros(50_000, np.int16), 24_000))
    await sink.close()
    assert len(readable_wav(tmp_path / "a.wav")[1]) == 0


async def test_two_sinks_of_one_name_do_not_disturb_each_other(tmp_path):
    sinks = [FileSink(tmp_path / "a.wav") for _ in range(2)]
    for level, sink in enumerate(sinks, 1):
        await sink.open()
        await sink.write(frame_from_mono(np.full(100, 1_000 * level, np.int16), 24_000))
    for level, sink in enumerate(sinks, 1):
        await sink.close()
        assert (readable_wav(tmp_path / "a.wav")[1] == 1_000 * level).all()


@pytest.mark.parametrize("name", ["a.mp3", "a", "a.wav.txt", "/dev/null"])
def test_names_of_other_formats_are_refused(name):
    with pytest.raises(UserError, match=r"the name must end in \.wav"):
        FileSink(name)


async def test_a_place_that_cannot_be_written_to_is_told_at_open(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.wav").mkdir()
    for name, message in {
        "missing/a.wav": "the directory .*missing' does not exist",
        "file/a.wav": "cannot write",
        "folder.wav": "it is a directory",
        "nul\0.wav": "cannot write",
        "x" * 300 + ".wav": "file name too long",
    }.items():
        sink = FileSink(tmp_path / name)
        with pytest.raises(AudioError, match=message):
            await sink.open()
        await sink.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.wav"]


async def test_frames_that_do_not_fit_the_file_are_refused(tmp_path):
    sink = FileSink(tmp_path / "a.wav")
    with pytest.raises(UserError, match="is not open"):
        await sink.write(frame_from_mono(speech_like(9)[:, 0], 24_000))
    await sink.open()
    with pytest.raises(UserError, match="24000 Hz, not 48000 Hz"):
        await sink.write(frame_from_mono(speech_like(9)[:, 0], 48_000))
    await sink.write(AudioFrame(speech_like(9, 2), 24_000))
    with pytest.raises(UserError, match="has 2 channels, the frame 1"):
        await sink.write(frame_from_mono(speech_like(9)[:, 0], 24_000))
    await sink.close()
    assert readable_wav(tmp_path / "a.wav")[1].shape == (9, 2)


@needs_limits
async def test_a_full_disk_is_told_and_leaves_what_was_written(tmp_path):
    with full_disk():
        sink = FileSink(tmp_path / "a.wav")
        await sink.open()
        for _ in range(10):
            await sink.write(AudioFrame(speech_like(480), 24_000))
        with pytest.raises(AudioError, match=r"cannot write .*file too large"):
            await sink.write(AudioFrame(speech_like(480), 24_000))
        with pytest.raises(AudioError, match=r"cannot write .*file too large"):
            await sink.close()
        await sink.close()
        assert list(tmp_path.iterdir()) == [sink.partial_path]
        assert len(soundfile.read(sink.partial_path)[0]) >= 480 * 10


WRITER = """
import asyncio, sys
import numpy as np
from realtime_audio_plugins import FileSink
from realtime_core.audio import frame_from_mono

async def main():
    sink = FileSink(sys.argv[1])
    await sink.open()
    samples = np.arange(1000, 31000, dtype=np.int16)
    while True:
        await sink.write(frame_from_mono(samples[:480], 24_000))
        samples = np.roll(samples, -480)
        print(sink.played_samples, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [1, 20, 300])
def test_a_killed_process_leaves_a_file_that_plays(tmp_path, lines):
    path = tmp_path / "a.wav"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        for _ in range(lines):
            reported = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    assert not path.exists()
    (partial,) = tmp_path.glob("a.*.part.wav")
    samples, rate_hz = soundfile.read(partial, dtype="int16")
    assert rate_hz == 24_000
    assert len(samples) >= reported
    assert np.array_equal(samples, 1_000 + np.arange(len(samples)) % 30_000)
