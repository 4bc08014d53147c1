"""``realtime run`` in a pipeline: audio through standard input and output, text beside it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess

import numpy as np
import pytest
import soundfile
import soxr

from tests.end_to_end.commands import EXAMPLE, command_path, environment

DEADLINE_S = 40


@pytest.fixture
def question():
    """The example as raw PCM."""
    samples, rate_hz = soundfile.read(EXAMPLE, dtype="float32")
    pcm = soxr.resample(samples, rate_hz, 24_000)
    return np.rint(pcm * 32_767).astype("<i2").tobytes()


class Pipeline:
    """The command between two pipes."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [command_path(), "run", "--responder", "parrot", *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment(),
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.communicate()

    def end(self, data=None):
        out, err = self.process.communicate(data, timeout=DEADLINE_S)
        return self.process.returncode, out, err.decode()


def loudness(data):
    return np.abs(np.frombuffer(data, "<i2").astype(int)).max()


def test_a_question_on_standard_input_is_answered_on_standard_output(question):
    with Pipeline("-", "--out", "-") as pipeline:
        code, out, err = pipeline.end(question)
    assert code == 0, err
    assert len(out) % 2 == 0
    # All that comes from the peer, from the call's first moment on: at least question and answer.
    assert len(out) > 1.5 * len(question)
    assert loudness(out) > 5_000
    assert "question: 2.87 s sent from -" in err
    assert "received in -" in err
    assert "answered: " in err


def test_text_and_json_go_to_standard_error_where_audio_goes_to_standard_output(question):
    with Pipeline("-", "--out", "-", "--json") as pipeline:
        code, out, err = pipeline.end(question)
    assert code == 0, err
    assert b"{" not in out[:100]
    report = json.loads(err.splitlines()[-1])
    assert report["answer"]["path"] == "-"
    assert report["answer"]["duration_s"] == pytest.approx(len(out) / 48_000, abs=0.001)


def test_an_error_puts_no_text_into_the_audio():
    with Pipeline("-", "--out", "-", "--json", "--to", "nowhere") as pipeline:
        code, out, err = pipeline.end(b"")
    assert code == 2
    assert out == b""
    assert json.loads(err.splitlines()[-1])["class"] == "UserError"


def test_rates_are_told_in_the_spec(tmp_path):
    samples, rate_hz = soundfile.read(EXAMPLE, dtype="int16")
    answer = tmp_path / "answer.wav"
    with Pipeline(f"pcm:-?rate={rate_hz}", "--out", answer) as pipeline:
        code, _, err = pipeline.end(samples.astype("<i2").tobytes())
    assert code == 0, err
    assert soundfile.info(answer).duration == pytest.approx(len(samples) / rate_hz, abs=0.4)


def test_an_empty_pipe_is_told_and_no_hang(tmp_path):
    with Pipeline("-", "--out", tmp_path / "answer.wav") as pipeline:
        code, _, err = pipeline.end(b"")
    assert code == 1, err
    assert "error: standard input has no audio: not one sample came" in err
    assert not (tmp_path / "answer.wav").exists()


def test_a_reader_that_leaves_ends_the_run_with_an_error(question):
    with Pipeline("-", "--out", "-") as pipeline:
        pipeline.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):  # it may end before it has read all
            pipeline.process.stdin.write(question)
            pipeline.process.stdin.close()
        err = pipeline.process.stderr.read().decode()
        assert pipeline.process.wait(DEADLINE_S) == 1
    assert "error: nobody reads standard output any more" in err


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_what_has_no_end_is_ended_by_ctrl_c_and_complete(question, tmp_path):
    answer, both = tmp_path / "answer.wav", tmp_path / "both.wav"
    command = ("-", "--out", answer, "--stereo", both, "--turns", "vad")
    with Pipeline(*command) as pipeline:
        pipeline.process.stdin.write(question + bytes(2 * 24_000 * 2))
        pipeline.process.stdin.flush()
        for line in pipeline.process.stdout:
            if line.startswith(b"the answer begins"):
                break
        pipeline.process.send_signal(signal.SIGINT)
        code, _, err = pipeline.end()
    assert code == 130, err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answer.wav", "both.wav"]
    assert soundfile.info(both).duration > 2


@pytest.mark.skipif(shutil.which("sox") is None, reason="needs sox")
def test_sox_pipes_in_and_out(tmp_path):
    answer = tmp_path / "answer.wav"
    raw = "-t raw -r 24000 -e signed -b 16 -c 1"
    line = (
        f"set -o pipefail; sox '{EXAMPLE}' {raw} - | '{command_path()}' run - --out - "
        f"| sox {raw} - '{answer}'"
    )
    done = subprocess.run(
        [str(shutil.which("bash")), "-c", line],
        env=environment(), capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    samples, rate_hz = soundfile.read(answer)
    assert rate_hz == 24_000
    assert np.abs(samples).max() > 0.2


def test_live_audio_needs_turns_that_it_can_end(tmp_path):
    with Pipeline("mic:", "--out", tmp_path / "answer.wav") as pipeline:
        code, _, err = pipeline.end(b"")
    assert code == 2
    assert "use --turns vad" in err
