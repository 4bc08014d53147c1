"""What the page's script gets: the table's rows, and each conversation on demand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from realtime_core.batch.results import ResultRow
from realtime_core.masking import mask_secrets
from realtime_core.report.causes import cause_of
from realtime_core.report.comparison import Comparison
from realtime_core.report.metrics import METRICS, Metric
from realtime_core.report.runs import Run

__all__ = ["Pairing", "columns", "conversation", "inert_json", "pair_rows", "table_rows"]

IN_TABLE = frozenset(
    {
        "voice_to_voice_ms",
        "first_audio_ms",
        "connect_ms",
        "word_error_rate",
        "question_word_error_rate",
        "answer_s",
    }
)
SNIPPET = 160

_INERT = {
    ord("<"): "\\u003c",
    ord(">"): "\\u003e",
    ord("&"): "\\u0026",
}


@dataclass(frozen=True)
class Pairing:
    """A line of the table: the same conversation in each run, where it is there."""

    id: str
    rows: tuple[ResultRow | None, ...]
    """One a run."""
    places: tuple[int | None, ...]
    """Their numbers in the runs."""


def inert_json(value: Any) -> str:
    r"""JSON that can stand in a script element, whatever it holds.

    All is ASCII, and what could end the element or begin a comment in it (``</script``, ``<!--``)
    is written ``\u003c`` (HTML, 4.12.1.3, "Restrictions for contents of script elements").
    """
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.translate(_INERT)


def pair_rows(runs: Sequence[Run]) -> list[Pairing]:
    """The lines of the table, ordered by id."""
    found: list[dict[str, int]] = [
        {row.id: place for place, row in enumerate(run.rows)} for run in runs
    ]
    ids = sorted({each for places in found for each in places})
    lines = []
    for each in ids:
        places = tuple(run_places.get(each) for run_places in found)
        rows = tuple(
            None if place is None else run.rows[place]
            for run, place in zip(runs, places, strict=True)
        )
        lines.append(Pairing(each, rows, places))
    return lines


def columns(runs: Sequence[Run]) -> list[Metric]:
    """The metrics that have a column: those that some conversation has."""
    return [
        metric
        for metric in METRICS
        if metric.key in IN_TABLE
        and any(metric.value(row) is not None for run in runs for row in run.rows)
    ]


def table_rows(lines: Sequence[Pairing], shown: Sequence[Metric]) -> list[dict[str, Any]]:
    """The table's rows."""
    rows = []
    for line in lines:
        values: list[Any] = [
            [None if row is None else _rounded(metric.value(row)) for row in line.rows]
            for metric in shown
        ]
        last = next(row for row in reversed(line.rows) if row is not None)
        failed = last if last.status == "failed" else None
        rows.append(
            {
                "id": line.id,
                "places": line.places,
                "status": _status(line.rows),
                "cause": cause_of(failed.error) if failed else None,
                "said": _snippet(last),
                "values": values,
            }
        )
    cleaned: list[dict[str, Any]] = mask_secrets(rows)
    return cleaned


def conversation(row: ResultRow, audio: dict[str, Any] | None, problem: str) -> dict[str, Any]:
    """All that is told of one conversation.

    Args:
        row: The row.
        audio: Where its recording is and what it looks like; None where there is none.
        problem: Why there is none, where that is worth telling.
    """
    told: dict[str, Any] = mask_secrets(row.model_dump(mode="json"))
    told["audio"] = audio
    told["audio_problem"] = problem
    return told


def column_described(metric: Metric, comparison: Comparison | None) -> dict[str, Any]:
    """A column, for the script."""
    incomparable = comparison.of("incomparable") if comparison else ()
    is_judged = all(metric is not each.metric for each in incomparable)
    return {
        "key": metric.key,
        "title": metric.title,
        "unit": metric.unit,
        "about": metric.about,
        "less_is_better": metric.is_less_better if is_judged else None,
    }


def _status(rows: Sequence[ResultRow | None]) -> str:
    first, last = rows[0], rows[-1]
    if first is None:
        return "only_after"
    if last is None:
        return "only_before"
    if first.status == last.status:
        return last.status
    return "appeared" if last.status == "failed" else "vanished"


def _snippet(row: ResultRow) -> list[str]:
    """The first words of both sides."""
    if not row.turns:
        return ["", ""]
    turn = row.turns[0]
    asked = turn.question_transcript or turn.said or ""
    return [asked[:SNIPPET], turn.answer_transcript[:SNIPPET]]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
