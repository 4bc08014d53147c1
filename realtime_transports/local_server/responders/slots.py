"""What can be taken out of an utterance to fill a function's arguments."""

from __future__ import annotations

import re

__all__ = ["Slots"]

QUOTED = re.compile(r"[\"“]([^\"“”]+)[\"”]")
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?")
NEXT_PHRASE = (
    r"(?=\s+(?:in|at|for|to|from|about|on|with|and|or|of|please|today|tomorrow|now|by|using)\b"
    r"|[.,;:?!\"”](?:\s|$)|\s*$)"
)
ARTICLE = re.compile(r"^(?:the|a|an|my|our|your|some)\s+", re.IGNORECASE)
PREPOSITIONS = ("in", "at", "for", "to", "from", "about", "of", "called", "named", "on", "with")

USUAL = {
    "city": ("in", "at", "for", "from"),
    "country": ("in", "from"),
    "destination": ("to", "for"),
    "location": ("in", "at", "for", "from"),
    "name": ("named", "called", "to", "for"),
    "origin": ("from",),
    "place": ("in", "at", "for"),
    "query": ("for", "about", "of"),
    "recipient": ("to", "for"),
    "subject": ("about", "on"),
    "topic": ("about", "on", "for"),
}
"""The prepositions before a value of such a name."""

VAGUE = frozenset({"id", "name", "number", "value", "text", "code", "string", "the"})
UNITS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
UNIT = re.compile(rf"\b(?:{'|'.join(UNITS)})\b", re.IGNORECASE)

MAX_CHARS = 1_000
"""What is said after that fills nothing: looking for it would take long."""


class Slots:
    """The parts of an utterance; each is given away once, while there are others."""

    def __init__(self, utterance: str) -> None:
        """Look at what was said."""
        self._utterance = utterance.strip()[:MAX_CHARS]
        self._used: set[str] = set()
        self._numbers = [float(each) for each in NUMBER.findall(_with_digits(self._utterance))]

    @property
    def utterance(self) -> str:
        """All of it; never empty."""
        return self._utterance or "nothing"

    def take_text(self, name: str) -> str:
        """What the utterance says about something of this name; all of it if that is not clear."""
        for candidate in self.candidates(name):
            if candidate not in self._used:
                self._used.add(candidate)
                return candidate
        return self.utterance

    def candidates(self, name: str) -> list[str]:
        """What it might be, the likeliest first."""
        words = _words_of_name(name)
        found = QUOTED.findall(self._utterance)
        found += self._behind([word for word in words if word not in VAGUE])
        found += self._behind([each for word in words for each in USUAL.get(word, ())])
        return found + self._behind(PREPOSITIONS)

    def take_number(self) -> float | None:
        """The next number; None when there is no other."""
        return self._numbers.pop(0) if self._numbers else None

    def choose(self, choices: list[object]) -> object | None:
        """The choice that the utterance names; None if it names none."""
        spoken = f" {_spaced(self._utterance)} "
        named = (each for each in choices if isinstance(each, str) and _spaced(each))
        return next((each for each in named if f" {_spaced(each)} " in spoken), None)

    def _behind(self, words: list[str] | tuple[str, ...]) -> list[str]:
        found = []
        for word in words:
            before = rf"\b{re.escape(word)}\s+(?:is\s+|number\s+|named\s+)?"
            phrase = re.compile(before + r"(\S.*?)" + NEXT_PHRASE, re.IGNORECASE)
            for match in phrase.finditer(self._utterance):
                value = ARTICLE.sub("", match[1]).strip(" .,;:?!\"“”'")
                if value:
                    found.append(value)
        return found


def _words_of_name(name: str) -> list[str]:
    """``orderId`` and ``order_id`` are both order, id."""
    return re.sub(r"([a-z\d])([A-Z])", r"\1 \2", name).replace("_", " ").lower().split()


def _spaced(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower().replace("_", " ")))


def _with_digits(text: str) -> str:
    """The small numbers, which people say and write as words, in digits."""
    return UNIT.sub(lambda word: str(UNITS.index(word[0].lower())), text)
