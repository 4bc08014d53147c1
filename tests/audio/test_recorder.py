"""The stereo recording of a conversation, on a time line given in closed form."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_audio_plugins import StereoRecorder
from realtime_core.audio import AudioFrame, frame_from_mono
from realtime_core.errors import AudioError, UserError
from tests.audio.full_disk import full_disk, needs_limits

ROOT = Path(__file__).parents[2]


def tone(frequency_hz, rate_hz, duration_s):
    index = np.arange(round(duration_s * rate_hz))
    return np.rint(10_000 * np.sin(2 * np.pi * frequency_hz * index / rate_hz)).astype(np.int16)


def say(tap, samples, rate_hz, at_s, late_s=lambda index: 0.0):
    """Hand a piece of audio to a tap in frames of 20 ms."""
    size = rate_hz // 50
    for index in range(-(-len(samples) // size)):
        frame = frame_from_mono(samples[index * size : (index + 1) * size], rate_hz)
        tap(frame, at_s + index * 0.02 + late_s(index))


def recorded(path):
    samples, rate_hz = soundfile.read(path, dtype="int16")
    assert rate_hz == 24_000
    return samples[:, 0], samples[:, 1]


@pytest.fixture
def recorder(tmp_path):
    recorder = StereoRecorder(tmp_path / "both.wav")
    recorder.open()
    yield recorder
    recorder.close(complete=False)


def test_question_and_answer_lie_on_one_time_line(recorder):
    say(recorder.sent, tone(440, 48_000, 1.0), 48_000, 100.0)
    say(recorder.heard, tone(1_000, 16_000, 0.5), 16_000, 101.25)
    recorder.close()
    left, right = recorded(recorder.path)
    assert len(left) == round(1.75 * 24_000)
    assert np.abs(left[:23_500] - tone(440, 24_000, 1.0)[:23_500].astype(int))[200:].max() <= 2
    assert not left[24_000:].any()
    assert not right[:30_000].any()
    difference = np.abs(right[30_000:] - tone(1_000, 24_000, 0.5).astype(int))
    assert difference[200:-200].max() <= 2
    assert list(recorder.path.parent.iterdir()) == [recorder.path]


def test_jitter_makes_no_gaps(recorder):
    samples = tone(440, 24_000, 1.0)
    say(recorder.heard, samples, 24_000, 7.0, late_s=lambda index: 0.03 * (index % 3 == 1))
    recorder.close()
    assert np.array_equal(recorded(recorder.path)[1], samples)


def test_a_gap_is_silence_as_long_as_it_was(recorder):
    say(recorder.heard, tone(440, 24_000, 0.1), 24_000, 0.0)
    say(recorder.heard, tone(440, 24_000, 0.1), 24_000, 600.0)
    assert recorder._left.held + recorder._right.held <= 2 * 2.1 * 24_000
    recorder.close()
    left, right = recorded(recorder.path)
    assert len(right) == round(600.1 * 24_000)
    assert not left.any()
    assert np.array_equal(right[:2_400], tone(440, 24_000, 0.1))
    assert not right[2_400 : 600 * 24_000].any()
    assert np.array_equal(right[600 * 24_000 :], tone(440, 24_000, 0.1))


def test_one_side_alone_is_held_for_two_seconds_at_most(recorder):
    for second in range(30):
        say(recorder.sent, tone(440, 48_000, 1.0), 48_000, second)
        assert recorder._left.held <= 2.05 * 24_000
        assert not recorder._right.held
    recorder.close()
    left, right = recorded(recorder.path)
    assert len(left) == 30 * 24_000
    assert not right.any()


def test_a_burst_is_back_in_place_after_its_next_silence(recorder):
    """The loop stood still for a second; what it owed then left at once."""
    say(recorder.sent, tone(440, 24_000, 0.5), 24_000, 0.0)
    for _ in range(50):
        recorder.sent(frame_from_mono(tone(500, 24_000, 0.02), 24_000), 1.5)
    say(recorder.sent, np.zeros(24_000, np.int16), 24_000, 1.52)
    say(recorder.sent, tone(440, 24_000, 0.5), 24_000, 2.52)
    recorder.close()
    left, _ = recorded(recorder.path)
    assert np.array_equal(left[-12_000:], tone(440, 24_000, 0.5))
    assert len(left) / 24_000 == pytest.approx(3.02, abs=0.041)


def test_the_duration_is_the_files_also_after_a_burst(recorder):
    say(recorder.sent, tone(440, 48_000, 0.5), 48_000, 100.0)
    for index in range(50):  # a second of sound, all in one instant
        recorder.heard(frame_from_mono(tone(500, 24_000, 0.02), 24_000), 100.5 + index * 1e-4)
    recorder.close()
    left, _ = recorded(recorder.path)
    assert recorder.duration_s == len(left) / 24_000 == pytest.approx(1.5, abs=0.001)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4_000), min_size=1, max_size=30),
    rate_hz=st.sampled_from([8_000, 24_000, 48_000]),
)
def test_any_cutting_into_frames_gives_the_same_recording(tmp_path_factory, sizes, rate_hz):
    rng = np.random.default_rng(0)
    samples = rng.integers(-9_000, 9_000, (sum(sizes), 1)).astype(np.int16)
    results = []
    for cut in (sizes, [sum(sizes)]):
        recorder = StereoRecorder(tmp_path_factory.mktemp("recorder") / "both.wav")
        recorder.open()
        begin = 0
        for size in cut:
            recorder.sent(AudioFrame(samples[begin : begin + size], rate_hz), 3 + begin / rate_hz)
            begin += size
        recorder.close()
        results.append(recorded(recorder.path))
    assert np.array_equal(results[0], results[1])


def test_stereo_input_is_mixed_to_one_side(recorder):
    both = np.column_stack([np.full(480, 1_000), np.full(480, 3_000)]).astype(np.int16)
    recorder.heard(AudioFrame(both, 24_000), 0.0)
    recorder.close()
    assert (recorded(recorder.path)[1] == 2_000).all()


def test_a_conversation_that_failed_keeps_its_temporary_name(recorder):
    say(recorder.sent, tone(440, 24_000, 0.5), 24_000, 0.0)
    recorder.close(complete=False)
    recorder.close()
    assert list(recorder.path.parent.iterdir()) == [recorder.partial_path]
    assert len(recorded(recorder.partial_path)[0]) == 12_000


def test_a_recorder_that_is_not_open_refuses_frames(tmp_path):
    recorder = StereoRecorder(tmp_path / "both.wav")
    recorder.close()
    with pytest.raises(UserError, match="is not open"):
        recorder.sent(frame_from_mono(tone(440, 24_000, 0.02), 24_000), 0.0)


def test_what_cannot_be_written_is_told_at_once(tmp_path):
    with pytest.raises(UserError, match=r"must end in \.wav, \.flac, \.ogg or \.opus"):
        StereoRecorder("both.mp3")
    with pytest.raises(AudioError, match="does not exist"):
        StereoRecorder(tmp_path / "missing/both.wav").open()


@needs_limits
def test_a_full_disk_is_told_once_and_again_when_closed(tmp_path):
    with full_disk():
        recorder = StereoRecorder(tmp_path / "both.wav")
        recorder.open()
        frame = frame_from_mono(tone(440, 24_000, 3.0), 24_000)
        with pytest.raises(AudioError, match="file too large"):
            recorder.sent(frame, 0.0)
        recorder.sent(frame, 3.0)
        with pytest.raises(AudioError, match="file too large"):
            recorder.close()
        recorder.close()
        assert not recorder.path.exists()


WRITER = """
import sys
import numpy as np
from realtime_audio_plugins import StereoRecorder
from realtime_core.audio import frame_from_mono

recorder = StereoRecorder(sys.argv[1])
recorder.open()
index = 0
while True:
    frame = frame_from_mono(np.full(480, 5_000, np.int16), 24_000)
    recorder.sent(frame, index * 0.02)
    recorder.heard(frame, index * 0.02)
    index += 1
    print(index, flush=True)
"""


def test_a_killed_process_leaves_a_recording_that_plays(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "both.wav")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        for _ in range(100):
            frames = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    (partial,) = tmp_path.iterdir()
    left, right = recorded(partial)
    assert len(left) >= frames * 480
    assert (left == 5_000).all()
    assert (right == 5_000).all()
