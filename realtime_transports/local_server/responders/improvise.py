"""What is answered where no rule says anything.

In this order: the output of a function is read out; a function that is demanded or named is called;
a request for something long gets that; everything else is said again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from realtime_transports.local_server.responders.arguments import arguments_for
from realtime_transports.local_server.responders.request import Call, Reply, Request, ToolOutput
from realtime_transports.local_server.responders.wording import words_of

__all__ = ["improvise"]

MAX_ECHO_CHARS = 1_000
MAX_OUTPUT_CHARS = 2_000

WEAK_WORDS = frozenset({"get", "fetch", "do", "the", "a", "an", "my", "tool", "function", "for"})
"""Words of a function's name that need not be said to name it."""

LONG = re.compile(
    r"\b(?:tell|give|read|write|make|recite|say|create|invent|want|like|hear|need)\b"
    r"(?: [\w']+){0,6} (?:story|stories|tale|tales|poem|speech|essay|lecture|list)\b"
    r"|\b(?:long|longer|complete|full|detailed)"
    r" (?:answer|text|list|story|tale|poem|speech|explanation|description)\b"
    r"|\b(?:very long|for a long time|at length|in (?:great |full |more )?detail|keep talking)\b"
    r"|^(?:(?:please|can|could|would|you|now|and) )*list\b"
    r"|\bcount (?:from|to|up|slowly)\b"
)

STORY = (
    "Once upon a time there was a small harbour at the edge of a wide and quiet sea. "
    "Every morning the keeper of its lighthouse climbed a hundred and twenty steps, put out the "
    "lamp, and looked for ships. "
    "One day she saw none at all, only a single white gull on the railing. "
    "It looked at her as if it were waiting for an answer, though she had not heard a question. "
    "So she told it about the storms of last winter, and about the boats that had come home."
)

THINGS = (
    "an apple",
    "a bicycle",
    "a candle",
    "a drum",
    "an envelope",
    "a feather",
    "a guitar",
    "a hammer",
)


def improvise(request: Request) -> Reply:
    """What to do about a request."""
    if request.outputs:
        return Reply(" ".join(_told(output) for output in request.outputs))
    name = _function_for(request)
    if name is not None:
        return Reply(call=Call(name, arguments_for(request.tools[name], request.text)))
    said = words_of(request.text)
    if LONG.search(said):
        return Reply(_list() if re.search(r"\b(?:list|count)\b", said) else STORY)
    if said:
        return Reply(f"You said: {_shortened(request.text.strip(), MAX_ECHO_CHARS)}")
    return Reply(_without_words(request))


def _function_for(request: Request) -> str | None:
    """The function to call; of several that are named, the one with the longest name."""
    if request.demanded:
        return request.demanded
    said = words_of(request.text).replace("_", " ")
    named = [name for name in request.tools if _is_named(name, said)]
    if named:
        return max(named, key=len)
    return next(iter(request.tools)) if request.demanded == "" else None


def _is_named(name: str, said: str) -> bool:
    """Whether all words of a name that mean something were said."""
    words = _spoken_name(name).split()
    strong = [word for word in words if word not in WEAK_WORDS] or words
    said_words = said.split()
    return all(word in said_words or f"{word}s" in said_words for word in strong)


def _spoken_name(name: str) -> str:
    """``getOrder`` and ``get_order`` are both "get order"."""
    return words_of(re.sub(r"([a-z\d])([A-Z])", r"\1 \2", name).replace("_", " "))


def _told(output: ToolOutput) -> str:
    result = _shortened(_readable(output.output), MAX_OUTPUT_CHARS).rstrip()
    who = _spoken_name(output.name) or "the tool"
    if not result:
        return f"{who[:1].upper()}{who[1:]} is done."
    ending = "" if result[-1] in ".!?…" else "."
    return f"{who[:1].upper()}{who[1:]} says: {result}{ending}"


def _readable(output: str) -> str:
    """JSON as one would say it, everything else as it is."""
    try:
        return _said(json.loads(output))
    except (ValueError, RecursionError):
        return output.strip()


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(
            f"{_spoken_name(name) or name} is {_said(each)}" for name, each in value.items()
        )
    if isinstance(value, list):
        return ", ".join(_said(each) for each in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "nothing" if value is None else str(value)


def _list() -> str:
    numbered: Sequence[str] = [f"Number {n}, {thing}." for n, thing in enumerate(THINGS, 1)]
    return f"Here is a list. {' '.join(numbered)} That was the list."


def _without_words(request: Request) -> str:
    if request.speech_s is not None:
        return f"I heard {request.speech_s:.1f} seconds of sound, but no words."
    if request.has_image:
        return "You sent an image."
    return "Hello! What can I do for you?"


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest].rstrip() + "…"
