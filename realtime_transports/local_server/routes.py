"""The server's HTTP end points."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

from realtime_core.errors import ProtocolError, TransportError
from realtime_core.testing.udp_relay import UdpRelay, without_candidates
from realtime_transports.local_server import strictness
from realtime_transports.local_server.calls import Call
from realtime_transports.local_server.errors import ApiError
from realtime_transports.local_server.faults import Faults
from realtime_transports.local_server.keys import EphemeralKey, KeyRing
from realtime_transports.local_server.requests import (
    SUBPROTOCOL,
    key_in_header,
    key_in_subprotocol,
    key_lifetime_s,
    offered_subprotocols,
    peer_of,
    read_object,
    read_offer,
)
from realtime_transports.local_server.session import SessionOptions
from realtime_transports.local_server.websocket import Sideband, WebSocketSession
from realtime_transports.openai import wire
from realtime_transports.openai.server_outputs import ClientEventError, random_id
from realtime_transports.openai.server_session import AUDIO_FORMATS, SessionConfig

if TYPE_CHECKING:
    from realtime_transports.local_server.door import Door
    from realtime_transports.local_server.records import Records
    from realtime_transports.local_server.responders import Responder

__all__ = ["MAX_BODY_BYTES", "RouteOptions", "Routes"]

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1_000_000
"""An offer has a few kilobytes, a session with many tools a few hundred."""

PREFIXES = ("/v1/realtime", "/openai/v1/realtime")
"""OpenAI's paths, and Azure's."""


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """How the end points behave."""

    loopback: bool
    """Whether calls may come over 127.0.0.1."""
    keys: KeyRing
    is_strict: bool = False
    """Whether what the real API refuses is refused."""
    faults: Faults = field(default_factory=Faults)
    seed: int = 0
    """Of the faults."""
    max_sessions: int = 64
    """At a time."""
    session: SessionOptions = field(default_factory=SessionOptions)
    """Of each session."""


@dataclass(slots=True)
class _Held:
    """A call, and what closes with it."""

    call: Call
    door: Door
    relay: UdpRelay | None
    is_answered: bool = False
    """Until then a call ends by what keeps it from being answered."""


class Routes:
    """Handles requests and keeps what they opened."""

    def __init__(self, responder: Responder, records: Records, options: RouteOptions) -> None:
        """Begin without sessions.

        Args:
            responder: Answers in every session.
            records: Makes each session's door.
            options: How they behave.
        """
        self._responder = responder
        self._records = records
        self._options = options
        self._calls: dict[str, _Held] = {}
        self._sockets: set[WebSocketSession] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._calls_begun = 0
        self._is_closed = False

    def add_to(self, app: web.Application) -> None:
        """Serve these end points."""
        for prefix in PREFIXES:
            app.router.add_post(f"{prefix}/calls", self._post_call)
            app.router.add_post(f"{prefix}/calls/{{call_id}}/hangup", self._post_hangup)
            app.router.add_post(f"{prefix}/client_secrets", self._post_client_secret)
            app.router.add_get(prefix, self._get_socket)

    async def close(self) -> None:
        """End every session and begin no more."""
        self._is_closed = True
        await self.end_sessions("the server ended")

    async def end_sessions(self, reason: str) -> None:
        """End every session."""
        for held in list(self._calls.values()):
            self._end_call(held.call, reason)
        await asyncio.gather(*(socket.close(reason) for socket in list(self._sockets)))
        await asyncio.gather(*self._endings)

    def begin_anew(self) -> None:
        """The next call is the first one again, as far as what goes wrong by chance."""
        self._calls_begun = 0

    # End points

    async def _post_call(self, request: web.Request) -> web.Response:
        key = self._check_key(key_in_header(request))
        offer = await read_offer(request)
        if self._options.is_strict:
            strictness.require_what_a_call_needs(offer, key)
        config = self._configure(key, offer.session or {}, request.query.get("model"))
        self._require_room()
        call_id = random_id("rtc")
        door = self._records.begin(call_id, "webrtc", config, peer_of(request))
        call = Call(
            call_id, config, self._responder, self._call_closed, door, options=self._options.session
        )
        held = self._calls[call_id] = _Held(call, door, self._make_relay())
        try:
            answer_sdp = await self._take(held, offer.sdp)
        except ProtocolError as exc:
            raise ApiError(400, str(exc), code="invalid_offer", param="sdp") from exc
        except TransportError as exc:
            raise ApiError(503, str(exc), code="server_closing") from exc
        except BaseException:
            self._end_call(call, "the caller left while calling")
            raise
        log.info("call %s answered", call_id)
        return web.Response(
            status=201,
            text=answer_sdp,
            content_type="application/sdp",
            headers={hdrs.LOCATION: f"{request.path}/{call_id}"},
        )

    async def _take(self, held: _Held, offer_sdp: str) -> str:
        """The answer's SDP; a call that cannot be taken is ended."""
        relay, loopback = held.relay, self._options.loopback
        try:
            if relay is not None:
                offer_sdp = without_candidates(offer_sdp)
            answer_sdp = await held.call.answer(offer_sdp, loopback=loopback)
            held.is_answered = True
            return answer_sdp if relay is None else await relay.redirect(answer_sdp)
        except (ProtocolError, TransportError) as exc:
            self._end_call(held.call, str(exc))
            raise

    async def _post_client_secret(self, request: web.Request) -> web.Response:
        key = self._check_key(key_in_header(request))
        body = await read_object(request)
        changes = {} if body.get("session") is None else body["session"]
        lifetime_s = key_lifetime_s(body.get("expires_after"))
        if self._options.is_strict:
            strictness.require_standard_key(key)
            if body.get("session") is not None:
                strictness.require_session_type(changes if isinstance(changes, dict) else {})
        config = self._configure(None, changes, None)
        made = self._options.keys.ephemeral.create(changes, lifetime_s)
        answer = {"value": made.value, "expires_at": made.expires_at, "session": config.to_dict()}
        return web.json_response(answer, dumps=wire.dump)

    async def _get_socket(self, request: web.Request) -> web.StreamResponse:
        offered = offered_subprotocols(request)
        key = self._check_key(key_in_header(request) or key_in_subprotocol(offered))
        chosen = [name for name in offered if name == SUBPROTOCOL]
        if "call_id" in request.query:
            return await Sideband(self._call(request.query["call_id"])).run(request, chosen)
        if not web.WebSocketResponse().can_prepare(request).ok:
            raise ApiError(
                400,
                "This is a WebSocket's address; calls are made by POST to /realtime/calls.",
                code="websocket_expected",
            )
        if self._options.is_strict:
            strictness.require_what_a_socket_needs(request, key)
        config = self._configure(
            key, {}, request.query.get("model"), audio_formats=WebSocketSession.AUDIO_FORMATS
        )
        self._require_room()
        session_id = str(config.to_dict()["id"])
        door = self._records.begin(session_id, "websocket", config, peer_of(request))
        socket = WebSocketSession(config, self._responder, door, options=self._options.session)
        self._sockets.add(socket)
        try:
            return await socket.run(request, chosen)
        finally:
            self._sockets.discard(socket)

    async def _post_hangup(self, request: web.Request) -> web.Response:
        key = self._check_key(key_in_header(request))
        if self._options.is_strict:
            strictness.require_standard_key(key)
        self._end_call(self._call(request.match_info["call_id"]), "hung up by request")
        return web.Response()

    # Parts

    def _call(self, call_id: str) -> Call:
        """A running call.

        Raises:
            ApiError: There is none of this id.
        """
        try:
            return self._calls[call_id].call
        except KeyError:
            raise ApiError(404, "there is no such call", code="call_not_found") from None

    def _check_key(self, shown: str | None) -> EphemeralKey | None:
        """The ephemeral key that was shown, None if it is a standard one.

        Raises:
            ApiError: There is no key, or it is not taken, or the server ends.
        """
        if self._is_closed:
            raise ApiError(503, "the server ends", code="server_closing")
        return self._options.keys.check(shown)

    def _require_room(self) -> None:
        if self._is_closed:  # while the request was read
            raise ApiError(503, "the server ends", code="server_closing")
        if len(self._calls) + len(self._sockets) >= self._options.max_sessions:
            raise ApiError(
                429,
                f"Rate limit reached: this server holds at most {self._options.max_sessions} "
                "sessions at a time.",
                code="rate_limit_exceeded",
                kind="rate_limit_error",
                headers={hdrs.RETRY_AFTER: "1"},
            )

    def _make_relay(self) -> UdpRelay | None:
        conditions = self._options.faults.link_conditions
        if conditions is None:
            return None
        self._calls_begun += 1
        return UdpRelay(conditions, seed=f"{self._options.seed}:{self._calls_begun}")

    def _configure(
        self,
        key: EphemeralKey | None,
        changes: Any,
        model: str | None,
        *,
        audio_formats: Collection[str] = AUDIO_FORMATS,
    ) -> SessionConfig:
        max_session_s = self._options.session.limits.max_session_s
        config = SessionConfig(
            random_id("sess"),
            audio_formats=audio_formats,
            expires_at=None if max_session_s is None else int(time.time() + max_session_s),
            strict=self._options.is_strict,
        )
        try:
            if model:
                config.update({"model": model})
            if key is not None:
                config.update(key.session_changes)
            config.update(changes)
        except ClientEventError as exc:
            raise ApiError(400, exc.message, code=exc.code, param=exc.param) from exc
        if self._options.is_strict:
            strictness.require_known_model(str(config.to_dict()["model"]))
        return config

    def _call_closed(self, call: Call) -> None:
        """The connection of a call is closed."""
        held = self._calls.get(call.id)
        if held is not None and held.is_answered:
            self._end_call(call, "the client left")

    def _end_call(self, call: Call, reason: str) -> None:
        held = self._calls.pop(call.id, None)
        if held is None:
            return
        log.info("call %s ended: %s", call.id, reason)
        held.door.close(reason)
        ending = asyncio.get_running_loop().create_task(_close(held))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)


async def _close(held: _Held) -> None:
    try:
        await held.call.close()
    finally:
        if held.relay is not None:
            await held.relay.close()
