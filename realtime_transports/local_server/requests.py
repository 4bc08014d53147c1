"""Reads what requests bring: keys, offers, sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from realtime_transports.local_server.errors import ApiError
from realtime_transports.openai import wire

if TYPE_CHECKING:
    from realtime_transports.openai.server_outputs import JsonObject

__all__ = [
    "SUBPROTOCOL",
    "Offer",
    "key_in_header",
    "key_in_subprotocol",
    "key_lifetime_s",
    "offered_subprotocols",
    "peer_of",
    "read_object",
    "read_offer",
]

SUBPROTOCOL = "realtime"
KEY_SUBPROTOCOL = "openai-insecure-api-key."
AZURE_KEY_HEADER = "api-key"

DEFAULT_KEY_LIFETIME_S = 600
MIN_KEY_LIFETIME_S = 10
MAX_KEY_LIFETIME_S = 7_200


UNREADABLE = (ValueError, LookupError, RuntimeError, web.RequestPayloadError, HttpProcessingError)
"""What aiohttp raises on a body that is not what its headers say (measured): not in its charset, in
one that there is not, compressed otherwise, or a form with broken parts."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a call begins with."""

    sdp: str
    session: JsonObject | None
    """None where the body was the SDP alone."""


def key_in_header(request: web.Request) -> str | None:
    """The key that a program shows: as a bearer, or as on Azure."""
    scheme, _, value = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return request.headers.get(AZURE_KEY_HEADER, "").strip() or None


def offered_subprotocols(request: web.Request) -> list[str]:
    """Of a WebSocket."""
    headers = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
    return [name.strip() for header in headers for name in header.split(",")]


def key_in_subprotocol(offered: list[str]) -> str | None:
    """The key of a client that cannot set headers: a browser."""
    for name in offered:
        if name.startswith(KEY_SUBPROTOCOL):
            return name.removeprefix(KEY_SUBPROTOCOL)
    return None


def peer_of(request: web.Request) -> str:
    """The address a request comes from."""
    return request.remote or "unknown"


async def read_object(request: web.Request) -> JsonObject:
    """The JSON object in the body; an empty body is an empty one."""
    try:
        text = await request.text()
    except UNREADABLE as exc:
        raise _unreadable(exc) from exc
    return _parse_object(text or "{}", "body")


async def read_offer(request: web.Request) -> Offer:
    """The offer of a call, and what its session begins with."""
    if request.content_type == "application/sdp":
        try:
            return Offer(_as_text(await request.read(), "sdp"), None)
        except UNREADABLE as exc:
            raise _unreadable(exc) from exc
    if request.content_type != "multipart/form-data":
        raise ApiError(
            400,
            "Send the offer as application/sdp, or as multipart/form-data with 'sdp' and 'session'",
            code="unsupported_content_type",
        )
    try:
        form: Mapping[str, Any] = await request.post()
    except UNREADABLE as exc:
        problem = f"The form cannot be read: {_said_by(exc)}"
        raise ApiError(400, problem, code="invalid_form") from exc
    if "sdp" not in form:
        raise ApiError(
            400, "Missing form field: 'sdp'", code="missing_required_parameter", param="sdp"
        )
    session = form.get("session")
    parsed = None if session is None else _parse_object(_as_text(session, "session"), "session")
    return Offer(_as_text(form["sdp"], "sdp"), parsed)


def key_lifetime_s(expires_after: object) -> int:
    """How long a key shall live, as ``expires_after`` says.

    Raises:
        ApiError: It says nothing that is allowed.
    """
    if expires_after is None:
        return DEFAULT_KEY_LIFETIME_S
    given: JsonObject = expires_after if isinstance(expires_after, dict) else {"seconds": None}
    if given.get("anchor", "created_at") != "created_at":
        raise ApiError(
            400,
            f"Invalid value: '{given['anchor']}'. Supported values are: 'created_at'.",
            code="invalid_value",
            param="expires_after.anchor",
        )
    seconds: Any = given.get("seconds", DEFAULT_KEY_LIFETIME_S)
    is_number = isinstance(seconds, int) and not isinstance(seconds, bool)
    if not is_number or not MIN_KEY_LIFETIME_S <= seconds <= MAX_KEY_LIFETIME_S:
        raise ApiError(
            400,
            f"'expires_after.seconds' must be a whole number from {MIN_KEY_LIFETIME_S} to "
            f"{MAX_KEY_LIFETIME_S}",
            code="invalid_value",
            param="expires_after.seconds",
        )
    return int(seconds)


def _said_by(exc: Exception) -> str:
    """What is wrong, in one line; aiohttp's own errors begin with a status."""
    return " ".join(str(exc).split()).removeprefix("400, message: ")


def _unreadable(problem: Exception) -> ApiError:
    return ApiError(
        400, f"The body cannot be read: {_said_by(problem)}", code="invalid_value", param="body"
    )


def _as_text(value: object, param: str) -> str:
    """A form field, which clients send as text, as bytes or as a file."""
    if isinstance(value, web.FileField):
        value = value.file.read()
    if isinstance(value, bytes | bytearray):
        try:
            value = value.decode()
        except UnicodeDecodeError as exc:
            raise ApiError(
                400, f"'{param}' is not UTF-8", code="invalid_value", param=param
            ) from exc
    return str(value)


def _parse_object(text: str, param: str) -> JsonObject:
    try:
        parsed = wire.parse_value(text)
    except ValueError as exc:
        raise ApiError(
            400, f"'{param}' is not valid JSON: {exc}", code="invalid_json", param=param
        ) from exc
    if not isinstance(parsed, dict):
        raise ApiError(400, f"'{param}' is not an object", code="invalid_type", param=param)
    return parsed
