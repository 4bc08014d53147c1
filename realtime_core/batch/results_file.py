"""A batch's folder: what was asked for, a row for each job that is done, and the recordings.

    DIR/batch.json            the jobs' fingerprint and the settings, without secrets
    DIR/results.jsonl         the rows
    DIR/audio/ID/answer.wav   recordings, as the rows name them
    DIR/.work/                what is not finished; removed at each start

A row is one write at the end of the file, behind its recordings having got their names, so whoever
sees a row sees all of it. A process that is killed leaves at most a row that broke off, which the
next start cuts off, and recordings without a row, whose job is run again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pydantic

from realtime_core.batch.manifest import fingerprint
from realtime_core.batch.results import DESCRIPTION, RESULTS, ResultRow, parse_row
from realtime_core.errors import UserError
from realtime_core.masking import mask_secrets

if TYPE_CHECKING:
    from types import TracebackType

    from realtime_core.batch.engine import JobResult
    from realtime_core.batch.manifest import Job

__all__ = ["BatchFolder", "read_rows"]

log = logging.getLogger(__name__)

FORMAT = "realtime-batch"
FORMAT_VERSION = 1
AUDIO = "audio"
WORK = ".work"
LOCK = ".lock"

LEAST_ROOM_BYTES = 1024 * 1024
"""Where there is less, the disk is full: 20 s of a conversation."""


def read_rows(folder: str | os.PathLike[str]) -> Iterator[ResultRow]:
    """The rows of a batch, in the order in which the jobs were done; also while it runs.

    Args:
        folder: The batch's folder.

    Raises:
        UserError: There is no batch, or a row in the middle is none.
    """
    path = Path(folder) / RESULTS
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return  # it is being written, or its writer was killed
                try:
                    yield parse_row(line)
                except pydantic.ValidationError as exc:
                    raise UserError(f"{path}:{number}: it is no row of results: {exc}") from exc
    except OSError as exc:
        raise UserError(f"{path} cannot be read: {exc.strerror or exc}") from exc


class BatchFolder:
    """The folder, for the one process that writes it."""

    def __init__(self, path: Path) -> None:
        """Name it; `open` looks at it."""
        self.path = path
        self.scratch = path / WORK / secrets.token_hex(4)
        """For what is being written; exists while open."""
        self.done: dict[str, bool] = {}
        """The ids of the jobs that have a row, and whether they went well."""
        self._file: int | None = None
        self._lock: int | None = None
        self._is_dirty = False

    def open(
        self,
        jobs: Collection[Job],
        settings: Mapping[str, Any],
        *,
        resume: bool = True,
        retry_failed: bool = False,
    ) -> Self:
        """Begin, or go on where the same batch was left.

        Args:
            jobs: All of the batch.
            settings: What they have in common and what changes with it; secrets are left out.
            resume: Whether to go on; a folder with a batch is refused otherwise.
            retry_failed: Forget the rows of jobs that failed, so that they are run again.

        Raises:
            UserError: The folder is of another batch or of something else, or another process
                writes it, or it cannot be written.
        """
        description = _describe(jobs, settings)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._check_is_ours()
            self._take_lock()
            shutil.rmtree(self.path / WORK, ignore_errors=True)
            self.scratch.mkdir(parents=True)
            self._check(description, resume=resume)
            self._take_stock({job.id for job in jobs}, retry_failed=retry_failed)
            self._file = os.open(self.path / RESULTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as exc:
            self.close()
            raise UserError(f"{self.path} cannot be written: {exc.strerror or exc}") from exc
        except BaseException:
            self.close()
            raise
        return self

    def take(self, result: JobResult) -> ResultRow:
        """Give a job's recordings their names, then write its row.

        Raises:
            OSError: The disk is full.
        """
        row = result.row
        if row.id in self.done:
            raise ValueError(f"there is a row of {row.id} already")
        if result.folder is not None:
            self._adopt(row, result.folder)
            row = row.with_audio_under(f"{AUDIO}/{row.id}")
        self._append(row.to_line())
        self.done[row.id] = row.status == "ok"
        return row

    def check_room(self) -> None:
        """Find out whether recordings can be written at all.

        Raises:
            OSError: They cannot: the disk is full, or was taken away.
        """
        trial = self.scratch / "room"
        try:
            trial.write_bytes(bytes(LEAST_ROOM_BYTES))
        finally:
            trial.unlink(missing_ok=True)

    def sync(self) -> None:
        """Bring what was written to the disk; it may take a while."""
        if self._is_dirty and self._file is not None:
            self._is_dirty = False
            os.fsync(self._file)

    def close(self) -> None:
        """Let go of everything. Closing twice is fine."""
        try:
            self.sync()
        finally:
            if self._file is not None:
                os.close(self._file)
                self._file = None
            if self._lock is not None:
                shutil.rmtree(self.path / WORK, ignore_errors=True)
                os.close(self._lock)
                self._lock = None

    def __enter__(self) -> Self:
        """It is open already."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def _adopt(self, row: ResultRow, folder: Path) -> None:
        names = {file.path for file in row.audio_files}
        target = self.path / AUDIO / row.id
        if not names:
            for useless in (folder, target):
                shutil.rmtree(useless, ignore_errors=True)
            return
        for path in folder.iterdir():
            if path.name not in names:
                path.unlink()
        try:
            folder.replace(target)
        except OSError:
            # The first of all, or a job that was done once without having got its row.
            shutil.rmtree(target, ignore_errors=True)
            target.parent.mkdir(exist_ok=True)
            folder.replace(target)

    def _append(self, line: bytes) -> None:
        if self._file is None:
            raise ValueError("the batch's folder is not open")
        written = os.write(self._file, line)
        self._is_dirty = True
        if written < len(line):  # the disk is full; half a row must not stay
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError(28, "no space left for the results")

    def _check_is_ours(self) -> None:
        """What is removed or replaced here must be a batch's: never begin among other things."""
        if (self.path / DESCRIPTION).exists() or (self.path / LOCK).exists():
            return
        for name in (AUDIO, WORK):
            if (self.path / name).exists():
                raise UserError(
                    f"{self.path} has {name!r} in it already, and no batch; choose another folder"
                )

    def _take_lock(self) -> None:
        lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            import fcntl
        except ImportError:  # Windows; nothing keeps two drivers apart there
            self._lock = lock
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(lock)
            if isinstance(exc, BlockingIOError):
                raise UserError(f"another process is writing to {self.path}") from exc
            raise
        self._lock = lock

    def _check(self, description: Mapping[str, Any], *, resume: bool) -> None:
        path = self.path / DESCRIPTION
        if not path.exists():
            if (self.path / RESULTS).exists():
                raise UserError(f"{self.path} has results, and no {DESCRIPTION} that says of what")
            self._write_whole(path, json.dumps(description, indent=2).encode() + b"\n")
            return
        if not resume:
            raise UserError(f"{self.path} has a batch already; choose another folder")
        try:
            before = json.loads(path.read_bytes())
            known = before["format"], before["version"]
        except (ValueError, KeyError, TypeError) as exc:
            raise UserError(f"{path} does not describe a batch: {exc!r}") from exc
        if known != (FORMAT, FORMAT_VERSION):
            raise UserError(f"{path} is of a format that this program does not know: {known}")
        if differences := _differences(before, description):
            raise UserError(
                f"{self.path} has another batch, with different {', '.join(differences)}; "
                "choose another folder"
            )

    def _take_stock(self, ids: Collection[str], *, retry_failed: bool) -> None:
        """Find out which jobs are done, and cut off what is no row."""
        path = self.path / RESULTS
        if not path.exists():
            return
        is_clean = True
        kept = self.scratch / RESULTS
        with path.open("rb") as file, kept.open("wb") as new:
            for line in file:
                row = _row_or_none(line)
                if (
                    row is None
                    or row.id in self.done
                    or row.id not in ids
                    or (retry_failed and row.status == "failed")
                    or self._lacks_audio(row)
                ):
                    is_clean = False
                else:
                    self.done[row.id] = row.status == "ok"
                    new.write(line)
            new.flush()
            os.fsync(new.fileno())
        if is_clean:
            kept.unlink()
        else:
            kept.replace(path)

    def _write_whole(self, path: Path, content: bytes) -> None:
        """Write a file such that its name never stands for a part of it."""
        partial = self.scratch / path.name
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def _lacks_audio(self, row: ResultRow) -> bool:
        """Whether a recording broke off with the power. One that is gone was not wanted."""
        for file in row.audio_files:
            with contextlib.suppress(OSError):
                if (self.path / file.path).stat().st_size < file.size_bytes:
                    return True
        return False


def _row_or_none(line: bytes) -> ResultRow | None:
    if not line.endswith(b"\n"):
        return None
    try:
        return parse_row(line)
    except pydantic.ValidationError as exc:
        log.warning("a line of the results is no row; its job is run again: %s", exc)
        return None


def _describe(jobs: Collection[Job], settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "program": f"realtime-transports {version('realtime-transports')}",
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "jobs": len(jobs),
        "fingerprint": fingerprint(jobs),
        "settings": mask_secrets(dict(settings)),
    }


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What of two batches is not the same."""
    found = [] if before.get("fingerprint") == now["fingerprint"] else ["recordings or manifest"]
    old, new = before.get("settings"), now["settings"]
    old = old if isinstance(old, Mapping) else {}
    names: Iterable[str] = sorted({*old, *new})
    return found + [name for name in names if old.get(name) != new.get(name)]
