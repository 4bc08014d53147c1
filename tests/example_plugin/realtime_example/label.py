"""The middleware ``label``: says which part of a program asked for a response, and what it cost."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from pydantic import Field
from realtime_core.middleware import EventMiddleware, Passed
from realtime_core.specs import SpecOptions

log = logging.getLogger(__name__)


class LabelOptions(SpecOptions):
    """What may be written behind ``label``."""

    spec_argument: ClassVar[str | None] = "label"

    label: str = Field(
        min_length=1, max_length=512, description="the label", examples=["'label:sales'"]
    )
    key: str = Field("label", min_length=1, max_length=64, description="its name in the metadata")


class LabelMiddleware(EventMiddleware):
    """Puts a label into the metadata of each response that is asked for, and counts tokens.

    The provider keeps the metadata and repeats it in the response's events.
    """

    def __init__(self, label: str, *, key: str = "label") -> None:
        """Set the label."""
        self._label = label
        self._key = key
        self.tokens = 0
        """Of all responses so far."""

    def outgoing(self, event: dict[str, Any]) -> Passed:
        """Label what asks for a response. The event is a copy, so it may be changed."""
        if event.get("type") == "response.create":
            response = _mapping(event.get("response"))
            metadata = {self._key: self._label, **_mapping(response.get("metadata"))}
            event["response"] = {**response, "metadata": metadata}
        return event

    def incoming(self, event: dict[str, Any]) -> Passed:
        """Count what a response has cost. Whatever form the event has, this does not raise."""
        if event.get("type") == "response.done":
            total = _mapping(_mapping(event.get("response")).get("usage")).get("total_tokens")
            self.tokens += total if isinstance(total, int) else 0
        return event

    def link_closed(self) -> None:
        """Tell the count."""
        log.info("%s=%s: %d tokens", self._key, self._label, self.tokens)


def make_label(options: LabelOptions) -> LabelMiddleware:
    """Make the middleware that the options describe."""
    return LabelMiddleware(options.label, key=options.key)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
