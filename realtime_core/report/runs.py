"""A folder of results, read for a report."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from realtime_core.batch.results import DESCRIPTION, RESULTS, ResultRow
from realtime_core.batch.results_file import read_rows
from realtime_core.errors import UserError

__all__ = ["Run", "read_run"]


@dataclass(frozen=True)
class Run:
    """The results of a batch, or of one conversation."""

    name: str
    folder: Path
    """What the rows' recordings are named relative to."""
    rows: tuple[ResultRow, ...]
    """Ordered by id."""
    settings: dict[str, Any] = field(default_factory=dict)
    """How it was run, as far as it is known; for people."""


def read_run(folder: Path) -> Run:
    """The results that ``realtime batch`` has written to a folder, also while it still runs.

    Raises:
        UserError: There are none, or they are not in the form that this version writes.
    """
    _check_batch(folder)
    rows = {row.id: row for row in read_rows(folder)}
    if not rows:
        raise UserError(f"{folder} has no results yet")
    return Run(
        name=folder.resolve().name or str(folder),
        folder=folder,
        rows=tuple(rows[each] for each in sorted(rows)),
        settings=_read_settings(folder / DESCRIPTION),
    )


def _check_batch(folder: Path) -> None:
    if not folder.exists():
        raise UserError(f"there is no folder {folder}")
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; name the folder that has the batch")
    if not (folder / RESULTS).exists():
        raise UserError(
            f"there is no batch in {folder}: it has no {RESULTS}; "
            "name the folder that realtime batch --out was given"
        )


def _read_settings(path: Path) -> dict[str, Any]:
    """They are told beside the results, which are worth a report without them too."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    settings = found.get("settings") if isinstance(found, dict) else None
    if not isinstance(settings, dict):
        return {}
    program = found.get("program")
    return {**settings, "program": program} if isinstance(program, str) else settings
