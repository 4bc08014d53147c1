"""Words of others on our terminal."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from realtime_core.cli.text import one_line, tail

ANY_TEXT = st.text(st.characters(codec=None))


@given(ANY_TEXT)
def test_a_line_has_no_breaks_controls_or_halves_of_characters(text: str):
    line = one_line(text)
    assert not {unicodedata.category(character) for character in line} & {"Cc", "Cs", "Zl", "Zp"}
    assert len(line.splitlines()) <= 1
    line.encode()


def test_what_is_readable_stays():
    line = "Grüße, 世界 :smile: [red]no markup[/red] שלום \N{GRINNING FACE}"
    assert one_line(line) == line


def test_escape_sequences_lose_what_makes_them_work():
    assert one_line("a\x1b[31mb\x07\n\r\tc\x9b2J") == "a [31mb c 2J"


def test_text_cannot_turn_the_line_around():
    assert one_line("abc\u202egpj.exe") == "abc gpj.exe"


@given(ANY_TEXT.map(one_line), st.integers(0, 40))
def test_a_tail_fits_and_is_the_end(text: str, width: int):
    end = tail(text, width)
    assert cell_len(end) <= width
    assert end == text or text.endswith(end.removeprefix("..."[:width]))


def test_a_tail_says_that_something_is_left_out():
    assert tail("one two three", 8) == "...three"
    assert tail("one two", 7) == "one two"
