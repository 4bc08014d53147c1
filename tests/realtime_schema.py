"""Strict checks of server events against the API's own types, whoever made them.

The models of `openai.types.realtime` take unknown fields, as a client has to. Here they are made
again with the same fields, but strict: no unknown field, no value of another type, no string
besides the literal ones.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pydantic
from openai.types import realtime

DOCUMENTED_BESIDES: Mapping[str, Mapping[str, Any]] = {
    # The types of session.created and .updated are those of a request, which has no id yet. The
    # same package has the three in the answer of client_secrets (RealtimeSessionCreateResponse),
    # and the API reference shows them in its examples of both events.
    "RealtimeSessionCreateRequest": {
        "id": (str, ...),
        "object": (Literal["realtime.session"], ...),
        "expires_at": (int | None, None),
    },
}
"""Fields that the GA documentation has and the types of the events lack."""

STRICT = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=True)


class NotInTheApiError(AssertionError):
    """A server event that the API would not send."""


def require_api_event(event: object) -> None:
    """Raise NotInTheApiError unless an event is one of `RealtimeServerEvent`, to the letter."""
    kind = event.get("type") if isinstance(event, dict) else None
    model = _events().get(kind) if isinstance(kind, str) else None
    if model is None:
        raise NotInTheApiError(f"the API has no event of type {kind!r}: {event!r:.500}")
    try:
        model.model_validate(event)
    except pydantic.ValidationError as exc:
        raise NotInTheApiError(f"{exc}\nin {event!r:.2000}") from exc


def event_types() -> set[str]:
    """The types of all events that the API may send."""
    return set(_events())


@cache
def _events() -> Mapping[str, type[pydantic.BaseModel]]:
    union, *_ = get_args(realtime.RealtimeServerEvent)
    models = get_args(union)
    return {_literal(model): strict_model(model) for model in models}


def _literal(model: type[pydantic.BaseModel]) -> str:
    (kind,) = get_args(model.model_fields["type"].annotation)
    return str(kind)


@cache
def strict_model(model: type[pydantic.BaseModel]) -> type[pydantic.BaseModel]:
    """The same model, strict, and all models in it."""
    fields = {
        name: (_strict_type(field.annotation), ... if field.is_required() else field.default)
        for name, field in model.model_fields.items()
    }
    fields |= DOCUMENTED_BESIDES.get(model.__name__, {})
    return pydantic.create_model(model.__name__, __config__=STRICT, **fields)


def _strict_type(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return strict_model(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:  # its discriminator says nothing that the literals do not say
        return _strict_type(arguments[0])
    if origin in (Union, types.UnionType):
        return Union[tuple(map(_strict_type, arguments))]  # noqa: UP007 - of as many as there are
    rebuild: Mapping[Any, Callable[..., Any]] = {
        list: lambda element: list[element],
        dict: lambda name, member: dict[name, member],
    }
    if origin in rebuild:
        return rebuild[origin](*map(_strict_type, arguments))
    return annotation
