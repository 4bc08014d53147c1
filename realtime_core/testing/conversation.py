"""Server events for the suites: complete, as a server sends them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

__all__ = ["Script", "types_of"]

Event = dict[str, Any]

USAGE: Event = {
    "total_tokens": 12,
    "input_tokens": 5,
    "output_tokens": 7,
    "input_token_details": {"text_tokens": 5, "audio_tokens": 0},
    "output_token_details": {"text_tokens": 7, "audio_tokens": 0},
}


class Script:
    """Makes the events of one conversation; ids count from 1."""

    def __init__(self) -> None:
        """Begin at 1."""
        self._event_ids = itertools.count(1)

    def event(self, event_type: str, **fields: Any) -> Event:
        """Any event."""
        return {"type": event_type, "event_id": f"contract_{next(self._event_ids)}", **fields}

    def error(self, message: str, **fields: Any) -> Event:
        """An ``error`` event."""
        return self.event("error", error={"type": "server_error", "message": message, **fields})

    def created(self, response_id: str) -> Event:
        """A response begins."""
        return self.event("response.created", response=_response(response_id, "in_progress"))

    def done(self, response_id: str, *output: Event, status: str = "completed") -> Event:
        """A response ends."""
        response = {**_response(response_id, status), "output": list(output), "usage": USAGE}
        return self.event("response.done", response=response)

    def user_item(self, item_id: str, text: str, *, previous: str | None) -> list[Event]:
        """A message of the user comes into the conversation."""
        content = [{"type": "input_text", "text": text}]
        item = {**_message(item_id, "completed"), "role": "user", "content": content}
        place = {"previous_item_id": previous, "item": item}
        return [self.event(f"conversation.item.{name}", **place) for name in ("added", "done")]

    def deleted(self, item_id: str) -> Event:
        """An item leaves the conversation."""
        return self.event("conversation.item.deleted", item_id=item_id)

    def spoken(self, response_id: str, item_id: str, *words: str) -> list[Event]:
        """A response of one message that is spoken, without its audio."""
        text = "".join(words)
        labels = part_labels(response_id, item_id)
        deltas = [
            self.event("response.output_audio_transcript.delta", delta=word, **labels)
            for word in words
        ]
        part = {"type": "audio", "transcript": ""}
        content = {"type": "output_audio", "transcript": text}
        ends = [
            self.event("response.output_audio.done", **labels),
            self.event("response.output_audio_transcript.done", transcript=text, **labels),
        ]
        return self._response(response_id, item_id, part, content, [*deltas, *ends])

    def written(self, response_id: str, item_id: str, *words: str) -> list[Event]:
        """A response of one message that is text."""
        text = "".join(words)
        labels = part_labels(response_id, item_id)
        deltas = [self.event("response.output_text.delta", delta=word, **labels) for word in words]
        end = self.event("response.output_text.done", text=text, **labels)
        part = {"type": "text", "text": ""}
        content = {"type": "output_text", "text": text}
        return self._response(response_id, item_id, part, content, [*deltas, end])

    def calling(self, response_id: str, item_id: str, name: str, arguments: str) -> list[Event]:
        """A response that calls a function."""
        call: Event = {
            "id": item_id,
            "type": "function_call",
            "object": "realtime.item",
            "status": "in_progress",
            "name": name,
            "call_id": f"call_of_{item_id}",
            "arguments": "",
        }
        labels = {"response_id": response_id, "output_index": 0}
        whole = {**call, "status": "completed", "arguments": arguments}
        told = {**labels, "item_id": item_id, "call_id": call["call_id"]}
        return [
            self.created(response_id),
            self.event("response.output_item.added", item=call, **labels),
            self.event("response.function_call_arguments.done", arguments=arguments, **told),
            self.event("response.output_item.done", item=whole, **labels),
            self.done(response_id, whole),
        ]

    def _response(
        self, response_id: str, item_id: str, part: Event, content: Event, inner: list[Event]
    ) -> list[Event]:
        begun = _message(item_id, "in_progress")
        whole = {**_message(item_id, "completed"), "content": [content]}
        labels = {"response_id": response_id, "output_index": 0}
        part_told = {"part": part, **part_labels(response_id, item_id)}
        return [
            self.created(response_id),
            self.event("response.output_item.added", item=begun, **labels),
            self.event("conversation.item.added", item=begun, previous_item_id=None),
            self.event("response.content_part.added", **part_told),
            *inner,
            self.event("response.content_part.done", **part_told),
            self.event("response.output_item.done", item=whole, **labels),
            self.event("conversation.item.done", item=whole, previous_item_id=None),
            self.done(response_id, whole),
        ]


def part_labels(response_id: str, item_id: str) -> Event:
    """Where a part of a response belongs."""
    return {
        "response_id": response_id,
        "item_id": item_id,
        "output_index": 0,
        "content_index": 0,
    }


def types_of(events: list[Mapping[str, Any]] | list[Event]) -> list[str]:
    """The events' types."""
    return [str(event.get("type")) for event in events]


def _response(response_id: str, status: str) -> Event:
    return {
        "object": "realtime.response",
        "id": response_id,
        "status": status,
        "status_details": None,
        "output": [],
        "usage": None,
    }


def _message(item_id: str, status: str) -> Event:
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [],
    }
