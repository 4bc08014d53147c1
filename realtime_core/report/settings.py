"""How runs were made, beside each other: what was chosen, and what was measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from realtime_core.masking import mask_secrets
from realtime_core.report.conditions import Conditions, Load
from realtime_core.report.figures import shown
from realtime_core.report.metrics import LOOP_LAG, MEDIA_LATENESS
from realtime_core.report.runs import Run
from realtime_core.report.statistics import Distribution

__all__ = ["Line", "condition_lines", "late_notice", "settings_lines"]

SHOWN = {
    "model": "Model",
    "transport": "Transport",
    "voice": "Voice",
    "taking": "Turns",
    "to": "Endpoint",
    "responder": "Responder",
    "instructions": "Instructions",
}
"""What is told in any case, where it is known."""

TITLES = {
    "session": "Session",
    "transport_options": "Transport options",
    "middlewares": "Middlewares",
    "deadline_s": "Deadline, s",
    "records_conversation": "Records conversations",
    "program": "Program",
}
"""What is told where it differs; and so is what is not named here."""


LATE_MS = 20.0
"""A block of audio: a batch that paces itself tries to stay below."""


@dataclass(frozen=True)
class Line:
    """One setting of all runs."""

    title: str
    texts: tuple[str, ...]
    """One a run."""
    differs: bool


def settings_lines(runs: Sequence[Run]) -> list[Line]:
    """What is worth telling of what the runs were asked to do."""
    others = sorted({key for run in runs for key in run.settings} - SHOWN.keys())
    lines = []
    for key in (*SHOWN, *others):
        values = [run.settings.get(key) for run in runs]
        differs = any(value != values[0] for value in values)
        texts = tuple(_text(value) for value in values)
        if differs or (key in SHOWN and any(texts)):
            title = SHOWN.get(key) or TITLES.get(key) or key.replace("_", " ").capitalize()
            lines.append(Line(title, texts, differs))
    return lines


def condition_lines(runs: Sequence[Run], load: Load) -> list[Line]:
    """How the runs went on their machines; those lines differ that latencies do with."""
    unlike = {each.key for each in load.unlike}
    found = [Conditions.of(run.rows) for run in runs]
    columns: dict[str, tuple[str, list[str]]] = {
        "sessions": ("Sessions at a time", [_sessions(each) for each in found]),
        "workers": ("Workers", [str(each.workers) for each in found]),
        MEDIA_LATENESS.key: (MEDIA_LATENESS.title, [_median(each.lateness) for each in found]),
        LOOP_LAG.key: (LOOP_LAG.title, [_median(each.loop_lag) for each in found]),
        "time": ("When", [_time(each.began_at, each.ended_at) for each in found]),
    }
    return [Line(title, tuple(texts), key in unlike) for key, (title, texts) in columns.items()]


def late_notice(run: Run) -> str:
    """What is to be said of a run where audio nearly always left late; empty where it did not."""
    lateness = Conditions.of(run.rows).lateness
    if lateness is None or lateness.p50 <= LATE_MS:
        return ""
    return (
        f"This machine had much to do: audio left late ({_median(lateness)}), so latencies are "
        "too long by up to as much, and by more if the server is on this machine too. Fewer "
        "sessions at a time (--max-sessions) measure better."
    )


def _text(value: Any) -> str:
    if value is None or value in ({}, []):
        return ""
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False)
    return str(mask_secrets(value))


def _sessions(found: Conditions) -> str:
    return f"{found.sessions:.1f}, at most {found.most_sessions}"


def _median(values: Distribution | None) -> str:
    if values is None:
        return ""
    return f"median {shown(values.p50, 'ms')}, p95 {shown(values.p95, 'ms')}"


def _time(began_at: datetime, ended_at: datetime) -> str:
    minutes, seconds = divmod(round((ended_at - began_at).total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    took = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{began_at:%Y-%m-%d %H:%M} UTC, for {took}"
