"""The contract of connecting: it comes about as a whole or not at all."""

from __future__ import annotations

import asyncio
import inspect
from types import TracebackType
from typing import Any

from realtime_core.errors import ConnectError, TransportError
from realtime_core.testing.demand import broken, require
from realtime_core.testing.harness import Capability, Manner, TransportHarness
from realtime_core.testing.suite import Suite, needs
from realtime_core.testing.trial import INSTRUCTIONS, Trial
from realtime_core.transport import RealtimeTransportLayer

__all__ = ["ConnectingContract"]

CONNECT = RealtimeTransportLayer.connect


class ConnectingContract(Suite):
    """A part of `TransportContract`."""

    async def test_it_is_a_whole_transport_with_the_contracts_signatures(
        self, harness: TransportHarness
    ) -> None:
        kind = type(harness.make())
        left_out = sorted(getattr(kind, "__abstractmethods__", ()))
        require(not left_out, "no member is left out", seen=left_out, see=RealtimeTransportLayer)
        for name, member in vars(RealtimeTransportLayer).items():
            if name.startswith("_") or not inspect.isfunction(member):
                continue
            ours = getattr(kind, name)
            require(
                inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(member),
                "calls that send are plain functions, what waits is a coroutine function",
                seen=f"{kind.__name__}.{name} is the other kind",
                see=member,
            )
            missing = _missing_parameters(ours, member)
            require(
                not missing,
                "every argument of the contract can be given, under its name",
                seen=f"{kind.__name__}.{name} has no {missing}",
                see=member,
            )

    async def test_a_new_transport_is_disconnected_and_empty(
        self, harness: TransportHarness
    ) -> None:
        transport = harness.make()
        seen = (transport.status, transport.connection_state.status, transport.call_id)
        require(
            seen == ("disconnected", "disconnected", None),
            "a new transport is 'disconnected' and has no call",
            seen=seen,
            see=RealtimeTransportLayer.status,
        )
        require(
            transport.history == (),
            "the history is an empty tuple at first",
            seen=transport.history,
            see=RealtimeTransportLayer.history,
        )
        require(
            bool(transport.current_model),
            "there is always a model",
            seen=transport.current_model,
            see=RealtimeTransportLayer.current_model,
        )

    async def test_connecting_tells_the_status_step_by_step(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness) as trial:
            await trial.connect()
            told = [t for t in trial.told if t.name in ("connection_change", "connected")]
            seen = [(t.name, *t.args, t.status) for t in told]
            wanted = [
                ("connection_change", "connecting", "connecting"),
                ("connection_change", "connected", "connected"),
                ("connected", "connected"),
            ]
            require(
                seen == wanted,
                f"connect() tells, with the status changed already: {wanted}",
                seen=seen,
                see=RealtimeTransportLayer,
            )
            require(
                trial.transport.connection_state.status == "connected",
                "`connection_state` says what `status` says",
                seen=trial.transport.connection_state,
                see=RealtimeTransportLayer.connection_state,
            )

    async def test_the_configuration_is_the_first_thing_that_is_sent(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness) as trial:
            trial.transport.on("connected", lambda: trial.transport.send_message("at once"))
            await trial.connect(model="contract-model")
            await trial.sent_all()
            first = trial.far_end.events[0]
            session = first.get("session") or {}
            require(
                first["type"] == "session.update"
                and session.get("instructions") == INSTRUCTIONS
                and session.get("model") == "contract-model",
                "the first event is a session.update with the configuration and model asked for, "
                "even if a listener of `connected` sends at once",
                seen=list(trial.far_end.events)[:3],
                see=CONNECT,
            )
            require(
                trial.transport.current_model == "contract-model",
                "connect(model=) is the model from now on",
                seen=trial.transport.current_model,
                see=RealtimeTransportLayer.current_model,
            )

    async def test_connect_waits_for_the_confirmation(self, harness: TransportHarness) -> None:
        needs(harness, Capability.CONFIRMATION)
        async with Trial(harness, Manner.SILENT) as trial:
            connecting = asyncio.ensure_future(trial.connect())
            await trial.far_end.wait_until(lambda: bool(trial.far_end.events))
            trial.send(trial.script.event("session.created", session={}))
            await trial.wait(lambda: trial.raw_ids)
            require(
                not connecting.done() and trial.transport.status == "connecting",
                "connect() returns when the session has the configuration asked for, not before",
                seen=f"done: {connecting.done()}, status: {trial.transport.status}",
                see=CONNECT,
            )
            with expected(TransportError, "before that nothing can be sent", CONNECT):
                trial.transport.send_message("too early")
            trial.send(trial.script.event("session.updated", session={}))
            await connecting

    async def test_a_refused_connection_raises_connect_error_with_its_stage(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness, Manner.REFUSING, may_fail=True) as trial:
            error = await failing_connect(trial)
            require(
                isinstance(error, ConnectError) and bool(error.stage) and bool(str(error)),
                "connect() raises ConnectError, which names the stage and says what happened",
                seen=error,
                see=ConnectError,
            )
            check_nothing_came_about(trial, error)

    async def test_a_link_lost_before_it_is_ready_raises_connect_error(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness, Manner.DROPPING, may_fail=True) as trial:
            error = await failing_connect(trial)
            require(
                isinstance(error, ConnectError),
                "a link that is lost before the connection is ready is a ConnectError",
                seen=error,
                see=CONNECT,
            )
            check_nothing_came_about(trial, error)

    async def test_a_failure_leaves_the_model_as_it_was_and_the_next_attempt_works(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness, Manner.REFUSING, may_fail=True) as trial:
            model = trial.transport.current_model
            await failing_connect(trial, model="other-model")
            require(
                trial.transport.current_model == model,
                "an attempt that failed leaves the model as it was",
                seen=trial.transport.current_model,
                see=RealtimeTransportLayer.current_model,
            )
            async with harness.serve(Manner.GOOD) as good:
                await trial.transport.connect(**good.connect_options)
                require(
                    trial.transport.status == "connected",
                    "after a failure the same transport connects to a good server",
                    seen=trial.transport.status,
                    see=CONNECT,
                )
                trial.transport.close()
                await trial.transport.wait_closed()

    async def test_cancelling_connect_releases_everything(self, harness: TransportHarness) -> None:
        async with Trial(harness, Manner.SILENT) as trial:
            connecting = asyncio.ensure_future(trial.connect())
            await trial.wait_for("connection_change")
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            require(
                connecting.cancelled() and trial.transport.status == "disconnected",
                "cancelling connect() ends the attempt; CancelledError goes on",
                seen=f"cancelled: {connecting.cancelled()}, status: {trial.transport.status}",
                see=CONNECT,
            )
            check_told_once(trial)
            await trial.transport.wait_closed()

    async def test_closing_while_connecting_ends_the_attempt(
        self, harness: TransportHarness
    ) -> None:
        async with Trial(harness, Manner.SILENT) as trial:
            connecting = asyncio.ensure_future(trial.connect())
            await trial.wait_for("connection_change")
            trial.transport.close()
            require(
                trial.transport.status == "disconnected",
                "close() makes the status 'disconnected' at once, in any state",
                seen=trial.transport.status,
                see=RealtimeTransportLayer.close,
            )
            (outcome,) = await asyncio.gather(connecting, return_exceptions=True)
            require(
                isinstance(outcome, TransportError),
                "connect() raises TransportError when the transport is closed meanwhile",
                seen=outcome,
                see=RealtimeTransportLayer.close,
            )
            check_told_once(trial)

    async def test_a_listener_may_close_while_connecting(self, harness: TransportHarness) -> None:
        async with Trial(harness, may_fail=True) as trial:
            close = trial.transport.close
            trial.transport.once("connection_change", lambda _status: close())
            error = await failing_connect(trial)
            require(
                isinstance(error, TransportError) and trial.transport.status == "disconnected",
                "a listener may close; connect() then raises TransportError",
                seen=(error, trial.transport.status),
                see=RealtimeTransportLayer.close,
            )
            check_told_once(trial)

    async def test_two_who_connect_share_one_attempt(self, harness: TransportHarness) -> None:
        needs(harness, Capability.JOINING)
        async with Trial(harness) as trial:
            await asyncio.gather(trial.connect(), trial.connect())
            await trial.connect()
            await trial.sent_all()
            seen = trial.names.count("connected"), len(trial.sent_of("session.update"))
            require(
                seen == (1, 1),
                "connecting while connecting waits for that attempt; while connected does nothing",
                seen=f"{seen[0]} connections, {seen[1]} configurations sent",
                see=CONNECT,
            )

    async def test_one_transport_connects_again_and_again(self, harness: TransportHarness) -> None:
        async with Trial(harness) as trial:
            for _ in range(3):
                await trial.connect()
                await trial.sent_all()
                trial.transport.close()
            seen = [n for n in trial.names if n in ("connected", "disconnected")]
            require(
                seen == ["connected", "disconnected"] * 3,
                "a transport that was closed connects again, at once",
                seen=seen,
                see=CONNECT,
            )


