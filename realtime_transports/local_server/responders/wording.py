"""A text reduced to its words, so that what is written matches what is heard."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["Wording", "sentences", "words_of"]

SENTENCE = re.compile(r".+?(?:[.!?…]+[\"”\u2019)\]]*(?=\s)|\n|$)\s*", re.DOTALL)
APOSTROPHE = "\u2019"
"""As printed texts have it."""


class Wording:
    """The words of a text, in lower case, with one space between them.

    Punctuation is left out, except within words and numbers: ``what's``, ``7:30``, ``a@b.org``.
    Each letter knows its place in the original, so that what is found is shown as it was written.
    """

    def __init__(self, text: str) -> None:
        """Reduce a text."""
        self._text = text
        letters: list[str] = []
        self._places: list[int] = []
        for place, letter in _kept(text):
            if letter != " " or (letters and letters[-1] != " "):
                letters.append(letter)
                self._places.append(place)
        self.words = "".join(letters).rstrip()
        """The reduced text."""

    def original(self, start: int, end: int) -> str:
        """How a part of `words` was written."""
        if start >= end:
            return ""
        return self._text[self._places[start] : self._places[end - 1] + 1]


def words_of(text: str) -> str:
    """The words of a text, reduced."""
    return Wording(text).words


def sentences(text: str) -> Iterator[str]:
    """The sentences, with the space behind each; put together they are the text."""
    yield from (match[0] for match in SENTENCE.finditer(text))


def _kept(text: str) -> Iterator[tuple[int, str]]:
    """Each place with the letters that stand for it; spaces where there are none."""
    for place, character in enumerate(text):
        if character.isalnum():
            for letter in character.lower():
                yield place, letter
        elif _is_within(text, place):
            yield place, "'" if character == APOSTROPHE else character
        else:
            yield place, " "


def _is_within(text: str, place: int) -> bool:
    """Whether a character joins what is on both sides of it."""
    before = text[place - 1 : place]
    after = text[place + 1 : place + 2]
    if not (before.isalnum() and after.isalnum()):
        return False
    if text[place] in f"'{APOSTROPHE}.@_":
        return True
    return text[place] in ":-/," and before.isdigit() and after.isdigit()
