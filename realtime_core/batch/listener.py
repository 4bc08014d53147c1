"""Hears what a session's events tell of a job: transcripts, calls of tools, responses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from realtime_core.batch.failures import as_text
from realtime_core.batch.results import ToolCall

if TYPE_CHECKING:
    from realtime_core.events import FunctionCall
    from realtime_core.transport import RealtimeTransportLayer

__all__ = ["JobListener", "TurnNotes"]

TRANSCRIPTION = "conversation.item.input_audio_transcription"


@dataclass
class TurnNotes:
    """What was heard of one turn."""

    response_ids: set[str] = field(default_factory=set)
    tool_calls: list[ToolCall] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    """What the user said, in order, by the items' ids."""


class JobListener:
    """Listens to a transport and answers calls of tools."""

    def __init__(
        self,
        transport: RealtimeTransportLayer,
        tool_outputs: Mapping[str, str],
        *,
        on_mark: Callable[[str, str], None],
        on_answered_call: Callable[[], None],
    ) -> None:
        """Listen.

        Args:
            transport: The transport, not connected yet.
            tool_outputs: What calls are answered with, by the tool's name; others are not.
            on_mark: Told when something happens that belongs on the time line: its kind, a text.
            on_answered_call: Called when a call was answered, so that a response will follow.
        """
        self._transport = transport
        self._tool_outputs = tool_outputs
        self._on_mark = on_mark
        self._on_answered_call = on_answered_call
        self._is_transcribing = False
        self._transcripts: dict[str, str | None] = {}
        self._changed = asyncio.Event()
        self.turns: list[TurnNotes] = []
        """Of each turn that has begun."""
        listeners: dict[str, Callable[..., None]] = {
            "session.updated": self._on_session,
            "response.created": self._on_response,
            "function_call": self._on_call,
            "audio_interrupted": self._on_interrupted,
            "input_audio_buffer.committed": self._on_committed,
            f"{TRANSCRIPTION}.completed": self._on_transcript,
            f"{TRANSCRIPTION}.failed": self._on_no_transcript,
        }
        for event, listener in listeners.items():
            transport.on(event, listener)

    def begin_turn(self) -> None:
        """What comes from now on belongs to the next turn."""
        self.turns.append(TurnNotes())

    async def wait_transcripts(self, deadline_s: float) -> None:
        """Wait for the words of this turn's question, but not for long: they are only told."""
        try:
            async with asyncio.timeout(deadline_s):
                while self._is_transcribing and self._are_missing():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass

    def transcript(self, notes: TurnNotes) -> str | None:
        """The words of a turn's question; None where the server tells none."""
        told = [self._transcripts.get(item) for item in notes.items]
        words = [text.strip() for text in told if text is not None]
        return " ".join(words) if words else None

    def _are_missing(self) -> bool:
        return any(item not in self._transcripts for item in self.turns[-1].items)

    def _on_session(self, event: Mapping[str, Any]) -> None:
        value: Any = event
        for name in ("session", "audio", "input", "transcription"):
            value = value.get(name) if isinstance(value, Mapping) else None
        self._is_transcribing = value is not None

    def _on_response(self, event: Mapping[str, Any]) -> None:
        response = event.get("response")
        if self.turns and isinstance(response, Mapping):
            self.turns[-1].response_ids.add(str(response.get("id")))

    def _on_call(self, call: FunctionCall) -> None:
        output = self._tool_outputs.get(call.name)
        if self.turns:
            noted = ToolCall(
                name=as_text(call.name), arguments=as_text(call.arguments), output=output
            )
            self.turns[-1].tool_calls.append(noted)
        self._on_mark("tool_call", call.name)
        if output is not None:
            self._transport.send_function_call_output(call, output)
            self._on_answered_call()

    def _on_interrupted(self) -> None:
        self._on_mark("interrupted", "")

    def _on_committed(self, event: Mapping[str, Any]) -> None:
        if self.turns:
            self.turns[-1].items.append(str(event.get("item_id")))

    def _on_transcript(self, event: Mapping[str, Any]) -> None:
        text = event.get("transcript")
        self._note(event, text if isinstance(text, str) else None)

    def _on_no_transcript(self, event: Mapping[str, Any]) -> None:
        self._note(event, None)

    def _note(self, event: Mapping[str, Any], text: str | None) -> None:
        self._transcripts[str(event.get("item_id"))] = text
        self._changed.set()
