"""A bad network on this machine: a UDP relay between both ends of a call, deterministic by seed.

It needs no privileges. Both ends are told the relay's addresses in the place of the other's:

* `without_candidates` takes the caller's addresses out of an offer, so that the other end, like one
  behind a NAT, waits for the first packet;
* `UdpRelay.redirect` opens a gate for each address in the answer and puts it in its place.

What happens to a packet is decided by `link.Link`, which has no sockets and no clock.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, cast

from realtime_core.errors import TransportError
from realtime_core.testing.link import Link, LinkConditions, LinkStats

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Direction", "UdpRelay", "without_candidates"]

CANDIDATE = re.compile(
    r"^a=candidate:(\S+) (\d+) udp (\d+) (\S+) (\d+) typ host.*$", re.MULTILINE | re.IGNORECASE
)
NOT_RELAYED = re.compile(r"^a=(?:candidate:|end-of-candidates).*\r?\n?", re.MULTILINE)

MAX_WAITING_PACKETS = 5_000
"""On their way at a time; more are lost. It is 100 s of one call's audio."""

MAX_SOURCES = 16
"""Addresses one gate is reached from: a caller tries each of its interfaces."""

MAX_EARLY_PACKETS = 64
"""Kept while the socket for a new source is opened."""

Address = tuple[str, int]


def without_candidates(sdp: str) -> str:
    """A description that names no address, and does not say that there are no more."""
    return NOT_RELAYED.sub("", sdp)


@dataclass(order=True, slots=True)
class _Waiting:
    """A packet on its way."""

    due_s: float
    number: int
    packet: bytes = field(compare=False)
    send: Callable[[bytes], None] = field(compare=False)


