"""The contract of the end: closed twice, closed while sending, lost."""

from __future__ import annotations

import asyncio
from typing import Any

from realtime_core.errors import ConnectionLostError, TransportError
from realtime_core.testing.calls import SENDING_CALLS
from realtime_core.testing.demand import require
from realtime_core.testing.harness import TransportHarness
from realtime_core.testing.suite import Suite
from realtime_core.testing.transport_connecting import expected
from realtime_core.testing.trial import Trial
from realtime_core.transport import RealtimeTransportLayer

__all__ = ["ClosingContract"]

CLOSE = RealtimeTransportLayer.close
LATE_TURNS = 30
"""Of the event loop, in which what comes too late would come."""

WAITING = ("drain", "wait_source_ended", "wait_heard")


class ClosingContract(Suite):
    """A part of `TransportContract`."""

    async def test_nothing_can_be_sent_or_awaited_without_a_connection(
        self, harness: TransportHarness
    ) -> None:
        transport = harness.make()
        told: list[Any] = []
        transport.on("error", told.append)
        for name, call in SENDING_CALLS.items():
            method = getattr(RealtimeTransportLayer, name)
            with expected(TransportError, f"{name}() needs a connection", method):
                call(transport)
        for name in WAITING:
            method = getattr(RealtimeTransportLayer, name)
            with expected(TransportError, f"{name}() needs a connection", method):
                await getattr(transport, name)()
        require(
            not told,
            "who calls is told by the exception, and nobody else",
            seen=told,
            see=RealtimeTransportLayer.send_event,
        )

    async def test_closing_what_was_never_opened_does_nothing_and_tells_nothing(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness) as trial:
            for _ in range(2):
                trial.transport.close()
                await trial.transport.wait_closed()
            require(not trial.told, "there is nothing to tell", seen=trial.names, see=CLOSE)

    async def test_closing_twice_is_told_once(self, harness: TransportHarness) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            trial.told.clear()
            trial.transport.close()
            require(
                trial.transport.status == "disconnected",
                "the status is 'disconnected' as soon as close() returns",
                seen=trial.transport.status,
                see=CLOSE,
            )
            trial.transport.close()
            await trial.transport.wait_closed()
            trial.transport.close()
            await trial.transport.wait_closed()
            seen = [(told.name, *told.args, told.status) for told in trial.told]
            wanted = [
                ("connection_change", "disconnected", "disconnected"),
                ("disconnected", "disconnected"),
            ]
            require(seen == wanted, f"the end is told once: {wanted}", seen=seen, see=CLOSE)

    async def test_closing_while_sending_stops_the_sender_with_an_error(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            sent = 0
            stopped: list[Exception] = []

            async def send_on() -> None:
                nonlocal sent
                try:
                    while True:
                        trial.transport.send_message("on and on", trigger_response=False)
                        sent += 1
                        await trial.transport.drain()
                        await asyncio.sleep(0)
                except Exception as exc:
                    stopped.append(exc)

            sending = asyncio.ensure_future(send_on())
            await trial.far_end.wait_until(lambda: len(trial.sent) >= 3)
            trial.transport.close()
            await asyncio.gather(sending)
            require(
                [isinstance(exc, TransportError) for exc in stopped] == [True] and sent >= 3,
                "whoever still sends after close() gets TransportError, and nothing hangs",
                seen=stopped,
                see=RealtimeTransportLayer.drain,
            )

    async def test_waiting_ends_with_the_connection(self, harness: TransportHarness) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            waits = [getattr(trial.transport, name)() for name in WAITING]
            waiting = asyncio.gather(*waits, return_exceptions=True)
            await asyncio.sleep(0)
            trial.transport.close()
            outcomes = await waiting
            strange = [o for o in outcomes if not isinstance(o, TransportError | None)]
            require(
                not strange,
                f"{', '.join(WAITING)} end when the connection does, if not before, and raise "
                "nothing but TransportError",
                seen=outcomes,
                see=RealtimeTransportLayer.wait_heard,
            )

    async def test_a_listener_may_close(self, harness: TransportHarness) -> None:
        async with Trial(harness) as trial:
            trial.transport.on("turn_started", lambda _event: trial.transport.close())
            await trial.connect()
            trial.send(*trial.script.spoken("resp_1", "item_1", "Hello"))
            await trial.wait_for("disconnected")
            await trial.transport.wait_closed()
            for _ in range(LATE_TURNS):
                await asyncio.sleep(0)
            require(
                trial.names.count("disconnected") == 1 and "turn_done" not in trial.names,
                "after a listener has closed, the end is told once and nothing else is",
                seen=trial.names,
                see=CLOSE,
            )

    async def test_a_coroutine_listener_may_close_and_wait(self, harness: TransportHarness) -> None:
        async with Trial(harness) as trial:
            is_closed = asyncio.Event()

            async def end(_event: object) -> None:
                trial.transport.close()
                await trial.transport.wait_closed()
                is_closed.set()

            trial.transport.on("turn_started", end)
            await trial.connect()
            trial.send(trial.script.created("resp_1"))
            await is_closed.wait()

    async def test_async_with_closes_and_waits(self, harness: TransportHarness) -> None:
        async with Trial(harness) as trial:
            async with trial.transport as entered:
                await trial.connect()
            require(
                entered is trial.transport and entered.status == "disconnected",
                "`async with` gives the transport and closes it at its end",
                seen=(entered, trial.transport.status),
                see=RealtimeTransportLayer.__aexit__,
            )

    async def test_a_lost_link_is_told_once_with_the_reason(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness, may_fail=True) as trial:
            await trial.connect()
            trial.told.clear()
            await trial.far_end.lose()
            await trial.wait_for("disconnected", "error")
            await trial.transport.wait_closed()
            errors = trial.errors()
            require(
                [type(error) for error in errors] == [ConnectionLostError],
                "a lost link is told once as `error`, a ConnectionLostError that says why",
                seen=errors,
                see=ConnectionLostError,
            )
            changes = trial.of("connection_change"), trial.names.count("disconnected")
            require(
                changes == (["disconnected"], 1) and trial.transport.status == "disconnected",
                "and the end is told once, by connection_change and disconnected",
                seen=trial.names,
                see=RealtimeTransportLayer,
            )
            with expected(TransportError, "nothing can be sent any more", CLOSE):
                trial.transport.send_message("hello?")

    async def test_the_history_outlives_the_connection(self, harness: TransportHarness) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            trial.send(*trial.script.user_item("item_1", "Hello", previous=None))
            await trial.told_all()
            trial.transport.close()
            await trial.transport.wait_closed()
            ids = [item.item_id for item in trial.transport.history]
            require(
                ids == ["item_1"],
                "`history` is still there after the end",
                seen=ids,
                see=RealtimeTransportLayer.history,
            )
