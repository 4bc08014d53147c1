"""Raw PCM through real FIFOs whose other ends are slow, silent, or gone."""

import asyncio
import contextlib
import fcntl
import logging
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime_audio_plugins import PcmSink, PcmSource
from realtime_core.audio import AudioFrame, frame_from_mono
from realtime_core.errors import AudioError, UserError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs FIFOs")

SOON_S = 5.0
"""Far more than anything here takes, far less than for ever."""


def ramp(count, start=0):
    return np.arange(start, start + count, dtype=np.int16)


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return str(path)


@pytest.fixture
def other_ends():
    """Closes what a test opens."""
    fds = []
    yield fds
    for fd in fds:
        with contextlib.suppress(OSError):  # a test may have closed it
            os.close(fd)


async def opened(path, flags, other_ends):
    """The other end of a FIFO; opening it waits for the plugin's thread."""
    fd = await asyncio.wait_for(asyncio.to_thread(os.open, path, flags), SOON_S)
    other_ends.append(fd)
    return fd


@pytest.fixture
async def source(fifo):
    source = PcmSource(fifo)
    await source.open()
    yield source
    await asyncio.wait_for(source.close(), SOON_S)


@pytest.fixture
async def sink(fifo):
    sink = PcmSink(fifo, buffer_ms=100)
    await sink.open()
    yield sink
    await asyncio.wait_for(sink.close(complete=False), SOON_S)


async def read_all(source):
    frames = []
    while (frame := await asyncio.wait_for(source.read(), SOON_S)) is not None:
        frames.append(frame)
    return frames


# Reading


async def test_what_comes_through_the_pipe_is_read_in_blocks_of_20_ms(fifo, source, other_ends):
    fd = await opened(fifo, os.O_WRONLY, other_ends)
    assert source.duration_s is None
    os.write(fd, ramp(1_000).tobytes())
    os.close(fd)
    frames = await read_all(source)
    assert [len(frame.samples) for frame in frames] == [480, 480, 40]
    assert [frame.first_sample for frame in frames] == [0, 480, 960]
    assert np.array_equal(np.concatenate([frame.samples[:, 0] for frame in frames]), ramp(1_000))
    assert {frame.rate_hz for frame in frames} == {24_000}
    assert source.duration_s == 1_000 / 24_000
    assert await source.read() is None


async def test_channels_are_interleaved(fifo, other_ends):
    source = PcmSource(fifo, rate_hz=8_000, channels=2)
    await source.open()
    fd = await opened(fifo, os.O_WRONLY, other_ends)
    os.write(fd, ramp(320).tobytes())
    os.close(fd)
    (frame,) = await read_all(source)
    await source.close()
    assert np.array_equal(frame.samples, ramp(320).reshape(160, 2))
    assert frame.rate_hz == 8_000


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sizes=st.lists(st.integers(1, 3_000), min_size=1, max_size=8).filter(lambda x: sum(x) > 1))
def test_any_cutting_into_writes_gives_the_same_frames(tmp_path_factory, sizes):
    path = str(tmp_path_factory.mktemp("pipe") / "fifo")
    os.mkfifo(path)
    data = ramp(sum(sizes) // 2).tobytes()

    def write():
        with Path(path).open("wb", buffering=0) as pipe:
            begin = 0
            for size in sizes:
                pipe.write(data[begin : begin + size])
                begin += size

    async def read():
        source = PcmSource(path)
        await source.open()
        writer = threading.Thread(target=write)
        writer.start()
        frames = await read_all(source)
        writer.join()
        await source.close()
        return frames

    frames = asyncio.run(read())
    expected = [480] * (len(data) // 960) + [len(data) % 960 // 2] * (len(data) % 960 > 0)
    assert [len(frame.samples) for frame in frames] == expected
    if frames:
        samples = np.concatenate([frame.samples[:, 0] for frame in frames])
        assert samples.tobytes() == data


async def test_a_sample_that_is_cut_in_two_is_dropped_with_a_warning(
    fifo, source, other_ends, caplog
):
    fd = await opened(fifo, os.O_WRONLY, other_ends)
    os.write(fd, ramp(10).tobytes() + b"\x01")
    os.close(fd)
    with caplog.at_level(logging.WARNING):
        (frame,) = await read_all(source)
    assert len(frame.samples) == 10
    assert "ended with 1 bytes of a sample of 2" in caplog.text


async def test_a_pipe_in_which_nothing_comes_stops_nothing_else(fifo, source, other_ends):
    fd = await opened(fifo, os.O_WRONLY, other_ends)
    waiting = asyncio.create_task(source.read())
    turns = 0
    for _ in range(50):
        await asyncio.sleep(0)
        turns += 1
    assert turns == 50
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    os.write(fd, ramp(480).tobytes())
    assert (await asyncio.wait_for(source.read(), SOON_S)).first_sample == 0


async def test_a_fifo_without_a_writer_is_opened_and_closed_at_once(fifo):
    source = PcmSource(fifo)
    await asyncio.wait_for(source.open(), SOON_S)
    waiting = asyncio.create_task(source.read())
    await asyncio.sleep(0)
    await asyncio.wait_for(source.close(), SOON_S)
    assert await waiting is None
    await source.close()
    with pytest.raises(UserError, match="not open"):
        await source.read()


async def test_closing_ends_a_thread_that_waits_for_data_or_for_room(fifo, other_ends):
    for data in (b"", bytes(48_000)):
        source = PcmSource(fifo, buffer_ms=40)
        await source.open()
        fd = await opened(fifo, os.O_RDWR, other_ends)
        os.write(fd, data)
        if data:
            await asyncio.wait_for(source.read(), SOON_S)
        before = asyncio.get_running_loop().time()
        await source.close()
        assert asyncio.get_running_loop().time() - before < SOON_S / 5
        os.close(fd)


async def test_a_slow_reader_holds_up_the_writer_and_loses_nothing(fifo, source, other_ends):
    fd = await opened(fifo, os.O_WRONLY, other_ends)
    writing = asyncio.create_task(asyncio.to_thread(write_all, fd, ramp(30_000).tobytes() * 4))
    first = await asyncio.wait_for(source.read(), SOON_S)
    assert not writing.done()
    rest = await read_all(source)
    await writing
    assert sum(len(frame.samples) for frame in [first, *rest]) == 120_000
    assert source.dropped_samples == 0


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data) :]
    os.close(fd)


