"""Which response, item and content part the audio on a media track belongs to.

RTP says nothing of it, but the events do: `output_audio_buffer.started` names the response that
is now played (API reference, "WebRTC and SIP only"), and `response.content_part.added` tells which
part of which item holds its audio. The server makes audio faster than it plays, so a part may be
known long before its response starts, or just after. Of a response with several parts of audio the
first is named: when the next begins to play, no event tells.

The same events tell when audio is cut off: by the program, which the server confirms by
`output_audio_buffer.cleared`, or by the server itself, which tells it by the same event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["AudioLabel", "AudioLabels"]

_RESPONSES_KEPT = 16
"""Responses whose audio is known and was never started (cancelled early) must not pile up."""

_TELLING_EVENTS = frozenset(
    {
        "output_audio_buffer.started",
        "output_audio_buffer.stopped",
        "output_audio_buffer.cleared",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
    }
)


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
        self._is_cut_off = False
        """Whether what plays was interrupted here; the server has not confirmed it yet."""

    @property
    def current(self) -> AudioLabel | None:
        """What is played now; None between responses, and as soon as it is interrupted."""
        if self._playing is None or self._is_cut_off:
            return None
        if self._playing.response_id is None:
            return self._playing
        return self._parts.get(self._playing.response_id, self._playing)

    @property
    def is_playing(self) -> bool:
        """Whether the server plays, for all that it has told."""
        return self._playing is not None

    def receive(self, event: Mapping[str, Any]) -> bool:
        """Note what an event tells. Any server event may be given, in any form.

        Returns:
            Whether audio was cut off, other than by `interrupt`.
        """
        if event["type"] not in _TELLING_EVENTS:
            return False
        response_id = event.get("response_id")
        response_id = response_id if isinstance(response_id, str) else None
        match event["type"]:
            case "output_audio_buffer.started":
                self._playing, self._is_cut_off = AudioLabel(response_id), False
            case "output_audio_buffer.stopped":
                self._stop(response_id)
            case "output_audio_buffer.cleared":
                # What was cut off before anybody was told that it plays was cut off all the same.
                is_news = not self._is_cut_off
                return self._stop(response_id) and is_news
            case "response.content_part.added" if response_id and _is_audio(event.get("part")):
                self._note_part(response_id, event)
            case "response.output_audio_transcript.delta" if response_id:
                self._note_part(response_id, event)
        return False

    def interrupt(self) -> bool:
        """The program interrupts.

        Returns:
            Whether this cuts audio off; not a second time for the same.
        """
        cuts_off = self._playing is not None and not self._is_cut_off
        self._is_cut_off = self._playing is not None
        return cuts_off

    def clear(self) -> None:
        """Forget everything: the connection is gone."""
        self._parts.clear()
        self._playing = None
        self._is_cut_off = False

    def _stop(self, response_id: str | None) -> bool:
        """Note that a response's audio has ended; False while another one's plays."""
        if response_id is not None:
            self._parts.pop(response_id, None)
            playing = self._playing.response_id if self._playing else None
            if playing not in {None, response_id}:
                return False
        self._playing, self._is_cut_off = None, False
        return True

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
    return isinstance(part, Mapping) and part.get("type") in ("audio", "output_audio")
