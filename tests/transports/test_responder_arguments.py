"""Arguments that a function's schema allows, taken from what was said."""

from __future__ import annotations

import re
import time
from typing import Any

import hypothesis
import jsonschema
import pytest
from hypothesis import strategies as st

from realtime_transports.local_server.responders.arguments import arguments_for, fitted
from realtime_transports.local_server.responders.pattern_sample import is_found, sample_of


def of(properties: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), **rest}


def check(schema: dict[str, Any], arguments: object) -> None:
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.validate(
        arguments, schema, cls=jsonschema.Draft202012Validator, format_checker=checker
    )


def strings() -> st.SearchStrategy[dict[str, Any]]:
    lengths = st.tuples(st.integers(0, 20), st.integers(0, 20)).map(
        lambda pair: {"minLength": min(pair), "maxLength": max(pair)}
    )
    formats = st.sampled_from(
        ["date", "date-time", "time", "email", "uri", "uuid", "ipv4", "ipv6", "hostname"]
    ).map(lambda name: {"format": name})
    patterns = st.sampled_from(PATTERNS).map(lambda pattern: {"pattern": pattern})
    choices = st.lists(st.text(), min_size=1, unique=True).map(lambda each: {"enum": each})
    return st.one_of(st.just({}), lengths, formats, patterns, choices).map(
        lambda rest: {"type": "string", **rest}
    )


def numbers() -> st.SearchStrategy[dict[str, Any]]:
    bounds = st.tuples(st.integers(-100, 100), st.integers(0, 50)).map(
        lambda pair: {"minimum": pair[0], "maximum": pair[0] + pair[1]}
    )
    open_bounds = st.tuples(st.integers(-100, 100), st.integers(2, 50)).map(
        lambda pair: {"exclusiveMinimum": pair[0], "exclusiveMaximum": pair[0] + pair[1]}
    )
    steps = st.tuples(st.integers(1, 9), st.integers(-50, 50)).map(
        lambda pair: {"multipleOf": pair[0], "minimum": pair[1]}
    )
    limits = st.one_of(st.just({}), bounds, open_bounds, steps)
    kinds = st.sampled_from(["integer", "number"])
    return st.tuples(kinds, limits).map(lambda pair: {"type": pair[0], **pair[1]})


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.text(st.sampled_from("abcdefgh_"), min_size=1, max_size=5)
    properties = st.dictionaries(names, inner, max_size=4)
    closed = properties.map(lambda each: of(each, additionalProperties=False))
    optional = properties.map(lambda each: {"type": "object", "properties": each})
    lists = st.tuples(inner, st.integers(0, 3), st.integers(0, 3)).map(
        lambda three: {
            "type": "array",
            "items": three[0],
            "minItems": min(three[1:]),
            "maxItems": max(three[1:]),
        }
    )
    either = st.lists(inner, min_size=1, max_size=3).map(lambda each: {"anyOf": each})
    nullable = inner.map(lambda each: {"anyOf": [{"type": "null"}, each]})
    return st.one_of(closed, optional, lists, either, nullable)


PATTERNS = [
    r"^[A-Z]{3}$",
    r"^\d{5}(-\d{4})?$",
    r"^(red|green|blue)$",
    r"^\+?[1-9]\d{1,14}$",
    r"^[a-z][a-z0-9_-]*$",
    r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$",
    r"^#[0-9a-fA-F]{6}$",
    r"^(?:[01]\d|2[0-3]):[0-5]\d$",
    r"^\w+\s\w+$",
    r"^ORD-\d+$",
    r"^.{4,8}$",
    r"a|b",
]

SCHEMAS = st.recursive(
    st.one_of(
        strings(),
        numbers(),
        st.sampled_from([{"type": "boolean"}, {"type": "null"}, {}, {"const": 7}, True]),
    ),
    nested,
    max_leaves=6,
)


@hypothesis.given(
    st.dictionaries(st.sampled_from(["city", "n", "x_id", "when"]), SCHEMAS), st.text()
)
def test_whatever_is_said_the_arguments_fit_the_schema(properties: Any, utterance: str) -> None:
    schema = of(properties, additionalProperties=False)
    check(schema, arguments_for(schema, utterance))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("least", [0, 6])
def test_a_sample_of_a_pattern_matches_it(pattern: str, least: int) -> None:
    sample = sample_of(pattern, least)
    if sample is None:  # none is so long
        assert least
    else:
        assert re.search(pattern, sample)
        assert len(sample) >= least


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a|aa)+$",
        "(.*)*x",
        "a*a*a*a*a*a*a*b",
        "(?:a?){30}a{30}",
        "(a|aa)" * 15 + "b",
        "a?" * 30 + "a" * 30,
        r"(a+)+\bb",
        "(?=(a+)+$)b",
        r"(a*)\1*b",
        ".*.*.*=",
        "(" + "|".join("a" * 30) + ")" + "(a|a|a|a)" * 2 + "b",
        "(?:a{1000}){1000}",
        "((a{1000}){1000}){1000}",
        "(((a{9}){9}){9}){9}",
        "[\u0000-\U0010ffff]{1000}",
        "a" * 100_000,
        "(" * 5_000,
    ],
    ids=range(18),
)
def test_no_pattern_takes_long(pattern: str) -> None:
    said = "a" * 64
    begin_s = time.thread_time()
    sample_of(pattern)
    is_found(pattern, said)
    arguments_for(of({"a": {"type": "string", "pattern": pattern}}), f"{said} {said}")
    assert time.thread_time() - begin_s < 0.1


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"^[A-Z]{2}-?\d+$", "AB-12", True),
        (r"^[A-Z]{2}-?\d+$", "AB-12c", False),
        (r"^(red|green|blue)$", "green", True),
        (r"^[^@]+@[^@]+\.[^@]+$", "a@b.org", True),
        (r"^(\d+)?$", "12", True),
        (r"^[(*+]\(\*$", "+(*", True),
        (r"^(ab)+$", "abab", True),
        (r"^(a|b)+$", "ab", None),
        ("(", "(", None),
        ("a", "a" * 65, None),
    ],
)
def test_a_pattern_is_looked_for_where_that_cannot_take_long(
    pattern: str, text: str, expected: bool | None
) -> None:
    assert is_found(pattern, text) is expected