async def test_a_live_pipe_drops_the_oldest_and_counts(fifo, other_ends):
    source = PcmSource(fifo, live=True, buffer_ms=100)
    assert source.is_live
    await source.open()
    fd = await opened(fifo, os.O_WRONLY, other_ends)
    await asyncio.to_thread(write_all, fd, ramp(24_000).tobytes())
    while not source._is_ended:
        await source._arrived.wait(SOON_S)
    frames = await read_all(source)
    await source.close()
    assert [frame.first_sample for frame in frames] == [21_600 + 480 * k for k in range(5)]
    assert frames[0].samples[0, 0] == 21_600


async def test_a_source_opened_twice_reads_once_and_again_after_closing(fifo, source, other_ends):
    await source.open()
    await source.close()
    await source.open()
    fd = await opened(fifo, os.O_WRONLY, other_ends)
    os.write(fd, ramp(5).tobytes())
    os.close(fd)
    assert len(await read_all(source)) == 1


async def test_a_file_of_raw_samples_is_read_too(tmp_path):
    (tmp_path / "a.raw").write_bytes(ramp(500).tobytes())
    source = PcmSource(str(tmp_path / "a.raw"))
    await source.open()
    assert sum(len(frame.samples) for frame in await read_all(source)) == 500
    await source.close()


async def test_a_pipe_without_one_sample_is_an_error(fifo, source, other_ends):
    os.close(await opened(fifo, os.O_WRONLY, other_ends))
    with pytest.raises(AudioError, match="has no audio: not one sample came"):
        await asyncio.wait_for(source.read(), SOON_S)


async def test_what_cannot_be_read_is_told(tmp_path):
    with pytest.raises(AudioError, match="no such pipe or file"):
        await PcmSource(str(tmp_path / "missing")).open()
    with pytest.raises(AudioError, match="is a directory"):
        await PcmSource(str(tmp_path)).open()
    with pytest.raises(AudioError, match="is a directory"):
        await PcmSink(str(tmp_path)).open()
    with pytest.raises(AudioError, match="no such pipe or file"):
        await PcmSink(str(tmp_path / "missing/out.raw")).open()


async def test_a_file_of_raw_samples_is_written_too(tmp_path):
    sink = PcmSink(str(tmp_path / "a.raw"))
    await sink.open()
    await sink.write(frame_from_mono(ramp(500), 24_000))
    await sink.close()
    assert (tmp_path / "a.raw").read_bytes() == ramp(500).tobytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
async def test_a_place_that_takes_no_data_is_an_error():
    sink = PcmSink("/dev/full")
    await sink.open()
    with pytest.raises(AudioError, match="cannot be written to: No space left"):  # noqa: PT012 - now or then
        await sink.write(frame_from_mono(ramp(500), 24_000))
        await asyncio.wait_for(sink.drain(), SOON_S)
    await sink.close(complete=False)


# Writing


async def test_what_is_written_comes_out_in_order(fifo, sink, other_ends):
    fd = await opened(fifo, os.O_RDONLY, other_ends)
    for k in range(10):
        await sink.write(frame_from_mono(ramp(240, 240 * k), 24_000))
    await sink.drain()
    assert sink.played_samples == 2_400
    assert sink.duration_s == 0.1
    await sink.close()
    assert os.read(fd, 10_000) == ramp(2_400).tobytes()
    assert os.read(fd, 10_000) == b""


