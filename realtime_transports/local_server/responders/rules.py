"""Rules: what is answered to what. The file's format is told in ``docs/reference/rules.md``."""

from __future__ import annotations

import functools
import re
import string
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from realtime_transports.local_server.responders.arguments import arguments_for, fitted
from realtime_transports.local_server.responders.improvise import improvise
from realtime_transports.local_server.responders.request import Call, Failure, Reply, Request
from realtime_transports.local_server.responders.wording import Wording, words_of

__all__ = ["FailureOptions", "Rule", "RuleBook", "RulesFile"]

MAX_DELAY_S = 600.0
Values = Mapping[str, str]


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _as_failure(value: object) -> object:
    return {"message": value} if isinstance(value, str) else value


class FailureOptions(BaseModel):
    """How an answer fails."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    message: str = Field(min_length=1)
    code: str = "server_error"


class Rule(BaseModel):
    """One rule: what it is for, and what is done then."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    words: Annotated[list[str], BeforeValidator(_as_list)] = []
    """Any of these, word for word, somewhere in what was said."""
    pattern: str | None = None
    """A regular expression that is found in the words."""
    output_of: str | None = None
    """The function whose output is to be answered; without it, a rule is for what users say."""
    say: str | None = None
    call: str | None = None
    arguments: dict[str, Any] | None = None
    """None makes them up from the function's schema and from what was said."""
    silent: bool = False
    fail: Annotated[FailureOptions | None, BeforeValidator(_as_failure)] = None
    delay_s: float = Field(0.0, ge=0, le=MAX_DELAY_S)

    @field_validator("words")
    @classmethod
    def _words_are_there(cls, value: list[str]) -> list[str]:
        for phrase in value:
            if not words_of(phrase):
                raise ValueError(f"there is no word in {phrase!r}")
        return [words_of(phrase) for phrase in value]

    @field_validator("pattern")
    @classmethod
    def _pattern_is_one(cls, value: str | None) -> str | None:
        try:
            _compiled(value)
        except (re.error, OverflowError, RecursionError) as exc:
            raise ValueError(f"this is no regular expression: {exc}") from None
        return value

    @model_validator(mode="after")
    def _parts_fit(self) -> Rule:
        if self.words and self.pattern is not None:
            raise ValueError("a rule has words or a pattern, not both")
        doing = [self.say, self.call, self.fail]
        if self.silent and any(part is not None for part in doing):
            raise ValueError("a rule that is silent does nothing else")
        if not self.silent and all(part is None for part in doing):
            raise ValueError("a rule must say, call, fail or be silent")
        if self.arguments is not None and self.call is None:
            raise ValueError("arguments need a function to call")
        self._check_placeholders()
        return self

    def _check_placeholders(self) -> None:
        expression = _compiled(self.pattern)
        known = {"text", *expression.groupindex, *map(str, range(expression.groups + 1))}
        if self.output_of is not None:
            known.add("output")
        for template in _strings([self.say, self.arguments]):
            for name in _placeholders(template):
                if name not in known:
                    names = ", ".join(f"{{{each}}}" for each in sorted(known))
                    raise ValueError(
                        f"there is nothing to put for {{{name}}}; there are {names}, and a brace "
                        "itself is written twice"
                    )

    def reply(self, request: Request) -> Reply | None:
        """What is done about a request; None where the rule is not for it."""
        values = self._match(request)
        if values is None:
            return None
        return Reply(
            say=_filled(self.say or "", values),
            call=self._call(request, values) if self.call is not None else None,
            failure=Failure(self.fail.message, self.fail.code) if self.fail else None,
            delay_s=self.delay_s,
        )

    def _match(self, request: Request) -> Values | None:
        """What placeholders stand for; None where it does not match."""
        if self.output_of is None:
            return None if request.outputs else self._match_text(request.text)
        for given in request.outputs:
            if given.name == self.output_of:
                values = self._match_text(given.output)
                if values is not None:
                    return {**values, "output": given.output}
        return None

    def _match_text(self, text: str) -> Values | None:
        wording = Wording(text)
        if self.words:
            # Whole words only.
            is_there = any(f" {phrase} " in f" {wording.words} " for phrase in self.words)
            return {"text": text, "0": text} if is_there else None
        found = _compiled(self.pattern).search(wording.words)
        if found is None:
            return None
        numbered = {str(n): wording.original(*found.span(n)) for n in range(found.re.groups + 1)}
        named = {name: wording.original(*found.span(name)) for name in found.re.groupindex}
        return {"text": text, **numbered, **named}

    def _call(self, request: Request, values: Values) -> Call:
        name = self.call or ""
        schema = request.tools.get(name, {})
        if self.arguments is None:
            return Call(name, arguments_for(schema, values["text"]))
        filled = _filled_within(self.arguments, values)
        return Call(name, fitted(filled, schema))


class RulesFile(BaseModel):
    """What a file of rules holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    rules: list[Rule] = Field(min_length=1)


class RuleBook:
    """Answers requests: the first rule that is for one, or what is done where none is."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        """Set the rules.

        Args:
            rules: The first comes first. Without any, everything is improvised.
        """
        self._rules = tuple(rules)

    def reply(self, request: Request) -> Reply:
        """What to do about a request."""
        for rule in self._rules:
            reply = rule.reply(request)
            if reply is not None:
                return reply
        return improvise(request)


@functools.lru_cache(maxsize=1_000)
def _compiled(pattern: str | None) -> re.Pattern[str]:
    with warnings.catch_warnings():
        # "[[" and the like may mean something else one day.
        warnings.simplefilter("ignore", FutureWarning)
        return re.compile(pattern or "", re.IGNORECASE)


def _strings(value: object) -> Iterable[str]:
    """All texts within."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from _strings(member)
    elif isinstance(value, list):
        for member in value:
            yield from _strings(member)


def _placeholders(template: str) -> list[str]:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as exc:
        raise ValueError(f"{exc} in {template!r}; a brace itself is written twice") from None
    for _, name, wanted, conversion in parts:
        if name is not None and (wanted or conversion):
            raise ValueError(f"a placeholder is a name in braces, nothing else: {template!r}")
    return [name for _, name, _, _ in parts if name is not None]


def _filled(template: str, values: Values) -> str:
    # Not str.format, which would look into what a name stands for.
    return "".join(
        literal + (values[name] if name is not None else "")
        for literal, name, _, _ in string.Formatter().parse(template)
    )


def _filled_within(value: Any, values: Values) -> Any:
    """The same with all texts filled."""
    fill: Callable[[Any], Any] = lambda member: _filled_within(member, values)  # noqa: E731
    if isinstance(value, str):
        return _filled(value, values)
    if isinstance(value, Mapping):
        return {name: fill(member) for name, member in value.items()}
    if isinstance(value, list):
        return [fill(member) for member in value]
    return value
