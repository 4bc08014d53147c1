"""The jobs of a batch, from files, folders, globs and manifests; nothing that is wrong gets in."""

from __future__ import annotations

import functools
import glob
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from realtime_core.batch.job_ids import folded_id, unique_id
from realtime_core.batch.manifest_file import (
    MANIFEST_SUFFIXES,
    ManifestEntry,
    ManifestTurn,
    read_manifest,
)
from realtime_core.batch.results import DESCRIPTION, RESULTS
from realtime_core.errors import UserError

__all__ = ["AUDIO_SUFFIXES", "Job", "JobTurn", "ManifestError", "fingerprint", "load_jobs"]

AUDIO_SUFFIXES = frozenset(
    {".aif", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".w64", ".wav"}
)
"""What is taken out of a folder; a file that is named itself may be called anything."""

MAX_PROBLEMS_SHOWN = 20


class ManifestError(UserError):
    """What a batch was given cannot be run; nothing has been."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Tell everything that is wrong.

        Args:
            problems: Each with the file and line it is in.
        """
        shown = list(problems[:MAX_PROBLEMS_SHOWN])
        if len(problems) > len(shown):
            shown.append(f"and {len(problems) - len(shown)} more")
        super().__init__("; ".join(shown))
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[object, ...]:
        """Take the problems along, so that the error can come out of another process."""
        return type(self), (self.problems,)


class JobTurn(BaseModel):
    """One question of a job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    audio: str
    """The recording: an absolute path, or a URL that fsspec opens."""
    name: str
    """The recording as it was named, for people."""
    expected: str | None = None
    """What the agent is to say."""
    said: str | None = None
    """What the user says in the recording."""


class Job(BaseModel):
    """One conversation to be had."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """Safe as the name of a folder, and different from all others on any file system."""
    turns: tuple[JobTurn, ...] = Field(min_length=1)
    instructions: str | None = None
    """None means the batch's."""
    tools: tuple[dict[str, JsonValue], ...] = ()
    tool_outputs: dict[str, str] = Field(default_factory=dict)
    """What a tool's call is answered with, by the tool's name."""
    session: dict[str, JsonValue] = Field(default_factory=dict)
    """More of the session's configuration."""

    @property
    def has_expectations(self) -> bool:
        """Whether word error rates are asked for."""
        return any(turn.expected is not None or turn.said is not None for turn in self.turns)


def load_jobs(inputs: Iterable[str | os.PathLike[str]]) -> list[Job]:
    """All jobs, in the order of the inputs; files of a folder or glob are sorted.

    Args:
        inputs: Sound files, folders (searched with all that is in them), globs, and manifests,
            which end in ``.jsonl``, ``.ndjson`` or ``.csv``.

    Raises:
        ManifestError: Anything is wrong with any of them.
    """
    loader = _Loader()
    for each in inputs:
        loader.add(os.fspath(each))
    if not loader.problems and not loader.jobs:
        loader.problems.append("there is nothing to do: no recording was given")
    if loader.problems:
        raise ManifestError(loader.problems)
    return loader.jobs


def fingerprint(jobs: Iterable[Job]) -> str:
    """The same for the same jobs: their recordings (place and size) and all that is said of them.

    Returns:
        A SHA-256 in hexadecimal.
    """
    digest = hashlib.sha256()
    for job in jobs:
        digest.update(json.dumps(job.model_dump(mode="json"), sort_keys=True).encode())
        for turn in job.turns:
            digest.update(str(_size_bytes(turn.audio)).encode())
    return digest.hexdigest()


