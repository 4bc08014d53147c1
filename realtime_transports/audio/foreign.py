"""Sources, sinks and taps are foreign code: their failures are told by their name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from realtime_core.errors import AudioError, RealtimeError

__all__ = ["as_audio_error", "close_within", "naming", "telling_of_stalls"]

log = logging.getLogger(__name__)

STALLED_S = 30.0
"""A source or sink that is this long with one frame is told of, and still waited for. A pipe may be
silent for a while; a caller who hears nothing for so long has hung up."""


def as_audio_error(role: str, culprit: object, exc: Exception) -> AudioError:
    """What a source, sink or tap raised, with its name unless it is an error of audio already."""
    if isinstance(exc, AudioError):
        return exc
    error = AudioError(f"{_called(role, culprit)} raised {type(exc).__name__}: {exc}")
    error.__cause__ = exc
    return error


@contextmanager
def naming(role: str, culprit: object) -> Iterator[None]:
    """Make what foreign code raises an `AudioError` with its name; errors of ours pass.

    Where a deadline ends it, the name is a note on the `asyncio.CancelledError`, which becomes the
    cause of the `TimeoutError`.
    """
    try:
        yield
    except RealtimeError:
        raise
    except Exception as exc:  # foreign code
        raise as_audio_error(role, culprit, exc) from exc
    except asyncio.CancelledError as exc:
        exc.add_note(f"waiting for {_called(role, culprit)}")
        raise


@contextmanager
def telling_of_stalls(
    role: str, culprit: object, on_error: Callable[[Exception], None]
) -> Iterator[None]:
    """Tell, once, when what is awaited within takes very long.

    Args:
        role: ``"source"`` or ``"sink"``.
        culprit: The source or sink.
        on_error: Gets an `AudioError`.
    """

    def tell() -> None:
        what = "given nothing" if role == "source" else "taken nothing more"
        on_error(AudioError(f"{_called(role, culprit)} has {what} for {STALLED_S:g} s"))

    timer = asyncio.get_running_loop().call_later(STALLED_S, tell)
    try:
        yield
    finally:
        timer.cancel()


async def close_within(
    deadline_s: float, role: str, culprit: object, closing: Awaitable[None]
) -> AudioError | None:
    """Wait until a source or sink is closed, but not for ever.

    Returns:
        What went wrong, for whoever closes more than this; one that takes too long is only logged.
    """
    try:
        async with asyncio.timeout(deadline_s):
            await closing
    except TimeoutError:
        log.warning("%s did not close within %.0f s", _called(role, culprit), deadline_s)
    except Exception as exc:  # foreign code
        return as_audio_error(role, culprit, exc)
    return None


def _called(role: str, culprit: object) -> str:
    return f"{role} {type(culprit).__name__}"
