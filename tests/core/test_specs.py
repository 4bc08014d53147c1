"""What follows the name in a spec becomes options; what does not fit is named."""

from __future__ import annotations

from typing import ClassVar, Literal

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import ValidationError
from realtime_core.specs import Option, SpecFactory, SpecOptions, describe_options, parse_options


class Horn(SpecOptions):
    spec_argument: ClassVar[str | None] = "place"

    place: str | None = pydantic.Field(None, description="where it stands")
    volume: float = pydantic.Field(0.5, ge=0, le=1, description="of full scale")
    count: int = pydantic.Field(description="how many", examples=["'horn:?count=3'"])
    muted: bool = False
    key: Literal["C", "F"] = "C"

    @pydantic.field_validator("place")
    @classmethod
    def not_the_moon(cls, place: str) -> str:
        if place == "moon":
            raise ValueError("there is no air there")
        return place


class Silent(SpecOptions):
    pass


class Verbatim(SpecOptions):
    spec_argument: ClassVar[str | None] = "path"
    is_verbatim: ClassVar[bool] = True

    path: str


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("?count=3", Horn(count=3)),
        ("hill?count=3&volume=1&muted=true", Horn(place="hill", count=3, volume=1, muted=True)),
        ("a:b%20c?count=3", Horn(place="a:b%20c", count=3)),
        ("what?now?count=3", Horn(place="what?now", count=3)),
        ("?count=3&place=a%26b%3Dc+d", Horn(place="a&b=c+d", count=3)),
    ],
)
def test_text_becomes_options(text: str, expected: Horn):
    assert parse_options("horn", Horn, text) == expected


def test_an_argument_with_a_question_mark_is_followed_by_another():
    class Place(SpecOptions):
        spec_argument: ClassVar[str | None] = "place"
        place: str

    assert parse_options("x", Place, "what??") == Place(place="what?")


@given(st.text(min_size=1))
def test_a_verbatim_argument_is_all_there_is(text: str):
    assert parse_options("file", Verbatim, text).path == text


@pytest.mark.parametrize(
    ("model", "text", "message"),
    [
        (Horn, "", "horn: count: it must be given, as in 'horn:.count=3'"),
        (Horn, "?count=x", "horn: count: .*valid integer.*, not 'x'"),
        (Horn, "?count=1&volume=7", "horn: volume: .*less than or equal to 1, not '7'"),
        (Horn, "?count=1&key=G", "horn: key: .*'C' or 'F', not 'G'"),
        (Horn, "?count=1&volum=1", "horn: volum: there is no such option; did you mean 'volume'"),
        (Horn, "?count=1&zzz=1", "there are: volume, count, muted, key"),
        (Horn, "?count=1&count=2", "horn: count: given twice"),
        (Horn, "hill?count=1&place=x", "horn: place: given twice"),
        (Horn, "?count", "horn: options are written key=value, not 'count'"),
        (Horn, "moon?count=1", "horn: place: there is no air there, not 'moon'"),
        (Horn, "?count=x&volume=y", "count: .*; ?.*volume: |volume: .*; count: "),
        (Silent, "x", "'horn' takes nothing after its colon, not 'x'"),
        (Silent, "?x=1", "x: there is no such option; there are: none"),
        (Verbatim, "", "path: it must be given"),
    ],
)
def test_what_does_not_fit_is_named(model: type[SpecOptions], text: str, message: str):
    with pytest.raises(ValidationError, match=message):
        parse_options("horn", model, text)


def test_options_cannot_be_changed():
    with pytest.raises(pydantic.ValidationError):
        Horn(count=1).count = 2


def test_a_factory_makes_things_of_options_and_tells_them():
    factory = SpecFactory("horn", Horn, lambda options: ("horn", options.count))
    assert factory("?count=4") == ("horn", 4)
    place, volume, count, muted, key = describe_options(factory)
    assert place == Option("place", "text", None, False, True, "where it stands")
    assert volume == Option("volume", "number", 0.5, False, False, "of full scale")
    assert count == Option("count", "whole number", None, True, False, "how many")
    assert (muted.kind, muted.default) == ("true|false", False)
    assert key.kind == "C|F"


def test_a_factory_that_tells_no_options_has_none():
    assert describe_options(lambda text: text) == ()
    assert describe_options(SpecFactory("x", Silent, lambda _: None)) == ()


def test_options_that_are_no_model_are_refused():
    def factory(text: str) -> str:
        return text

    factory.options_model = {"count": int}  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="must be a pydantic model"):
        describe_options(factory)
