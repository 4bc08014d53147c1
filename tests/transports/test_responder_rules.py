"""Rules and the files they are in: what matches, what is done, what is refused with its line."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import strategies as st

from realtime_core.errors import ValidationError
from realtime_transports.local_server.responders.request import (
    Call,
    Failure,
    Reply,
    Request,
    ToolOutput,
)
from realtime_transports.local_server.responders.rules import Rule
from realtime_transports.local_server.responders.rules_file import parse_rules, read_rules
from realtime_transports.local_server.responders.wording import Wording, sentences, words_of

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "rules.md"


def reply(rules: str, text: str = "", **request: Any) -> Reply:
    return parse_rules(rules).reply(Request(text, **request))


# Words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello,  World!", "hello world"),
        ("What\u2019s up?", "what's up"),
        ("'quoted' words", "quoted words"),
        ("At 7:30, 3.5 or 1,000.", "at 7:30 3.5 or 1,000"),
        ("mail bob@example.org.", "mail bob@example.org"),
        ("ill-disposed", "ill disposed"),
        ("Straße", "straße"),
        ("!?", ""),
        ("", ""),
    ],
)
def test_a_text_is_reduced_to_its_words(text: str, words: str) -> None:
    assert words_of(text) == words


@hypothesis.given(st.text())
def test_words_are_never_spaced_twice_and_stay_as_they_are(text: str) -> None:
    words = words_of(text)
    assert "  " not in words
    assert words == words.strip()
    whole = Wording(text)
    assert whole.original(0, len(whole.words)) in text


@hypothesis.given(st.text())
def test_sentences_put_together_are_the_text(text: str) -> None:
    assert "".join(sentences(text)) == text


def test_a_text_is_cut_behind_its_sentences() -> None:
    assert list(sentences('Yes. "No!" It is 3.5 now.\nWhy?')) == [
        "Yes. ",
        '"No!" ',
        "It is 3.5 now.\n",
        "Why?",
    ]


# What matches


def test_words_match_word_for_word_whatever_the_case_and_punctuation() -> None:
    rules = "rules: [{words: [good morning, hi], say: Hello!}]"
    assert reply(rules, "Well, GOOD   morning!") == Reply("Hello!")
    assert reply(rules, "Hi.") == Reply("Hello!")
    assert reply(rules, "this is good") == Reply("You said: this is good")


def test_a_pattern_is_found_in_the_words_and_gives_what_was_written() -> None:
    rules = r"""
    rules:
      - pattern: weather in (?P<city>[a-z ]+?)( on (\w+))?$
        say: It rains in {city}; you asked about {3} in "{text}".
    """
    text = "What's the weather in New York on Sunday?"
    assert reply(rules, text) == Reply(f'It rains in New York; you asked about Sunday in "{text}".')
    assert reply(rules, "weather in Rome") == Reply(
        'It rains in Rome; you asked about  in "weather in Rome".'
    )


def test_the_first_rule_that_matches_wins() -> None:
    rules = "rules: [{words: a, say: first}, {words: a, say: second}, {say: third}]"
    assert reply(rules, "a") == Reply("first")
    assert reply(rules, "b") == Reply("third")


def test_a_rule_without_a_condition_is_for_everything_users_say_or_do_not_say() -> None:
    assert reply("rules: [{say: yes}]".replace("yes", "'yes'"), "") == Reply("yes")


def test_the_output_of_a_function_has_rules_of_its_own() -> None:
    rules = r"""
    rules:
      - {output_of: get_weather, pattern: "(\\d+) degrees", say: "{1}! From {output}"}
      - {output_of: get_weather, say: No idea}
      - {say: Pardon me}
    """
    warm = [ToolOutput("get_weather", "It is 21 degrees.")]
    assert reply(rules, outputs=warm) == Reply("21! From It is 21 degrees.")
    assert reply(rules, outputs=[ToolOutput("get_weather", "?")]) == Reply("No idea")
    assert reply(rules, outputs=[ToolOutput("other", "?")]) == Reply("Other says: ?")
    assert reply(rules, "Hello") == Reply("Pardon me")


# What is done


def test_a_rule_calls_a_function_with_what_was_captured() -> None:
    rules = r"""
    rules:
      - pattern: (\d+) (\w+) please
        say: One moment.
        call: order
        arguments: {count: "{1}", items: [{name: "{2}", size: 3}]}
    """
    tools = {"order": {"properties": {"count": {"type": "integer"}}}}
    assert reply(rules, "12 Apples, please", tools=tools) == Reply(
        "One moment.", Call("order", {"count": 12, "items": [{"name": "Apples", "size": 3}]})
    )
    assert reply(rules, "12 Apples, please").call == Call(
        "order", {"count": "12", "items": [{"name": "Apples", "size": 3}]}
    )


def test_arguments_that_are_not_given_are_made_up_from_the_schema() -> None:
    schema = {"properties": {"city": {"type": "string"}}, "required": ["city"]}
    rules = "rules: [{words: rain, call: weather}]"
    found = reply(rules, "Will it rain in Oslo?", tools={"weather": schema})
    assert found == Reply(call=Call("weather", {"city": "Oslo"}))


def test_a_rule_may_be_silent_fail_or_wait() -> None:
    rules = """
    rules:
      - {words: hush, silent: true, delay_s: 0.5}
      - {words: break, say: Oh, fail: Out of order.}
      - {words: slow, fail: {message: Too much, code: rate_limit_exceeded}}
    """
    assert reply(rules, "hush") == Reply(delay_s=0.5)
    assert reply(rules, "break") == Reply("Oh", failure=Failure("Out of order."))
    assert reply(rules, "slow") == Reply(failure=Failure("Too much", "rate_limit_exceeded"))


def test_braces_are_written_twice_and_nothing_is_looked_into() -> None:
    assert reply("rules: [{say: 'a {{b}} {text}'}]", "{0.__class__}") == Reply(
        "a {b} {0.__class__}"
    )


# What is refused


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ("", "r.yaml:1: this should be a mapping, not None"),
        ("rules:\n- hello", "r.yaml:2: rule 1: this should be a mapping, not 'hello'"),
        ("rules: []", "r.yaml:1: list should have at least 1 item after validation, not 0"),
        ("ruels: []", "r.yaml:1: 'rules' is missing\nr.yaml:1: there is no such key"),
        ("rules:\n- say: hi\n  wrods: x", "r.yaml:3: rule 1, wrods: there is no such key"),
        ("rules:\n- words: x", "r.yaml:2: rule 1: a rule must say, call, fail or be silent"),
        (
            "rules:\n- say: a\n\n- words: x\n  pattern: y\n  say: b",
            "r.yaml:4: rule 2: a rule has words or a pattern, not both",
        ),
        (
            "rules:\n- say: a\n  silent: true",
            "r.yaml:2: rule 1: a rule that is silent does nothing else",
        ),
        (
            "rules:\n- say: a\n  arguments: {}",
            "r.yaml:2: rule 1: arguments need a function to call",
        ),
        (
            "rules:\n- pattern: '('\n  say: a",
            (
                "r.yaml:2: rule 1, pattern: this is no regular expression: missing ), unterminated "
                "subpattern at position 0"
            ),
        ),
        ("rules:\n- words: '!'\n  say: a", "r.yaml:2: rule 1, words: there is no word in '!'"),
        (
            "rules:\n- say: yes",
            (
                "r.yaml:2: rule 1, say: this should be a text, in quotation marks where YAML "
                "takes it for something else, not True"
            ),
        ),
        (
            "rules:\n- say: a\n  delay_s: -1",
            "r.yaml:3: rule 1, delay_s: input should be greater than or equal to 0",
        ),
        (
            "rules:\n- pattern: (?P<a>b)\n  say: '{c}'",
            (
                "r.yaml:2: rule 1: there is nothing to put for {c}; there are {0}, {1}, {a}, "
                "{text}, and a brace itself is written twice"
            ),
        ),
        (
            "rules:\n- say: '{'",
            (
                "r.yaml:2: rule 1: single '{' encountered in format string in '{'; a brace itself "
                "is written twice"
            ),
        ),
        (
            "rules:\n- say: '{text!r}'",
            "r.yaml:2: rule 1: a placeholder is a name in braces, nothing else: '{text!r}'",
        ),
        ("rules:\n- say: a\n  say: b", "r.yaml:3: 'say' is given twice"),
        ("rules:\n- say: a\n b: c", "r.yaml:3: this is no YAML: expected"),
        (
            "rules:\n- say: !!python/name:os.system",
            "r.yaml:2: this is no YAML: could not determine",
        ),
        ("rules: &a [*a]", "r.yaml:1: something here holds itself"),
        ("a: b\n---\nc: d", "r.yaml:2: this is no YAML: but found another document"),
        ("rules:\n- say: 2026-99-99", "r.yaml:1: this is no YAML: month must be in 1..12"),
        ("a: 1\n\x00", "r.yaml:2: this is no YAML: special characters are not allowed"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(rules: str, problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parse_rules(rules, "r.yaml")
    assert str(caught.value).startswith(problem)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        parse_rules("rules:\n- say: 1\n- delay_s: soon", "r.yaml")
    assert [line.partition(": ")[0] for line in str(caught.value).splitlines()] == [
        "r.yaml:2",
        "r.yaml:3",
    ]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"the rules .*none\.yaml cannot be read: .*No such"):
        read_rules(tmp_path / "none.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValidationError, match=r"binary\.yaml cannot be read"):
        read_rules(binary)


def test_a_file_of_rules_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("rules: [{words: café, say: 'Un café!'}]", encoding="utf-8")
    assert read_rules(path).reply(Request("Café?")) == Reply("Un café!")


# The page


def page_rules() -> str:
    found = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    return found[1]


def test_the_rules_on_the_page_do_what_it_says() -> None:
    book = parse_rules(page_rules())
    call = Call("get_weather", {"city": "Paris"})
    assert book.reply(Request("Hello, you!")) == Reply("Hello! How can I help you?")
    asked = Request("What's the weather in Paris tomorrow?")
    assert book.reply(asked) == Reply("Let me look.", call)
    output = Request("", outputs=[ToolOutput("get_weather", "Rain.")])
    assert book.reply(output) == Reply("They say: Rain.")
    assert book.reply(Request("hold the line")) == Reply()
    failure = Failure("Too many people ask", "rate_limit_exceeded")
    assert book.reply(Request("break")) == Reply(failure=failure, delay_s=2)


def test_every_key_of_a_rule_is_on_the_page_and_no_other() -> None:
    keys = re.findall(r"^\| `(\w+)` \| (?!$)", PAGE.read_text(), re.MULTILINE)
    assert sorted(keys) == sorted(Rule.model_fields)


def test_the_problems_on_the_page_are_told_so() -> None:
    rules = "rules:\n- say: a\n  wrods: b\n\n- say: c\n\n\n\n- words: d"
    with pytest.raises(ValidationError) as caught:
        parse_rules(rules, "rules.yaml")
    assert f"```text\n{caught.value}\n```" in PAGE.read_text()


KEYS = st.sampled_from([*Rule.model_fields, "rules", "message", "code"]) | st.text(max_size=3)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.dates()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)


@hypothesis.given(st.dictionaries(KEYS, VALUES, max_size=5), st.text())
def test_whatever_a_rule_holds_it_works_or_is_refused_with_its_line(rule: Any, said: str) -> None:
    text = yaml.safe_dump({"rules": [rule]}, allow_unicode=True)
    try:
        book = parse_rules(text, "r")
    except ValidationError as exc:
        lines = len(text.splitlines())
        for problem in str(exc).split("\nr:"):
            number = re.match(r"\d+", problem.removeprefix("r:"))
            assert number
            assert 1 <= int(number[0]) <= lines
    else:
        assert isinstance(book.reply(Request(said)), Reply)


@hypothesis.given(st.text())
def test_whatever_a_file_holds_only_one_error_is_raised(text: str) -> None:
    with contextlib.suppress(ValidationError):
        parse_rules(text)
