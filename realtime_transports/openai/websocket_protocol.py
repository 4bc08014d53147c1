"""The client's side of a link whose audio comes in events, and which the client itself plays.

What of the model's audio was heard only the player knows, so it comes in as an argument:
`unheard_ms` is how much of all that was told as `audio` is still to be heard. An interruption has
two halves. `interrupt` cancels the response and tells `audio_interrupted`, so that whoever plays
stops; then `send_truncation` tells the server how far the user came. A listener may close the link
between.

Audio that is still on its way when the model is interrupted is not told: neither the rest of an
item that was cut off nor anything of a response that was cancelled. An item of which nothing was
told is truncated to nothing when its audio comes, for the server believes that it was heard.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from realtime_core.errors import ProtocolError
from realtime_core.events import Emit, ErrorEvent
from realtime_transports.openai.audio_codec import bytes_per_sample, rate_hz_of
from realtime_transports.openai.client_playback import (
    ClientPlayback,
    CutOff,
    PartPlace,
    PlayingAudio,
)
from realtime_transports.openai.inbound import audio_event, derived_events
from realtime_transports.openai.protocol import ClientProtocol, JsonObject

__all__ = ["PlayingAudio", "SipProtocol", "WebSocketProtocol"]


class WebSocketProtocol(ClientProtocol):
    """`ClientProtocol` for a link without a media track."""

    def __init__(self, *, model: str | None = None) -> None:
        super().__init__(model=model)
        self._playback = ClientPlayback()
        self._unheard_ms = 0.0
        self._due_truncations: list[JsonObject] = []
        self._unsent_truncations: list[JsonObject] = []
        """Those that the link did not take; the next interruption sends them again."""
        self._interrupted: set[str] = set()
        """Items of which nothing is played any more, though deltas may still be on their way."""
        self._live_formats: dict[str, object] = {}
        """The responses under way, each with the format of its audio."""
        self._silenced: set[str] = set()
        """Those of them that an interruption cancelled."""

    @property
    def playing(self) -> PlayingAudio | None:
        """What came last and was not interrupted; it may have been heard to its end already."""
        return self._playback.last

    @property
    def has_truncation(self) -> bool:
        """Whether `send_truncation` is due."""
        return bool(self._due_truncations)

    def audio_format(self, response_id: str | None) -> object:
        """The format of a response's audio, as the server described it; None when it did not."""
        own_format = self._live_formats.get(response_id) if response_id else None
        return own_format or self._session_format()

    def link_closed(self) -> None:
        """The link is gone, and with it what was to be played."""
        super().link_closed()
        self._playback.forget()
        self._due_truncations.clear()
        self._unsent_truncations.clear()
        self._interrupted.clear()
        self._live_formats.clear()
        self._silenced.clear()

    def receive(self, event: JsonObject, *, unheard_ms: float = 0.0) -> None:
        """Take in a server event.

        Args:
            event: As `wire.parse` gives it.
            unheard_ms: How much of the audio that came is still to be heard.
        """
        self._unheard_ms = unheard_ms
        super().receive(event)

    def interrupt(self, cancel_ongoing_response: bool = True, *, unheard_ms: float = 0.0) -> None:
        """Stop what the model says; afterwards call `send_truncation`.

        Args:
            cancel_ongoing_response: Whether to end the response too, not only its audio.
            unheard_ms: How much of the audio that came is still to be heard.
        """
        self._unheard_ms = unheard_ms
        super().interrupt(cancel_ongoing_response)
        if cancel_ongoing_response:
            self._silenced.update(filter(self._sequencer.is_cancelled, self._live_formats))

    def send_truncation(self) -> None:
        """Tell the server where the user stopped listening, if something was cut off."""
        events, self._due_truncations = self._due_truncations, []
        for event in events:
            send = self._send(event)
            # Not where a middleware keeps it back: that is on purpose.
            send.undo_rest.append(partial(self._unsent_truncations.insert, 0, event))

    def _derived(self, event: JsonObject) -> list[Emit]:
        events = derived_events(event)
        match event["type"]:
            case "response.output_audio.delta":
                events += self._take_audio(event)
            case "response.output_audio.done":
                self._playback.complete()
        return events

    def _note(self, event: JsonObject) -> None:
        super()._note(event)
        match event["type"]:
            case "response.created":
                self._note_format(event["response"])
                self._note_created(event["response"].get("id"))
            case "response.done":
                self._forget_response(event["response"].get("id"))
            case "input_audio_buffer.speech_started":
                self._yield_to_speech()

    def _receive_unknown(self, event: JsonObject) -> None:
        super()._receive_unknown(event)
        if event["type"] == "response.done":
            response_id = _member(event, "response", "id")
            if isinstance(response_id, str):
                self._forget_response(response_id)

    def _forget_response(self, response_id: str | None) -> None:
        if response_id is not None:
            self._live_formats.pop(response_id, None)
            self._silenced.discard(response_id)

    def _yield_to_speech(self) -> None:
        """The user talks: stop what is heard. What is not heard yet is the server's to stop."""
        if self._playback.last is not None:
            self.interrupt(self._is_to_cancel_for_speech(), unheard_ms=self._unheard_ms)
            self.send_truncation()

    def _is_to_cancel_for_speech(self) -> bool:
        """Whether a response runs that the server does not end by itself when the user talks."""
        if not self.ongoing_response:
            return False  # one that was only asked for is not heard yet
        detection = _member(self.session, "audio", "input", "turn_detection")
        if not isinstance(detection, Mapping):
            return True
        return detection.get("interrupt_response") is False  # the API's default is true

    def _stop_playback(self) -> bool:
        # The server plays where this is attached to a call.
        is_cut_off = self._audio_labels.is_playing and super()._stop_playback()
        if self._playback.last is None and not self._unsent_truncations:
            return is_cut_off
        cuts = self._playback.cut_off(self._unheard_ms)
        self._interrupted.update(cut.place.item_id for cut in cuts)
        self._due_truncations += self._unsent_truncations + [_truncation(cut) for cut in cuts]
        self._unsent_truncations.clear()
        return is_cut_off or bool(self._due_truncations)

    def _take_audio(self, event: JsonObject) -> list[Emit]:
        place = _place(event)
        if place.item_id in self._interrupted:
            return []
        response_id = event.get("response_id")
        if response_id in self._silenced and self._is_cancelled(response_id):
            if cut := self._playback.cut_off_late(place):
                self._interrupted.add(place.item_id)
                self._send(_truncation(cut))
            return []
        try:
            audio = audio_event(event)
        except ProtocolError as exc:
            return [Emit("error", (ErrorEvent(exc),))]
        audio_format = self.audio_format(audio.response_id)
        samples = len(audio.data) / bytes_per_sample(audio_format)
        length_ms = samples * 1000 / rate_hz_of(audio_format)
        self._playback.add(place, length_ms, unheard_ms=self._unheard_ms)
        return [Emit("audio", (audio,))]

    def _note_created(self, response_id: object) -> None:
        self._silenced.discard(response_id)
        if isinstance(response_id, str) and self._is_cancelled(response_id):
            self._silenced.add(response_id)  # it was interrupted before it began

    def _is_cancelled(self, response_id: object) -> bool:
        return isinstance(response_id, str) and self._sequencer.is_cancelled(response_id)

    def _note_format(self, response: Mapping[str, Any]) -> None:
        own_format = _member(response, "audio", "output", "format")
        if response.get("id"):
            self._live_formats[response["id"]] = own_format or self._session_format()

    def _session_format(self) -> object:
        return _member(self.session, "audio", "output", "format")


class SipProtocol(WebSocketProtocol):
    """The protocol of a link attached to a telephone call: the server plays, and so truncates."""

    def _yield_to_speech(self) -> None:
        self.interrupt(self._is_to_cancel_for_speech())

    def _stop_playback(self) -> bool:
        return super(WebSocketProtocol, self)._stop_playback()  # nothing is played here


def _place(event: JsonObject) -> PartPlace:
    return PartPlace(event["item_id"], event["content_index"])


def _truncation(cut: CutOff) -> JsonObject:
    return {
        "type": "conversation.item.truncate",
        "item_id": cut.place.item_id,
        "content_index": cut.place.content_index,
        "audio_end_ms": cut.heard_ms,
    }


def _member(value: object, *path: str) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, (dict, Mapping)) else None
    return value
