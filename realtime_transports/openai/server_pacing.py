"""When the next audio of an answer may leave, where a server keeps the pace of speech.

The API does not: "The server will produce audio faster than realtime"
(`ConversationItemTruncateEvent`). A client is easier to watch, and to interrupt in the middle of
an answer, where the server does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from realtime_transports.openai.server_audio import RATE_HZ

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["AudioPace", "cut"]

LEAD_S = 0.2
"""How far ahead of what is being heard the sent audio may be."""

PIECE_SAMPLES = RATE_HZ // 10


class AudioPace:
    """The pace of one answer's audio."""

    def __init__(self) -> None:
        """Begin with nothing sent."""
        self._silent_from_s: float | None = None

    def delay_s(self, samples: int, now_s: float) -> float:
        """How long to wait before sending so many samples more; they count as sent then.

        Args:
            samples: How many, at 24 kHz.
            now_s: The time.
        """
        silent_from_s = now_s if self._silent_from_s is None else self._silent_from_s
        delay_s = max(0.0, silent_from_s - now_s - LEAD_S)
        self._silent_from_s = max(silent_from_s, now_s) + samples / RATE_HZ
        return delay_s


def cut(samples: Pcm16) -> Iterator[Pcm16]:
    """Pieces short enough to be paced."""
    for start in range(0, len(samples), PIECE_SAMPLES):
        yield samples[start : start + PIECE_SAMPLES]
