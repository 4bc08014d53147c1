"""A session over WebRTC."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from realtime_core.errors import TransportError
from realtime_transports.local_server.door import Door
from realtime_transports.local_server.session import LinkOverError, Session, SessionOptions
from realtime_transports.openai import wire
from realtime_transports.openai.server_protocol import Link
from realtime_transports.webrtc.answerer import ServerPeer, answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_core.audio import Pcm16
    from realtime_transports.local_server.responders import Responder
    from realtime_transports.local_server.websocket import Sideband
    from realtime_transports.openai.server_outputs import JsonObject
    from realtime_transports.openai.server_session import SessionConfig

__all__ = ["Call"]

log = logging.getLogger(__name__)

MAX_MESSAGE_CHARS = 16 * 1024 * 1024

FAREWELL_S = 0.5
"""A data channel does not tell when what was sent has arrived."""


class Call:
    """A caller, from the offer to the end; ends by itself when the caller is gone."""

    def __init__(
        self,
        call_id: str,
        config: SessionConfig,
        responder: Responder,
        ended: Callable[[Call], None],
        door: Door | None = None,
        *,
        options: SessionOptions | None = None,
    ) -> None:
        """Prepare a session.

        Args:
            call_id: The call's id.
            config: The session's configuration; the call keeps it.
            responder: Answers.
            ended: Told when the connection is closed; whoever is told closes the call.
            door: What all events pass; None is one that only passes them on.
            options: How the session behaves.
        """
        self.id = call_id
        self._ended = ended
        self._sidebands: set[Sideband] = set()
        self._peer: ServerPeer | None = None
        self._door = door or Door()
        self._session = Session(Link.WEBRTC, config, responder, self._door, options)
        self._door.attach(self._session, self)
        self._farewell: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def answer(self, offer_sdp: str, *, loopback: bool) -> str:
        """Take the call.

        Returns:
            The answer's SDP.

        Raises:
            ProtocolError: The offer cannot be used.
            TransportError: The call was closed meanwhile.
        """
        answer_sdp, self._peer = await answer(offer_sdp, listener=self, loopback=loopback)
        if self._is_closed:
            await self._peer.close()
            raise TransportError("the server ends")
        self._door.open()
        self._session.start()
        return answer_sdp

    async def close(self) -> None:
        """End the call. Closing twice is fine."""
        self._is_closed = True
        if self._farewell is not None:
            self._farewell.cancel()
        self._door.close("the client left")
        await self._session.close()
        await asyncio.gather(*(sideband.close() for sideband in list(self._sidebands)))
        if self._peer is not None:
            await self._peer.close()

    # Sidebands

    def attach(self, sideband: Sideband) -> None:
        """Send events to a sideband too; it is greeted with the session as it is."""
        sideband.send_event(self._session.greeting())
        self._sidebands.add(sideband)

    def detach(self, sideband: Sideband) -> None:
        """Send it no more."""
        self._sidebands.discard(sideband)

    # The session's link

    def send_event(self, event: JsonObject) -> None:
        """Send an event over the data channel, and to every sideband.

        A data channel takes 256 KiB or less, and an item may have more audio than that: where it
        has, it is sent without.

        Raises:
            LinkOverError: The caller is gone, or going.
            TransportError: It cannot be sent.
        """
        for sideband in list(self._sidebands):
            try:
                sideband.send_event(event)
            except TransportError as exc:
                log.warning("a sideband of call %s is left out: %s", self.id, exc)
                self.detach(sideband)
        try:
            self.send_text(wire.dump(event))
        except TransportError:
            smaller = _without_audio(event)
            if smaller is None:
                raise
            self.send_text(wire.dump(smaller))

    def send_text(self, text: str) -> None:
        """Send a message as it is over the data channel.

        Raises:
            LinkOverError: The caller is gone, or going.
            TransportError: It cannot be sent.
        """
        if self._peer is None:
            raise TransportError("the call has not begun")
        try:
            self._peer.send(text)
        except TransportError as exc:
            if self._peer.is_closed:
                raise LinkOverError(str(exc)) from exc
            raise

    def drop(self) -> None:
        """End the connection, once there is one."""
        if self._peer is not None:
            self._peer.when_open(lambda: self.end_session("dropped"))

    def end_session(self, _reason: str) -> None:
        """End the call; what was sent before gets the time to arrive."""
        if self._farewell is None:
            loop = asyncio.get_running_loop()
            self._farewell = loop.call_later(FAREWELL_S, self._ended, self)

    def play(self, samples: Pcm16) -> None:
        """Queue audio on the track."""
        if self._peer is not None:
            self._peer.play(samples)

    def clear(self) -> None:
        """Drop audio that has not left."""
        if self._peer is not None:
            self._peer.clear()

    async def wait_room(self) -> None:
        """Wait until the track's queue is short."""
        if self._peer is not None:
            await self._peer.wait_room()

    # The peer's listener

    def message_received(self, message: str | bytes) -> None:
        """Take a client event."""
        if len(message) > MAX_MESSAGE_CHARS:
            self._door.receive_invalid("The message is too large.")
        else:
            self._door.receive_message(message)

    def bad_message_received(self, error: Exception) -> None:
        """Take what is no text."""
        self._door.receive_invalid(f"The message could not be read: {error}")

    def audio_received(self, samples: Pcm16) -> None:
        """Take the user's audio."""
        self._session.hear(samples)

    def audio_played(self, played_samples: int) -> None:
        """Take the progress of the track."""
        self._session.played(played_samples)

    def closed(self) -> None:
        """Tell the owner."""
        self._ended(self)


def _without_audio(event: JsonObject) -> JsonObject | None:
    """The same with no audio in the parts of its item; None where there is none anyway."""
    item = event.get("item") or {}
    parts = item.get("content") or ()
    if not any(part.get("audio") for part in parts):
        return None
    kept = [{name: part[name] for name in part if name != "audio"} for part in parts]
    return {**event, "item": {**item, "content": kept}}
