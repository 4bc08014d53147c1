"""What holds the event loop up, and what is done against it."""

from __future__ import annotations

import subprocess
import sys

KEEP = """
import gc
import soxr
from realtime_core.loop_lag import keep_what_is_loaded

circle = [soxr.ResampleStream(24_000, 48_000, 1)]  # soxr complains of what is there at the end
circle.append(circle)
keep_what_is_loaded()
print(gc.get_freeze_count() > 1_000)
"""


def test_what_is_loaded_is_left_alone_by_collections_and_still_freed_at_the_end():
    ended = subprocess.run(
        [sys.executable, "-c", KEEP], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("True\n", "", 0)
