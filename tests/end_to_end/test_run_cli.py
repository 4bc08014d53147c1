"""``realtime run`` as its users meet it: all kinds of files, failures, and interruptions."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from aiohttp import web
from scipy import signal as dsp

from realtime_core.cli.exit_codes import ExitCode
from realtime_core.cli.run import run_file
from realtime_core.cli.run_options import RunOptions
from tests.end_to_end.calls import serving
from tests.end_to_end.commands import DATA, Running, command_path, environment, realtime
from tests.end_to_end.listening import level_db, likeness, read_mono, sounding_part

SPEECH = DATA / "say_your_name.wav"

ALIKE = 0.9
"""Of short pieces; see test_run_speech.py."""

needs_terminals = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")


# All kinds of files


def first_words() -> np.ndarray:
    """A second of speech at 16 kHz, full scale 1."""
    samples, rate_hz = read_mono(SPEECH)
    assert rate_hz == 16_000
    return sounding_part(samples)[:16_000]


def words_in(
    name: str, *, rate_hz: int, subtype: str | None = None, channels: int = 1
) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        samples = dsp.resample_poly(first_words(), rate_hz, 16_000)
        soundfile.write(path, np.repeat(samples[:, None], channels, axis=1), rate_hz, subtype)
        return path

    return make


def words_cut_short(folder: Path) -> Path:
    """As a broken download leaves them."""
    path = words_in("cut.wav", rate_hz=16_000)(folder)
    path.write_bytes(path.read_bytes()[:-8_001])
    return path


PARROT = ("--responder", "parrot")

QUESTIONS = [
    words_in("telephone.wav", rate_hz=8_000),
    words_in("compact-disc.wav", rate_hz=44_100, channels=2),
    words_in("studio.wav", rate_hz=48_000, subtype="PCM_24"),
    words_in("float.wav", rate_hz=48_000, subtype="FLOAT", channels=2),
    words_in("free.flac", rate_hz=44_100, subtype="PCM_24"),
    words_in("free.ogg", rate_hz=48_000, subtype="VORBIS"),
    words_cut_short,
]


async def ask(question: Path, at_once: asyncio.Semaphore) -> Path:
    """Run one conversation; the answer."""
    answer = question.with_name(f"{question.name}.answer.wav")
    options = RunOptions(
        question=question,
        out=answer,
        responder="parrot",
        deadline_s=30.0,
        as_json=True,
        no_plugins=True,
    )
    async with at_once:
        assert await run_file(options) == ExitCode.DONE
    return answer


async def test_files_of_all_kinds_are_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    questions = [make(tmp_path) for make in QUESTIONS]
    at_once = asyncio.Semaphore(4)  # both ends of each are in this process
    answers = await asyncio.gather(*(ask(question, at_once) for question in questions))
    for question, answer in zip(questions, answers, strict=True):
        asked, asked_hz = read_mono(question)
        answered, answered_hz = read_mono(answer)
        asked, answered = sounding_part(asked), sounding_part(answered)
        ratio = (len(answered) / answered_hz) / (len(asked) / asked_hz)
        assert ratio == pytest.approx(1.0, abs=0.05), question.name
        assert level_db(answered) == pytest.approx(level_db(asked), abs=1.0), question.name
        assert likeness(answer, question) > ALIKE, question.name
    reports = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {report["question"]["path"] for report in reports} == set(map(str, questions))
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "cut.wav' is cut short: 1.00 s expected, 0.75 s found" in warning.getMessage()


# Failures


def test_a_bad_file_is_one_line_in_a_process_of_its_own(tmp_path: Path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF")
    with (
        Running("run", bad, "--out", tmp_path / "a.wav") as plain,
        Running("run", bad, "--out", tmp_path / "a.wav", "--json") as as_json,
    ):
        ended, described = plain.end(), as_json.end()
    assert (ended.code, ended.out) == (2, "")
    assert re.fullmatch(r"error: '.*bad\.wav' cannot be read as audio: .+\n", ended.err)
    assert described.code == 2
    assert json.loads(described.out) == {
        "error": ended.err.removeprefix("error: ").rstrip(),
        "class": "InputError",
    }
    assert list(tmp_path.iterdir()) == [bad]


def test_a_refused_command_line_is_one_json_object_where_asked_for():
    ended = realtime("run", "question.wav", "--nope", "--json")
    assert ended.code == 2
    assert "--nope" in json.loads(ended.out)["error"]
    assert "--nope" in ended.err


async def test_a_refused_key_is_told_and_never_shown(tmp_path: Path):
    async def refuse(request: web.Request) -> web.Response:
        key = request.headers["Authorization"]
        return web.json_response({"error": {"message": f"Bad key: {key}\n\x1b[2J"}}, status=401)

    async with serving(refuse) as url:
        process = await asyncio.create_subprocess_exec(
            command_path(),
            *("-vv", "run", str(SPEECH), "--out", str(tmp_path / "a.wav"), "--json", "--to", url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(REALTIME_API_KEY="sk-canary-in-a-coal-mine"),
        )
        out, err = await process.communicate()
    assert process.returncode == 1
    described = json.loads(out)
    assert (described["class"], described["stage"], described["status"]) == (
        "ConnectError",
        "http",
        401,
    )
    assert "401: Bad key: " in described["error"]
    assert b"canary" not in out + err
    assert b"\x1b" not in out + err
    assert b"Traceback" not in err
    assert not any(tmp_path.iterdir())  # noqa: ASYNC240 - nothing else runs by now


# Interruptions


@needs_terminals
def test_a_run_that_is_ended_early_keeps_what_came_under_another_name(tmp_path: Path):
    from tests.end_to_end.terminals import OnTerminal

    columns = {signal.SIGINT: 100, signal.SIGTERM: 80, signal.SIGKILL: 40}
    codes = {signal.SIGINT: 130, signal.SIGTERM: 130, signal.SIGKILL: -signal.SIGKILL}

    def end_early(number: signal.Signals) -> None:
        folder = tmp_path / number.name
        folder.mkdir()
        files = ["--out", folder / "answer.wav", "--stereo", folder / "both.wav", *PARROT]
        with OnTerminal("run", SPEECH, *files, columns=columns[number]) as terminal:
            # While the answer comes: the live line counts what was heard.
            terminal.wait_shown(r"question 2\.3 of 2\.3 s, answer 1\.\d s")
            assert terminal.stop(number) == codes[number]
        (partial,) = folder.glob("answer.*.part.wav")
        (both,) = folder.glob("both.*.part.wav")
        assert len(list(folder.iterdir())) == 2
        kept, rate_hz = read_mono(partial)
        assert 0.5 < len(sounding_part(kept)) / rate_hz < 1.8
        assert likeness(partial, SPEECH) > ALIKE
        assert soundfile.info(both).duration > 2.5
        frames = re.split(r"\r\x1b\[2K", terminal.shown)[1:-1]
        assert len(frames) > 10
        assert all(len(frame) <= columns[number] for frame in frames)
        if number is not signal.SIGKILL:
            last = terminal.shown.replace("\r\n", "").partition("interrupted")[2]
            assert f"note: what came until then is in {partial}" in last
            assert f"note: what came until then is in {both}" in last
        assert "Traceback" not in terminal.shown

    with ThreadPoolExecutor() as pool:
        list(pool.map(end_early, codes))


def test_a_run_that_is_interrupted_while_asking_leaves_no_answer(tmp_path: Path):
    with Running("run", SPEECH, *PARROT, "--out", tmp_path / "answer.wav") as running:
        assert running.line().startswith("connecting to ")
        assert running.line() == "connected; the question begins"
        running.process.send_signal(signal.SIGINT)
        ended = running.end()
    assert (ended.code, ended.out, ended.err) == (130, "", "interrupted\n")
    assert not list(tmp_path.iterdir())


@needs_terminals
def test_a_conversation_without_an_end_is_ended_by_a_signal_and_its_answer_is_whole(
    tmp_path: Path,
):
    answer, fifo = tmp_path / "answer.wav", tmp_path / "talk"
    os.mkfifo(fifo)
    arguments = ("-vv", "run", f"pcm:{fifo}?rate=24000", "--turns", "vad", "--out", answer)
    samples, rate_hz = read_mono(SPEECH)
    speech = (dsp.resample_poly(samples, 24_000, rate_hz) * 32767).astype("<i2")
    with Running(*arguments, *PARROT) as running, fifo.open("wb") as talk:
        talk.write(np.concatenate([speech, np.zeros(24_000, "<i2")]).tobytes())
        talk.flush()
        assert running.process.stderr is not None
        for line in running.process.stderr:
            if "output_audio_buffer.stopped" in line:
                break
        running.process.send_signal(signal.SIGINT)
        ended = running.end()
    assert ended.code == 130
    told = ended.err.splitlines()
    assert told[told.index("interrupted") + 1] == f"note: what was heard until then is in {answer}"
    assert soundfile.info(answer).duration > 0.5
