"""Counts outcomes by area."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.conformance.case import Case
from tests.conformance.run import Outcome

__all__ = ["has_failures", "report", "summary"]


def report(outcomes: Iterable[tuple[Case, Outcome]]) -> dict[str, Any]:
    """What became of the cases of each area; the five kinds add up to its total."""
    areas: dict[str, Any] = {}
    for case, outcome in outcomes:
        area = areas.setdefault(case.area, _empty())
        area["total"] += 1
        if outcome.kind == "failed":
            area["failed"].append({"name": case.name, "difference": outcome.detail})
        elif outcome.kind == "differs":
            area["differs"].setdefault(str(outcome.quirk), []).append(case.name)
        else:
            area[outcome.kind] += 1
    return {"areas": areas}


def _empty() -> dict[str, Any]:
    return {
        "total": 0,
        "passed": 0,
        "pending": 0,
        "not_applicable": 0,
        "failed": [],
        "differs": {},
    }


def has_failures(result: dict[str, Any]) -> bool:
    """Whether any case failed."""
    return any(area["failed"] for area in result["areas"].values())


def summary(result: dict[str, Any]) -> str:
    """A table for the eye."""
    columns = ("total", "passed", "differs", "pending", "not applicable", "failed")
    lines = [f"{'area':<16}" + "".join(f"{name:>16}" for name in columns)]
    for name, area in sorted(result["areas"].items()):
        counts = (
            area["total"],
            area["passed"],
            sum(map(len, area["differs"].values())),
            area["pending"],
            area["not_applicable"],
            len(area["failed"]),
        )
        lines.append(f"{name:<16}" + "".join(f"{count:>16}" for count in counts))
    return "\n".join(lines)
