"""Many recordings at once: jobs, what runs them, and what became of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_core.batch.engine import BatchContext, BatchEngine, EngineState, JobResult
    from realtime_core.batch.job import JobEnvironment, JobSettings, run_job
    from realtime_core.batch.manifest import Job, JobTurn, ManifestError, load_jobs
    from realtime_core.batch.results import (
        AudioFile,
        JobFailure,
        Mark,
        Packets,
        ResultRow,
        ToolCall,
        TurnLatency,
        TurnRow,
        Usage,
    )
    from realtime_core.batch.results_file import BatchFolder, read_rows
    from realtime_core.batch.run import BatchOptions, BatchProgress, BatchSummary, run_batch

# As in `realtime_core`: a name is imported when it is asked for.
_HOMES = {
    "engine": ("BatchContext", "BatchEngine", "EngineState", "JobResult"),
    "job": ("JobEnvironment", "JobSettings", "run_job"),
    "manifest": ("Job", "JobTurn", "ManifestError", "load_jobs"),
    "results": (
        "AudioFile",
        "JobFailure",
        "Mark",
        "Packets",
        "ResultRow",
        "ToolCall",
        "TurnLatency",
        "TurnRow",
        "Usage",
    ),
    "results_file": ("BatchFolder", "read_rows"),
    "run": ("BatchOptions", "BatchProgress", "BatchSummary", "run_batch"),
}

__all__ = [
    "AudioFile",
    "BatchContext",
    "BatchEngine",
    "BatchFolder",
    "BatchOptions",
    "BatchProgress",
    "BatchSummary",
    "EngineState",
    "Job",
    "JobEnvironment",
    "JobFailure",
    "JobResult",
    "JobSettings",
    "JobTurn",
    "ManifestError",
    "Mark",
    "Packets",
    "ResultRow",
    "ToolCall",
    "TurnLatency",
    "TurnRow",
    "Usage",
    "load_jobs",
    "read_rows",
    "run_batch",
    "run_job",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
