"""The processes that a process has started (Linux)."""

from __future__ import annotations

import os
import select
from pathlib import Path

__all__ = ["children_of", "is_gone_within"]


def children_of(pid: int) -> list[int]:
    """Their ids."""
    found = []
    for each in Path("/proc").iterdir():
        if not each.name.isdecimal():
            continue
        try:
            status = (each / "stat").read_text()
        except OSError:
            continue  # it has ended meanwhile
        # The name may hold anything, blanks and parentheses among it.
        state, parent = status.rpartition(")")[2].split()[:2]
        if int(parent) == pid and state != "Z":
            found.append(int(each.name))
    return found


def is_gone_within(pid: int, seconds: float) -> bool:
    """Whether a process has ended by then."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)