def is_url(audio: str) -> bool:
    """Whether a recording is somewhere that fsspec reaches, rather than a local path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+(?:://|::)", audio) is not None


class _Loader:
    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.problems: list[str] = []
        self._places: dict[str, str] = {}
        """Where each id was found."""

    def add(self, given: str) -> None:
        path = Path(given)
        if is_url(given) and not given.startswith("file:"):
            self._add_file(given, given, PathOfUrl(given).stem)
        elif _exists(path.is_dir):
            before = len(self.problems)
            paths = sorted(_sound_files(path, self._note_unreadable))
            if len(self.problems) == before:
                self._add_all(given, paths)
        elif path.suffix.lower() in MANIFEST_SUFFIXES:
            self._add_manifest(path)
        elif glob.has_magic(given) and not path.exists():
            self._add_all(given, sorted(_globbed_files(given)))
        elif _exists(path.is_file):
            self._add_file(str(path.resolve()), given, path.stem)
        else:
            self.problems.append(f"there is no file or folder {given!r}")

    def _note_unreadable(self, exc: OSError) -> None:
        self.problems.append(f"{exc.filename} cannot be read: {exc.strerror or exc}")

    def _add_all(self, given: str, paths: list[Path]) -> None:
        if not paths:
            self.problems.append(f"{given!r} has no recording in it")
        for path in paths:
            self._add_file(str(path.resolve()), str(path), path.stem)

    def _add_file(self, audio: str, name: str, stem: str) -> None:
        job_id = unique_id(stem, self._places)
        self._places[folded_id(job_id)] = name
        turn = JobTurn(audio=audio, name=_printable(name))
        self.jobs.append(Job(id=job_id, turns=(turn,)))

    def _add_manifest(self, path: Path) -> None:
        before = len(self.problems), len(self.jobs)

        def problem(line: int, text: str) -> None:
            self.problems.append(f"{path}:{line}: {text}" if line else f"{path}: {text}")

        # Ids that are given come first, so that those that are made do not take them.
        entries = list(read_manifest(path, problem))
        for line, entry in entries:
            if entry.id is not None:
                other = self._places.setdefault(folded_id(entry.id), f"{path}:{line}")
                if other != f"{path}:{line}":
                    problem(line, f"the id {entry.id!r} is taken already, by {other}")
        for line, entry in entries:
            self.jobs.append(self._job(path, line, entry))
        if (len(self.problems), len(self.jobs)) == before:
            self.problems.append(f"{path}: there is no job in it")

    def _job(self, path: Path, line: int, entry: ManifestEntry) -> Job:
        turns = tuple(self._turn(path, line, turn) for turn in entry.all_turns())
        job_id = entry.id
        if job_id is None:
            job_id = unique_id(PathOfUrl(turns[0].name).stem, self._places)
            self._places[folded_id(job_id)] = f"{path}:{line}"
        return Job(
            id=job_id,
            turns=turns,
            instructions=entry.instructions,
            tools=tuple(tool.model_dump(exclude_unset=True) for tool in entry.tools or ()),
            tool_outputs={k: _as_text(v) for k, v in (entry.tool_outputs or {}).items()},
            session=entry.session or {},
        )

    def _turn(self, manifest: Path, line: int, turn: ManifestTurn) -> JobTurn:
        audio = turn.audio
        if audio.startswith("file://"):
            audio = url2pathname(urlsplit(audio).path)
        if not is_url(audio):
            path = manifest.parent / audio
            if not _exists(path.is_file):
                self.problems.append(f"{manifest}:{line}: there is no file {audio!r}")
            audio = os.path.abspath(path)  # noqa: PTH100 - `resolve` fails for names with NUL
        return JobTurn(
            audio=audio, name=_printable(turn.audio), expected=turn.expected, said=turn.said
        )


class PathOfUrl:
    """The last part of a URL or path, by whatever slashes."""

    def __init__(self, text: str) -> None:
        """Take it apart."""
        name = re.split(r"[/\\]", text.rstrip("/"))[-1]
        self.stem = name.rpartition(".")[0] or name


def _sound_files(folder: Path, on_error: Callable[[OSError], None]) -> Iterator[Path]:
    """What lies in a folder, without what is hidden, and without what batches have left."""
    for parent, folders, names in os.walk(folder, onerror=on_error):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not _is_of_batch(os.path.join(parent, name))  # noqa: PTH118 - of many
        ]
        for name in names:
            path = Path(parent, name)
            if path.suffix.lower() in AUDIO_SUFFIXES and name[0] != "." and path.is_file():
                yield path


def _globbed_files(pattern: str) -> Iterator[Path]:
    """What a glob finds, without what batches have left in folders that it does not name."""
    named = itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)
    depth = len(list(named))
    is_of_batch = functools.cache(_is_of_batch)
    for found in glob.glob(pattern, recursive=True):  # noqa: PTH207 - `Path.glob` takes no root
        path = Path(found)
        folders = list(path.parents)[: len(path.parts) - 1 - depth]
        if path.is_file() and not any(is_of_batch(folder) for folder in folders):
            yield path


def _is_of_batch(folder: Path | str) -> bool:
    return all(Path(folder, name).is_file() for name in (DESCRIPTION, RESULTS))


def _exists(ask: Any) -> bool:
    """What a path answers; names that no file can have are the names of none."""
    try:
        return bool(ask())
    except (OSError, ValueError):
        return False


def _printable(name: str) -> str:
    """A file's name as text, also where its bytes are none."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def _as_text(output: Any) -> str:
    return output if isinstance(output, str) else json.dumps(output)


def _size_bytes(audio: str) -> int | None:
    try:
        return None if is_url(audio) else Path(audio).stat().st_size
    except OSError:
        return None
