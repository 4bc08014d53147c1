"""Runs made of thin air: rows from the model, recordings of hums and silences."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from realtime_core.batch.results import (
    AudioFile,
    JobFailure,
    Mark,
    Packets,
    ResultRow,
    ToolCall,
    TurnLatency,
    TurnRow,
    Usage,
)

RATE_HZ = 16_000
QUESTIONS = (
    "what are your opening hours on saturday",
    "i would like to change my booking to the fourth of march",
    "can you tell me whether the parcel has arrived",
    "please put me through to somebody who can help me",
)
ANSWERS = (
    "We are open from nine to five on Saturdays.",
    "Of course, I have moved your booking to the fourth of March.",
    "Your parcel has arrived and can be picked up at the desk.",
    "One moment please, I am connecting you now.",
)
FAILURES = (
    JobFailure(
        stage="http",
        kind="ConnectError",
        message="the server refused the call with 429: try again in 20 s",
        status=429,
        code="rate_limit_exceeded",
        is_retryable=True,
    ),
    JobFailure(
        stage="turn",
        kind="TurnFailedError",
        message="the model did not begin to answer within 30 s of the question's end",
        turn=1,
    ),
    JobFailure(
        stage="input", kind="QuestionError", message="'calls/0017.wav' is no sound file", turn=1
    ),
)


def voiced(seconds: float, pitch_hz: float, random: np.random.Generator) -> np.ndarray:
    """Something with the outline of speech."""
    at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    syllables = np.abs(np.sin(2 * np.pi * 2.1 * at + random.uniform(0, 3)))
    pauses = np.sin(2 * np.pi * 0.31 * at + random.uniform(0, 1)) > -0.8
    tone = np.sin(2 * np.pi * pitch_hz * at) + 0.4 * np.sin(2 * np.pi * 2.7 * pitch_hz * at)
    noise = random.normal(0, 0.15, len(at))
    return 0.35 * syllables**1.5 * pauses * (tone + noise)


def write_conversation(path: Path, spans: list[dict[str, float]], random: Any) -> AudioFile:
    """A stereo recording with sound where the spans say."""
    end = spans[-1]["answer_end"] + 0.4
    sides = np.zeros((round(end * RATE_HZ), 2))
    for span in spans:
        for channel, (first, last, pitch) in enumerate(
            [("question", "question_end", 190.0), ("answer", "answer_end", 120.0)]
        ):
            begin = round(span[first] * RATE_HZ)
            sound = voiced(span[last] - span[first], pitch, random)[: len(sides) - begin]
            sides[begin : begin + len(sound), channel] += sound
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sides, RATE_HZ, subtype="PCM_16")
    return AudioFile(path="", duration_s=round(end, 3), size_bytes=path.stat().st_size)


def timings(turns: int, slowness: float, random: np.random.Generator) -> list[dict[str, float]]:
    spans, at = [], 0.2
    for _ in range(turns):
        question_end = at + random.uniform(1.2, 2.6)
        answer = question_end + slowness * random.gamma(6, 0.1)
        end = answer + random.uniform(1.2, 3.0)
        spans.append(
            {"question": at, "question_end": question_end, "answer": answer, "answer_end": end}
        )
        at = end + 0.5
    return spans


def turn_row(number: int, turn: int, span: dict[str, float], errors: float) -> TurnRow:
    which = (number + turn) % len(QUESTIONS)
    wait_ms = 1000 * (span["answer"] - span["question_end"])
    answer = ANSWERS[which]
    rate = 0.0
    if (number * 7 + turn) % 10 < 10 * errors:
        words = answer.split()
        answer = " ".join(["well", *words[:2], *words[3:]])
        rate = round(2 / len(words), 4)
    calls = ()
    if which == 1:
        calls = (
            ToolCall(
                name="change_booking",
                arguments='{"date": "2026-03-04", "seats": 2}',
                output='{"ok": true}',
            ),
        )
    return TurnRow(
        question=f"calls/{number:04}-{turn + 1}.wav",
        question_s=round(span["question_end"] - span["question"], 3),
        question_transcript=QUESTIONS[which],
        answer_transcript=answer,
        answer_s=round(span["answer_end"] - span["answer"], 3),
        responses=1,
        tool_calls=calls,
        latency=TurnLatency(
            voice_to_voice_ms=round(wait_ms, 2),
            first_audio_ms=round(wait_ms - 40, 2),
            loop_lag_p95_ms=1.2,
            loop_lag_max_ms=4.0,
        ),
        expected=ANSWERS[which],
        word_error_rate=rate,
        said=QUESTIONS[which],
        question_word_error_rate=0.0,
    )


def make_row(
    folder: Path,
    number: int,
    *,
    slowness: float = 1.0,
    errors: float = 0.2,
    failing: float = 0.06,
    seed: int = 0,
    with_audio: bool = True,
) -> ResultRow:
    """One conversation. The same number and seed is the same one."""
    random = np.random.default_rng([seed, number])
    name = f"call-{number:04}"
    started_at = datetime(2026, 3, 1, 9, 0, tzinfo=UTC) + timedelta(seconds=3 * number)
    chance = random.uniform()
    if chance < failing:
        failure = FAILURES[int(chance / failing * len(FAILURES))]
        return ResultRow(
            id=name,
            status="failed",
            error=failure,
            attempts=3 if failure.is_retryable else 1,
            started_at=started_at,
            duration_s=31.2,
            turns=(TurnRow(question=f"calls/{number:04}-1.wav"),),
            worker="1",
        )
    spans = timings(1 + number % 3, slowness, random)
    audio = None
    if with_audio:
        path = folder / "audio" / name / "conversation.wav"
        audio = write_conversation(path, spans, random).model_copy(
            update={"path": f"audio/{name}/conversation.wav"}
        )
    marks = [
        Mark(at_s=round(at_s, 3), kind=kind, turn=turn)  # type: ignore[arg-type]
        for turn, span in enumerate(spans, start=1)
        for kind, at_s in span.items()
    ]
    turns = tuple(turn_row(number, turn, span, errors) for turn, span in enumerate(spans))
    for turn, row in enumerate(turns, start=1):
        if row.tool_calls:
            at_s = round(spans[turn - 1]["question_end"] + 0.2, 3)
            marks.append(Mark(at_s=at_s, kind="tool_call", turn=turn, text="change_booking"))
    if number % 11 == 5:
        at_s = round(spans[0]["answer_end"] - 0.3, 3)
        marks.append(Mark(at_s=at_s, kind="interrupted", turn=1))
    return ResultRow(
        id=name,
        status="ok",
        started_at=started_at,
        duration_s=round(spans[-1]["answer_end"] + 0.7, 2),
        connect_ms={
            "http": round(random.gamma(8, 10), 1),
            "sdp": 4.0,
            "ice": round(random.gamma(5, 8), 1),
            "dtls": round(random.gamma(5, 6), 1),
            "channel": 9.0,
            "session": 21.0,
        },
        turns=turns,
        usage=Usage(input_tokens=240, output_tokens=180, total_tokens=420),
        packets=Packets(
            sent=300, received=295, lost=int(random.integers(0, 5)), jitter_ms=3.1, round_trip_ms=24
        ),
        conversation=audio,
        marks=tuple(sorted(marks, key=lambda mark: mark.at_s)),
        media_lateness_ms=round(random.gamma(2, 1.5), 2),
        worker=str(number % 2),
    )


def write_run(folder: Path, rows: list[ResultRow], **settings: Any) -> Path:
    """A folder as ``realtime batch`` leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.jsonl").write_bytes(b"".join(row.to_line() for row in rows))
    (folder / "batch.json").write_text(json.dumps({"settings": settings}))
    return folder


def make_run(folder: Path, count: int, **options: Any) -> Path:
    """A folder with so many conversations."""
    settings = options.pop("settings", {"model": "gpt-realtime", "transport": "webrtc"})
    rows = [make_row(folder, number, **options) for number in range(count)]
    return write_run(folder, rows, **settings)