class Direction:
    """One direction of a relay: its link, and what is on its way."""

    def __init__(self, link: Link) -> None:
        """Begin with nothing on its way; must be made in a running event loop."""
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Waiting] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._passed = asyncio.Event()

    @property
    def stats(self) -> LinkStats:
        """Counts since the beginning; they go on counting."""
        return self._link.stats

    @property
    def conditions(self) -> LinkConditions:
        """How bad it is; may be exchanged at any time, what is on its way keeps its own."""
        return self._link.conditions

    @conditions.setter
    def conditions(self, conditions: LinkConditions) -> None:
        self._link.conditions = conditions

    async def wait_passed(self, count: int) -> None:
        """Wait until so many more packets have passed."""
        until = self.stats.passed + count
        while self.stats.passed < until:
            self._passed.clear()
            await self._passed.wait()

    def carry(self, packet: bytes, send: Callable[[bytes], None]) -> None:
        """Send a packet on when it is due, or lose it."""
        for due_s in self._link.admit(packet, self._loop.time()):
            if len(self._waiting) >= MAX_WAITING_PACKETS:
                self.stats.overflowed += 1
                continue
            heapq.heappush(self._waiting, _Waiting(due_s, next(self._numbers), packet, send))
        self._send_due()

    def lose(self, packet: bytes) -> None:
        """Count a packet that somebody else dropped."""
        self.stats.received += 1
        self.stats.received_bytes += len(packet)
        self.stats.lost += 1

    def close(self) -> None:
        """Forget what is on its way."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send_due(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now_s = self._loop.time()
        while self._waiting and self._waiting[0].due_s <= now_s:
            due = heapq.heappop(self._waiting)
            due.send(due.packet)
            self.stats.passed += 1
            self.stats.passed_bytes += len(due.packet)
            self._passed.set()
        if self._waiting:
            self._timer = self._loop.call_at(self._waiting[0].due_s, self._send_due)


class UdpRelay:
    """Stands between a caller and the answerer of its call.

    Example::

        async with UdpRelay(LinkConditions(loss=0.1), seed=1) as relay:
            answer = await post(without_candidates(offer))
            answer = await relay.redirect(answer)
    """

    def __init__(self, conditions: LinkConditions | None = None, *, seed: int | str = 0) -> None:
        """Prepare; must be made in a running event loop.

        Args:
            conditions: How bad both directions are; None is a good network.
            seed: The same gives the same fates.
        """
        conditions = conditions or LinkConditions()
        self.drops: Callable[[bytes], bool] = lambda _packet: False
        """Asked for each packet of both directions, first of all; True loses it."""
        self.to_answerer = Direction(Link(conditions, f"{seed}:to-answerer"))
        self.to_caller = Direction(Link(conditions, f"{seed}:to-caller"))
        self._gates: list[_Gate] = []
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def redirect(self, answer_sdp: str) -> str:
        """An answer that leads here: a gate in the place of each address.

        Raises:
            TransportError: A gate cannot be opened, or the relay is closed.
        """
        pieces, end = [], 0
        gates: dict[Address, Address] = {}
        for found in CANDIDATE.finditer(answer_sdp):
            foundation, component, priority, host, port = found.groups()
            target = (host, int(port))
            if target not in gates:  # all sections share the first one's addresses
                gates[target] = await self._open_gate(target)
            there = gates[target]
            line = f"a=candidate:{foundation} {component} udp {priority} {there[0]} {there[1]}"
            pieces += [answer_sdp[end : found.start()], f"{line} typ host"]
            # `.` takes the carriage return of a line's end too.
            pieces += ["\r"] if found.group().endswith("\r") else []
            end = found.end()
        return "".join([*pieces, answer_sdp[end:]])

    async def close(self) -> None:
        """Close all sockets and forget what is on its way. Closing twice is fine."""
        self._is_closed = True
        self.to_answerer.close()
        self.to_caller.close()
        gates, self._gates = self._gates, []
        for gate in gates:
            await gate.close()

    async def _open_gate(self, target: Address) -> Address:
        if self._is_closed:
            raise TransportError("the relay is closed")
        gate = _Gate(self, target)
        self._gates.append(gate)
        return await gate.open()


class _Gate(asyncio.DatagramProtocol):
    """Stands for one address of the answerer."""

    def __init__(self, relay: UdpRelay, target: Address) -> None:
        self._relay = relay
        self._target = target
        self._transport: asyncio.DatagramTransport | None = None
        self._sources: dict[Address, _Source] = {}
        self._openings: set[asyncio.Task[None]] = set()

    async def open(self) -> Address:
        """The gate's own address."""
        loop = asyncio.get_running_loop()
        host = self._target[0]
        try:
            transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(host, 0))
        except OSError as exc:
            raise TransportError(f"the relay cannot listen on {host}: {exc}") from exc
        self._transport = transport
        return cast(Address, transport.get_extra_info("sockname")[:2])

    async def close(self) -> None:
        for opening in self._openings:
            opening.cancel()
        await asyncio.gather(*self._openings, return_exceptions=True)
        for source in self._sources.values():
            source.close()
        if self._transport is not None:
            self._transport.close()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if self._relay.drops(data):
            self._relay.to_answerer.lose(data)
            return
        source = self._sources.get(addr)
        if source is None:
            if len(self._sources) >= MAX_SOURCES:
                return
            source = self._sources[addr] = _Source(self._relay, addr, self._send_back)
            opening = asyncio.get_running_loop().create_task(source.open(self._target))
            self._openings.add(opening)
            opening.add_done_callback(self._openings.discard)
        self._relay.to_answerer.carry(data, source.send)

    def _send_back(self, packet: bytes, addr: Address) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(packet, addr)


class _Source(asyncio.DatagramProtocol):
    """Stands for one address of the caller: the answerer sees each as another one."""

    def __init__(
        self, relay: UdpRelay, addr: Address, send_back: Callable[[bytes, Address], None]
    ) -> None:
        self._relay = relay
        self._addr = addr
        self._send_back = send_back
        self._early: list[bytes] = []
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self, target: Address) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=(target[0], 0), remote_addr=target
        )
        self._transport = transport
        for packet in self._early:
            transport.sendto(packet)
        self._early.clear()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def send(self, packet: bytes) -> None:
        """Send to the answerer."""
        if self._transport is None:
            if len(self._early) < MAX_EARLY_PACKETS:
                self._early.append(packet)
        elif not self._transport.is_closing():
            self._transport.sendto(packet)

    def datagram_received(self, data: bytes, _addr: Address) -> None:
        if self._relay.drops(data):
            self._relay.to_caller.lose(data)
            return
        self._relay.to_caller.carry(data, lambda packet: self._send_back(packet, self._addr))
