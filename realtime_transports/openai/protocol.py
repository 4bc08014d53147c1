"""The client's side of the OpenAI Realtime protocol, without I/O.

A shell tells it what happened (`link_opened`, `receive`, a call of the program) and after each of
these takes what is to be sent (`take_sends`) and what is to be told (`take_emits`). State has
changed by then, so whoever is told sees it. Nothing here waits, looks at a clock or calls back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from realtime_core.errors import ProtocolError, TransportError
from realtime_core.events import Emit, ErrorEvent, ItemDeleted
from realtime_core.handles import HistoryResetHandle, ResponseHandle
from realtime_core.history import ItemLike
from realtime_core.items import RealtimeItem
from realtime_transports.openai import outbound
from realtime_transports.openai.audio_labels import AudioLabel, AudioLabels
from realtime_transports.openai.client_sends import ClientSend, ClientSends
from realtime_transports.openai.client_session import ClientSession
from realtime_transports.openai.history_requests import HistoryRequests
from realtime_transports.openai.history_store import (
    HISTORY_EVENTS,
    REMEMBERED_EVENTS,
    HistoryStore,
)
from realtime_transports.openai.inbound import derived_events, drifted_turn_done
from realtime_transports.openai.outbound import ApprovalRequest, Message, ToolCall
from realtime_transports.openai.sequencer import ResponseCreateSequencer
from realtime_transports.openai.server_events import has_known_form
from realtime_transports.openai.session_config import (
    DEFAULT_REALTIME_MODEL,
    SessionConfig,
    build_session_payload,
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

_ONLY_TOLD = frozenset(
    {
        "response.output_item.added",
        "response.output_item.done",
        "response.output_audio.done",
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
        "response.output_text.delta",
        "response.function_call_arguments.delta",
        "response.mcp_call_arguments.delta",
    }
)
"""The events of each turn, and those that come by the hundred in it, from which nothing follows but
what is told and what the history keeps."""


class ClientProtocol:
    """One client, over any number of connections one after the other.

    This is the protocol of a link with a media track (WebRTC). For a link whose audio comes in
    events override `_derived` and `_stop_playback`.
    """

    def __init__(self, *, model: str | None = None) -> None:
        self.model = model or DEFAULT_REALTIME_MODEL
        """The model that the next connection asks for."""
        self._history = HistoryStore()
        self._sequencer = ResponseCreateSequencer()
        self._history_requests = HistoryRequests(self._history)
        self._audio_labels = AudioLabels()
        self._session = ClientSession()
        self._sends = ClientSends()
        self._emits: list[Emit] = []

    # What comes out

    @property
    def history(self) -> tuple[RealtimeItem, ...]:
        """The conversation so far, without audio. Survives the connection."""
        return self._history.items

    @property
    def session(self) -> JsonObject | None:
        """The session as the server last described it."""
        return self._session.described

    @property
    def current_audio(self) -> AudioLabel | None:
        """What the audio on the media track now belongs to; None when it was interrupted."""
        return self._audio_labels.current

    @property
    def ongoing_response(self) -> bool:
        """Whether a response runs."""
        return self._sequencer.ongoing_response

    def take_sends(self) -> list[JsonObject]:
        """The client events to send, in order; they are forgotten here.

        When one cannot be sent, drop those behind it and call `send_failed`.
        """
        return self._sends.take()

    def take_emits(self) -> list[Emit]:
        """The events to tell, in order; they are forgotten here."""
        emits, self._emits = self._emits, []
        return emits

    # Time

    @property
    def next_deadline(self) -> float | None:
        """When `advance` is to be called if nothing else happens; None: no need to."""
        deadline, other = self._sequencer.next_deadline, self._history_requests.next_deadline
        if deadline is None or other is None:
            return other if deadline is None else deadline
        return min(deadline, other)

    def advance(self, now: float) -> None:
        """Take note of the time, and give up what has waited too long. Call it before the others.

        Args:
            now: Seconds on any clock; the same for all calls.
        """
        if self._sequencer.expire(now):
            self._send_due()
        if self._history_requests.expire(now):
            self._send_reset()

    # The link

    def link_opened(self, initial_session_config: SessionConfig | None) -> None:
        """The link carries events now.

        Raises:
            UserError: The config cannot be sent. Nothing was.
        """
        payload = self._session.begin(initial_session_config or {}, model=self.model)
        self._send_session(payload)

    def link_closed(self) -> None:
        """The link is gone, and with it all that was under way on it. The history stays."""
        self._sequencer.release_waiters()
        self._history_requests.link_closed()
        self._history.link_closed()
        self._audio_labels.clear()
        self._sends.clear()

    def receive(self, event: JsonObject) -> None:
        """Take in a server event, as `wire.parse` gives it. Raises for none of them."""
        event_type = event["type"]
        self._emits.append(Emit("*", (event,)))
        is_cut_off = self._audio_labels.receive(event)
        if has_known_form(event):
            changed = self._history.receive(event) if event_type in HISTORY_EVENTS else None
            for emit in self._derived(event):
                if emit.type not in REMEMBERED_EVENTS or self._history.remember(emit, event):
                    self._emits.append(emit)
            if changed is not None:
                self._emit("item_update", changed)
            if event_type not in _ONLY_TOLD:
                self._note(event)
        else:
            self._receive_unknown(event)
        if is_cut_off:
            self._emits.append(Emit("audio_interrupted"))

    def receive_invalid(self, error: ProtocolError, _raw: str | bytes) -> None:
        """Take in a message that `wire.parse` refused: it is logged and otherwise ignored."""
        logger.warning("a message of the server was ignored: %s", error)

    def send_failed(self, event: Mapping[str, Any], error: Exception) -> None:
        """An event that `take_sends` gave last could not be sent; those behind it were dropped.

        Afterwards take sends again: a request that waited may be due. The failure of a
        `response.create` is told by its handle or as `error`; that of others the shell raises.
        """
        self._history_requests.note_raised(event.get("event_id"))
        lost = self._sends.fail(event)
        for send in lost:
            if send.request_id is not None:
                self._sequencer.send_failed(send.request_id, error)
        if not lost and event.get("type") == "response.create":
            # The link's end has failed its handle already; why it came about is known only here.
            self._emit("error", ErrorEvent(error))
        self._send_due()
        self._send_reset()

    def send_dropped(self, event: Mapping[str, Any]) -> None:
        """An event that `take_sends` gave last was kept back on purpose; those behind it go out."""
        send = self._sends.drop(event)
        if send is not None and send.request_id is not None:
            error = TransportError("a middleware kept the response.create back")
            self._sequencer.send_failed(send.request_id, error, is_told=True)
        self._send_due()
        self._send_reset()

    # The program's calls

    def send_event(self, event: Mapping[str, Any]) -> None:
        """Send a client event as it is; a `response.create` waits for its turn.

        Raises:
            ValidationError: It is no mapping.
        """
        match outbound.require_mapping(event, "event").get("type"):
            case "response.create":
                self._request_response(event, manual=True)
            case "response.cancel" if self._sequencer.note_cancel(event):
                self._send(dict(event), self._sequencer.cancel_failed)
            case "session.update" if isinstance(session := event.get("session"), Mapping):
                self._send(dict(event), self._session.note_update(session))
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
        append = outbound.append_audio(pcm)
        if pcm:
            self._send(append)
        if commit:
            self._send({"type": "input_audio_buffer.commit"})

    def request_response(self, response: Mapping[str, Any] | None = None) -> ResponseHandle:
        """Ask for a response, with options of its own if `response` gives some."""
        event = outbound.create_response(response)
        return self._request_response(event, manual=response is not None)

    def update_session_config(self, config: SessionConfig) -> None:
        """Change what `config` says, and leave the rest of the session as it is.

        Raises:
            UserError: The config cannot be sent.
        """
        self._send_session(*self._session.update(config))

    def build_session_payload(self, config: SessionConfig) -> JsonObject:
        """The API's `session` object for a config alone, whatever the session is like now.

        Where it names no model, the current one is taken.
        """
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
            known = self._history.get(item.item_id)
            send.undo.append(partial(self._untell, Emit("item_update", (item,)), known))
            self._history.put_output(item)
            self._emit("item_update", item)
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
        if self._stop_playback():
            self._emits.append(Emit("audio_interrupted"))

    def reset_history(
        self,
        old: Sequence[ItemLike],
        new: Sequence[ItemLike],
        *,
        audio_as_transcript: bool = False,
    ) -> HistoryResetHandle:
        """Change the server's conversation from `old` to `new`; see the contract.

        Raises:
            UserError: The server cannot be brought to `new`. Nothing was sent.
        """
        handle = self._history_requests.reset(old, new, audio_as_transcript=audio_as_transcript)
        self._send_reset()
        return handle

    # For other links to override

    def _derived(self, event: JsonObject) -> list[Emit]:
        """What is told of a known server event, its own type first."""
        return derived_events(event)

    def _stop_playback(self) -> bool:
        """Make the audio stop that was already generated; whether any is cut off by this."""
        self._send({"type": "output_audio_buffer.clear"})
        return self._audio_labels.interrupt()

    # Inside

    def _receive_unknown(self, event: JsonObject) -> None:
        if event["type"] in ("response.created", "response.done"):
            # Its form has drifted, but a response has begun or ended: who waits for that would
            # wait for ever.
            was_ongoing = self.ongoing_response
            self._note_response(event)
            if was_ongoing and not self.ongoing_response:
                self._emits.append(drifted_turn_done(event))
        elif event["type"] == "conversation.item.created" and isinstance(event.get("item"), dict):
            # What servers older than the GA API call "added".
            self._settle_creation(event["item"].get("id"))

    def _note(self, event: JsonObject) -> None:
        match event["type"]:
            case "response.created" | "response.done":
                self._note_response(event)
            case "session.created":
                if update := self._session.created(event):
                    session, take_back = update
                    self._send({"type": "session.update", "session": session}, take_back)
            case "session.updated":
                self._session.updated(event)
            case "conversation.item.added" if event["item"].get("id"):
                self._settle_creation(event["item"]["id"])
            case "conversation.item.deleted":
                self._history_requests.settle("delete", event["item_id"])
                self._send_reset()
            case "error":
                self._note_error(event)
            case event_type if event_type in _RETRIEVING_EVENTS and event.get("item_id"):
                self._send(outbound.retrieve_item(event["item_id"]))

    def _note_response(self, event: JsonObject) -> None:
        response = event.get("response")
        response = response if isinstance(response, dict) else {}
        response_id = response.get("id")
        conversation_id = response.get("conversation_id", ...)
        mark = (
            self._sequencer.mark_response_created
            if event["type"] == "response.created"
            else self._sequencer.mark_response_done
        )
        mark(
            response_id if isinstance(response_id, str) else None,
            in_conversation=None if conversation_id is ... else conversation_id is not None,
        )
        self._send_due()

    def _note_error(self, event: JsonObject) -> None:
        error = event.get("error")
        if isinstance(error, Mapping):
            self._history_requests.refuse(error)
            self._send_reset()
            self._session.note_error(error)
        self._sequencer.handle_response_create_error(event)
        self._send_due()

    def _settle_creation(self, item_id: object) -> None:
        if isinstance(item_id, str):
            self._history_requests.settle("create", item_id)
            self._send_reset()

    def _request_response(self, event: Mapping[str, Any], *, manual: bool) -> ResponseHandle:
        request = self._sequencer.request_response_create(event, manual=manual)
        self._send_due()
        return request.handle

    def _request_response_after(self, send: ClientSend) -> None:
        """Ask for an answer to what is sent; if that cannot leave, nothing was asked for."""
        request = self._sequencer.request_response_create(outbound.create_response(None))
        send.undo_rest.append(partial(self._sequencer.withdraw, request))
        self._send_due()

    def _send_due(self) -> None:
        """Send and tell what the sequencer has decided."""
        for event in self._sequencer.take_sends():
            if event["type"] == "response.cancel":
                self._send(event, self._sequencer.cancel_failed)
            else:
                self._send(event).request_id = event["event_id"]
        for error in self._sequencer.take_failures():
            self._emit("error", ErrorEvent(error))

    def _send_session(self, session: JsonObject, *undo: Callable[[], object]) -> None:
        session = {"model": self.model, **session}
        self._send({"type": "session.update", "session": session}, *undo)

    def _send_reset(self) -> None:
        """Send and tell what the resets of the history need."""
        for event in self._history_requests.take_sends():
            self._send(event, partial(self._history_requests.not_sent, event["event_id"]))
        for item_id in self._history_requests.take_left():
            self._emit("item_deleted", ItemDeleted(item_id))
        for error in self._history_requests.take_failures():
            self._emit("error", ErrorEvent(error))

    def _send(self, event: JsonObject, *undo: Callable[[], object]) -> ClientSend:
        return self._sends.put(event, *undo)

    def _emit(self, event_type: str, payload: object) -> None:
        self._emits.append(Emit(event_type, (payload,)))

    def _untell(self, emit: Emit, known: RealtimeItem | None) -> None:
        self._emits.remove(emit)
        self._history.set_back(emit.args[0].item_id, known)
