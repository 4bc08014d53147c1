"""Single jobs: what a conversation leaves in its row."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pydantic import SecretStr

from realtime_core.batch.job import JobEnvironment, JobSettings, run_job
from realtime_core.batch.manifest import Job, JobTurn
from realtime_core.batch.results import ResultRow, ToolCall
from realtime_core.batch.session import JobSession
from realtime_core.errors import ConnectError, ConnectStage
from realtime_core.hookspecs import hookimpl
from realtime_core.plugins import PluginManager
from realtime_core.turn import TurnTaking
from realtime_transports.local_server.responders import (
    AudioPiece,
    CallPiece,
    Responder,
    TextPiece,
    Turn,
)
from realtime_transports.memory import MemoryServer, OpenAIRealtimeMemory
from tests.batch.recordings import write_tone

KEY = "a-key-that-no-pattern-knows-of"


class Given:
    """A plugin with transports that are made by a function of the test."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make

    @hookimpl
    def realtime_transports(self) -> dict[str, Callable[..., Any]]:
        return {"given": self.make}


class Runner:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plugins = PluginManager(allow=())
        self.slept: list[float] = []
        self.settings: dict[str, Any] = {"transport": "memory"}

    def job(self, *turns: Path | JobTurn, **more: Any) -> Job:
        made = [
            each if isinstance(each, JobTurn) else JobTurn(audio=str(each), name=each.name)
            for each in turns
        ]
        return Job(id="job", turns=tuple(made), **more)

    def use(self, make: Callable[..., Any]) -> None:
        """Let jobs run over what this makes, which takes audio as fast as it comes."""
        self.plugins.register(Given(lambda pace, **given: make(**given)), "given")
        self.settings = {"transport": "given", "transport_options": {"pace": "fast"}}

    async def run(self, job: Job, **settings: Any) -> ResultRow:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        environment = JobEnvironment(self.plugins, SecretStr(KEY), "w", sleep=sleep)
        return await run_job(
            job,
            JobSettings(**{**self.settings, **settings}),
            folder=self.folder / "out",
            environment=environment,
        )


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    return write_tone(tmp_path / "q.wav")


async def test_a_job_leaves_its_row_and_its_recordings(runner: Runner, tone: Path):
    row = await runner.run(runner.job(tone))
    assert (row.id, row.status, row.error, row.attempts, row.worker) == ("job", "ok", None, 1, "w")
    (turn,) = row.turns
    assert (turn.question, turn.question_s, turn.responses) == ("q.wav", 0.3, 1)
    assert turn.answer_transcript
    assert turn.latency.first_audio_ms is not None
    assert turn.latency.voice_to_voice_ms is None  # nothing was spoken in real time
    assert row.usage.total_tokens == row.usage.input_tokens + row.usage.output_tokens > 0
    assert row.answer is not None
    assert row.conversation is not None
    answer, rate_hz = soundfile.read(runner.folder / "out" / row.answer.path)
    assert (answer.ndim, rate_hz) == (1, 24_000)
    assert row.answer.duration_s == pytest.approx(len(answer) / rate_hz, abs=0.001)
    both = soundfile.info(runner.folder / "out" / row.conversation.path)
    assert both.channels == 2
    assert row.conversation.duration_s == pytest.approx(both.duration, abs=0.05)
    for file in row.audio_files:
        assert (runner.folder / "out" / file.path).stat().st_size == file.size_bytes
    assert {path.name for path in (runner.folder / "out").iterdir()} == {
        "answer.wav",
        "conversation.wav",
    }


async def test_a_session_is_closed_though_the_job_is_cancelled_while_statistics_are_read(
    runner: Runner, tone: Path, monkeypatch: pytest.MonkeyPatch
):
    made: list[OpenAIRealtimeMemory] = []

    def make(**given: Any) -> OpenAIRealtimeMemory:
        made.append(OpenAIRealtimeMemory(**given))
        return made[-1]

    async def read_packets(_: object) -> None:
        running.cancel()
        await asyncio.Event().wait()

    monkeypatch.setattr("realtime_core.batch.session.read_packets", read_packets)
    runner.use(make)
    running = asyncio.create_task(runner.run(runner.job(tone)))
    with pytest.raises(asyncio.CancelledError):
        await running
    assert made[0].status == "disconnected"


