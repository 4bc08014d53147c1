"""A text that a regular expression matches, for the expressions that schemas usually have."""

from __future__ import annotations

import re
import string

__all__ = ["sample_of"]

MAX_EXTRA = 64
MAX_REPEATS = 1_000
PRINTABLE = string.ascii_letters + string.digits + string.punctuation + " "
CLASSES = {"d": string.digits, "w": string.ascii_letters + string.digits + "_", "s": " "}
CONTROLS = {"n": "\n", "t": "\t", "r": "\r"}
QUANTIFIER = re.compile(r"([*+?]|\{(\d+)(,?)(\d*)\})[?+]?")


def sample_of(pattern: str, least_length: int = 0) -> str | None:
    """A text in which the pattern is found; None where this cannot make one.

    Args:
        pattern: A regular expression, without look-around and back references.
        least_length: How long the text must be.
    """
    for extra in range(MAX_EXTRA):
        try:
            sample = _Sampler(pattern, extra).alternatives()
            is_found = re.search(pattern, sample) is not None
        except (ValueError, IndexError, OverflowError, RecursionError, re.error):
            return None
        if is_found and len(sample) >= least_length:
            return sample
    return None


class _Sampler:
    """Reads a pattern once, from left to right, and writes what it asks for."""

    def __init__(self, pattern: str, extra: int) -> None:
        """Begin.

        Args:
            pattern: The pattern.
            extra: How often to repeat, beyond what must be, what may be repeated.
        """
        self._pattern = pattern
        self._extra = extra
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
            return "".join(map(chr, range(ord(first), ord(last) + 1)))
        return first

    def _peek(self) -> str:
        return self._pattern[self._place : self._place + 1]

    def _next(self) -> str:
        character = self._pattern[self._place]
        self._place += 1
        return character
