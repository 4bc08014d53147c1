"""What the server does wrong on request, so that clients can be tested for it.

`Faults` says what; it is read from texts such as ``"drop-ack=session.updated:1"``. What becomes of
events decides `event_faults`, what becomes of media packets `realtime_core.testing.link`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, TypeAlias

import pydantic

from realtime_core.errors import ValidationError
from realtime_core.testing.link import LinkConditions
from realtime_transports.openai.server_session import DEFAULT_MODEL

__all__ = [
    "HTTP_ERRORS",
    "DisconnectAt",
    "Faults",
    "HttpFault",
    "InjectedEvent",
    "MatchingEvent",
    "ReplyError",
    "parse_faults",
]

MAX_OVERSIZE_BYTES = 64 * 1024 * 1024
DEFAULT_OVERSIZE_BYTES = 1024 * 1024
AFTER = "session.created"
"""Where a message of ours is put in unless an event type says otherwise."""


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


EventType: TypeAlias = str
Times = pydantic.Field(default=None, ge=1)


class MatchingEvent(_Part):
    """Events of one type."""

    type: EventType = pydantic.Field(min_length=1)
    times: int | None = Times
    """How many of them, from the first on, in each session; None is all."""


class ReplyError(MatchingEvent):
    """Client events of one type that are answered by an error and not obeyed."""

    code: str = pydantic.Field(min_length=1)
    """The error's code, such as ``rate_limit_exceeded``."""


class InjectedEvent(_Part):
    """A message that is put in once, after the first event of a type."""

    after: EventType = pydantic.Field(default=AFTER, min_length=1)
    size_bytes: int = pydantic.Field(default=DEFAULT_OVERSIZE_BYTES, ge=1, le=MAX_OVERSIZE_BYTES)
    """Of an oversize event; over WebRTC as much of it as the caller takes."""


class DisconnectAt(_Part):
    """When the server drops the connection; exactly one is given."""

    after_s: float | None = pydantic.Field(default=None, ge=0, le=86_400)
    """So many seconds after the session's beginning."""
    after_events: int | None = pydantic.Field(default=None, ge=1)
    """After so many server events."""
    after_type: EventType | None = pydantic.Field(default=None, min_length=1)
    """After the first server event of this type."""

    @pydantic.model_validator(mode="after")
    def _one(self) -> DisconnectAt:
        if sum(each is not None for each in (self.after_s, self.after_events, self.after_type)) - 1:
            raise ValueError("give one of after_s, after_events and after_type")
        return self


class HttpFault(_Part):
    """HTTP requests that are answered by an error."""

    status: int = pydantic.Field(ge=400, le=599)
    times: int | None = Times
    """How many, from the first on; None is all."""


class Faults(_Part):
    """What the server does wrong. Without arguments: nothing."""

    latency_s: float = pydantic.Field(default=0.0, ge=0, le=60)
    """Each server event leaves so much later; the order stays."""
    drop_acks: tuple[MatchingEvent, ...] = ()
    """Server events that are not sent."""
    errors: tuple[ReplyError, ...] = ()
    """Client events that fail."""
    races: int | None = pydantic.Field(default=0, ge=0)
    """So many times in a session, an answer begins just before the client asks for one, as when
    the user's turn ended by itself; None is always."""
    oversize: InjectedEvent | None = None
    """An event larger than most clients take."""
    malformed: InjectedEvent | None = None
    """A message that is no JSON."""
    disconnect: DisconnectAt | None = None
    """The connection is dropped without a word."""
    expired_key: bool = False
    """Ephemeral keys have always expired."""
    http: HttpFault | None = None
    """Requests fail."""
    loss: float = pydantic.Field(default=0.0, ge=0, le=1)
    """Share of media packets that are lost; this and the following concern WebRTC only."""
    jitter_s: float = pydantic.Field(default=0.0, ge=0, le=10)
    """Media packets come up to so much later."""
    delay_s: float = pydantic.Field(default=0.0, ge=0, le=10)
    """Packets come so much later."""
    reorder: float = pydantic.Field(default=0.0, ge=0, le=1)
    """Share of media packets that the next ones overtake."""
    duplicate: float = pydantic.Field(default=0.0, ge=0, le=1)
    """Share of media packets that come twice."""
    rate_bps: float | None = pydantic.Field(default=None, gt=0)
    """Bits per second that pass; None is no limit."""

    @property
    def link_conditions(self) -> LinkConditions | None:
        """What happens to packets; None where nothing does."""
        conditions = LinkConditions(
            loss=self.loss,
            jitter_s=self.jitter_s,
            delay_s=self.delay_s,
            reorder=self.reorder,
            duplicate=self.duplicate,
            rate_bps=self.rate_bps,
        )
        return None if conditions == LinkConditions() else conditions

    @classmethod
    def of(cls, faults: Faults | str | Iterable[str] | None) -> Faults:
        """Faults in any of the forms in which they are given.

        Raises:
            ValidationError: A text says none; the message names it.
        """
        match faults:
            case None:
                return cls()
            case Faults():
                return faults
            case str():
                return parse_faults([faults])
        return parse_faults(faults)


# Reading them