async def test_halves_of_characters_that_a_server_sends_are_marked(runner: Runner, tone: Path):
    responder = Scripted([[CallPiece("f", '{"a": "\ud800"}')]])
    runner.use(lambda **given: OpenAIRealtimeMemory(**given, responder=responder))
    row = await runner.run(runner.job(tone, tools=({"type": "function", "name": "f"},)))
    assert row.turns[0].tool_calls[0].arguments == '{"a": "\N{REPLACEMENT CHARACTER}"}'
    assert row.to_line()


async def test_a_recording_from_elsewhere_is_not_waited_for_forever(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
):
    released = threading.Event()
    monkeypatch.setattr("realtime_core.batch.questions._copy", lambda *_: released.wait(60))
    monkeypatch.setattr("realtime_core.batch.questions.FETCH_DEADLINE_S", 0.05)
    row = await runner.run(runner.job(JobTurn(audio="s3://bucket/q.wav", name="q")))
    released.set()
    assert row.error is not None
    assert row.error.stage == "input"
    assert row.error.message == "s3://bucket/q.wav was not there within 0.05 s"


class Odd(Exception):  # noqa: N818 - it is another's
    status = "refused"
    code = 7

    def __str__(self) -> str:
        raise RuntimeError("nothing to say")


async def test_an_error_of_any_form_is_a_failed_row(runner: Runner, tone: Path):
    def make(**_: Any) -> Any:
        raise Odd

    runner.use(make)
    row = await runner.run(runner.job(tone))
    assert row.error is not None
    assert (row.status, row.error.stage, row.error.kind) == ("failed", "setup", "Odd")
    assert (row.error.status, row.error.code) == (None, None)