class expected:  # noqa: N801 - used like pytest.raises
    """A block that must raise one kind of error."""

    def __init__(self, kind: type[Exception], demand: str, see: object) -> None:
        self._kind, self._demand, self._see = kind, demand, see

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if exc is not None and not isinstance(exc, Exception):
            return False
        require(
            isinstance(exc, self._kind),
            f"{self._demand}: {self._kind.__name__}",
            seen="no error" if exc is None else exc,
            see=self._see,
        )
        return True


async def failing_connect(trial: Trial, **options: Any) -> Exception:
    """What `connect` raises."""
    try:
        await trial.connect(**options)
    except Exception as exc:  # the transport may raise anything; that is what is looked at
        return exc
    return broken("connect() raises when no connection came about", seen="it returned", see=CONNECT)


def check_nothing_came_about(trial: Trial, error: Exception) -> None:
    """A failed attempt is told once, and nothing of it stays."""
    require(
        trial.transport.status == "disconnected" and trial.transport.call_id is None,
        "after an attempt that failed the status is 'disconnected' and there is no call",
        seen=(trial.transport.status, trial.transport.call_id),
        see=RealtimeTransportLayer.status,
    )
    require(
        trial.errors() in ([], [error]),
        "what connect() raises is told as `error` at most once, and as the same object",
        seen=trial.errors(),
        see=CONNECT,
    )
    check_told_once(trial)


def check_told_once(trial: Trial) -> None:
    """`disconnected` follows `connecting` exactly once; neither comes without the other."""
    changes = [*trial.of("connection_change"), trial.names.count("disconnected")]
    require(
        changes in ([0], ["connecting", "disconnected", 1]),
        "an attempt that began to connect is told as ended once, by connection_change and "
        "disconnected",
        seen=trial.names,
        see=RealtimeTransportLayer,
    )


def _missing_parameters(ours: Any, contract: Any) -> list[str]:
    given = inspect.signature(ours).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in given):
        return []
    names = {each.name for each in given}
    return [name for name in inspect.signature(contract).parameters if name not in names]
