"""The responder that hears and speaks, and answers by rules."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from realtime_core.errors import PluginError
from realtime_core.plugins import default_plugins
from realtime_transports.local_server.responders.base import (
    AnswerPiece,
    AudioPiece,
    CallPiece,
    Responder,
    ResponseFailedError,
    TextPiece,
    Turn,
)
from realtime_transports.local_server.responders.hum import HummingEngine
from realtime_transports.local_server.responders.request import request_of
from realtime_transports.local_server.responders.rules import RuleBook
from realtime_transports.local_server.responders.rules_file import read_rules
from realtime_transports.local_server.responders.wording import sentences

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16
    from realtime_core.speech import SpeechDetector, SpeechEngine

__all__ = ["SpeechResponder", "make_speech_responder"]

log = logging.getLogger(__name__)

LOCAL_ENGINE = "local"
WORD = re.compile(r"\s*\S+\s*|\s+")


class SpeechResponder(Responder):
    """Answers by rules, with the ears and the voice of a speech engine."""

    def __init__(self, engine: SpeechEngine, rules: RuleBook | None = None) -> None:
        """Join them.

        Args:
            engine: Hears and speaks; it is closed with the responder.
            rules: What to answer; None improvises everything.
        """
        self._engine = engine
        self._rules = rules or RuleBook()
        self.can_transcribe = engine.can_hear

    async def open(self) -> None:
        """Load the engine."""
        await self._engine.open()

    def make_detector(self) -> SpeechDetector | None:
        """The engine's, if it can hear."""
        return self._engine.detector() if self._engine.can_hear else None

    def transcribe(self, audio: Pcm16) -> AsyncGenerator[str]:
        """What the engine understands."""
        return self._engine.transcribe(audio)

    async def respond(self, turn: Turn) -> AsyncGenerator[AnswerPiece]:
        """What the rules say, sentence by sentence."""
        reply = self._rules.reply(request_of(turn))
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        async with aclosing(self._said(reply.say, turn)) as pieces:
            async for piece in pieces:
                yield piece
        if reply.call is not None:
            yield CallPiece(reply.call.name, json.dumps(reply.call.arguments, ensure_ascii=False))
        if reply.failure is not None:
            raise ResponseFailedError(reply.failure.message, code=reply.failure.code)

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()

    async def _said(self, text: str, turn: Turn) -> AsyncGenerator[AnswerPiece]:
        if turn.output_modality != "audio":
            for word in WORD.findall(text):
                yield TextPiece(word)
            return
        for sentence in sentences(text):
            yield TextPiece(sentence)
            async with aclosing(self._engine.speak(sentence, speed=_speed(turn))) as spoken:
                async for samples in spoken:
                    yield AudioPiece(samples)


def make_speech_responder(rules: str | None, engine: str | None) -> SpeechResponder:
    """A responder with an engine of a plugin.

    Args:
        rules: A file of rules; None has none.
        engine: The spec of a speech engine, or ``"hum"``. None takes the engine of the extra
            ``local``, and hums where that is not installed, with a notice.

    Raises:
        PluginError: There is no such engine, or it cannot be made.
        ValidationError: The file cannot be read, or there is something wrong in it.
    """
    book = read_rules(rules) if rules else RuleBook()
    return SpeechResponder(_make_engine(engine), book)


def _make_engine(spec: str | None) -> SpeechEngine:
    if spec == "hum":
        return HummingEngine()
    if spec is not None:
        return default_plugins().speech_engine(spec)
    try:
        return default_plugins().speech_engine(LOCAL_ENGINE)
    except PluginError as exc:
        _notice(str(exc))
        return HummingEngine()


@functools.cache  # once is enough, whatever many servers a process runs
def _notice(problem: str) -> None:
    log.warning("the local server hums instead of speaking, and hears no words: %s", problem)


def _speed(turn: Turn) -> float:
    return float(turn.session.get("audio", {}).get("output", {}).get("speed", 1.0))
