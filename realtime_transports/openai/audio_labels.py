"""Which response, item and content part the audio on a media track belongs to.

RTP says nothing of it, but the events do: `output_audio_buffer.started` names the response that
is now played (API reference, "WebRTC and SIP only"), and `response.content_part.added` tells which
part of which item holds its audio. The server makes audio faster than it plays, so a part may be
known long before its response starts, or just after. Of a response with several parts of audio the
first is named: when the next begins to play, no event tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["AudioLabel", "AudioLabels"]

_RESPONSES_KEPT = 16
"""Responses whose audio is known and was never started (cancelled early) must not pile up."""


@dataclass(frozen=True, slots=True)
class AudioLabel:
    """What the audio that is now played belongs to."""

    response_id: str | None
    item_id: str | None = None
    content_index: int | None = None


class AudioLabels:
    """Follows the events of one connection."""

    def __init__(self) -> None:
        self._parts: dict[str, AudioLabel] = {}
        self._playing: AudioLabel | None = None

    @property
    def current(self) -> AudioLabel | None:
        """What is played now; None between responses."""
        if self._playing is None or self._playing.response_id is None:
            return self._playing
        return self._parts.get(self._playing.response_id, self._playing)

    def receive(self, event: Mapping[str, Any]) -> None:
        """Note what an event tells. Any server event may be given, in any form."""
        response_id = event.get("response_id")
        response_id = response_id if isinstance(response_id, str) else None
        match event.get("type"):
            case "output_audio_buffer.started":
                self._playing = AudioLabel(response_id)
            case "output_audio_buffer.stopped" | "output_audio_buffer.cleared":
                self._stop(response_id)
            case "response.content_part.added" if response_id and _is_audio(event.get("part")):
                self._note_part(response_id, event)
            case "response.output_audio_transcript.delta" if response_id:
                self._note_part(response_id, event)

    def clear(self) -> None:
        """Forget everything: the connection is gone."""
        self._parts.clear()
        self._playing = None

    def _stop(self, response_id: str | None) -> None:
        if response_id is not None:
            self._parts.pop(response_id, None)
            playing = self._playing.response_id if self._playing else None
            if playing not in {None, response_id}:
                return
        self._playing = None

    def _note_part(self, response_id: str, event: Mapping[str, Any]) -> None:
        if response_id in self._parts:
            return
        item_id, index = event.get("item_id"), event.get("content_index")
        self._parts[response_id] = AudioLabel(
            response_id,
            item_id if isinstance(item_id, str) else None,
            index if isinstance(index, int) else None,
        )
        if len(self._parts) > _RESPONSES_KEPT:
            del self._parts[next(iter(self._parts))]


def _is_audio(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") in {"audio", "output_audio"}
