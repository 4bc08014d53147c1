"""The items that a response makes: a message being said, and their way into the conversation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from realtime_transports.openai.server_audio import OutputStream
from realtime_transports.openai.server_conversation import Conversation, StoredItem
from realtime_transports.openai.server_outputs import JsonObject, Outbox
from realtime_transports.openai.wire import encode_audio

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["MessageInProgress", "OutputItem", "OutputItems"]

DELTA_SAMPLES = 12_000
"""At most half a second of audio in one delta, as clients expect pieces, not files."""


class OutputItem:
    """One item of a response, from response.output_item.added to .done."""

    def __init__(self, items: OutputItems, stored: StoredItem, index: int) -> None:
        """Made by `OutputItems.begin`."""
        self.stored = stored
        self._items = items
        self._index = index
        self._previous_item_id: str | None = None

    def send(self, event_type: str, **fields: Any) -> None:
        """Send an event about it."""
        self._items.outbox.send(
            event_type, response_id=self._items.response_id, output_index=self._index, **fields
        )

    def begin(self) -> None:
        """Tell that it is there."""
        self.send("response.output_item.added", item=self.stored.to_dict())
        if self._items.conversation is not None:
            self._previous_item_id = self._items.conversation.insert(self.stored)
            self._tell_conversation("added")

    def finish(self, status: str) -> None:
        """Tell that it is done."""
        self.stored.item["status"] = status
        self.send("response.output_item.done", item=self.stored.to_dict())
        conversation = self._items.conversation
        # The client may have deleted it, and have created another one under its id.
        if conversation is not None and conversation.get(self.stored.id) is self.stored:
            self._tell_conversation("done")

    def _tell_conversation(self, name: str) -> None:
        self._items.outbox.send(
            f"conversation.item.{name}",
            previous_item_id=self._previous_item_id,
            item=self.stored.to_dict(),
        )


class OutputItems:
    """The items of one response, in order."""

    def __init__(self, response_id: str, outbox: Outbox, conversation: Conversation | None) -> None:
        """Begin with none.

        Args:
            response_id: The response's id.
            outbox: Where events go.
            conversation: Where the items go; None keeps them out of it.
        """
        self.response_id = response_id
        self.outbox = outbox
        self.conversation = conversation
        self.stored: list[StoredItem] = []

    def begin(self, kind: str, **fields: Any) -> OutputItem:
        """A new item, which was told to the client."""
        item: JsonObject = {
            "id": self.outbox.make_id("item"),
            "object": "realtime.item",
            "type": kind,
            "status": "in_progress",
            **fields,
        }
        stored = StoredItem(item)
        output = OutputItem(self, stored, len(self.stored))
        self.stored.append(stored)
        output.begin()
        return output


class MessageInProgress:
    """A message that is being said or written. It has one content part."""

    CONTENT_INDEX = 0

    def __init__(
        self, output: OutputItem, *, speaks: bool, audio_format: Mapping[str, Any] | None
    ) -> None:
        """Tell that the content part is there.

        Args:
            output: The item.
            speaks: Whether it is audio with a transcript, or text alone.
            audio_format: The format of audio in events; None where audio does not go into events.
        """
        self._output = output
        self._speaks = speaks
        self._stream = OutputStream(audio_format) if speaks and audio_format is not None else None
        self._text: list[str] = []
        self._audio: list[Pcm16] = []
        self._send("response.content_part.added", part=self._part())

    @property
    def item_id(self) -> str:
        """The item's id."""
        return self._output.stored.id

    @property
    def characters(self) -> int:
        """How much text it has."""
        return sum(map(len, self._text))

    @property
    def samples(self) -> int:
        """How much audio it has."""
        return sum(map(len, self._audio))

    def add_text(self, text: str) -> None:
        """The next words: those spoken, or the text itself."""
        self._text.append(text)
        kind = "output_audio_transcript" if self._speaks else "output_text"
        self._send(f"response.{kind}.delta", delta=text)

    def add_audio(self, samples: Pcm16) -> None:
        """The next audio."""
        self._audio.append(samples)
        if self._stream is not None:
            for piece in _cut(samples):
                self._send_audio(self._stream.push(piece))

    def finish(self, status: str) -> None:
        """Tell that it is done.

        Args:
            status: ``completed`` or ``incomplete``.
        """
        text = "".join(self._text)
        if self._speaks:
            self._finish_audio(text)
        else:
            self._output.stored.item["content"] = [{"type": "output_text", "text": text}]
            self._send("response.output_text.done", text=text)
        self._send("response.content_part.done", part=self._part())
        self._output.finish(status)

    def _finish_audio(self, transcript: str) -> None:
        if self._stream is not None:
            self._send_audio(self._stream.flush())
        stored = self._output.stored
        stored.item["content"] = [{"type": "output_audio", "transcript": transcript}]
        stored.audio[self.CONTENT_INDEX] = np.concatenate([np.zeros(0, np.int16), *self._audio])
        self._send("response.output_audio.done")
        self._send("response.output_audio_transcript.done", transcript=transcript)

    def _send_audio(self, data: bytes) -> None:
        if data:
            self._send("response.output_audio.delta", delta=encode_audio(data))

    def _part(self) -> JsonObject:
        # Content parts are named otherwise than the content of items is.
        text = "".join(self._text)
        if self._speaks:
            return {"type": "audio", "transcript": text}
        return {"type": "text", "text": text}

    def _send(self, event_type: str, **fields: Any) -> None:
        self._output.send(
            event_type, item_id=self.item_id, content_index=self.CONTENT_INDEX, **fields
        )


def _cut(samples: Pcm16) -> Iterator[Pcm16]:
    for start in range(0, len(samples), DELTA_SAMPLES):
        yield samples[start : start + DELTA_SAMPLES]
