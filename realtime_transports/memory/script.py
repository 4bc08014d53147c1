"""Answers that are known beforehand."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import TypeAlias

from realtime_core.errors import UserError
from realtime_transports.local_server.responders import (
    AnswerPiece,
    AudioPiece,
    Responder,
    TextPiece,
    Turn,
    hum,
)

__all__ = ["ScriptedAnswer", "ScriptedResponder"]

ScriptedAnswer: TypeAlias = str | Sequence[AnswerPiece] | Exception
"""A text, which is hummed where it is to be spoken; or pieces; or what goes wrong."""


class ScriptedResponder(Responder):
    """Gives one answer after the other, whatever it is asked."""

    def __init__(self, answers: Iterable[ScriptedAnswer]) -> None:
        """Set the answers.

        Args:
            answers: The first is given first. When none is left, the response fails.
        """
        self._answers = iter(list(answers))
        self.turns: list[Turn] = []
        """What was asked so far."""

    async def respond(self, turn: Turn) -> AsyncGenerator[AnswerPiece]:
        """The next answer."""
        self.turns.append(turn)
        answer = next(self._answers, None)
        if answer is None:
            raise UserError(f"the script has no answer number {len(self.turns)}")
        if isinstance(answer, Exception):
            raise answer
        for piece in _pieces(answer):
            if turn.output_modality == "audio" or not isinstance(piece, AudioPiece):
                yield piece


def _pieces(answer: str | Sequence[AnswerPiece]) -> Sequence[AnswerPiece]:
    return [TextPiece(answer), AudioPiece(hum(answer))] if isinstance(answer, str) else answer
