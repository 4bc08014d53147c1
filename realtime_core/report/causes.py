"""Why conversations failed: what has the same cause is one group."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from realtime_core.batch.results import JobFailure, ResultRow

__all__ = ["Cause", "cause_of", "causes"]

SHOWN_MESSAGES = 3

_VARYING = re.compile(r"(?<![A-Za-z])[\w.:/\\-]*\d[\w.:/\\-]*|(['\"]).*?\1")
"""Numbers, ids, addresses, paths and what is quoted: they differ though the cause does not."""


@dataclass(frozen=True)
class Cause:
    """Failures of the same kind."""

    key: str
    """As the rows of the table name it."""
    ids: tuple[str, ...]
    messages: tuple[tuple[str, int], ...]
    """The most frequent ones, each with its number; what varies in them is left out."""
    other_messages: int

    @property
    def count(self) -> int:
        """How many conversations."""
        return len(self.ids)


def cause_of(error: JobFailure | None) -> str:
    """What a failure is grouped by: where, the error's class, and what the server called it."""
    if error is None:
        return "unknown"
    said = [str(part) for part in (error.status, error.code) if part is not None]
    return f"{error.stage}: {' '.join(said) or error.kind}"


def causes(rows: Iterable[ResultRow]) -> list[Cause]:
    """The causes of what failed, the most frequent first."""
    ids: dict[str, list[str]] = {}
    messages: dict[str, Counter[str]] = {}
    for row in rows:
        if row.status != "failed":
            continue
        key = cause_of(row.error)
        ids.setdefault(key, []).append(row.id)
        text = _VARYING.sub("…", row.error.message) if row.error else ""
        messages.setdefault(key, Counter())[text] += 1
    found = []
    for key, members in ids.items():
        common = messages[key].most_common(SHOWN_MESSAGES)
        others = len(messages[key]) - len(common)
        found.append(Cause(key, tuple(members), tuple(common), others))
    return sorted(found, key=lambda cause: (-cause.count, cause.key))
