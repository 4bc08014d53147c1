"""One line a wire event: what, which way, about what, how large. Never what was said."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from realtime_core.masking import AUDIO_DELTAS, mask_secrets
from realtime_core.middleware import EventMiddleware
from realtime_core.specs import SpecOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LogMiddleware", "LogOptions"]

DEFAULT_LOGGER = "realtime.events"

ID_KEYS = ("event_id", "response_id", "item_id", "call_id", "previous_item_id")
NESTED_IDS = {"response": "response_id", "item": "item_id", "session": "session_id"}
"""Objects in events whose ``id`` tells what the event is about."""


class LogOptions(SpecOptions):
    """Options of ``log``."""

    spec_argument = "logger"

    logger: str = Field(DEFAULT_LOGGER, description="the logger's name")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="the level")
    format: Literal["text", "json"] = Field(
        "text", description="key=value pairs, or one JSON object a line"
    )


class LogMiddleware(EventMiddleware):
    """Logs wire events, at its place among the middlewares; the fields are on the log record too.

    Ids, sizes, status and error codes are logged; texts, audio, arguments and keys never are.
    """

    def __init__(
        self, logger: str = DEFAULT_LOGGER, *, level: int = logging.INFO, as_json: bool = False
    ) -> None:
        """Name the logger.

        Args:
            logger: Its name.
            level: The level of all lines, except errors of the server and the transport, which
                are warnings at least.
            as_json: Each message is one JSON object instead of ``key=value`` pairs.
        """
        self._logger = logging.getLogger(logger)
        self._level = level
        self._as_json = as_json

    @classmethod
    def from_options(cls, options: LogOptions) -> LogMiddleware:
        """What ``log`` in a spec makes."""
        level = logging.getLevelNamesMapping()[options.level.upper()]
        return cls(options.logger, level=level, as_json=options.format == "json")

    @property
    def name(self) -> str:
        """What it is called in errors."""
        return "log"

    def incoming(self, event: dict[str, Any]) -> dict[str, Any]:
        """Log an event of the server."""
        self._log("in", event)
        return event

    def outgoing(self, event: dict[str, Any]) -> dict[str, Any]:
        """Log an event for the server."""
        self._log("out", event)
        return event

    def link_opened(self, model: str) -> None:
        """Log that events can be sent."""
        self._write(self._level, {"direction": "link", "type": "opened", "model": model})

    def link_closed(self) -> None:
        """Log that the link is gone."""
        self._write(self._level, {"direction": "link", "type": "closed"})

    def error_reported(self, error: Exception) -> None:
        """Log an error of the transport's own."""
        fields = {"direction": "link", "type": "error", "class": type(error).__name__}
        # A message may quote what the peer said; its keys are masked like everything else.
        self._write(max(self._level, logging.WARNING), {**fields, "message": str(error)})

    def _log(self, direction: str, event: Mapping[str, Any]) -> None:
        level = max(self._level, logging.WARNING) if event.get("type") == "error" else self._level
        if self._logger.isEnabledFor(level):
            self._write(level, {"direction": direction, **dict(_described(event))})

    def _write(self, level: int, fields: dict[str, Any]) -> None:
        fields = mask_secrets(fields)
        if self._as_json:
            text = json.dumps(fields)
        else:
            text = " ".join(f"{key}={_plain(value)}" for key, value in fields.items())
        self._logger.log(level, "%s", text, extra={"realtime": fields})


def _described(event: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "type", str(event.get("type"))
    for key in ID_KEYS:
        if isinstance(event.get(key), str):
            yield key, event[key]
    for key, id_key in NESTED_IDS.items():
        inner = event.get(key)
        if not isinstance(inner, dict):
            continue
        if isinstance(inner.get("id"), str) and id_key not in event:
            yield id_key, inner["id"]
        for name in ("type", "status"):
            if isinstance(inner.get(name), str):
                yield f"{key}_{name}", inner[name]
    error = event.get("error")
    if isinstance(error, dict):
        yield "code", error.get("code")
    yield from _sizes(event)


def _sizes(event: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """How much text and audio is in it, without the rest of its envelope."""
    is_audio = event.get("type") in AUDIO_DELTAS
    is_append = event.get("type") == "input_audio_buffer.append"
    for key in ("delta", "audio", "transcript", "text", "arguments"):
        text = event.get(key)
        if not isinstance(text, str):
            continue
        if (key == "delta" and is_audio) or (key == "audio" and is_append):
            yield "audio_bytes", len(text) * 3 // 4 - text[-2:].count("=")
        else:
            yield f"{key}_chars", len(text)


def _plain(value: object) -> str:
    """A value on a line of ``key=value`` pairs: quoted where it would break the line."""
    text = str(value)
    return text if text.isprintable() and " " not in text and '"' not in text else json.dumps(text)