async def test_mono_is_repeated_and_several_channels_are_mixed(fifo, other_ends):
    sink = PcmSink(fifo, channels=2)
    await sink.open()
    fd = await opened(fifo, os.O_RDONLY, other_ends)
    await sink.write(frame_from_mono(ramp(3), 24_000))
    await sink.write(AudioFrame(np.array([[1, 2]], np.int16), 24_000))
    await sink.write(AudioFrame(np.array([[1, 2, 6]], np.int16), 24_000))
    await sink.close()
    assert np.frombuffer(os.read(fd, 100), np.int16).tolist() == [0, 0, 1, 1, 2, 2, 1, 2, 3, 3]


async def test_a_reader_that_takes_nothing_holds_up_write_and_nothing_else(
    fifo, sink, other_ends, monkeypatch
):
    fd = await opened(fifo, os.O_RDONLY, other_ends)
    size = fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) if hasattr(fcntl, "F_GETPIPE_SZ") else 65_536
    samples = np.zeros(size, np.int16)
    writing = asyncio.create_task(sink.write(frame_from_mono(samples, 24_000)))
    while await sink._taken.wait(0.1):
        pass  # it still takes something
    assert not writing.done()
    monkeypatch.setattr("realtime_audio_plugins.pcm._CLOSE_PATIENCE_S", 0.05)
    with pytest.raises(AudioError, match="takes nothing any more"):
        await asyncio.wait_for(sink.close(), SOON_S)
    await asyncio.wait_for(writing, SOON_S)


async def test_a_fifo_without_a_reader_is_opened_and_closed_at_once(fifo):
    sink = PcmSink(fifo, buffer_ms=100)
    await asyncio.wait_for(sink.open(), SOON_S)
    await sink.write(frame_from_mono(ramp(100), 24_000))
    await asyncio.wait_for(sink.close(complete=False), SOON_S)
    with pytest.raises(UserError, match="not open"):
        await sink.write(frame_from_mono(ramp(100), 24_000))
    await sink.close()


async def test_a_reader_that_is_gone_is_an_error(fifo, sink, other_ends):
    os.close(await opened(fifo, os.O_RDONLY, other_ends))
    frame = frame_from_mono(ramp(2_000), 24_000)

    async def write_until_told():
        while True:
            await sink.write(frame)

    with pytest.raises(AudioError, match=r"nobody reads .* any more"):
        await asyncio.wait_for(write_until_told(), SOON_S)
    with pytest.raises(AudioError, match="nobody reads"):
        await sink.drain()
    with pytest.raises(AudioError, match="nobody reads"):
        await sink.close()
    await sink.close()


async def test_drain_waits_for_what_was_written_and_not_for_what_is_written_meanwhile(
    fifo, sink, other_ends
):
    fd = await opened(fifo, os.O_RDONLY, other_ends)
    full = np.zeros(70_000, np.int16)
    first = asyncio.create_task(sink.write(frame_from_mono(full, 24_000)))
    while await sink._taken.wait(0.1):
        pass  # it still takes something
    draining = asyncio.create_task(sink.drain())
    await asyncio.sleep(0)
    taken_before = sink.played_samples
    while not draining.done():
        os.read(fd, 8_192)
        await sink._taken.wait(0.1)
    assert not first.done()
    assert sink.played_samples - taken_before <= 2_400 + 3 * 4_096
    first.cancel()


async def test_clear_drops_what_waits(fifo, sink, other_ends):
    await sink.write(frame_from_mono(ramp(2_400), 24_000))
    writing = asyncio.create_task(sink.write(frame_from_mono(ramp(2_400), 24_000)))
    await asyncio.sleep(0)
    sink.clear()
    fd = await opened(fifo, os.O_RDONLY, other_ends)
    await asyncio.wait_for(writing, SOON_S)
    await sink.write(frame_from_mono(ramp(7), 24_000))
    await sink.close()
    assert os.read(fd, 10_000) == ramp(7).tobytes()


async def test_frames_of_another_rate_are_refused(sink):
    with pytest.raises(UserError, match="24000 Hz, not 48000 Hz"):
        await sink.write(frame_from_mono(ramp(10), 48_000))


def open_descriptors():
    return len(list(Path("/dev/fd").iterdir()))


async def test_no_descriptor_is_left_open(fifo):
    before = open_descriptors()
    for _ in range(5):
        source, sink = PcmSource(fifo), PcmSink(fifo)
        await source.open()
        await sink.open()
        await sink.write(frame_from_mono(ramp(100), 24_000))
        await sink.close()
        assert len(await read_all(source)) == 1
        await source.close()
    assert open_descriptors() == before
