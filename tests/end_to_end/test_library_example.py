"""The example of the README does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import soundfile

from tests.end_to_end.commands import DEADLINE_S, EXAMPLE, FOLDER, environment

LONGEST = 20
"""Lines; the body of its function is the ten lines that it takes."""


def library_example() -> str:
    """The first Python example that is a program."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return next(block for block in blocks if block.startswith("import asyncio\n"))


def test_the_readmes_example_asks_and_keeps_the_answer(tmp_path: Path):
    example = library_example()
    assert len(example.splitlines()) <= LONGEST
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / EXAMPLE.name).write_bytes(EXAMPLE.read_bytes())
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.search(r"You said: .*folder.*You said: Thank you", ended.stdout, re.DOTALL)
    answer = tmp_path / "answer.wav"
    assert list(tmp_path.glob("*.wav")) == [answer]
    # Both answers repeat what was said or written.
    samples, _rate_hz = soundfile.read(answer)
    assert abs(samples).max() > 0.1
    assert soundfile.info(answer).duration > soundfile.info(EXAMPLE).duration + 0.5
