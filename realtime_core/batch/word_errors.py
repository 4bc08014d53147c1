"""Word error rates, where a job says what was to be heard."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

from realtime_core.errors import UserError

if TYPE_CHECKING:
    from realtime_core.batch.manifest import Job
    from realtime_core.batch.results import ResultRow

__all__ = ["require_jiwer", "with_word_errors", "word_error_rate"]


def require_jiwer(jobs: Iterable[Job]) -> None:
    """See to it that word error rates can be found, before anything runs.

    Raises:
        UserError: A job asks for them, and the package is missing.
    """
    if not any(job.has_expectations for job in jobs):
        return
    try:
        import jiwer  # noqa: F401 - only whether it is there
    except ImportError as exc:
        raise UserError(
            "the manifest says what is expected, and word error rates need a package that is not "
            'installed: pip install "realtime-transports[batch]"'
        ) from exc


def with_word_errors(row: ResultRow) -> ResultRow:
    """The same row with its word error rates."""
    if all(turn.expected is None and turn.said is None for turn in row.turns):
        return row
    turns = tuple(
        turn.model_copy(
            update={
                "word_error_rate": _rate(turn.expected, turn.answer_transcript, row),
                "question_word_error_rate": _rate(turn.said, turn.question_transcript, row),
            }
        )
        for turn in row.turns
    )
    return row.model_copy(update={"turns": turns})


def word_error_rate(reference: str, heard: str) -> float:
    """How many of the reference's words are wrong, missing or too many, as a share of them.

    Both are compared in lower case and without punctuation. It may be more than 1.
    """
    reference, heard = _plain(reference), _plain(heard)
    if not reference:
        return 1.0 if heard else 0.0
    from jiwer import wer

    return round(float(wer(reference, heard)), 6)


def _rate(reference: str | None, heard: str | None, row: ResultRow) -> float | None:
    if reference is None or heard is None:
        return None
    if row.status == "failed" and not heard:
        return None  # that nothing was heard is not the recogniser's doing
    return word_error_rate(reference, heard)


def _plain(text: str) -> str:
    """Words in lower case, without punctuation but for apostrophes within."""
    text = (
        unicodedata.normalize("NFKC", text)
        .casefold()
        .replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    )
    return " ".join(re.findall(r"[^\W_]+(?:'[^\W_]+)*", text))
