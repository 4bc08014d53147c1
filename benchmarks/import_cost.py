"""What `import realtime_core` costs, beside what it stands on.

Run it with ``python benchmarks/import_cost.py [RUNS]``. Interpreters are started by turns, and the
least processor time of each kind counts: whatever else the machine does only adds to it. Exit code
1 says that the import costs more than it may.
"""
# ruff: noqa: T201 - a script, which prints

from __future__ import annotations

import os
import subprocess
import sys

MOST = 1.15
"""How much dearer than its foundations the import may be."""

NOTHING = "pass"
FOUNDATIONS = """
import numpy, pydantic
class Model(pydantic.BaseModel):
    name: str
"""
OURS = "import realtime_core"


def processor_s(code: str) -> float:
    """The processor time that an interpreter needs to run a piece of code, in seconds."""
    process = subprocess.Popen([sys.executable, "-c", code])  # noqa: S603 - our own interpreter
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{code!r} failed")
    return usage.ru_utime + usage.ru_stime


def measure(runs: int) -> dict[str, float]:
    """The least time of each piece of code, in seconds."""
    times: dict[str, list[float]] = {NOTHING: [], FOUNDATIONS: [], OURS: []}
    for _ in range(runs):
        for code, measured in times.items():
            measured.append(processor_s(code))
    return {code: min(measured) for code, measured in times.items()}


def main() -> int:
    """Print the times and their ratio."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    least = measure(runs)
    ratio = least[OURS] / least[FOUNDATIONS]
    print(f"an interpreter alone:         {least[NOTHING] * 1000:6.1f} ms")
    print(f"numpy, pydantic, one model:   {least[FOUNDATIONS] * 1000:6.1f} ms")
    print(f"realtime_core:                {least[OURS] * 1000:6.1f} ms")
    print(f"ratio: {ratio:.3f} (at most {MOST}), the least of {runs} runs each")
    return 0 if ratio <= MOST else 1


if __name__ == "__main__":
    raise SystemExit(main())