async def test_a_defect_of_ours_is_a_failed_row_and_nothing_that_is_waited_for(
    runner: Runner, tone: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(*_: Any) -> Any:
        raise ArithmeticError("a defect")

    monkeypatch.setattr(JobSession, "_row", fail)
    row = await runner.run(runner.job(tone))
    assert row.error is not None
    assert (row.status, row.error.stage, row.error.kind) == ("failed", "worker", "ArithmeticError")
    assert [turn.question for turn in row.turns] == ["q.wav"]
    assert "a defect" in caplog.text  # with its traceback, for whoever mends it


async def test_marks_lie_where_the_sounds_are_in_the_recording(runner: Runner, tone: Path):
    row = await runner.run(runner.job(tone), transport_options={"responder": "parrot"})
    at_s = {mark.kind: mark.at_s for mark in row.marks}
    assert list(at_s) == ["question", "question_end", "answer", "answer_end"]
    both, rate_hz = soundfile.read(runner.folder / "out" / "conversation.wav")
    for side, name in enumerate(("question", "answer")):
        loud = np.flatnonzero(np.abs(both[:, side]) > 0.01) / rate_hz
        assert at_s[name] == pytest.approx(loud[0], abs=0.11)
        assert at_s[f"{name}_end"] == pytest.approx(loud[-1], abs=0.11)


async def test_turns_follow_each_other_in_one_session(runner: Runner, tmp_path: Path):
    questions = [
        write_tone(tmp_path / "one.wav", 0.3),
        write_tone(tmp_path / "two.wav", 0.6, rate_hz=16_000, channels=2),
        write_tone(tmp_path / "three.wav", 0.4, rate_hz=8_000),
    ]
    responder = Scripted([[said(f"answer {n}")] for n in (1, 2, 3)])
    runner.use(lambda **given: OpenAIRealtimeMemory(**given, responder=responder))
    row = await runner.run(runner.job(*questions))
    assert row.error is None
    assert [turn.answer_transcript for turn in row.turns] == ["answer 1", "answer 2", "answer 3"]
    assert [turn.question_s for turn in row.turns] == [0.3, 0.6, 0.4]
    assert [turn.responses for turn in row.turns] == [1, 1, 1]
    # All of each question was there, at one rate, and what follows it was silent.
    for turn, seconds in zip(responder.turns, (0.3, 0.6, 0.4), strict=True):
        assert turn.audio is not None
        loud = np.flatnonzero(np.abs(turn.audio.astype(int)) > 1000)
        assert (loud[-1] - loud[0]) / 24_000 == pytest.approx(seconds, abs=0.02)
    kinds = [(mark.turn, mark.kind) for mark in row.marks]
    assert kinds == [
        (turn, kind)
        for turn in (1, 2, 3)
        for kind in ("question", "question_end", "answer", "answer_end")
    ]


async def test_turns_may_be_left_to_the_server(runner: Runner, tmp_path: Path):
    questions = [write_tone(tmp_path / f"{n}.wav", 0.5) for n in (1, 2)]
    responder = Scripted([[said("one")], [said("two")]])
    runner.use(lambda **given: OpenAIRealtimeMemory(**given, responder=responder))
    row = await runner.run(runner.job(*questions), taking=TurnTaking.VAD)
    assert row.error is None
    assert [turn.answer_transcript for turn in row.turns] == ["one", "two"]


async def test_a_tool_is_answered_with_the_jobs_output_and_the_answer_waited_for(
    runner: Runner, tone: Path
):
    call = CallPiece("weather", '{"city": "Bern"}')
    responder = Scripted([[call], [said("it rains")]])
    runner.use(lambda **given: OpenAIRealtimeMemory(**given, responder=responder))
    tool = {"type": "function", "name": "weather"}
    row = await runner.run(
        runner.job(tone, tools=(tool,), tool_outputs={"weather": "rain"}),
    )
    (turn,) = row.turns
    expected = ToolCall(name="weather", arguments='{"city": "Bern"}', output="rain")
    assert turn.tool_calls == (expected,)
    assert (turn.answer_transcript, turn.responses) == ("it rains", 2)
    assert [mark.text for mark in row.marks if mark.kind == "tool_call"] == ["weather"]


async def test_a_call_without_an_output_ends_the_turn(runner: Runner, tone: Path):
    responder = Scripted([[CallPiece("weather", "{}")]])
    runner.use(lambda **given: OpenAIRealtimeMemory(**given, responder=responder))
    tool = {"type": "function", "name": "weather"}
    row = await runner.run(runner.job(tone, tools=(tool,)))
    assert row.status == "ok"
    assert row.turns[0].tool_calls[0].output is None


async def test_what_a_job_says_of_its_session_counts_more_than_the_batch(
    runner: Runner, tone: Path
):
    server = MemoryServer()
    runner.use(lambda **given: OpenAIRealtimeMemory(**given, server=server))
    job = runner.job(
        tone, instructions="Mine.", session={"audio": {"output": {"speed": 1.5}}, "tracing": None}
    )
    ending = asyncio.create_task(
        runner.run(job, instructions="All.", voice="ash", session={"max_output_tokens": 7})
    )
    await server.wait_until(lambda: bool(server.of_type("response.create")))
    server.lose()
    await server.wait_until(lambda: len(server.of_type("session.update")) == 2)
    session = server.of_type("session.update")[0]["session"]
    ending.cancel()
    await asyncio.gather(ending, return_exceptions=True)
    assert session["instructions"] == "Mine."
    assert session["audio"]["output"] == {
        **session["audio"]["output"],
        "voice": "ash",
        "speed": 1.5,
    }
    assert session["audio"]["input"]["turn_detection"] is None
    assert session["max_output_tokens"] == 7


# Failures


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: path.write_bytes(b"no audio"), "cannot be read as audio"),
        (lambda path: write_tone(path, 0.05), "a question needs at least 100 ms"),
        (lambda path: None, "no such file"),
    ],
)
async def test_a_bad_recording_is_a_failed_row_and_no_session(
    runner: Runner, tmp_path: Path, make: Callable[[Path], object], told: str
):
    make(tmp_path / "bad.wav")
    good = write_tone(tmp_path / "good.wav")

    def refuse(**_: Any) -> Any:
        raise AssertionError("a session was begun")

    runner.use(refuse)
    row = await runner.run(runner.job(good, tmp_path / "bad.wav"), transport="given")
    assert row.status == "failed"
    assert row.error is not None
    assert (row.error.stage, row.error.turn, row.attempts) == ("input", 2, 1)
    assert told in row.error.message
    assert row.audio_files == ()
    assert not list((tmp_path / "out").iterdir())


