"""The real command, in processes of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

DEADLINE_S = 40.0
"""For what takes a third of it on an idle machine."""

FOLDER = Path(__file__).parents[2]
EXAMPLE = FOLDER / "examples" / "question.wav"
DATA = FOLDER / "tests" / "data"
OTHERS = sorted(DATA.glob("*.wav"))


def command_path() -> str:
    """The installed script, of this environment if it is there."""
    beside = Path(sys.executable).with_name("realtime")
    found = str(beside) if beside.exists() else shutil.which("realtime")
    assert found, "the command `realtime` is not installed; see the Makefile"
    return found


def environment(**more: str) -> dict[str, str]:
    """Ours without keys, and as plain as a log's."""
    hidden = ("API_KEY", "REALTIME_", "FORCE_COLOR", "COLUMNS", "PYTHONASYNCIODEBUG")
    kept = {k: v for k, v in os.environ.items() if not any(part in k for part in hidden)}
    return {**kept, "PYTHONWARNINGS": "default", **more}


@dataclass(frozen=True)
class Ended:
    """What a process left."""

    code: int
    out: str
    err: str


class Running:
    """A command that runs; leaving the context ends it if nothing else did."""

    def __init__(self, *arguments: str | Path, prefix: tuple[str, ...] = (), **env: str) -> None:
        self.process = subprocess.Popen(
            [*prefix, command_path(), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**env),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.communicate()

    def line(self) -> str:
        """The next line it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def end(self, deadline_s: float = DEADLINE_S) -> Ended:
        """Wait for its end."""
        out, err = self.process.communicate(timeout=deadline_s)
        return Ended(self.process.returncode, out, err)


def realtime(*arguments: str | Path, **env: str) -> Ended:
    """Run the command to its end."""
    with Running(*arguments, **env) as running:
        return running.end()
