"""What a failure is in a row, and which are worth another attempt. Decides without a clock."""

from __future__ import annotations

import logging
import random
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from realtime_core.answer import TurnFailedError
from realtime_core.batch.questions import QuestionError
from realtime_core.batch.results import JobFailure, ResultRow, TurnRow
from realtime_core.errors import (
    AudioError,
    ConnectError,
    ConnectStage,
    PluginError,
    TransportError,
    UserError,
)
from realtime_core.masking import mask_secrets

if TYPE_CHECKING:
    from realtime_core.batch.manifest import Job

__all__ = ["describe_failure", "retry_delay_s", "row_without_session"]

log = logging.getLogger(__name__)

Kind = TypeVar("Kind")

RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Those by which a server says: not now (RFC 9110, 15.5 and 15.6; RFC 6585, 4)."""

RETRYABLE_CODES = frozenset({"rate_limit_exceeded", "server_error", "timeout"})
"""Codes of the API's errors that are not about what was asked."""

NETWORK_STAGES = frozenset(
    {ConnectStage.ICE, ConnectStage.DTLS, ConnectStage.CHANNEL, ConnectStage.SESSION}
)

FIRST_DELAY_S = 1.0
MAX_DELAY_S = 60.0
MAX_SERVER_DELAY_S = 600.0
"""A server that asks for more is asked again after this."""


def describe_failure(exc: Exception, *, is_connected: bool, turn: int | None) -> JobFailure:
    """What goes into the row.

    Args:
        exc: What ended the attempt.
        is_connected: Whether it was connected by then.
        turn: Which turn was under way, from 1.
    """
    if isinstance(exc, QuestionError):
        turn = exc.turn or turn
    stage = _stage(exc, is_connected=is_connected)
    if stage == "setup" and not isinstance(exc, (UserError, PluginError)):
        log.debug("a job ended by an error of no known kind", exc_info=exc)
    code = _attribute(exc, "code", str)
    return JobFailure(
        stage=stage,
        kind=type(exc).__name__,
        message=_text(exc),
        turn=turn,
        status=_attribute(exc, "status", int),
        code=None if code is None else as_text(code),
        is_retryable=_is_retryable(exc),
    )


def row_without_session(
    job: Job, failure: JobFailure, *, attempts: int, now: datetime
) -> ResultRow:
    """The row of a job of whose sessions nothing is known."""
    return ResultRow(
        id=job.id,
        status="failed",
        error=failure,
        attempts=attempts,
        started_at=now,
        duration_s=0.0,
        turns=tuple(
            TurnRow(question=turn.name, expected=turn.expected, said=turn.said)
            for turn in job.turns
        ),
    )


def retry_delay_s(exc: Exception, attempt: int, rng: random.Random) -> float | None:
    """How long to wait before the next attempt; None when there should be none.

    What the server asks for is kept to. Else the delay doubles each time, and a part of it is by
    chance: jobs that failed together must not come back together.

    Args:
        exc: What ended the attempt.
        attempt: Which attempt it was, from 1.
        rng: Gives the part that is by chance.
    """
    if not _is_retryable(exc):
        return None
    asked_s: float | None = getattr(exc, "retry_after_s", None)
    if asked_s is not None:
        return min(asked_s, MAX_SERVER_DELAY_S) + rng.uniform(0.0, FIRST_DELAY_S / 4)
    full_s = min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** (attempt - 1))
    return rng.uniform(full_s / 2, full_s)


def _stage(exc: Exception, *, is_connected: bool) -> str:
    if isinstance(exc, QuestionError):
        return "input"
    if isinstance(exc, ConnectError):
        return exc.stage.value
    if isinstance(exc, AudioError):
        return "output"
    return "turn" if is_connected else "setup"


def _is_retryable(exc: Exception) -> bool:
    match exc:
        case ConnectError(status=int(status)):
            return status in RETRYABLE_STATUSES
        case ConnectError(stage=ConnectStage.HTTP):
            return True
        case ConnectError():
            # What the server has words for, it has understood and refused.
            return exc.stage in NETWORK_STAGES and exc.provider_message is None
        case TurnFailedError():
            return exc.code in RETRYABLE_CODES
    return isinstance(exc, TransportError)


def _attribute(exc: Exception, name: str, kind: type[Kind]) -> Kind | None:
    """What an error has under a name, if that is of this kind; errors of others have anything."""
    value = getattr(exc, name, None)
    return value if isinstance(value, kind) else None


def _text(exc: Exception) -> str:
    """The message, without secrets and halves of characters."""
    try:
        text = str(exc)
    except Exception:  # an error of others may not even be able to say what it is
        text = ""
    masked: str = mask_secrets(text or type(exc).__name__)
    return as_text(masked)


def as_text(text: str) -> str:
    """The text with a mark for each half of a character, which JSON of a server may hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