@pytest.mark.parametrize("pattern", [r"(?=a)b", r"(a)\1", "(a", "[", r"(?!x)y"])
def test_a_pattern_beyond_the_usual_gives_no_sample(pattern: str) -> None:
    assert sample_of(pattern) is None


@pytest.mark.parametrize(
    ("utterance", "properties", "arguments"),
    [
        ("What is the weather in Paris?", {"city": {"type": "string"}}, {"city": "Paris"}),
        (
            "what's the weather in San Francisco tomorrow",
            {"location": {"type": "string"}},
            {"location": "San Francisco"},
        ),
        ("Look up order 17, please.", {"order_id": {"type": "string"}}, {"order_id": "17"}),
        (
            "Book a flight from Berlin to New York",
            {"origin": {"type": "string"}, "destination": {"type": "string"}},
            {"origin": "Berlin", "destination": "New York"},
        ),
        ('Search for "green tea"', {"query": {"type": "string"}}, {"query": "green tea"}),
        (
            "add three and 4.5",
            {"a": {"type": "integer"}, "b": {"type": "number"}},
            {"a": 3, "b": 4.5},
        ),
        (
            "Mail it to bob@example.org",
            {"to": {"type": "string", "format": "email"}},
            {"to": "bob@example.org"},
        ),
        ("paint it blue", {"color": {"enum": ["red", "blue"]}}, {"color": "blue"}),
        ("do it", {"note": {"type": "string"}}, {"note": "do it"}),
        ("do not do it", {"sure": {"type": "boolean"}}, {"sure": False}),
    ],
)
def test_values_are_taken_from_what_was_said(
    utterance: str, properties: Any, arguments: object
) -> None:
    assert arguments_for(of(properties), utterance) == arguments


@pytest.mark.parametrize(
    ("items", "count"),
    [
        ({"type": "integer", "minimum": 0, "maximum": 4}, 5),
        ({"type": "string"}, 4),
        ({"enum": ["a", "b", "c"]}, 3),
        ({"type": "boolean"}, 2),
        ({"type": "number", "multipleOf": 0.5}, 3),
    ],
)
@pytest.mark.parametrize("utterance", ["", "3 and 3 and b"])
def test_members_that_must_differ_do(items: Any, count: int, utterance: str) -> None:
    schema = of({"n": {"type": "array", "items": items, "minItems": count, "uniqueItems": True}})
    check(schema, arguments_for(schema, utterance))


def test_an_optional_choice_is_made_when_it_is_named() -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
        "required": ["city"],
    }
    assert arguments_for(schema, "How warm in Rome?") == {"city": "Rome"}
    said = "How warm in Rome, in celsius?"
    assert arguments_for(schema, said) == {"city": "Rome", "unit": "celsius"}


def test_without_required_properties_all_are_given() -> None:
    schema = {"properties": {"city": {"type": "string"}}}
    assert arguments_for(schema, "in Rome") == {"city": "Rome"}


def test_references_are_followed_also_where_they_go_round() -> None:
    schema = {
        "type": "object",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
                "required": ["name"],
            }
        },
        "properties": {"tree": {"$ref": "#/$defs/node"}, "other": {"$ref": "#/$defs/missing"}},
        "required": ["tree"],
    }
    check(schema, arguments_for(schema, "grow"))
    endless = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
    assert arguments_for(endless, "grow") == {}


def test_parts_of_a_schema_that_hold_together_are_joined() -> None:
    schema = {
        "allOf": [of({"a": {"type": "integer", "minimum": 3}}), of({"b": {"type": "string"}})],
        "minProperties": 4,
    }
    arguments = arguments_for(schema, "hello")
    check(schema, arguments)
    assert len(arguments) == 4


def test_given_arguments_become_numbers_and_booleans_where_those_are_wanted() -> None:
    schema = of(
        {
            "count": {"type": "integer"},
            "price": {"type": ["number", "null"]},
            "express": {"type": "boolean"},
            "note": {"type": "string"},
            "box": of({"height": {"type": "integer"}}),
        }
    )
    given = {
        "count": "3",
        "price": "4.50",
        "express": "Yes",
        "note": "7",
        "box": {"height": "tall"},
        "other": "1",
    }
    assert fitted(given, schema) == {
        "count": 3,
        "price": 4.5,
        "express": True,
        "note": "7",
        "box": {"height": "tall"},
        "other": "1",
    }


def test_a_schema_that_wants_too_much_gets_less_but_at_once() -> None:
    many = 10**9
    schema = of(
        {
            "list": {"type": "array", "items": {"type": "null"}, "minItems": many},
            "text": {"type": "string", "minLength": many},
            "map": {"type": "object", "minProperties": many},
            "word": {"type": "string", "pattern": "^a{1000000}$"},
            "odd": {"type": "string", "pattern": "a{99999999999999}"},
        }
    )
    arguments = arguments_for(schema, "hello")
    assert len(arguments["list"]) == len(arguments["map"]) == 100
    assert len(arguments["text"]) == 100_000
    assert arguments["word"] == arguments["odd"] == "hello"
