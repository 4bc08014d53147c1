"""The eleven client events: which fields each has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from realtime_transports.openai.server_checks import (
    INTEGER,
    STRING,
    Check,
    missing_parameter,
    or_null,
    unknown_parameter,
    wrong_type,
)
from realtime_transports.openai.server_outputs import ClientEventError, JsonObject

__all__ = ["CLIENT_EVENTS", "check_client_event"]


def _anything(value: object, _param: str) -> object:
    return value


@dataclass(frozen=True)
class _Fields:
    """The fields of an event, besides `type` and `event_id`."""

    required: Mapping[str, Check]
    optional: Mapping[str, Check]


def _fields(
    required: Mapping[str, Check] | None = None, optional: Mapping[str, Check] | None = None
) -> _Fields:
    return _Fields(required or {}, optional or {})


CLIENT_EVENTS: Mapping[str, _Fields] = {
    "session.update": _fields({"session": _anything}),
    "input_audio_buffer.append": _fields({"audio": _anything}),
    "input_audio_buffer.commit": _fields(),
    "input_audio_buffer.clear": _fields(),
    "output_audio_buffer.clear": _fields(),
    "conversation.item.create": _fields({"item": _anything}, {"previous_item_id": or_null(STRING)}),
    "conversation.item.retrieve": _fields({"item_id": STRING}),
    "conversation.item.truncate": _fields(
        {"item_id": STRING, "content_index": INTEGER, "audio_end_ms": INTEGER}
    ),
    "conversation.item.delete": _fields({"item_id": STRING}),
    "response.create": _fields({}, {"response": _anything}),
    "response.cancel": _fields({}, {"response_id": or_null(STRING)}),
}
"""`RealtimeClientEvent` in `openai.types.realtime`; what is in the objects is checked elsewhere."""


def check_client_event(event: JsonObject, *, strict: bool) -> JsonObject:
    """The event with its fields checked.

    Args:
        event: What came; its `type` is a string.
        strict: Refuse fields that the event does not have, rather than overlook them.

    Raises:
        ClientEventError: There is no such event, or a field is wrong or missing.
    """
    fields = CLIENT_EVENTS.get(event["type"])
    if fields is None:
        supported = ", ".join(f"'{name}'" for name in CLIENT_EVENTS)
        raise ClientEventError(
            f"Invalid value: '{event['type']}'. Supported values are: {supported}.",
            code="invalid_value",
            param="type",
        )
    for name in fields.required:
        if name not in event:
            raise missing_parameter(name)
    checks = {**fields.required, **fields.optional}
    checked: JsonObject = {"type": event["type"], "event_id": _event_id(event)}
    for name, value in event.items():
        if name in checks:
            checked[name] = checks[name](value, name)
        elif strict and name not in checked:
            raise unknown_parameter(name)
    return checked


def _event_id(event: JsonObject) -> str | None:
    event_id = event.get("event_id")
    if not isinstance(event_id, str | None):
        raise wrong_type("event_id", "a string", event_id)
    return event_id
