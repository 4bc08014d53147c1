"""The client's side of a link whose audio comes in events, and which the client itself plays.

What of the model's audio was heard only the player knows, so the position comes in as an argument:
`heard_ms` is how much of `playing` has been heard. An interruption has two halves. `interrupt`
cancels the response and tells `audio_interrupted`, so that whoever plays stops; then
`send_truncation` tells the server how far the user came. A listener may close the link between.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from realtime_core.errors import ProtocolError
from realtime_core.events import Emit, ErrorEvent
from realtime_transports.openai.audio_codec import bytes_per_sample, rate_hz_of
from realtime_transports.openai.inbound import audio_event
from realtime_transports.openai.protocol import ClientProtocol, JsonObject

__all__ = ["PlayingAudio", "SipProtocol", "WebSocketProtocol"]


@dataclass(slots=True, eq=False)
class PlayingAudio:
    """A part of an item whose audio has come and was not interrupted. Compared by identity."""

    item_id: str
    content_index: int
    length_ms: float = 0.0
    """What came so far."""
    is_complete: bool = False
    """Whether the server has said that no more comes."""


class WebSocketProtocol(ClientProtocol):
    """`ClientProtocol` for a link without a media track."""

    def __init__(self, *, model: str | None = None) -> None:
        super().__init__(model=model)
        self._playing: PlayingAudio | None = None
        self._truncation: JsonObject | None = None
        self._interrupted: set[str] = set()
        """Items of which nothing is played any more, though deltas may still be on their way."""
        self._response_formats: dict[str, object] = {}
        self._heard_ms = math.inf

    @property
    def playing(self) -> PlayingAudio | None:
        """What came last and was not interrupted; it may have been heard to its end already."""
        return self._playing

    @property
    def has_truncation(self) -> bool:
        """Whether `send_truncation` is due."""
        return self._truncation is not None

    def audio_format(self, response_id: str | None) -> object:
        """The format of a response's audio, as the server described it; None when it did not."""
        own_format = self._response_formats.get(response_id) if response_id else None
        return own_format or self._session_format()

    def link_closed(self) -> None:
        """The link is gone, and with it what was to be played."""
        super().link_closed()
        self._playing = self._truncation = None
        self._interrupted.clear()
        self._response_formats.clear()

    def receive(self, event: JsonObject, *, heard_ms: float = math.inf) -> None:
        """Take in a server event.

        Args:
            event: As `wire.parse` gives it.
            heard_ms: How much of `playing` has been heard; without it, all that came.
        """
        self._heard_ms = heard_ms
        super().receive(event)

    def interrupt(
        self, cancel_ongoing_response: bool = True, *, heard_ms: float = math.inf
    ) -> None:
        """Stop what the model says; afterwards call `send_truncation`.

        Args:
            cancel_ongoing_response: Whether to end the response too, not only its audio.
            heard_ms: How much of `playing` has been heard; without it, all that came.
        """
        self._heard_ms = heard_ms
        super().interrupt(cancel_ongoing_response)

    def send_truncation(self) -> None:
        """Tell the server where the user stopped listening, if something was cut off."""
        event, self._truncation = self._truncation, None
        if event is not None:
            self._send(event, partial(self._resume, self._playing))
            self._playing = None

    def _derived(self, event: JsonObject) -> list[Emit]:
        events = super()._derived(event)
        match event["type"]:
            case "response.output_audio.delta":
                events += self._take_audio(event)
            case "response.output_audio.done" if self._playing is not None:
                self._playing.is_complete = True
            case "response.created":
                self._note_format(event["response"])
            case "response.done":
                self._response_formats.pop(event["response"].get("id"), None)
        return events

    def _note(self, event: JsonObject) -> None:
        super()._note(event)
        if event["type"] == "input_audio_buffer.speech_started":
            self._yield_to_speech()

    def _yield_to_speech(self) -> None:
        """The user talks: stop what is heard. What is not heard yet is the server's to stop."""
        if self._playing is not None:
            super().interrupt(not self._server_interrupts())
            self.send_truncation()

    def _server_interrupts(self) -> bool:
        """Whether the server ends responses by itself when the user talks."""
        detection = _member(self.session, "audio", "input", "turn_detection")
        if not isinstance(detection, Mapping):
            return False
        return detection.get("interrupt_response") is not False  # the API's default is true

    def _stop_playback(self) -> None:
        if self.current_audio is not None:  # attached to a call, whose audio the server plays
            super()._stop_playback()
        playing = self._playing
        if playing is None:
            return
        self._emits.append(Emit("audio_interrupted"))
        if playing.is_complete and self._heard_ms >= playing.length_ms:
            self._playing = None  # truncating would cost the transcript of what was heard
            return
        self._interrupted.add(playing.item_id)
        self._truncation = {
            "type": "conversation.item.truncate",
            "item_id": playing.item_id,
            "content_index": playing.content_index,
            "audio_end_ms": max(0, math.floor(min(self._heard_ms, playing.length_ms))),
        }

    def _resume(self, playing: PlayingAudio | None) -> None:
        """The truncation was not sent, so it may be tried again."""
        if playing is not None:
            self._interrupted.discard(playing.item_id)
        self._playing = playing

    def _take_audio(self, event: JsonObject) -> list[Emit]:
        if event["item_id"] in self._interrupted:
            return []
        try:
            audio = audio_event(event)
        except ProtocolError as exc:
            return [Emit("error", (ErrorEvent(exc),))]
        playing = self._part_of(event)
        audio_format = self.audio_format(audio.response_id)
        samples = len(audio.data) / bytes_per_sample(audio_format)
        playing.length_ms += samples / rate_hz_of(audio_format) * 1000
        return [Emit("audio", (audio,))]

    def _part_of(self, event: JsonObject) -> PlayingAudio:
        place = event["item_id"], event["content_index"]
        playing = self._playing
        if playing is None or (playing.item_id, playing.content_index) != place:
            playing = self._playing = PlayingAudio(*place)
        return playing

    def _note_format(self, response: Mapping[str, Any]) -> None:
        own_format = _member(response, "audio", "output", "format")
        if response.get("id"):
            self._response_formats[response["id"]] = own_format or self._session_format()

    def _session_format(self) -> object:
        return _member(self.session, "audio", "output", "format")


class SipProtocol(WebSocketProtocol):
    """The protocol of a link attached to a telephone call: the server plays, and so truncates."""

    def _yield_to_speech(self) -> None:
        self.interrupt(not self._server_interrupts())

    def _stop_playback(self) -> None:
        self._send({"type": "output_audio_buffer.clear"})


def _member(value: object, *path: str) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
