"""Spoken turns over real UDP: words understood, delay of answers, time taken from the event loop.

``python -m benchmarks.spoken_turns [--minutes 10] [--calls 4] [--json FILE]``. The server runs in a
process of its own, in which each callback of the event loop is measured by the CPU time of its
thread; the recordings are those of ``tests.speech_corpus``, which are fetched once.
"""
# ruff: noqa: SLF001, T201 - a script, which prints, and looks into asyncio

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from array import array
from asyncio import events
from collections.abc import Callable
from dataclasses import asdict
from itertools import cycle
from pathlib import Path
from typing import Any

from realtime_transports import LocalRealtimeServer
from tests.end_to_end.spoken_turns import SESSION, SpokenCaller, SpokenTurn, percentile, summary
from tests.speech_corpus import Recording, fetched_recordings

SERVE = "--serve"
LONG_S = 0.02
MAX_NAMED = 40


class Meter:
    """The thread's CPU time of each callback that an event loop runs."""

    def __init__(self) -> None:
        self.spent_s = array("d")
        self.longest: list[tuple[float, str]] = []

    def install(self) -> None:
        """Measure from now on, in this process."""
        original: Callable[[events.Handle], None] = events.Handle._run

        def run(handle: events.Handle) -> None:
            begin = time.thread_time()
            original(handle)
            self._note(time.thread_time() - begin, handle)

        events.Handle._run = run  # type: ignore[method-assign]

    def summary(self) -> dict[str, Any]:
        """The figures."""
        spent = list(self.spent_s)
        return {
            "callbacks": len(spent),
            "callback_p999_ms": round(percentile(spent, 0.999) * 1000, 2),
            "callback_max_ms": round(max(spent) * 1000, 2),
            "callbacks_over_20_ms": sum(each > LONG_S for each in spent),
            "longest": [
                f"{spent_s * 1000:.1f} ms {name}"
                for spent_s, name in sorted(self.longest, reverse=True)[:10]
            ],
        }

    def _note(self, spent_s: float, handle: events.Handle) -> None:
        self.spent_s.append(spent_s)
        if len(self.longest) < MAX_NAMED or spent_s > self.longest[-1][0]:
            self.longest.append((spent_s, repr(handle)))
            self.longest = sorted(self.longest, reverse=True)[:MAX_NAMED]


async def serve() -> None:
    """Be the server until standard input ends, and print what was measured."""
    meter = Meter()
    async with LocalRealtimeServer(responder="speech") as server:
        print(server.url, flush=True)
        meter.install()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        figures = meter.summary()
    print(json.dumps(figures), flush=True)


async def converse(
    url: str, recordings: list[Recording], until_s: float, turns: list[SpokenTurn]
) -> None:
    """Hold one call until then, and until each recording was said."""
    async with SpokenCaller() as caller:
        await caller.call(url, SESSION)
        for index, recording in enumerate(cycle(recordings)):
            if time.monotonic() > until_s and index >= len(recordings):
                return
            turns.append(await caller.turn(recording))
            if sys.stderr.isatty():
                print(f"\r{len(turns)} turns", end="", file=sys.stderr)


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run a server and speak to it."""
    recordings = fetched_recordings()
    step = max(1, len(recordings) // options.sentences) if options.sentences else 1
    chosen = recordings[::step]
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.spoken_turns", SERVE),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    url = (await server.stdout.readline()).decode().strip()
    turns: list[SpokenTurn] = []
    before = os.getloadavg()
    until_s = time.monotonic() + options.minutes * 60
    await asyncio.gather(
        *(
            converse(url, chosen[number :: options.calls], until_s, turns)
            for number in range(options.calls)
        )
    )
    server.stdin.close()
    loop_figures = json.loads(await server.stdout.readline())
    await server.wait()
    return {
        "calls": options.calls,
        **summary(turns),
        **loop_figures,
        "load_before": before[0],
        "load_after": os.getloadavg()[0],
        "each": [asdict(turn) for turn in turns],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="at least; each sentence once")
    parser.add_argument("--calls", type=int, default=1, help="at a time")
    parser.add_argument("--sentences", type=int, default=0, help="about so many; 0 is all")
    parser.add_argument("--json", type=Path, help="where every turn is written to")
    parser.add_argument(SERVE, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    figures = asyncio.run(measure(options))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    del figures["each"]
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
