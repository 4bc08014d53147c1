"""Knows when the last packet came, and asks the peer for one: the one look into aioice.

aiortc never reports `disconnected`, and tells a killed peer after about 30 s (measured on 1.16).
So this listens where all packets of a connection pass, STUN, DTLS and SRTP alike. The names it
leans on are not public; where they are missing it says so when the connection is watched, and
nothing else breaks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

__all__ = ["PacketWatch"]

log = logging.getLogger(__name__)

PROBE_RETRANSMISSIONS = 1


class PacketWatch:
    """Watches the packets of one connected `RTCPeerConnection`."""

    def __init__(self, peer_connection: Any) -> None:
        """Begin to watch.

        Raises:
            AttributeError: This aiortc or aioice is built differently.
        """
        self._loop = asyncio.get_running_loop()
        self._connection = peer_connection.sctp.transport.transport._connection  # noqa: SLF001
        # Used by probes only, but looked for now, while their absence can still be told.
        self._nominated = self._connection._nominated  # noqa: SLF001
        self._build_request = self._connection.build_request
        self._probes: set[asyncio.Task[None]] = set()
        self.last_packet_s = self._loop.time()
        """When the last packet came, by the event loop's clock."""
        self._connection.data_received = self._noting(self._connection.data_received)
        self._connection.request_received = self._noting(self._connection.request_received)

    def probe(self) -> None:
        """Ask the peer for a sign of life; its answer counts as a packet."""
        if not self._probes:
            task = self._loop.create_task(self._ask())
            self._probes.add(task)
            task.add_done_callback(self._probes.discard)

    async def close(self) -> None:
        """Stop asking."""
        for probe in list(self._probes):
            probe.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)

    def _noting(self, inner: Callable[..., None]) -> Callable[..., None]:
        def note(*args: Any) -> None:
            self.last_packet_s = self._loop.time()
            inner(*args)

        return note

    async def _ask(self) -> None:
        from aioice import stun

        pair = self._nominated.get(1)  # component 1 is all of RTP and RTCP
        if pair is None:
            return
        request = self._build_request(pair, nominate=False)
        try:
            await pair.protocol.request(
                request,
                pair.remote_addr,
                integrity_key=self._connection.remote_password.encode(),
                retransmissions=PROBE_RETRANSMISSIONS,
            )
        except stun.TransactionFailed:
            self.last_packet_s = self._loop.time()  # a refusal is a sign of life too
        except Exception as exc:  # no answer, or a socket that is gone
            log.debug("no sign of life: %s", exc)
        else:
            self.last_packet_s = self._loop.time()
