"""A text that a regular expression matches, for the expressions that schemas usually have.

The expressions are a client's, and Python's `re` may take for ever with one, holding every thread
up. So it is asked only about those of which their form says that it will not: short, and with few
quantifiers that leave a choice, none of them repeated. Of any other, a sample is made unchecked.
"""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["is_found", "sample_of"]

MAX_PATTERN_CHARS = 200
MAX_SEARCHED_CHARS = 64
MAX_CHOICES = 3
"""With n characters and k of them a search takes n ** (k + 1) / k! steps: milliseconds."""

MAX_ATOMS = 10_000
"""Made in all, for one sample; some milliseconds."""

MAX_RANGE = 300
"""Of a range, more characters are not looked at: enough to know which printable ones are in it."""

MAX_EXTRA = 64
MAX_REPEATS = 1_000
PRINTABLE = string.ascii_letters + string.digits + string.punctuation + " "
CLASSES = {"d": string.digits, "w": string.ascii_letters + string.digits + "_", "s": " "}
CONTROLS = {"n": "\n", "t": "\t", "r": "\r"}
EXOTIC = re.compile(r"\(\?(?!:|P?<\w+>)|\\[1-9]")
"""Look-around, flags and back references."""

ESCAPE_OR_SET = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
QUANTIFIER = re.compile(r"([*+?]|\{(\d+)(,?)(\d*)\})[?+]?")


def is_found(pattern: str, text: str) -> bool | None:
    """Whether a pattern is found in a text; None where that is not looked at."""
    if len(text) > MAX_SEARCHED_CHARS or not _is_quick(pattern):
        return None
    try:
        return re.search(pattern, text) is not None
    except (re.error, OverflowError, RecursionError):
        return None  # only other languages understand it


def _is_quick(pattern: str) -> bool:
    """Whether a search takes a moment at most, whatever the text."""
    if len(pattern) > MAX_PATTERN_CHARS or EXOTIC.search(pattern):
        return False
    form = ESCAPE_OR_SET.sub("x", pattern)
    groups = [_Choices()]
    closed = place = 0
    while place < len(form):
        quantifier = QUANTIFIER.match(form, place)
        if quantifier is None:
            closed = _follow_groups(form[place], groups)
            place += 1
            continue
        if closed and quantifier[1] != "?":
            return False  # what leaves a choice is repeated
        groups[-1].quantified += not _is_fixed(quantifier)
        place = quantifier.end()
    return sum(group.count for group in groups) <= MAX_CHOICES


@dataclass
class _Choices:
    """What is left open in a group."""

    quantified: int = 0
    has_alternatives: bool = False

    @property
    def count(self) -> int:
        return self.quantified + self.has_alternatives


def _follow_groups(character: str, groups: list[_Choices]) -> int:
    """Open or close a group; how many choices the closed one leaves."""
    if character == "(":
        groups.append(_Choices())
    elif character == "|":
        groups[-1].has_alternatives = True
    elif character == ")" and len(groups) > 1:
        closed = groups.pop()
        groups[-1].quantified += closed.count
        return closed.count
    return 0


def _is_fixed(quantifier: re.Match[str]) -> bool:
    """Whether it leaves no choice."""
    return quantifier[2] is not None and not quantifier[3]


def sample_of(pattern: str, least_length: int = 0) -> str | None:
    """A text in which the pattern is found; None where this cannot make one.

    Args:
        pattern: A regular expression, without look-around and back references.
        least_length: How long the text must be.
    """
    atoms = itertools.repeat(None, MAX_ATOMS)
    for extra in range(MAX_EXTRA):
        try:
            sample = _Sampler(pattern, extra, atoms).alternatives()
        except (ValueError, IndexError, OverflowError, RecursionError):
            return None
        if len(sample) >= least_length and is_found(pattern, sample) is not False:
            return sample
    return None


