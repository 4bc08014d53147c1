"""One answer on its way: the events from response.created to response.done.

A response is a row of items. Words and audio that follow each other are one message; a call of a
function is an item of its own, and ends the message before it. What `max_output_tokens` leaves no
room for is cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from realtime_transports.openai.server_conversation import Conversation, StoredItem
from realtime_transports.openai.server_outputs import JsonObject, Outbox
from realtime_transports.openai.server_response_items import MessageInProgress, OutputItems
from realtime_transports.openai.server_usage import TokenBudget, usage_of

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = ["ActiveResponse", "ResponsePlan"]


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


class ActiveResponse:
    """A response that is not done yet."""

    CONTENT_INDEX = MessageInProgress.CONTENT_INDEX

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
            conversation: Where its items go, unless the plan keeps them out.
            sends_audio: Whether audio goes out in events.
        """
        self.plan = plan
        self.is_asked = False
        """Whether the responder was asked; for its owner to set."""
        self.is_exhausted = False
        """Whether something had no room any more."""
        self._outbox = outbox
        self._audio_format = plan.config["audio"]["output"]["format"] if sends_audio else None
        self._items = OutputItems(
            self.id, outbox, conversation if self.is_in_conversation else None
        )
        self._message: MessageInProgress | None = None
        limit = plan.config["max_output_tokens"]
        self._budget = TokenBudget(None if limit == "inf" else limit)
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
        room = self._budget.characters_left(*self._said())
        fitting = text if room is None else text[:room]
        if fitting:
            self._open_message().add_text(fitting)
        self.is_exhausted |= len(fitting) < len(text)

    def add_audio(self, samples: Pcm16) -> tuple[str, Pcm16] | None:
        """The answer's next audio.

        Returns:
            Id of the item it belongs to, and what of it had room; None if nothing had.
        """
        room = self._budget.samples_left(*self._said())
        fitting = samples if room is None else samples[:room]
        self.is_exhausted |= len(fitting) < len(samples)
        if not len(fitting):
            return None
        message = self._open_message()
        message.add_audio(fitting)
        return message.item_id, fitting

    def add_call(self, name: str, arguments: str) -> None:
        """The answer calls a function.

        Args:
            name: The function's.
            arguments: JSON.
        """
        self._close_message("completed")
        room = self._budget.characters_left(0, 0)
        fitting = arguments if room is None else arguments[:room]
        self.is_exhausted |= len(fitting) < len(arguments)
        call_id = self._outbox.make_id("call")
        output = self._items.begin("function_call", name=name, call_id=call_id, arguments="")
        told = {"item_id": output.stored.id, "call_id": call_id}
        output.send("response.function_call_arguments.delta", delta=fitting, **told)
        output.send("response.function_call_arguments.done", name=name, arguments=fitting, **told)
        output.stored.item["arguments"] = fitting
        output.finish("incomplete" if self.is_exhausted else "completed")
        self._budget.spend(output.stored)

    def finish(self, status: str, details: JsonObject | None = None) -> None:
        """Tell the client that the response is done.

        Args:
            status: ``completed``, ``cancelled``, ``incomplete`` or ``failed``.
            details: What else `status_details` says.
        """
        self._close_message("completed" if status == "completed" else "incomplete")
        response = self._describe(status)
        response["status_details"] = {"type": status, **(details or {})}
        response["output"] = [stored.to_dict() for stored in self._items.stored]
        response["usage"] = usage_of(self.plan.context, self._items.stored)
        self._outbox.send("response.done", response=response)

    def _describe(self, status: str) -> JsonObject:
        output = self.plan.config["audio"]["output"]
        voice = output["voice"]
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": None,
            "output": [],
            "conversation_id": self.plan.conversation_id,
            "output_modalities": self.plan.config["output_modalities"],
            "max_output_tokens": self.plan.config["max_output_tokens"],
            "audio": {
                "output": {
                    "format": output["format"],
                    "voice": voice["id"] if isinstance(voice, dict) else voice,
                }
            },
            "usage": None,
            "metadata": self.plan.metadata,
        }

    def _said(self) -> tuple[int, int]:
        """Characters and samples of the message that is open."""
        message = self._message
        return (0, 0) if message is None else (message.characters, message.samples)

    def _open_message(self) -> MessageInProgress:
        if self._message is None:
            output = self._items.begin("message", role="assistant", content=[])
            self._message = MessageInProgress(
                output, speaks=self.wants_audio, audio_format=self._audio_format
            )
        return self._message

    def _close_message(self, status: str) -> None:
        message, self._message = self._message, None
        if message is not None:
            message.finish(status)
            self._budget.spend(self._items.stored[-1])
