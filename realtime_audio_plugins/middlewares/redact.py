"""Leaves out of texts, transcripts and arguments what matches a pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypeAlias

from pydantic import Field

from realtime_core.errors import UserError
from realtime_core.masking import AUDIO_DELTAS, PRESETS, make_masking
from realtime_core.middleware import EventMiddleware
from realtime_core.specs import SpecOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.masking import Masking
    from realtime_core.middleware import Passed

__all__ = ["RedactMiddleware", "RedactOptions"]

Direction: TypeAlias = Literal["in", "out", "both"]
Pieces: TypeAlias = Literal["hold", "drop", "pass"]

HOLD_CHARS = 64
"""The longest find that is certain to be found in text that comes in pieces."""

ENDS = (".done", ".completed", ".failed")
"""What the type of the event ends in that closes a text in pieces."""


class RedactOptions(SpecOptions):
    """Options of ``redact``."""

    spec_argument: ClassVar[str | None] = "presets"

    presets: str = Field(
        "", description=f"patterns by name, separated by commas: {', '.join(PRESETS)}"
    )
    pattern: str | None = Field(None, description="a further pattern, a regular expression")
    direction: Direction = Field("both", description="whose events: the server's, ours, both")
    deltas: Pieces = Field("hold", description="what happens to texts that come in pieces")
    hold: int = Field(HOLD_CHARS, ge=1, le=10_000, description="characters held back")


class RedactMiddleware(EventMiddleware):
    """Puts ``[email]`` and the like in the place of what matches.

    Whole texts (transcripts, messages, arguments and outputs of functions, in whichever event) are
    always redacted. Texts that come in pieces are by default held back by as many characters as
    the longest find may have, and the rest follows in a piece of its own before the event that
    ends the text; arguments of functions, which must stay JSON, are held back whole.

    Audio is not touched: who must not hear a thing must not get the audio.
    """

    def __init__(
        self,
        presets: Sequence[str] = (),
        *,
        pattern: str | None = None,
        direction: Direction = "both",
        deltas: Pieces = "hold",
        hold_chars: int = HOLD_CHARS,
    ) -> None:
        r"""Say what is left out.

        Args:
            presets: Names of patterns in `realtime_core.masking.PRESETS`.
            pattern: A regular expression, such as ``r"\bproject \w+"``. One that takes long on
                some texts holds up the call.
            direction: Whether the server's events are redacted (``"in"``), the program's
                (``"out"``), or both. What goes out redacted, the model never sees.
            deltas: What happens to the pieces of a text: ``"hold"`` them back as far as needed,
                ``"drop"`` them, so that only whole texts come, or let them ``"pass"`` as they are.
            hold_chars: The longest find that is certain to be found in pieces.

        Raises:
            UserError: Neither a preset nor a pattern is given.
            ValidationError: There is no such preset, or no such expression.
        """
        if not presets and not pattern:
            raise UserError(
                f"redact what? give patterns by name ({', '.join(PRESETS)}) or a pattern"
            )
        self._masking = make_masking(presets, pattern)
        self._direction = direction
        self._deltas = deltas
        self._hold_chars = hold_chars
        self._texts: dict[_Place, _HeldText] = {}

    @classmethod
    def from_options(cls, options: RedactOptions) -> RedactMiddleware:
        """What ``redact`` in a spec makes."""
        presets = [name.strip() for name in options.presets.split(",") if name.strip()]
        return cls(
            presets,
            pattern=options.pattern,
            direction=options.direction,
            deltas=options.deltas,
            hold_chars=options.hold,
        )

    @property
    def name(self) -> str:
        """What it is called in errors."""
        return "redact"

    def incoming(self, event: dict[str, Any]) -> Passed:
        """Redact an event of the server."""
        if self._direction == "out":
            return event
        event_type = event.get("type")
        if not isinstance(event_type, str) or event_type in AUDIO_DELTAS:
            return event
        if event_type.endswith(".delta") and isinstance(event.get("delta"), str):
            return self._take_piece(event)
        return [*self._rest_before(event), self._masking.mask_content(event)]

    def outgoing(self, event: dict[str, Any]) -> dict[str, Any]:
        """Redact an event for the server."""
        if self._direction == "in":
            return event
        masked: dict[str, Any] = self._masking.mask_content(event)
        return masked

    def link_closed(self) -> None:
        """What was held back will not be completed."""
        self._texts.clear()

    def _take_piece(self, event: dict[str, Any]) -> dict[str, Any] | None:
        if self._deltas != "hold":
            return event if self._deltas == "pass" else None
        place = _place(event, event["type"].removesuffix(".delta"))
        text = self._texts.get(place)
        if text is None:
            keeps_all = place.kind.endswith("arguments")
            text = _HeldText(self._masking, None if keeps_all else self._hold_chars)
            self._texts[place] = text
        text.last_event = event
        piece = text.push(event["delta"])
        return {**event, "delta": piece} if piece else None

    def _rest_before(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """What is still held of the texts that this event ends."""
        if event["type"] == "response.done":
            response = event.get("response")
            response_id = response.get("id") if isinstance(response, dict) else None
            ended = [place for place in self._texts if place.response_id == response_id]
        else:
            kind, dot, end = event["type"].rpartition(".")
            place = _place(event, kind)
            ended = [place] if dot + end in ENDS and place in self._texts else []
        texts = [self._texts.pop(place) for place in ended]
        return [{**text.last_event, "delta": rest} for text in texts if (rest := text.flush())]


class _Place(NamedTuple):
    """Which text a piece belongs to."""

    kind: str
    response_id: Any
    item_id: Any
    content_index: Any


def _place(event: dict[str, Any], kind: str) -> _Place:
    ids = (event.get(key) for key in ("response_id", "item_id", "content_index"))
    return _Place(kind, *(each if isinstance(each, str | int) else None for each in ids))


class _HeldText:
    """A text that comes in pieces, of which the end is held back."""

    def __init__(self, masking: Masking, hold_chars: int | None) -> None:
        self._masking = masking
        self._hold_chars = hold_chars
        """None holds all of it."""
        self._text = ""
        self._released = 0
        self.last_event: dict[str, Any] = {}

    def push(self, piece: str) -> str:
        """Take a piece; gives what can be released now, redacted."""
        self._text += piece
        if self._hold_chars is None:
            return ""
        cut = len(self._text) - self._hold_chars
        if cut <= self._released:
            return ""
        for span in self._masking.spans(self._text, self._released):
            if span.start < cut < span.end:
                cut = span.start
        return self._release(cut)

    def flush(self) -> str:
        """The rest: the text is over."""
        if self._hold_chars is None:
            return self._masking.mask_text(self._text)
        return self._release(len(self._text))

    def _release(self, cut: int) -> str:
        piece = self._masking.mask(self._text, self._released, cut)
        self._released = cut
        return piece
