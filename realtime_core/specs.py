"""What follows the name in a spec such as ``"mic:USB?aec=true"``, read into an options model.

A spec is ``NAME[:ARGUMENT][?KEY=VALUE[&KEY=VALUE ...]]``. The argument goes to one field of the
model, `SpecOptions.spec_argument`; it is taken as it stands, so a path needs no escapes. Values may
have percent escapes (``%26`` for ``&``). The options begin behind the last question mark: an
argument that has one itself is followed by another, ``pcm:what?.raw?``. A model that
`is_verbatim` takes all behind the colon as its argument and has no other options.

Plugins need none of this: a factory is any callable that takes a string. One that carries an
attribute ``options_model``, a pydantic model, has its options listed by ``realtime plugins``.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar, Union, get_args, get_origin
from urllib.parse import unquote

import pydantic
from pydantic_core import PydanticUndefined

from realtime_core.errors import ValidationError

__all__ = ["Option", "SpecFactory", "SpecOptions", "describe_options", "parse_options"]

Options = TypeVar("Options", bound="SpecOptions")
Made = TypeVar("Made")


class SpecOptions(pydantic.BaseModel):
    """Base of options that are written in a spec. Describe each field, its unit included."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    spec_argument: ClassVar[str | None] = None
    """The field that gets what stands between colon and question mark; None: nothing may."""
    is_verbatim: ClassVar[bool] = False
    """Whether all behind the colon is the argument, question marks included."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option, for people."""

    name: str
    kind: str
    """What may be written, such as ``number`` or ``true|false``."""
    default: Any
    """None where it may be left out without a value, or where it must be given."""
    is_required: bool
    is_argument: bool
    """Whether it stands behind the colon and not behind the question mark."""
    description: str


class SpecFactory(Generic[Options, Made]):
    """A factory for a hook to return: reads the text into options and makes something of them."""

    def __init__(
        self, name: str, options_model: type[Options], make: Callable[[Options], Made]
    ) -> None:
        """Join the parts.

        Args:
            name: The name under which the hook returns it; errors begin with it.
            options_model: What may be written behind it.
            make: Makes the source, sink, recorder or middleware; opens nothing.
        """
        self.name = name
        self.options_model = options_model
        self._make = make

    def __call__(self, text: str) -> Made:
        """Make what the text behind the colon describes.

        Raises:
            ValidationError: The text does not fit; the field is named.
        """
        return self._make(parse_options(self.name, self.options_model, text))


def parse_options(name: str, model: type[Options], text: str) -> Options:
    """Read what follows ``NAME:``.

    Args:
        name: The name, for errors.
        model: The options.
        text: Argument and options, both may be missing.

    Raises:
        ValidationError: It does not fit the model; the message names the field.
    """
    argument, query = (text, "") if model.is_verbatim else _split(text)
    values: dict[str, str] = {}
    if argument:
        if model.spec_argument is None:
            raise ValidationError(f"{name!r} takes nothing after its colon, not {argument!r}")
        values[model.spec_argument] = argument
    for part in query.split("&") if query else ():
        key, equals, value = part.partition("=")
        if not equals:
            raise ValidationError(f"{name}: options are written key=value, not {part!r}")
        if key in values:
            raise ValidationError(f"{name}: {key}: given twice")
        values[key] = unquote(value)
    try:
        return model.model_validate(values)
    except pydantic.ValidationError as exc:
        problems = (_problem(model, error) for error in exc.errors(include_url=False))
        raise ValidationError(f"{name}: {'; '.join(problems)}") from None


def describe_options(factory: object) -> tuple[Option, ...]:
    """The options of a factory that says them, the argument first; none of one that does not.

    Raises:
        TypeError: Its ``options_model`` is no pydantic model.
    """
    model = getattr(factory, "options_model", None)
    if model is None:
        return ()
    if not (isinstance(model, type) and issubclass(model, pydantic.BaseModel)):
        raise TypeError(f"options_model must be a pydantic model, not {model!r}")
    argument = getattr(model, "spec_argument", None)
    options = [
        Option(
            name=name,
            kind=_kind(field.annotation),
            default=None if field.default is PydanticUndefined else field.default,
            is_required=field.is_required(),
            is_argument=name == argument,
            description=field.description or "",
        )
        for name, field in model.model_fields.items()
    ]
    return tuple(sorted(options, key=lambda option: not option.is_argument))


def _split(text: str) -> tuple[str, str]:
    argument, mark, query = text.rpartition("?")
    return (argument, query) if mark else (text, "")


def _problem(model: type[SpecOptions], error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"][:1]) or "options"
    if error["type"] == "extra_forbidden":
        known = [each for each in model.model_fields if each != model.spec_argument]
        close = difflib.get_close_matches(name, known, n=1)
        hint = (
            f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known) or 'none'}"
        )
        return f"{name}: there is no such option; {hint}"
    field = model.model_fields.get(name)
    if error["type"] == "missing":
        example = f", as in {field.examples[0]}" if field and field.examples else ""
        return f"{name}: it must be given{example}"
    message = error["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{name}: {message[:1].lower()}{message[1:]}, not {error['input']!r}"


def _kind(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return "|".join(str(value) for value in get_args(annotation))
    if origin in (Union, types.UnionType):
        kinds = (_kind(part) for part in get_args(annotation) if part is not type(None))
        return " or ".join(dict.fromkeys(kinds))
    names = {bool: "true|false", int: "whole number", float: "number", str: "text"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))
