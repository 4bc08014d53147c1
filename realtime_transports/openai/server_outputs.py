"""What the server's side of the protocol asks its shell to do, in order."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16

__all__ = [
    "CancelResponse",
    "CancelTranscription",
    "ClearPlayback",
    "ClientEventError",
    "EndSession",
    "JsonObject",
    "Listen",
    "Outbox",
    "PlayAudio",
    "SendEvent",
    "ServerOutput",
    "StartResponse",
    "Transcribe",
    "Turn",
    "random_id",
]

JsonObject: TypeAlias = dict[str, Any]


class ClientEventError(Exception):
    """A client event that cannot be obeyed; the client is told by an `error` event."""

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        """Describe it in the API's terms.

        Args:
            message: What is wrong, for people.
            code: What is wrong, for programs.
            param: The dotted path of the culprit in the event.
        """
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param


@dataclass(frozen=True, slots=True)
class Turn:
    """What a responder is to answer."""

    response_id: str
    text: str
    """What the last item says: the user's words, as written or as `Transcribe` understood them, or
    a tool's output. May be empty."""
    audio: Pcm16 | None = field(repr=False)
    """What the user said last: int16, mono, 24 kHz; None when that was not spoken."""
    output_modality: str
    """``"audio"`` wants audio and its transcript, ``"text"`` text alone."""
    instructions: str
    """Those of the response, else the session's."""
    session: Mapping[str, Any] = field(repr=False)
    """The session's configuration, with the response's own options in its place."""
    items: Sequence[Mapping[str, Any]] = field(repr=False)
    """The conversation so far, oldest first, without audio."""


@dataclass(frozen=True, slots=True)
class SendEvent:
    """Send this server event."""

    event: JsonObject


@dataclass(frozen=True, slots=True)
class StartResponse:
    """Ask the responder, and give what it says to `answer_text`, `answer_audio`, `answer_done`."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class CancelResponse:
    """Stop asking the responder; nothing that it says is wanted any more."""

    response_id: str


@dataclass(frozen=True, slots=True)
class PlayAudio:
    """Queue audio on the outgoing track (WebRTC only)."""

    samples: Pcm16 = field(repr=False)
    """int16, mono, 24 kHz."""


@dataclass(frozen=True, slots=True)
class ClearPlayback:
    """Drop audio that has not left yet (WebRTC only)."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Ask the model for speech about audio; give what it says to `judged`."""

    samples: Pcm16 = field(repr=False)
    """int16, mono, 24 kHz."""
    stream: int
    """A new number begins a new stream, and nobody wants to know about the old one any more."""


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Ask for the words of an item; give them to `transcript_delta` and `transcribed`.

    The item may be one that is still to come. After `CancelTranscription` it may be asked for anew.
    """

    item_id: str
    samples: Pcm16 = field(repr=False)
    """int16, mono, 24 kHz."""


@dataclass(frozen=True, slots=True)
class CancelTranscription:
    """Stop asking; nobody wants the words of the item any more."""

    item_id: str


@dataclass(frozen=True, slots=True)
class EndSession:
    """Close the link after everything before has been sent. Nothing follows."""

    reason: str
    """For people; over WebSocket it goes into the close frame, with code 1001."""


ServerOutput: TypeAlias = (
    SendEvent
    | StartResponse
    | CancelResponse
    | PlayAudio
    | ClearPlayback
    | Listen
    | Transcribe
    | CancelTranscription
    | EndSession
)


def random_id(prefix: str) -> str:
    """A new id such as ``item_5f0c…``; nobody can guess it."""
    return f"{prefix}_{secrets.token_hex(11)}"


class Outbox:
    """Collects outputs in order and gives each event its id."""

    def __init__(self, make_id: Callable[[str], str]) -> None:
        """Begin empty.

        Args:
            make_id: Makes a new id from a prefix.
        """
        self.make_id = make_id
        self._outputs: list[ServerOutput] = []
        self._is_ended = False

    def send(self, event_type: str, **fields: Any) -> None:
        """Send an event of this type."""
        event = {"type": event_type, "event_id": self.make_id("event"), **fields}
        self.put(SendEvent(event))

    def send_item(self, item: JsonObject, previous_item_id: str | None) -> None:
        """Tell that an item came into the conversation, complete from the beginning."""
        for event_type in ("conversation.item.added", "conversation.item.done"):
            self.send(event_type, previous_item_id=previous_item_id, item=item)

    def put(self, output: ServerOutput) -> None:
        """Ask for something else."""
        if not self._is_ended:
            self._outputs.append(output)

    def end(self, reason: str) -> None:
        """Ask for the end of the session; whatever is asked for afterwards is dropped."""
        self.put(EndSession(reason))
        self._is_ended = True

    def take(self) -> list[ServerOutput]:
        """Everything since the last call."""
        outputs, self._outputs = self._outputs, []
        return outputs
