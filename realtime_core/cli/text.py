"""Words of others, made safe for a terminal."""

from __future__ import annotations

import unicodedata

__all__ = ["one_line", "tail", "without_controls"]

_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They turn the rest of a line around, our own words included."""


def one_line(text: str) -> str:
    """The text without line breaks, control characters and halves of characters.

    What a server says and how a file is called may hold anything, escape sequences among it.
    """
    return " ".join(without_controls(text).split())


def without_controls(text: str) -> str:
    """The text with blanks for control characters, line breaks among them."""
    return "".join(map(_harmless, text))


def tail(text: str, width: int) -> str:
    """The end of a line, in at most so many columns, behind dots where something is left out."""
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    while text and cell_len(text) > width - 3:
        # Nearly all characters are as wide as they are many; the rest goes one by one.
        text = text[max(1, (cell_len(text) - width + 3) // 2) :]
    return "..."[: max(0, width)] + text


def _harmless(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Cs":
        return "\N{REPLACEMENT CHARACTER}"
    return " " if kind == "Cc" or character in _BIDI_CONTROLS else character