async def test_what_the_network_fails_is_tried_again_after_the_servers_delay(
    runner: Runner, tone: Path
):
    attempts: list[object] = []

    class Busy(MemoryServer):
        def accept(self) -> None:
            attempts.append(self)
            raise ConnectError(
                ConnectStage.HTTP, f"slow down, {KEY}", status=429, retry_after_s=17.0
            )

    def make(**given: Any) -> OpenAIRealtimeMemory:
        if len(attempts) < 2:
            return OpenAIRealtimeMemory(**given, server=Busy())
        return OpenAIRealtimeMemory(**given)

    runner.use(make)
    row = await runner.run(runner.job(tone))
    assert (row.status, row.attempts, len(attempts)) == ("ok", 3, 2)
    assert all(17.0 <= seconds <= 17.25 for seconds in runner.slept)
    assert len(runner.slept) == 2


async def test_attempts_end_and_the_last_failure_is_told_without_the_key(
    runner: Runner, tone: Path
):
    class Busy(MemoryServer):
        def accept(self) -> None:
            raise ConnectError(ConnectStage.HTTP, f"slow down, {KEY}", status=429)

    runner.use(lambda **given: OpenAIRealtimeMemory(**given, server=Busy()))
    row = await runner.run(runner.job(tone), max_attempts=4)
    assert (row.status, row.attempts, len(runner.slept)) == ("failed", 4, 3)
    assert row.error is not None
    assert (row.error.stage, row.error.status, row.error.is_retryable) == ("http", 429, True)
    assert row.error.message == "slow down, [key]"
    assert KEY not in row.to_line().decode()


async def test_a_response_that_fails_is_not_tried_again_and_what_was_heard_stays(
    runner: Runner, tone: Path
):
    responder = Scripted([[said("well")], []])
    runner.use(lambda **given: OpenAIRealtimeMemory(**given, responder=responder))
    row = await runner.run(runner.job(tone, tone))
    assert row.error is not None
    assert (row.error.stage, row.error.turn, row.attempts) == ("turn", 2, 1)
    assert [turn.answer_transcript for turn in row.turns] == ["well", ""]
    assert row.answer is not None
    assert row.marks[-1].kind == "error"


async def test_an_answer_that_does_not_come_fails_at_its_deadline(runner: Runner, tone: Path):
    runner.use(lambda **given: OpenAIRealtimeMemory(**given, server=MemoryServer()))
    row = await runner.run(runner.job(tone), deadline_s=0.05)
    assert row.error is not None
    assert row.error.kind == "TurnFailedError"
    assert "did not begin to answer within 0.05 s" in row.error.message


async def test_a_transport_that_breaks_is_a_failed_row(runner: Runner, tone: Path):
    def broken(**_: Any) -> Any:
        raise RuntimeError("what a mess")

    runner.use(broken)
    row = await runner.run(runner.job(tone), transport="given")
    assert row.error is not None
    assert (row.error.stage, row.error.kind) == ("setup", "RuntimeError")


async def test_a_job_that_is_cancelled_leaves_no_file_under_a_final_name(
    runner: Runner, tone: Path
):
    server = MemoryServer()
    runner.use(lambda **given: OpenAIRealtimeMemory(**given, server=server))
    running = asyncio.create_task(runner.run(runner.job(tone)))
    await server.wait_until(lambda: bool(server.of_type("response.create")))
    names = {path.name for path in (runner.folder / "out").iterdir()}
    assert not names & {"answer.wav", "conversation.wav"}
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def said(text: str) -> list[Any]:
    return [TextPiece(text), AudioPiece(np.full(2400, 8000, np.int16))]


class Scripted(Responder):
    """Gives one answer after the other; an empty one is a failure."""

    def __init__(self, answers: list[list[Any]]) -> None:
        self.answers = iter(answers)
        self.turns: list[Turn] = []

    async def respond(self, turn: Turn) -> Any:
        self.turns.append(turn)
        answer = next(self.answers)
        if not answer:
            raise RuntimeError("nothing to say")
        for pieces in answer:
            for piece in pieces if isinstance(pieces, list) else [pieces]:
                yield piece
