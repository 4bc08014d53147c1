"""The server's HTTP end points."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

from realtime_core.errors import ProtocolError, TransportError
from realtime_transports.local_server.calls import Call
from realtime_transports.local_server.errors import ApiError
from realtime_transports.local_server.keys import EphemeralKey, EphemeralKeys
from realtime_transports.local_server.websocket import Sideband, WebSocketSession
from realtime_transports.openai.server_outputs import ClientEventError, JsonObject, random_id
from realtime_transports.openai.server_session import AUDIO_FORMATS, SessionConfig

if TYPE_CHECKING:
    from realtime_transports.local_server.responders import Responder

__all__ = ["MAX_BODY_BYTES", "Routes"]

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1_000_000
"""An offer has a few kilobytes, a session with many tools a few hundred."""

DEFAULT_KEY_LIFETIME_S = 600
MIN_KEY_LIFETIME_S = 10
MAX_KEY_LIFETIME_S = 7_200
SUBPROTOCOL = "realtime"
KEY_SUBPROTOCOL = "openai-insecure-api-key."


class Routes:
    """Handles requests and keeps what they opened."""

    def __init__(self, responder: Responder, *, loopback: bool) -> None:
        """Begin without sessions.

        Args:
            responder: Answers in every session.
            loopback: Whether calls may come over 127.0.0.1.
        """
        self._responder = responder
        self._loopback = loopback
        self._keys = EphemeralKeys()
        self._calls: dict[str, Call] = {}
        self._sockets: set[WebSocketSession] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def add_to(self, app: web.Application) -> None:
        """Serve these end points."""
        app.router.add_post("/v1/realtime/calls", self._post_call)
        app.router.add_post("/v1/realtime/calls/{call_id}/hangup", self._post_hangup)
        app.router.add_post("/v1/realtime/client_secrets", self._post_client_secret)
        app.router.add_get("/v1/realtime", self._get_socket)

    async def close(self) -> None:
        """End every session and begin no more."""
        self._is_closed = True
        endings = [call.close() for call in list(self._calls.values())]
        endings += [socket.close() for socket in list(self._sockets)]
        await asyncio.gather(*endings)
        await asyncio.gather(*self._endings)

    async def _post_call(self, request: web.Request) -> web.Response:
        key = self._authorize(_bearer(request))
        offer_sdp, changes = await _read_offer(request)
        config = self._configure(key, changes, request.query.get("model"))
        call_id = random_id("rtc")
        call = self._calls[call_id] = Call(call_id, config, self._responder, self._end_call)
        try:
            answer_sdp = await call.answer(offer_sdp, loopback=self._loopback)
        except ProtocolError as exc:
            raise ApiError(400, str(exc), code="invalid_offer", param="sdp") from exc
        except TransportError as exc:
            raise ApiError(503, str(exc), code="server_closing") from exc
        log.info("call %s answered", call_id)
        return web.Response(
            status=201,
            text=answer_sdp,
            content_type="application/sdp",
            headers={hdrs.LOCATION: f"/v1/realtime/calls/{call_id}"},
        )

    async def _post_client_secret(self, request: web.Request) -> web.Response:
        self._authorize(_bearer(request))
        body = _parse_object(await _read_text(request) or "{}", "body")
        changes = body.get("session") or {}
        lifetime_s = _key_lifetime(body.get("expires_after"))
        config = self._configure(None, changes, None)
        key = self._keys.create(changes, lifetime_s)
        return web.json_response(
            {"value": key.value, "expires_at": key.expires_at, "session": config.to_dict()}
        )

    async def _get_socket(self, request: web.Request) -> web.StreamResponse:
        offered = _offered_subprotocols(request)
        key = self._authorize(_bearer(request) or _key_of_subprotocols(offered))
        chosen = [name for name in offered if name == SUBPROTOCOL]
        if "call_id" in request.query:
            return await Sideband(self._call(request.query["call_id"])).run(request, chosen)
        config = self._configure(
            key, {}, request.query.get("model"), audio_formats=WebSocketSession.AUDIO_FORMATS
        )
        socket = WebSocketSession(config, self._responder)
        self._sockets.add(socket)
        try:
            return await socket.run(request, chosen)
        finally:
            self._sockets.discard(socket)

    async def _post_hangup(self, request: web.Request) -> web.Response:
        self._authorize(_bearer(request))
        self._end_call(self._call(request.match_info["call_id"]))
        return web.Response()

    def _call(self, call_id: str) -> Call:
        """A running call.

        Raises:
            ApiError: There is none of this id.
        """
        try:
            return self._calls[call_id]
        except KeyError:
            raise ApiError(404, "there is no such call", code="call_not_found") from None

    def _authorize(self, bearer: str | None) -> EphemeralKey | None:
        """The ephemeral key used, None if it is another one.

        Raises:
            ApiError: There is no key, or it has expired.
        """
        if self._is_closed:
            raise ApiError(503, "the server ends", code="server_closing")
        if not bearer:
            raise ApiError(
                401, "Missing bearer authentication in header", code="missing_authentication"
            )
        key = self._keys.find(bearer)
        if key is not None and self._keys.is_expired(key):
            raise ApiError(401, "The ephemeral key has expired", code="expired_key")
        return key

    def _configure(
        self,
        key: EphemeralKey | None,
        changes: object,
        model: str | None,
        *,
        audio_formats: Collection[str] = AUDIO_FORMATS,
    ) -> SessionConfig:
        config = SessionConfig(random_id("sess"), audio_formats=audio_formats)
        try:
            if model:
                config.update({"model": model})
            if key is not None:
                config.update(key.session_changes)
            config.update(changes)
        except ClientEventError as exc:
            raise ApiError(400, exc.message, code=exc.code, param=exc.param) from exc
        return config

    def _end_call(self, call: Call) -> None:
        log.info("call %s ended", call.id)
        self._calls.pop(call.id, None)
        ending = asyncio.get_running_loop().create_task(call.close())
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)


def _bearer(request: web.Request) -> str | None:
    scheme, _, value = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


def _offered_subprotocols(request: web.Request) -> list[str]:
    headers = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
    return [name.strip() for header in headers for name in header.split(",")]


def _key_of_subprotocols(offered: list[str]) -> str | None:
    """The key of a client that cannot set headers: a browser."""
    for name in offered:
        if name.startswith(KEY_SUBPROTOCOL):
            return name.removeprefix(KEY_SUBPROTOCOL)
    return None


async def _read_text(request: web.Request) -> str:
    try:
        return await request.text()
    except (ValueError, LookupError) as exc:  # not in its charset, or in one that there is not
        raise ApiError(
            400, f"The body cannot be read: {exc}", code="invalid_value", param="body"
        ) from exc


async def _read_offer(request: web.Request) -> tuple[str, JsonObject]:
    """The offer of a call, and what its session begins with."""
    if request.content_type == "application/sdp":
        return _as_text(await request.read(), "sdp"), {}
    if request.content_type != "multipart/form-data":
        raise ApiError(
            400,
            "Send the offer as application/sdp, or as multipart/form-data with 'sdp' and 'session'",
            code="unsupported_content_type",
        )
    try:
        form: Mapping[str, Any] = await request.post()
    except (ValueError, LookupError) as exc:  # the latter for a charset that there is not
        raise ApiError(400, f"The form cannot be read: {exc}", code="invalid_form") from exc
    if "sdp" not in form:
        raise ApiError(
            400, "Missing form field: 'sdp'", code="missing_required_parameter", param="sdp"
        )
    session = _as_text(form.get("session", "{}"), "session")
    return _as_text(form["sdp"], "sdp"), _parse_object(session, "session")


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
        parsed = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ApiError(
            400, f"'{param}' is not valid JSON: {exc}", code="invalid_json", param=param
        ) from exc
    if not isinstance(parsed, dict):
        raise ApiError(400, f"'{param}' is not an object", code="invalid_type", param=param)
    return parsed


def _key_lifetime(expires_after: object) -> int:
    if expires_after is None:
        return DEFAULT_KEY_LIFETIME_S
    seconds = expires_after.get("seconds") if isinstance(expires_after, dict) else None
    if not isinstance(seconds, int) or not MIN_KEY_LIFETIME_S <= seconds <= MAX_KEY_LIFETIME_S:
        raise ApiError(
            400,
            f"'expires_after.seconds' must be a whole number from {MIN_KEY_LIFETIME_S} to "
            f"{MAX_KEY_LIFETIME_S}",
            code="invalid_value",
            param="expires_after.seconds",
        )
    return seconds
