"""One answer on its way: the events from response.created to response.done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from realtime_transports.openai.server_conversation import Conversation, StoredItem
from realtime_transports.openai.server_outputs import JsonObject, Outbox
from realtime_transports.openai.server_usage import usage_of
from realtime_transports.openai.wire import encode_audio

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["ActiveResponse", "ResponsePlan"]

DELTA_SAMPLES = 12_000
"""At most half a second of audio in one delta, as clients expect pieces, not files."""


@dataclass(frozen=True)
class ResponsePlan:
    """What a response is to be."""

    response_id: str
    config: JsonObject
    """The session's configuration with the response's options."""
    conversation_id: str | None
    """None keeps the answer out of the conversation."""
    context: Sequence[StoredItem]
    """What it answers."""
    metadata: JsonObject | None = None


@dataclass
class _Answer:
    """The message that the response makes."""

    stored: StoredItem
    previous_item_id: str | None
    output_index: int
    text: list[str] = field(default_factory=list)
    audio: list[Pcm16] = field(default_factory=list)


class ActiveResponse:
    """A response that is not done yet. All it says is one message of one part; calls are apart."""

    CONTENT_INDEX = 0

    def __init__(
        self,
        plan: ResponsePlan,
        outbox: Outbox,
        conversation: Conversation,
        *,
        sends_audio: bool,
    ) -> None:
        """Tell the client that the response begins.

        Args:
            plan: What it is to be.
            outbox: Where its events go.
            conversation: Where its item goes, unless the plan keeps it out.
            sends_audio: Whether audio goes out in events.
        """
        self.plan = plan
        self._outbox = outbox
        self._conversation = conversation
        self._sends_audio = sends_audio
        self._answer: _Answer | None = None
        self._output: list[StoredItem] = []
        outbox.send("response.created", response=self._describe("in_progress"))

    @property
    def id(self) -> str:
        """The response's id."""
        return self.plan.response_id

    @property
    def is_in_conversation(self) -> bool:
        """Whether it answers in the conversation rather than beside it."""
        return self.plan.conversation_id is not None

    @property
    def wants_audio(self) -> bool:
        """Whether it speaks."""
        return bool(self.plan.config["output_modalities"] == ["audio"])

    def add_text(self, text: str) -> None:
        """The answer's next words: those spoken, or the text itself."""
        answer = self._begin_answer()
        answer.text.append(text)
        kind = "output_audio_transcript" if self.wants_audio else "output_text"
        self._send_part(f"response.{kind}.delta", answer, delta=text)

    def add_audio(self, samples: Pcm16) -> str:
        """The answer's next audio.

        Returns:
            Id of the item it belongs to.
        """
        answer = self._begin_answer()
        answer.audio.append(samples)
        if self._sends_audio:
            for start in range(0, len(samples), DELTA_SAMPLES):
                delta = encode_audio(samples[start : start + DELTA_SAMPLES].tobytes())
                self._send_part("response.output_audio.delta", answer, delta=delta)
        return answer.stored.id

    def add_call(self, name: str, arguments: str) -> None:
        """The answer calls a function.

        Args:
            name: The function's.
            arguments: JSON.
        """
        call: JsonObject = {
            "id": self._outbox.make_id("item"),
            "object": "realtime.item",
            "type": "function_call",
            "status": "in_progress",
            "name": name,
            "call_id": self._outbox.make_id("call"),
            "arguments": "",
        }
        stored = StoredItem(call)
        index, previous = self._begin_item(stored)
        call_told = {"item_id": call["id"], "call_id": call["call_id"]}
        self._send("response.function_call_arguments.delta", index, delta=arguments, **call_told)
        self._send(
            "response.function_call_arguments.done",
            index,
            name=name,
            arguments=arguments,
            **call_told,
        )
        call.update(status="completed", arguments=arguments)
        self._finish_item(stored, index, previous)

    def finish(self, status: str, details: JsonObject | None = None) -> None:
        """Tell the client that the response is done.

        Args:
            status: ``completed``, ``cancelled``, ``incomplete`` or ``failed``.
            details: What else `status_details` says.
        """
        if self._answer is not None:
            self._finish_answer(
                self._answer, "completed" if status == "completed" else "incomplete"
            )
        response = self._describe(status)
        response["status_details"] = {"type": status, **(details or {})}
        response["output"] = [stored.to_dict() for stored in self._output]
        response["usage"] = usage_of(self.plan.context, self._output)
        self._outbox.send("response.done", response=response)

    def _describe(self, status: str) -> JsonObject:
        output = self.plan.config["audio"]["output"]
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": None,
            "output": [],
            "conversation_id": self.plan.conversation_id,
            "output_modalities": self.plan.config["output_modalities"],
            "max_output_tokens": self.plan.config["max_output_tokens"],
            "audio": {"output": {"format": output["format"], "voice": output["voice"]}},
            "usage": None,
            "metadata": self.plan.metadata,
        }

    def _begin_answer(self) -> _Answer:
        if self._answer is None:
            stored = StoredItem(
                {
                    "id": self._outbox.make_id("item"),
                    "object": "realtime.item",
                    "type": "message",
                    "status": "in_progress",
                    "role": "assistant",
                    "content": [],
                }
            )
            index, previous = self._begin_item(stored)
            self._answer = _Answer(stored, previous, index)
            self._send_part("response.content_part.added", self._answer, part=self._part(""))
        return self._answer

    def _begin_item(self, stored: StoredItem) -> tuple[int, str | None]:
        """Its place in the output, and what is before it in the conversation."""
        index = len(self._output)
        self._output.append(stored)
        self._send("response.output_item.added", index, item=stored.to_dict())
        if not self.is_in_conversation:
            return index, None
        previous = self._conversation.insert(stored)
        self._outbox.send(
            "conversation.item.added", previous_item_id=previous, item=stored.to_dict()
        )
        return index, previous

    def _finish_item(self, stored: StoredItem, index: int, previous: str | None) -> None:
        self._send("response.output_item.done", index, item=stored.to_dict())
        if self.is_in_conversation:
            self._outbox.send(
                "conversation.item.done", previous_item_id=previous, item=stored.to_dict()
            )

    def _finish_answer(self, answer: _Answer, status: str) -> None:
        text = "".join(answer.text)
        stored = answer.stored
        if self.wants_audio:
            stored.item["content"] = [{"type": "output_audio", "transcript": text}]
            stored.audio[self.CONTENT_INDEX] = np.concatenate(
                [np.zeros(0, np.int16), *answer.audio]
            )
            self._send_part("response.output_audio.done", answer)
            self._send_part("response.output_audio_transcript.done", answer, transcript=text)
        else:
            stored.item["content"] = [{"type": "output_text", "text": text}]
            self._send_part("response.output_text.done", answer, text=text)
        stored.item["status"] = status
        self._send_part("response.content_part.done", answer, part=self._part(text))
        self._finish_item(stored, answer.output_index, answer.previous_item_id)

    def _part(self, text: str) -> JsonObject:
        # Content parts are named otherwise than the content of items is.
        if self.wants_audio:
            return {"type": "audio", "transcript": text}
        return {"type": "text", "text": text}

    def _send(self, event_type: str, output_index: int, **fields: Any) -> None:
        self._outbox.send(event_type, response_id=self.id, output_index=output_index, **fields)

    def _send_part(self, event_type: str, answer: _Answer, **fields: Any) -> None:
        self._send(
            event_type,
            answer.output_index,
            item_id=answer.stored.id,
            content_index=self.CONTENT_INDEX,
            **fields,
        )