class _Sampler:
    """Reads a pattern once, from left to right, and writes what it asks for."""

    def __init__(self, pattern: str, extra: int, atoms: Iterator[None]) -> None:
        """Begin.

        Args:
            pattern: The pattern.
            extra: How often to repeat, beyond what must be, what may be repeated.
            atoms: One is taken for each piece that is made.
        """
        self._pattern = pattern
        self._extra = extra
        self._atoms = atoms
        self._place = 0

    def alternatives(self) -> str:
        """The first of what ``|`` divides; all are read."""
        first = self._sequence()
        while self._peek() == "|":
            self._place += 1
            self._sequence()
        return first

    def _sequence(self) -> str:
        made = []
        while (character := self._peek()) and character not in "|)":
            start = self._place
            piece = self._atom()
            end = self._place
            for _ in range(self._times() - 1):
                after, self._place = self._place, start
                piece_again = self._atom()
                self._place = after
                made.append(piece_again)
            if self._is_wanted(end):
                made.append(piece)
        return "".join(made)

    def _is_wanted(self, end: int) -> bool:
        """Whether the quantifier behind an atom asks for it at all."""
        quantifier = QUANTIFIER.match(self._pattern, end)
        return quantifier is None or self._count(quantifier) > 0

    def _times(self) -> int:
        quantifier = QUANTIFIER.match(self._pattern, self._place)
        if quantifier is None:
            return 1
        self._place = quantifier.end()
        return self._count(quantifier)

    def _count(self, quantifier: re.Match[str]) -> int:
        sign, least, comma, most = quantifier.groups()
        if sign == "?":
            return min(1, self._extra)
        if sign in "*+":
            return (sign == "+") + self._extra
        if int(least) > MAX_REPEATS:
            raise ValueError("too many repetitions")
        if not comma:
            return int(least)
        return min(int(least) + self._extra, int(most)) if most else int(least) + self._extra

    def _atom(self) -> str:
        if next(self._atoms, self) is self:
            raise ValueError("too long a text")
        character = self._next()
        if character in "^$":
            return ""
        if character == ".":
            return "a"
        if character == "(":
            return self._group()
        if character == "[":
            return self._set()
        return self._escape() if character == "\\" else character

    def _group(self) -> str:
        if self._peek() == "?":
            head = re.compile(r"\?(:|P?<\w+>)").match(self._pattern, self._place)
            if head is None:
                raise ValueError("look-around")
            self._place = head.end()
        made = self.alternatives()
        if self._next() != ")":
            raise ValueError("a group that is not closed")
        return made

    def _escape(self) -> str:
        character = self._next()
        if character in "bBAZ":
            return ""
        if character in CLASSES:
            return CLASSES[character][0]
        if character.upper() == character and character.lower() in CLASSES:
            return next(each for each in PRINTABLE if each not in CLASSES[character.lower()])
        if character.isdigit():
            raise ValueError("a back reference")
        return CONTROLS.get(character, character)

    def _set(self) -> str:
        is_negated = self._peek() == "^"
        self._place += is_negated
        members: list[str] = []
        while self._peek() != "]" or not members:
            members.append(self._member())
        self._place += 1
        allowed = "".join(members)
        if not is_negated:
            return allowed[0]
        return next(each for each in PRINTABLE if each not in allowed)

    def _member(self) -> str:
        """A character, a class or a range."""
        first = self._next()
        if first == "\\":
            letter = self._next()
            if letter in CLASSES:
                return CLASSES[letter]
            first = CONTROLS.get(letter, letter)
        if self._peek() == "-" and self._pattern[self._place + 1] != "]":
            self._place += 1
            last = self._next()
            last = self._next() if last == "\\" else last
            return "".join(map(chr, range(ord(first), ord(last) + 1)[:MAX_RANGE]))
        return first

    def _peek(self) -> str:
        return self._pattern[self._place : self._place + 1]

    def _next(self) -> str:
        character = self._pattern[self._place]
        self._place += 1
        return character