def parse_faults(texts: Iterable[str]) -> Faults:
    """What texts such as ``"latency=200ms"`` or ``"http=503:2"`` say.

    Raises:
        ValidationError: One is none; the message repeats it and says what is wrong.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:  # malformed@session.updated
            name, at, value = text.partition("@")
            value = f"@{value}" if at else ""
        read = _READERS.get(name)
        if read is None:
            close = difflib.get_close_matches(name, _READERS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(_READERS)}"
            raise ValidationError(f"fault {text!r}: there is no {name!r}; {hint}")
        try:
            field, read_value = read(value)
            if isinstance(read_value, tuple):
                values[field] = values.get(field, ()) + read_value
            elif field in values:
                raise ValueError("it is given twice")
            else:
                values[field] = read_value
            Faults.model_validate({field: values[field]})
        except ValueError as exc:  # pydantic's is one too
            raise ValidationError(f"fault {text!r}: {_reason(exc)}") from None
    return Faults.model_validate(values)


def _reason(exc: ValueError) -> str:
    if not isinstance(exc, pydantic.ValidationError):
        return str(exc)
    message = exc.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s)")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)(%?)")
_RATE = re.compile(r"(\d+(?:\.\d+)?)(k|M)?(?:bit/s|bps)?")
_SIZE = re.compile(r"(\d+)(k|M)?B?")


def _time(text: str) -> float:
    if found := _TIME.fullmatch(text):
        return float(found[1]) / (1000 if found[2] == "ms" else 1)
    raise ValueError(f"a time is written as 200ms or 1.5s, not {text!r}")


def _share(text: str) -> float:
    if found := _SHARE.fullmatch(text):
        return float(found[1]) / (100 if found[2] else 1)
    raise ValueError(f"a share is written as 10% or 0.1, not {text!r}")


def _rate(text: str) -> float:
    if found := _RATE.fullmatch(text):
        return float(found[1]) * {None: 1, "k": 1e3, "M": 1e6}[found[2]]
    raise ValueError(f"a rate is written as 64k or 1M, in bits per second, not {text!r}")


def _size(text: str) -> int:
    if found := _SIZE.fullmatch(text):
        return int(found[1]) * {None: 1, "k": 1024, "M": 1024 * 1024}[found[2]]
    raise ValueError(f"a size is written as 300k or 2M, in bytes, not {text!r}")


def _with_times(text: str) -> tuple[str, int | None]:
    """``"session.updated:2"`` → its parts."""
    what, _, times = text.rpartition(":")
    return (what, int(times)) if what and times.isdecimal() else (text, None)


def _drop_ack(text: str) -> tuple[str, Any]:
    event_type, times = _with_times(text)
    if not event_type:
        raise ValueError("it is written as drop-ack=session.updated or drop-ack=session.updated:1")
    return "drop_acks", ({"type": event_type, "times": times},)


def _error(text: str) -> tuple[str, Any]:
    rest, times = _with_times(text)
    event_type, _, code = rest.partition(":")
    if not event_type or not code:
        raise ValueError("it is written as error=response.create:rate_limit_exceeded")
    return "errors", ({"type": event_type, "code": code, "times": times},)


def _race(text: str) -> tuple[str, Any]:
    what, times = _with_times(text)
    if what == "response:always":
        return "races", None
    if what != "response":
        raise ValueError("it is written as race=response, race=response:2 or race=response:always")
    return "races", 1 if times is None else times


def _oversize(text: str) -> tuple[str, Any]:
    size, at, after = text.partition("@")
    value: dict[str, Any] = {"after": after} if at else {}
    return "oversize", value | ({"size_bytes": _size(size)} if size else {})


def _malformed(text: str) -> tuple[str, Any]:
    before, at, after = text.partition("@")
    if before:
        raise ValueError("it is written as malformed or malformed@response.created")
    return "malformed", {"after": after} if at else {}


def _disconnect(text: str) -> tuple[str, Any]:
    what = text.removeprefix("@")
    if what.isdecimal():
        return "disconnect", {"after_events": int(what)}
    if _TIME.fullmatch(what):
        return "disconnect", {"after_s": _time(what)}
    if not what or what[0].isdigit():
        raise ValueError("it is written as disconnect@5s, disconnect@20 or disconnect@TYPE")
    return "disconnect", {"after_type": what}


def _http(text: str) -> tuple[str, Any]:
    status, times = _with_times(text)
    if not status.isdecimal():
        raise ValueError("it is written as http=503 or http=503:2")
    return "http", {"status": int(status), "times": times}


def _expired_key(text: str) -> tuple[str, Any]:
    if text:
        raise ValueError("it takes no value")
    return "expired_key", True


_READERS: dict[str, Any] = {
    "latency": lambda text: ("latency_s", _time(text)),
    "drop-ack": _drop_ack,
    "error": _error,
    "race": _race,
    "oversize": _oversize,
    "malformed": _malformed,
    "disconnect": _disconnect,
    "expired-key": _expired_key,
    "http": _http,
    "loss": lambda text: ("loss", _share(text)),
    "jitter": lambda text: ("jitter_s", _time(text)),
    "delay": lambda text: ("delay_s", _time(text)),
    "reorder": lambda text: ("reorder", _share(text)),
    "duplicate": lambda text: ("duplicate", _share(text)),
    "rate": lambda text: ("rate_bps", _rate(text)),
}


HTTP_ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", "invalid_value", "The request is invalid."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Not supported here."),
    404: (
        "invalid_request_error",
        "model_not_found",
        f"The model `{DEFAULT_MODEL}` does not exist or you do not have access to it.",
    ),
    429: (
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    500: (
        "server_error",
        None,
        "The server had an error while processing your request. Sorry about that!",
    ),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
}
"""Type, code and message of the API's bodies, by status."""
