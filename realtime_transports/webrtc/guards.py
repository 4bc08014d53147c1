"""Defects of aiortc kept away from a connection, and what it holds back had sooner.

Each guard replaces one method on one object of one connection. Where a release of aiortc no longer
has the method, the connection goes on unguarded with a warning; `tests/transports/test_answerer.py`
then fails.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiortc import RTCPeerConnection

__all__ = ["drop_empty_rtp", "follow_connecting", "hear_at_once", "survive_bad_messages"]

log = logging.getLogger(__name__)

CONNECT_METHOD = "_RTCPeerConnection__connect"
JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"
PREFETCH = "_prefetch"
RTP_METHOD = "_handle_rtp_packet"
MESSAGE_METHOD = "_receive"


def drop_empty_rtp(pc: RTCPeerConnection) -> None:
    """Drop RTP packets without payload: the stock decoder takes one for the end of the stream.

    Call it when the transceivers are there; calling it twice is fine.
    """
    for receiver in pc.getReceivers():
        handle = _method(receiver, RTP_METHOD)
        if handle is not None:
            setattr(receiver, RTP_METHOD, _without_empty(handle))


def hear_at_once(pc: RTCPeerConnection) -> None:
    """Get packets as they come, rather than 60 ms later: nobody plays what a server hears.

    What comes out of order is still put in order. Call it when the transceivers are there.
    """
    for receiver in pc.getReceivers():
        buffer = getattr(receiver, JITTER_BUFFER, None)
        if hasattr(buffer, PREFETCH):
            setattr(buffer, PREFETCH, 1)
        else:
            log.warning("this release of aiortc has no %s with %s", JITTER_BUFFER, PREFETCH)


def survive_bad_messages(pc: RTCPeerConnection, on_bad: Callable[[Exception], None]) -> None:
    """Keep the connection when a message cannot be handled.

    A text message that is not UTF-8, or an exception of a listener, closes a stock connection.
    Call it when the data channel's transport is there (`pc.sctp`).

    Args:
        pc: The connection.
        on_bad: Told the exception instead; must not raise.
    """
    if pc.sctp is None:
        return
    receive = _method(pc.sctp, MESSAGE_METHOD)
    if receive is None:
        return

    async def receive_safely(stream_id: int, pp_id: int, data: bytes) -> None:
        try:
            await receive(stream_id, pp_id, data)
        except Exception as exc:
            on_bad(exc)

    setattr(pc.sctp, MESSAGE_METHOD, receive_safely)


def follow_connecting(pc: RTCPeerConnection) -> Callable[[], Awaitable[None]]:
    """Keep hold of the tasks in which a connection comes about: aiortc starts and forgets them.

    Call it before the first description is set.

    Returns:
        A coroutine function that ends those tasks, to be awaited after `pc.close()`.
    """
    tasks: set[asyncio.Task[Any]] = set()
    connect = _method(pc, CONNECT_METHOD)

    async def connect_in_sight() -> None:
        task = asyncio.current_task()
        if task is not None and connect is not None:
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await _unless_closed(pc, connect)

    async def end_connecting() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    if connect is not None:
        setattr(pc, CONNECT_METHOD, connect_in_sight)
    return end_connecting


async def _unless_closed(pc: RTCPeerConnection, connect: Callable[[], Awaitable[None]]) -> None:
    """Connect; aiortc goes on when it is closed meanwhile, and stumbles over what is closed."""
    try:
        await connect()
    except Exception as exc:
        if pc.signalingState != "closed":
            raise
        log.debug("closed while it came up: %s", exc)


def _method(target: Any, name: str) -> Callable[..., Any] | None:
    method: Callable[..., Any] | None = getattr(target, name, None)
    if method is None:
        log.warning("this release of aiortc has no %s.%s", type(target).__name__, name)
    return method


def _without_empty(handle: Callable[..., Any]) -> Callable[..., Any]:
    async def handle_unless_empty(packet: Any, arrival_time_ms: int) -> None:
        if packet.payload:
            await handle(packet, arrival_time_ms=arrival_time_ms)

    return handle_unless_empty
