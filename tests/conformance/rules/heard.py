"""What of the model's audio is heard where the client plays it, by the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Heard"]


@dataclass
class Heard:
    """What comes of each part, and since when the last one is heard."""

    now_ms: float = 0.0
    place: tuple[Any, Any] | None = None
    began_ms: float = 0.0
    length_ms: float = 0.0
    came_ms: dict[Any, float] = field(default_factory=dict)
    session_format: Any = None
    formats: dict[Any, Any] = field(default_factory=dict)

    def take(self, event: Mapping[str, Any], size: int) -> None:
        place = event["item_id"], event["content_index"]
        if place != self.place:
            self.stop()
            self.place, self.began_ms = place, self.now_ms
        audio_format = self.formats.get(event.get("response_id")) or self.session_format
        kind = audio_format.get("type") if isinstance(audio_format, dict) else audio_format
        if str(kind).startswith(("audio/pcmu", "audio/pcma", "g711")):
            self.length_ms += size / 8
        else:
            rate = (audio_format or {}).get("rate") if isinstance(audio_format, dict) else None
            self.length_ms += size / 2 / (rate or 24_000) * 1000

    def stop(self) -> None:
        if self.place is not None:
            self.came_ms[self.place] = self.came_ms.get(self.place, 0.0) + self.length_ms
        self.place, self.length_ms = None, 0.0

    def follow(self, event: Mapping[str, Any]) -> None:
        response = event.get("response") or {}
        match event.get("type"):
            case "session.created" | "session.updated":
                self.session_format = _output_format(event.get("session"))
            case "response.created" if response.get("id"):
                self.formats[response["id"]] = _output_format(response) or self.session_format
            case "response.done":
                self.formats.pop(response.get("id"), None)


def _output_format(value: Any) -> Any:
    for key in ("audio", "output", "format"):
        value = value.get(key) if isinstance(value, dict) else None
    return value
