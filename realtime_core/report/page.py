"""The HTML: templates filled with what other modules say."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from realtime_core.report.causes import causes
from realtime_core.report.charts import DistributionChart, distribution_chart, intervals
from realtime_core.report.comparison import Comparison
from realtime_core.report.data import inert_json
from realtime_core.report.figures import shown, shown_change
from realtime_core.report.metrics import METRICS
from realtime_core.report.runs import Run
from realtime_core.report.settings import condition_lines, late_notice, settings_lines
from realtime_core.report.statistics import FEWEST_PAIRS, Distribution

if TYPE_CHECKING:
    import jinja2

__all__ = ["PageParts", "content_policy", "render"]

SCRIPTS = ("dom.js", "player.js", "conversation.js", "table.js", "main.js")
KINDS = {
    "latency": "How fast",
    "words": "How well understood",
    "network": "Network",
    "machine": "This machine",
    "amount": "How much",
}

FIRST_KINDS = ("latency", "words")


@dataclass(frozen=True)
class PageParts:
    """What goes into a page."""

    runs: Sequence[Run]
    comparison: Comparison | None
    table: dict[str, Any]
    """For the script: what the table shows."""
    conversations: Sequence[tuple[str, dict[str, Any]]]
    """For the script: each conversation under a name."""
    sounds: Sequence[tuple[str, str]]
    """Recordings that are inside the page, as base64 under a name."""


def render(parts: PageParts) -> str:
    """The page."""
    script, style = _script(), _asset("report.css")
    environment = _environment()
    html: str = environment.get_template("report.html").render(
        policy=content_policy(script, style),
        script=_verbatim(script),
        style=_verbatim(style),
        title=_title(parts.runs),
        runs=parts.runs,
        names=("A", "B"),
        made_at=datetime.now().astimezone(),
        settings=settings_lines(parts.runs),
        conditions=condition_lines(parts.runs, parts.comparison.load) if parts.comparison else (),
        is_single=len(parts.runs) == 1 and len(parts.runs[0].rows) == 1,
        tiles=_tiles(parts.runs[-1]),
        late="" if parts.comparison else late_notice(parts.runs[0]),
        charts=_charts(parts.runs),
        causes=causes(parts.runs[-1].rows),
        comparison=parts.comparison,
        interval_axis=intervals(parts.comparison.changes) if parts.comparison else None,
        fewest_pairs=FEWEST_PAIRS,
        table=_verbatim(inert_json(parts.table)),
        conversations=[(name, _verbatim(inert_json(each))) for name, each in parts.conversations],
        sounds=parts.sounds,
    )
    return html


def content_policy(script: str, style: str) -> str:
    """The page's Content Security Policy: our script and style and nothing else of anybody.

    Recordings are the only thing that may be loaded: out of the page, or from where it lies.
    """
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "media-src 'self' data:",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _asset(name: str) -> str:
    path = resources.files("realtime_core.report").joinpath("assets", name)
    return path.read_text(encoding="utf-8")


@cache
def _script() -> str:
    return '"use strict";\n(() => {\n' + "\n".join(map(_asset, SCRIPTS)) + "})();\n"


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("realtime_core.report", "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    environment.filters["shown_change"] = shown_change
    return environment


def _verbatim(text: str) -> str:
    """Text of ours that is no HTML to be escaped: scripts, styles and inert JSON."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - inert, as `inert_json` says; the rest are our own files


def _title(runs: Sequence[Run]) -> str:
    return " → ".join(run.name for run in runs)


def _tiles(run: Run) -> list[tuple[str, str, str, str]]:
    """The figures above all others: a title, the figure, what is beside it, a state."""
    rows = run.rows
    failed = sum(row.status == "failed" for row in rows)
    turns = sum(len(row.turns) for row in rows)
    share = shown(100 * (len(rows) - failed) / len(rows), "%")
    tiles = [
        ("Conversations", shown(len(rows), ""), f"{shown(turns, '')} turns", ""),
        (
            "Succeeded",
            share,
            f"{shown(failed, '')} failed" if failed else "none failed",
            "bad" if failed else "good",
        ),
    ]
    for metric in METRICS:
        if metric.key not in {"voice_to_voice_ms", "first_audio_ms", "word_error_rate"}:
            continue
        values = Distribution.of([value for row in rows for value in metric.values(row)])
        if values is None:
            continue
        if metric.statistic == "mean":
            tiles.append((metric.title, shown(values.mean, metric.unit), "mean of turns", ""))
            continue
        beside = f"median; p95 {shown(values.p95, metric.unit)}"
        tiles.append((metric.title, shown(values.p50, metric.unit), beside, ""))
    tokens = sum(row.usage.total_tokens for row in rows)
    if tokens:
        tiles.append(("Tokens", shown(tokens, ""), "in and out", ""))
    return tiles


def _charts(runs: Sequence[Run]) -> list[tuple[str, bool, list[DistributionChart]]]:
    """The charts by their kind, and whether that is what people look for first."""
    groups: dict[str, list[DistributionChart]] = {}
    for metric in METRICS:
        values = [[value for row in run.rows for value in metric.values(row)] for run in runs]
        chart = distribution_chart(metric, values[-1], values[0] if len(runs) > 1 else ())
        if chart is not None:
            groups.setdefault(metric.kind, []).append(chart)
    return [
        (title, kind in FIRST_KINDS, groups[kind])
        for kind, title in KINDS.items()
        if kind in groups
    ]
