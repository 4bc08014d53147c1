"""``python -m benchmarks.batch_recordings [--jobs 200]``: recorded people through `realtime batch`.

Fetches Debian's Asterisk prompts, sends them over WebRTC to the local server with the speech
responder, as many at a time as the tool itself thinks right, and prints whether every job has one
row, the word error rate of what was understood, and how long it took against the real-time bound:
the time that questions and answers take to be spoken, divided by the sessions that ran at a time.

With ``--kill worker`` or ``--kill driver`` such a process gets SIGKILL at a random moment; a killed
driver is started again. Every job must have one row all the same, and every recording its length.
"""

# ruff: noqa: T201, S603 - a script prints, and starts this project's own command

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile

from realtime_core.batch import ResultRow, read_rows
from tests.batch.ray_processes import command_line, descendants
from tests.speech_corpus import fetched_recordings, word_error_rate


def write_manifest(folder: Path, count: int) -> dict[str, str]:
    """The recordings as WAV, with a manifest; gives what is said in each."""
    recordings = fetched_recordings(least_words=3)[:count]
    lines = []
    for number, recording in enumerate(recordings):
        path = folder / f"{number:04}.wav"
        soundfile.write(path, recording.samples(), 24_000)
        lines.append(json.dumps({"id": path.stem, "audio": str(path), "said": recording.text}))
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    return {
        json.loads(line)["id"]: recording.text
        for line, recording in zip(lines, recordings, strict=True)
    }


WORKERS = ("realtime_core.batch.worker", "ray::SessionActor")
"""In the command line of a worker, by engine."""


def workers(pid: int) -> list[int]:
    """The processes of a batch that run its jobs (Linux)."""
    return [each for each in descendants(pid) if any(w in command_line(each) for w in WORKERS)]


def run(command: list[str], *, kill: str | None, least_rows: int, out: Path) -> None:
    """Run a batch to its end, with a kill on the way."""
    process = subprocess.Popen(command)
    if kill is not None:
        while process.poll() is None and row_count(out) < least_rows:
            time.sleep(0.2)
        time.sleep(random.uniform(0.0, 10.0))
        victim = process.pid if kill == "driver" else random.choice(workers(process.pid))
        print(f"kill {kill} {victim} when {row_count(out)} rows were there", flush=True)
        os.kill(victim, signal.SIGKILL)
    if process.wait() == -signal.SIGKILL:
        run(command, kill=None, least_rows=0, out=out)


def row_count(out: Path) -> int:
    """How many rows there are by now."""
    path = out / "results.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def broken_recordings(out: Path, rows: list[ResultRow]) -> list[str]:
    """Recordings that are not what their rows say, and files that no row names."""
    named = {file.path: file for row in rows for file in row.audio_files}
    there = {str(path.relative_to(out)) for path in (out / "audio").rglob("*") if path.is_file()}
    wrong = [
        path
        for path, file in named.items()
        if path not in there or abs(soundfile.info(out / path).duration - file.duration_s) > 0.002
    ]
    return sorted(wrong) + sorted(there - named.keys())


def main() -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--engine", default="local")
    parser.add_argument("--kill", choices=["worker", "driver"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        said = write_manifest(folder, args.jobs)
        out = args.out or folder / "out"
        program = Path(sys.executable).with_name("realtime")
        command = [str(program), "batch", str(folder / "manifest.jsonl")]
        began = time.monotonic()
        command += ["--out", str(out), "--responder", "speech", "--engine", args.engine]
        run(command, kill=args.kill, least_rows=args.jobs // 4, out=out)
        wall_s = time.monotonic() - began
        rows = list(read_rows(out))
        wrong = broken_recordings(out, rows)
    ids = [row.id for row in rows]
    done = [row for row in rows if row.status == "ok"]
    print(f"{len(said)} jobs, {len(ids)} rows, {len(set(ids))} ids, {len(done)} ok")
    print(f"{sum(len(row.audio_files) for row in rows)} recordings, wrong: {wrong or 'none'}")
    heard = {row.id: " ".join(turn.question_transcript or "" for turn in row.turns) for row in done}
    print(f"word error rate {word_error_rate([said[i] for i in heard], heard.values()):.1%}")
    spoken_s = sum(row.conversation.duration_s for row in done if row.conversation)
    busy_s = sum(row.duration_s for row in rows)
    print(
        f"wall {wall_s:.1f} s; sessions at a time {busy_s / wall_s:.1f}; spoken {spoken_s:.0f} s; "
        f"sessions lasted {busy_s:.0f} s, {busy_s / spoken_s:.2f} of what was spoken"
    )
    late = sorted(row.media_lateness_ms or 0 for row in done)
    print(f"media lateness p50 {late[len(late) // 2]:.0f} ms, max {late[-1]:.0f} ms")


if __name__ == "__main__":
    main()
