"""The client's side of the OpenAI Realtime protocol, without I/O.

A shell tells it what happened (`link_opened`, `receive`, a call of the program) and after each of
these takes what is to be sent (`take_sends`) and what is to be told (`take_emits`). State has
changed by then, so whoever is told sees it. Nothing here waits, looks at a clock or calls back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from realtime_core.errors import ProtocolError
from realtime_core.events import Emit, ErrorEvent, FunctionCall, ItemDeleted
from realtime_core.history import ItemLike, update_history
from realtime_core.items import RealtimeItem
from realtime_transports.openai import outbound
from realtime_transports.openai.audio_labels import AudioLabel, AudioLabels
from realtime_transports.openai.config_values import plain_object
from realtime_transports.openai.history_requests import HistoryRequests
from realtime_transports.openai.inbound import derived_events
from realtime_transports.openai.outbound import ApprovalRequest, Message, ToolCall
from realtime_transports.openai.sequencer import ResponseCreateSequencer
from realtime_transports.openai.server_events import known_fields
from realtime_transports.openai.session_config import (
    DEFAULT_REALTIME_MODEL,
    SessionConfig,
    build_session_payload,
    tracing_update,
)

__all__ = ["ClientProtocol"]

logger = logging.getLogger(__name__)

JsonObject = dict[str, Any]

_RETRIEVING_EVENTS = frozenset(
    {
        "conversation.item.input_audio_transcription.completed",
        "conversation.item.truncated",
        "response.mcp_call.in_progress",
        "mcp_list_tools.in_progress",
    }
)
"""Events after which an item is other than this client knows, without saying how."""


@dataclass(frozen=True, slots=True, eq=False)
class _Send:
    event: JsonObject
    undo: list[Callable[[], object]] = field(default_factory=list)
    """Takes back what was noted on the assumption that the event leaves."""
    undo_rest: list[Callable[[], object]] = field(default_factory=list)
    """Takes back what the same call wanted after it."""


class ClientProtocol:
    """One client, over any number of connections one after the other.

    This is the protocol of a link with a media track (WebRTC). For a link whose audio comes in
    events override `_derived` and `_stop_playback`.
    """

    def __init__(self, *, model: str | None = None) -> None:
        self.model = model or DEFAULT_REALTIME_MODEL
        """The model that the next connection asks for."""
        self.session: JsonObject | None = None
        """The session as the server last described it."""
        self._history: tuple[RealtimeItem, ...] = ()
        self._sequencer = ResponseCreateSequencer()
        self._history_requests = HistoryRequests()
        self._audio_labels = AudioLabels()
        self._tracing: object = "auto"
        self._calls_told: set[str] = set()
        self._sends: list[_Send] = []
        self._taken: list[_Send] = []
        self._emits: list[Emit] = []

    # What comes out

    @property
    def history(self) -> tuple[RealtimeItem, ...]:
        """The conversation so far, without audio. Survives the connection."""
        return self._history

    @property
    def current_audio(self) -> AudioLabel | None:
        """What the audio on the media track now belongs to."""
        return self._audio_labels.current

    @property
    def ongoing_response(self) -> bool:
        """Whether a response runs."""
        return self._sequencer.ongoing_response

    def take_sends(self) -> list[JsonObject]:
        """The client events to send, in order; they are forgotten here.

        When one cannot be sent, drop those behind it and call `send_failed`.
        """
        self._taken, self._sends = self._sends, []
        return [send.event for send in self._taken]

    def take_emits(self) -> list[Emit]:
        """The events to tell, in order; they are forgotten here."""
        emits, self._emits = self._emits, []
        return emits

    # The link

    def link_opened(self, initial_session_config: SessionConfig | None) -> None:
        """The link carries events now.

        Raises:
            UserError: The config cannot be sent. Nothing was.
        """
        config = plain_object(initial_session_config or {}, field="initial session config")
        payload = build_session_payload({**config, "model": self.model}, model=self.model)
        self._tracing = config.get("tracing", "auto")
        self.session = None
        self._send({"type": "session.update", "session": payload})

    def link_closed(self) -> None:
        """The link is gone, and with it all that was under way on it. The history stays."""
        self._sequencer.release_waiters()
        self._history_requests.clear()
        self._audio_labels.clear()
        self._calls_told.clear()
        self._sends.clear()
        self._taken.clear()

    def receive(self, event: JsonObject) -> None:
        """Take in a server event, as `wire.parse` gives it. Raises for none of them."""
        self._emit("*", event)
        self._audio_labels.receive(event)
        known = known_fields(event)
        if known is None:
            self._receive_unknown(event)
            return
        for emit in self._derived(known):
            self._tell(emit)
        self._note(known)
        self._answer(known)

    def receive_invalid(self, error: ProtocolError, _raw: str | bytes) -> None:
        """Take in a message that `wire.parse` refused: it is logged and otherwise ignored."""
        logger.warning("a message of the server was ignored: %s", error)

    def send_failed(self, event: Mapping[str, Any], error: Exception) -> None:
        """An event that `take_sends` gave last could not be sent; those behind it were dropped.

        Afterwards take sends again: a request that waited may be due. The failure of a
        `response.create` is told as `error`; that of others the shell raises.
        """
        index = self._index_of_taken(event)
        lost, self._taken = self._taken[index:], []
        for send in reversed(lost):
            for undo in (*send.undo_rest, *send.undo):
                undo()
        if event.get("type") == "response.create":
            self._emit("error", ErrorEvent(error))

    def send_dropped(self, event: Mapping[str, Any]) -> None:
        """An event that `take_sends` gave last was kept back on purpose; those behind it go out."""
        index = self._index_of_taken(event)
        for send in self._taken[index : index + 1]:
            for undo in send.undo:
                undo()

    # The program's calls

    def send_event(self, event: Mapping[str, Any]) -> None:
        """Send a client event as it is; a `response.create` waits for its turn."""
        match event.get("type"):
            case "response.create":
                self._request_response(event, manual=True)
            case "response.cancel" if self._sequencer.begin_cancel_response():
                self._send(dict(event), self._sequencer.cancel_failed)
            case _:
                self._send(dict(event))

    def send_message(
        self,
        message: Message,
        other_event_data: Mapping[str, Any] | None = None,
        *,
        trigger_response: bool = True,
    ) -> None:
        """Add a message of the user to the conversation, and ask for an answer to it.

        Raises:
            ValidationError: The message has no content.
        """
        send = self._send(outbound.create_message(message, other_event_data))
        if trigger_response:
            self._request_response_after(send)

    def add_image(self, image: str, *, trigger_response: bool = True) -> None:
        """Add a message with an image, a `data:` or `https:` URL."""
        self.send_message(outbound.image_message(image), trigger_response=trigger_response)

    def send_audio(self, pcm: bytes, *, commit: bool = False) -> None:
        """Append audio to the input buffer, and end the user's turn if `commit` says so.

        Args:
            pcm: Audio in the session's input format; if empty, nothing is appended.
            commit: For sessions without turn detection.
        """
        if pcm:
            self._send(outbound.append_audio(pcm))
        if commit:
            self._send({"type": "input_audio_buffer.commit"})

    def request_response(self, response: Mapping[str, Any] | None = None) -> None:
        """Ask for a response, with options of its own if `response` gives some."""
        event = outbound.create_response(response)
        self._request_response(event, manual=response is not None)

    def update_session_config(self, config: SessionConfig) -> None:
        """Change the session.

        Raises:
            UserError: The config cannot be sent.
        """
        self._send({"type": "session.update", "session": self.build_session_payload(config)})

    def build_session_payload(self, config: SessionConfig) -> JsonObject:
        """The API's `session` object for a config, with the current model where it names none."""
        return build_session_payload(config, model=self.model)

    def send_function_call_output(
        self, tool_call: ToolCall, output: str, start_response: bool = True
    ) -> None:
        """Answer a `function_call`, and ask the model to go on.

        Raises:
            ValidationError: The output is no string, or the call has no `call_id`.
        """
        event = outbound.function_call_output(tool_call, output)
        item = outbound.completed_call(tool_call, output)
        send = self._send(event)
        if item is None:
            logger.warning("a function call without id or name is not kept in the history")
        else:
            send.undo.append(partial(self._untell, Emit("item_update", (item,)), self._history))
            self._tell(Emit("item_update", (item,)))
        if start_response:
            self._request_response_after(send)

    def send_mcp_response(
        self, approval_request: ApprovalRequest, approved: bool, reason: str | None = None
    ) -> None:
        """Answer an `mcp_approval_request`.

        Raises:
            ValidationError: The request has no `item_id`.
        """
        self._send(outbound.create_mcp_response(approval_request, approved, reason))

    def interrupt(self, cancel_ongoing_response: bool = True) -> None:
        """Stop what the model says.

        Args:
            cancel_ongoing_response: False where the server cancels the response itself.
        """
        if cancel_ongoing_response and self._sequencer.begin_cancel_response():
            self._send({"type": "response.cancel"}, self._sequencer.cancel_failed)
        self._stop_playback()

    def reset_history(self, old: Sequence[ItemLike], new: Sequence[ItemLike]) -> None:
        """Change the server's conversation from `old` to `new`.

        `history` follows as the server confirms each step.

        Raises:
            UserError: The server cannot be brought to `new`. Nothing was sent.
        """
        for event in self._history_requests.reset(old, new):
            self._send(event, partial(self._history_requests.forget, event["event_id"]))

    # For other links to override

    def _derived(self, event: JsonObject) -> list[Emit]:
        """What is told of a known server event, its own type first."""
        return derived_events(event)

    def _stop_playback(self) -> None:
        """Make the audio stop that was already generated."""
        self._send({"type": "output_audio_buffer.clear"})

    # Inside

    def _receive_unknown(self, event: JsonObject) -> None:
        if event["type"] == "response.done":
            # Its form has drifted, but a response has ended: waiting for another end would wait
            # for ever.
            self._sequencer.mark_response_done()
            self._send_due_response()

    def _note(self, event: JsonObject) -> None:
        match event["type"]:
            case "response.created":
                self._sequencer.mark_response_created()
            case "response.done":
                self._sequencer.mark_response_done()
            case "session.created" | "session.updated":
                self.session = event["session"] if isinstance(event["session"], dict) else None
            case "conversation.item.added" if event["item"].get("id"):
                self._history_requests.settle("create", event["item"]["id"])
            case "conversation.item.deleted":
                self._history_requests.settle("delete", event["item_id"])
            case "conversation.item.input_audio_transcription.completed":
                self._history = update_history(self._history, event)
            case "error":
                self._note_error(event)
        self._send_due_response()

    def _note_error(self, event: JsonObject) -> None:
        error = event.get("error")
        if isinstance(error, Mapping):
            self._history_requests.forget(error.get("event_id"))
        self._sequencer.handle_response_create_error(event)

    def _answer(self, event: JsonObject) -> None:
        if event["type"] in _RETRIEVING_EVENTS and event.get("item_id"):
            self._send(outbound.retrieve_item(event["item_id"]))
        elif event["type"] == "session.created":
            current = self.session.get("tracing") if self.session else None
            session = tracing_update(current, self._tracing)
            if session is not None:
                self._send({"type": "session.update", "session": session})

    def _tell(self, emit: Emit) -> None:
        match emit.args:
            case (FunctionCall(id=str(item_id)),):
                # Servers may tell of a call when it is added and again when it is done.
                if item_id in self._calls_told:
                    return
                self._calls_told.add(item_id)
            case (ItemDeleted(item_id),):
                self._history = tuple(i for i in self._history if i.item_id != item_id)
            case (item,) if emit.type == "item_update":
                self._history = update_history(self._history, item)
        self._emits.append(emit)

    def _request_response(self, event: Mapping[str, Any], *, manual: bool) -> None:
        self._sequencer.request_response_create(event, manual=manual)
        self._send_due_response()

    def _request_response_after(self, send: _Send) -> None:
        """Ask for an answer to what is sent; if that cannot leave, nothing was asked for."""
        request = self._sequencer.request_response_create(outbound.create_response(None))
        send.undo_rest.append(partial(self._sequencer.withdraw, request))
        self._send_due_response()

    def _send_due_response(self) -> None:
        for event in self._sequencer.take_sends():
            self._send(event, partial(self._response_create_failed, event["event_id"]))

    def _response_create_failed(self, event_id: str) -> None:
        self._sequencer.send_failed(event_id)
        self._send_due_response()

    def _send(self, event: JsonObject, *undo: Callable[[], object]) -> _Send:
        send = _Send(event, list(undo))
        self._sends.append(send)
        return send

    def _index_of_taken(self, event: Mapping[str, Any]) -> int:
        """Where it is; behind the last where the link's end has taken everything back already."""
        places = (i for i, send in enumerate(self._taken) if send.event is event)
        return next(places, len(self._taken))

    def _emit(self, event_type: str, payload: object) -> None:
        self._emits.append(Emit(event_type, (payload,)))

    def _untell(self, emit: Emit, history: tuple[RealtimeItem, ...]) -> None:
        self._emits.remove(emit)
        self._history = history
