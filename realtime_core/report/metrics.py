"""The figures that a report tells of conversations, and which way each is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from realtime_core.batch.results import ResultRow, TurnRow

__all__ = ["LOOP_LAG", "MEDIA_LATENESS", "METRICS", "Metric"]

Kind: TypeAlias = Literal["latency", "words", "network", "machine", "amount"]


@dataclass(frozen=True)
class Metric:
    """One figure, of each turn or of the whole conversation."""

    key: str
    title: str
    unit: Literal["ms", "s", "%", ""]
    kind: Kind
    about: str
    """What it is, for people."""
    of_turn: Callable[[TurnRow], float | None] | None = None
    of_row: Callable[[ResultRow], float | None] | None = None
    """Where it is not of turns."""
    statistic: Literal["median", "mean"] = "median"
    """What a comparison goes by. The mean is for what is mostly zero or a rate."""
    is_less_better: bool | None = True
    """None where neither is better, or it is not the agent's doing."""

    @property
    def grows_with_load(self) -> bool:
        """Whether a busy machine or server makes it more."""
        return self.kind in {"latency", "network"}

    def values(self, row: ResultRow) -> list[float]:
        """All of a conversation's figures."""
        if self.of_turn is not None:
            found = [self.of_turn(turn) for turn in row.turns]
        else:
            found = [self.of_row(row)] if self.of_row is not None else []
        return [value for value in found if value is not None]

    def value(self, row: ResultRow) -> float | None:
        """The conversation's figure: the mean of its turns'."""
        values = self.values(row)
        return sum(values) / len(values) if values else None


def _percent(rate: float | None) -> float | None:
    return None if rate is None else 100 * rate


def _size(signed: float | None) -> float | None:
    """Too much is as wrong as too little."""
    return None if signed is None else abs(signed)


def _connect_ms(row: ResultRow) -> float | None:
    # The stages of an attempt that failed on the way are no time to connect in.
    is_whole = bool(row.connect_ms) and bool(row.status == "ok" or row.marks)
    return sum(row.connect_ms.values()) if is_whole else None


def _loss(row: ResultRow) -> float | None:
    packets = row.packets
    if packets is None or packets.lost is None or packets.received is None:
        return None
    lost = max(0, packets.lost)  # duplicates make it negative (RFC 3550, 6.4.1)
    total = packets.received + lost
    return 100 * lost / total if total else None


MEDIA_LATENESS = Metric(
    "media_lateness_ms",
    "Audio left late",
    "ms",
    "machine",
    "at most; much of it distorts the other figures",
    of_row=lambda row: row.media_lateness_ms,
    is_less_better=None,
)

LOOP_LAG = Metric(
    "loop_lag_p95_ms",
    "Event loop lag, p95",
    "ms",
    "machine",
    "the other figures are off by as much",
    lambda turn: turn.latency.loop_lag_p95_ms,
    is_less_better=None,
)

METRICS: tuple[Metric, ...] = (
    Metric(
        "voice_to_voice_ms",
        "Voice to voice",
        "ms",
        "latency",
        "from the user's last sound to the agent's first",
        lambda turn: turn.latency.voice_to_voice_ms,
    ),
    Metric(
        "first_audio_ms",
        "First audio",
        "ms",
        "latency",
        "from asking for the answer to its first sound",
        lambda turn: turn.latency.first_audio_ms,
    ),
    Metric(
        "connect_ms",
        "Connecting",
        "ms",
        "latency",
        "until the session is ready, all stages",
        of_row=_connect_ms,
    ),
    Metric(
        "interruption_to_silence_ms",
        "Interruption to silence",
        "ms",
        "latency",
        "from the user's first word to the agent's silence",
        lambda turn: turn.latency.interruption_to_silence_ms,
    ),
    Metric(
        "truncation_error_ms",
        "Truncation error",
        "ms",
        "latency",
        "how far what the model takes for heard is from what was heard",
        lambda turn: _size(turn.latency.truncation_error_ms),
    ),
    Metric(
        "word_error_rate",
        "Answer WER",
        "%",
        "words",
        "word error rate of the answer against the expected text",
        lambda turn: _percent(turn.word_error_rate),
        statistic="mean",
    ),
    Metric(
        "question_word_error_rate",
        "Question WER",
        "%",
        "words",
        "word error rate of what the server understood of the question",
        lambda turn: _percent(turn.question_word_error_rate),
        statistic="mean",
    ),
    Metric(
        "answer_s",
        "Answer length",
        "s",
        "amount",
        "how long the agent speaks",
        lambda turn: turn.answer_s,
        is_less_better=None,
    ),
    Metric(
        "tokens",
        "Tokens",
        "",
        "amount",
        "of a conversation, in and out",
        of_row=lambda row: float(row.usage.total_tokens) if row.usage.total_tokens else None,
        is_less_better=None,
    ),
    Metric(
        "packet_loss",
        "Packets lost",
        "%",
        "network",
        "of the agent's audio",
        of_row=_loss,
        statistic="mean",
    ),
    Metric(
        "jitter_ms",
        "Jitter",
        "ms",
        "network",
        "of the agent's audio",
        of_row=lambda row: row.packets.jitter_ms if row.packets else None,
    ),
    Metric(
        "round_trip_ms",
        "Round trip",
        "ms",
        "network",
        "as the other side's reports tell it",
        of_row=lambda row: row.packets.round_trip_ms if row.packets else None,
    ),
    MEDIA_LATENESS,
    LOOP_LAG,
)
"""In the order in which they are shown."""
