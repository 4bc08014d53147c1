"""``python -m benchmarks.batch_recordings [--jobs 200]``: recorded people through `realtime batch`.

Fetches Debian's Asterisk prompts, sends them over WebRTC to the local server with the speech
responder, as many at a time as the tool itself thinks right, and prints whether every job has one
row, the word error rate of what was understood, and how long it took against the real-time bound:
the time that questions and answers take to be spoken, divided by the sessions that ran at a time.
"""

# ruff: noqa: T201, S603 - a script prints, and starts this project's own command

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile

from realtime_core.batch import read_rows
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


def main() -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        said = write_manifest(folder, args.jobs)
        out = args.out or folder / "out"
        program = Path(sys.executable).with_name("realtime")
        command = [str(program), "batch", str(folder / "manifest.jsonl")]
        began = time.monotonic()
        subprocess.run([*command, "--out", str(out), "--responder", "speech"], check=False)
        wall_s = time.monotonic() - began
        rows = list(read_rows(out))
    ids = [row.id for row in rows]
    done = [row for row in rows if row.status == "ok"]
    print(f"{len(said)} jobs, {len(ids)} rows, {len(set(ids))} ids, {len(done)} ok")
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
