"""One transport and its far end, joined for one test, and everything that was told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from realtime_core.events import TRANSPORT_EVENTS, ErrorEvent
from realtime_core.testing.conversation import Script
from realtime_core.testing.demand import broken, require
from realtime_core.testing.harness import Manner, TransportHarness
from realtime_core.testing.leaks import LoopLeakWatch
from realtime_core.transport import RealtimeTransportLayer

if TYPE_CHECKING:
    from realtime_core.transport import ConnectionStatus

__all__ = ["INSTRUCTIONS", "Told", "Trial"]

INSTRUCTIONS = "Speak like the contract."

SERVER_TYPES = (
    "session.updated",
    "conversation.item.added",
    "conversation.item.done",
    "response.created",
    "response.output_item.added",
    "response.output_audio_transcript.delta",
    "response.output_text.delta",
    "response.output_item.done",
    "response.done",
)
"""Types under which the trial listens, besides the transport's own events."""


class Told(NamedTuple):
    """An event that the transport told."""

    name: str
    args: tuple[Any, ...]
    status: ConnectionStatus
    """The transport's status when it was told."""


class Trial:
    """Meets a transport, follows it and, at the end, sees that nothing is left of it."""

    def __init__(
        self,
        harness: TransportHarness,
        manner: Manner = Manner.GOOD,
        *,
        may_fail: bool = False,
        **options: Any,
    ) -> None:
        """Prepare; `async with` begins.

        Args:
            harness: Makes the transport and its far end.
            manner: How the far end behaves.
            may_fail: Whether `error` events are part of the test.
            options: For `TransportHarness.make`.
        """
        self._harness = harness
        self._manner = manner
        self._may_fail = may_fail
        self._options = options
        self._stack = AsyncExitStack()
        self._fences = 0
        self.told: list[Told] = []
        self.script = Script()
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._watch = LoopLeakWatch(gc_generation=1)
        self._deadline = asyncio.timeout(self._harness.deadline_s)
        await self._stack.enter_async_context(self._deadline)
        self.far_end = await self._stack.enter_async_context(self._harness.serve(self._manner))
        self.transport = self._harness.make(**self._options)
        self._stack.push_async_callback(self._close)
        for name in (*TRANSPORT_EVENTS, *SERVER_TYPES):
            self.transport.on(name, self._noting(name))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._stack.__aexit__(exc_type, exc, traceback)
        except TimeoutError:
            if not self._deadline.expired():
                raise
            broken(
                "nothing waits for ever: whatever happens, calls end and events come",
                seen=f"nothing more within {self._harness.deadline_s:g} s; told: {self.names}",
                see=RealtimeTransportLayer,
            )
        if exc is None:
            await self._check_end()

    async def connect(self, **options: Any) -> None:
        """Connect to the far end, with instructions as configuration."""
        config = {"instructions": INSTRUCTIONS}
        given = {"initial_session_config": config, **self.far_end.connect_options, **options}
        await self.transport.connect(**given)

    # What the far end does

    def send(self, *events: Mapping[str, Any]) -> None:
        """Send server events."""
        for event in events:
            self.far_end.send_text(json.dumps(event))

    async def told_all(self) -> None:
        """Wait until everything that the far end sent has been told."""
        self._fences += 1
        fence = self.script.event("contract.fence", number=self._fences)
        self.send(fence)
        await self.wait(lambda: fence["event_id"] in self.raw_ids)

    async def sent_all(self) -> list[str]:
        """Wait until everything that was sent has come to the far end; the types, in order."""
        self._fences += 1
        number = self._fences
        self.transport.send_event({"type": "contract.fence", "number": number})
        await self.far_end.wait_until(
            lambda: any(event.get("number") == number for event in self.far_end.events)
        )
        return self.sent

    @property
    def sent(self) -> list[str]:
        """Types of the client events so far, without what opened connections, and fences."""
        return [
            str(event["type"])
            for event in self.far_end.events
            if event["type"] not in ("contract.fence", "session.update")
        ]

    def sent_of(self, event_type: str) -> list[Mapping[str, Any]]:
        """The client events of a type so far."""
        return [event for event in self.far_end.events if event.get("type") == event_type]

    # What the transport told

    @property
    def names(self) -> list[str]:
        """Names of the events so far."""
        return [told.name for told in self.told]

    @property
    def raw_ids(self) -> list[str]:
        """Ids of the server events told as ``*`` so far."""
        return [told.args[0].get("event_id") for told in self.told if told.name == "*"]

    def of(self, name: str) -> list[Any]:
        """The payloads of one event so far."""
        return [told.args[0] if told.args else None for told in self.told if told.name == name]

    def errors(self, kind: type[Exception] = Exception) -> list[Exception]:
        """Exceptions that were told as `error` so far."""
        told = [event.error for event in self.of("error") if isinstance(event, ErrorEvent)]
        return [error for error in told if isinstance(error, kind)]

    async def wait(self, is_fulfilled: Callable[[], object]) -> None:
        """Wait for something that is looked at whenever an event was told."""
        while not is_fulfilled():
            self._changed.clear()
            await self._changed.wait()

    async def wait_for(self, *names: str) -> None:
        """Wait until each of these events has been told."""
        await self.wait(lambda: set(names) <= set(self.names))

    def _noting(self, name: str) -> Callable[..., None]:
        def note(*args: Any) -> None:
            self.told.append(Told(name, args, self.transport.status))
            self._changed.set()

        return note

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(self._harness.deadline_s):
                self.transport.close()
                await self.transport.wait_closed()
        except TimeoutError:
            broken(
                "wait_closed() ends",
                seen=f"it did not within {self._harness.deadline_s:g} s",
                see=RealtimeTransportLayer.wait_closed,
            )

    async def _check_end(self) -> None:
        require(
            self.transport.status == "disconnected",
            "after close() the status is 'disconnected'",
            seen=self.transport.status,
            see=RealtimeTransportLayer.close,
        )
        if not self._may_fail:
            require(
                not self.of("error"),
                "`error` is told only when something went wrong",
                seen=self.of("error"),
                see=RealtimeTransportLayer,
            )
        left = await self._watch.find_in_loop()
        require(
            not left,
            "after wait_closed() nothing is left: no task, thread, socket or lost exception",
            seen=left,
            see=RealtimeTransportLayer.wait_closed,
        )


def first_index(names: Iterable[str], name: str) -> int:
    """Where a name comes first; behind everything if it does not."""
    listed = list(names)
    return listed.index(name) if name in listed else len(listed)
