"""Recordings and manifests for tests of batches."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from realtime_core.batch.job import JobSettings
from realtime_core.batch.run import BatchOptions

DATA = Path(__file__).parents[1] / "data"
QUESTION = DATA / "mailbox_number.wav"


def write_tone(path: Path, seconds: float = 0.3, rate_hz: int = 24_000, channels: int = 1) -> Path:
    """A recording with sound from its begin to its end."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    samples = (8000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16)
    soundfile.write(path, np.repeat(samples[:, None], channels, axis=1), rate_hz)
    return path


def write_manifest(folder: Path, entries: Iterable[dict[str, Any]]) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def many_jobs(folder: Path, count: int) -> Path:
    """A manifest of that many short jobs, which share a recording."""
    write_tone(folder / "q.wav")
    return write_manifest(folder, ({"id": f"j{n}", "audio": "q.wav"} for n in range(count)))


def in_memory(**more: Any) -> BatchOptions:
    """Over the memory transport, in this process unless said otherwise."""
    options: dict[str, Any] = {"processes": 0, "allow": (), "responder": "parrot"}
    settings = {name: more.pop(name) for name in list(more) if name in JobSettings.model_fields}
    return BatchOptions(
        settings=JobSettings(**{"transport": "memory", **settings}), **{**options, **more}
    )
