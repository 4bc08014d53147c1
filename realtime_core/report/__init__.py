"""What a batch brought, as one HTML file that needs nothing else; and two batches compared."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_core.report.comparison import Comparison, MetricChange, compare
    from realtime_core.report.conditions import Load, Unlike
    from realtime_core.report.metrics import METRICS, Metric
    from realtime_core.report.runs import Run, read_run
    from realtime_core.report.statistics import Change, Distribution, paired_change
    from realtime_core.report.write import Report, write_report

# As in `realtime_core`: a name is imported when it is asked for.
_HOMES = {
    "comparison": ("Comparison", "MetricChange", "compare"),
    "conditions": ("Load", "Unlike"),
    "metrics": ("METRICS", "Metric"),
    "runs": ("Run", "read_run"),
    "statistics": ("Change", "Distribution", "paired_change"),
    "write": ("Report", "write_report"),
}

__all__ = [
    "METRICS",
    "Change",
    "Comparison",
    "Distribution",
    "Load",
    "Metric",
    "MetricChange",
    "Report",
    "Run",
    "Unlike",
    "compare",
    "paired_change",
    "read_run",
    "write_report",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
