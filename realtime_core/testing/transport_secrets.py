"""The contract about secrets: a key shows nowhere but on the wire."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType
from typing import Self

from pydantic import SecretStr

from realtime_core.errors import UserError
from realtime_core.testing.demand import require
from realtime_core.testing.harness import Capability, Manner, TransportHarness
from realtime_core.testing.suite import Suite, needs
from realtime_core.testing.transport_connecting import expected, failing_connect
from realtime_core.testing.trial import Trial
from realtime_core.transport import ApiKey

__all__ = ["CANARY", "SecretsContract"]

CANARY = "sk-contract-canary-4Tn8qVz2"
PART = "canary-4Tn8qVz2"


class SecretsContract(Suite):
    """A part of `TransportContract`."""

    async def test_a_good_connection_shows_no_key(self, harness: TransportHarness) -> None:
        with Evidence() as evidence:
            async with Trial(harness) as trial:
                evidence.add(trial.transport)
                await trial.connect(api_key=CANARY)
                trial.send(trial.script.event("contract.unknown"))
                await trial.told_all()
                evidence.add(trial.transport, trial.transport.connection_state, trial.told)
            evidence.add(trial.transport)
        evidence.check()

    async def test_a_refusal_that_repeats_the_key_shows_no_key(
        self, harness: TransportHarness
    ) -> None:
        with Evidence() as evidence:
            async with Trial(harness, Manner.REFUSING, may_fail=True) as trial:
                error = await failing_connect(trial, api_key=SecretStr(CANARY))
                evidence.add(trial.transport, trial.transport.connection_state, trial.told)
                evidence.add_error(error)
                for told in trial.errors():
                    evidence.add_error(told)
        evidence.check()

    async def test_a_key_may_come_from_a_function_or_coroutine_function(
        self, harness: TransportHarness
    ) -> None:
        needs(harness, Capability.KEYS)
        asked: list[str] = []

        def give() -> str:
            asked.append("function")
            return CANARY

        async def give_later() -> SecretStr:
            asked.append("coroutine function")
            return SecretStr(CANARY)

        async with Trial(harness) as trial:
            for key in (give, give_later):
                await trial.connect(api_key=key)
                trial.transport.close()
                await trial.transport.wait_closed()
        require(
            asked == ["function", "coroutine function"],
            "a key may be a function or coroutine function; it is called once a connection",
            seen=asked,
            see="realtime_core.transport.ApiKey",
        )

    async def test_without_a_usable_key_connect_says_so(self, harness: TransportHarness) -> None:
        needs(harness, Capability.KEYS)
        for key in ("", "two words", "line\nbreak"):
            async with Trial(harness, may_fail=True) as trial:
                with expected(UserError, "a key that cannot be one is refused", ApiKey):
                    await trial.connect(api_key=key)
                require(
                    trial.transport.status == "disconnected" and not trial.far_end.events,
                    "and nothing is begun",
                    seen=trial.names,
                    see="realtime_core.transport.ApiKey",
                )


class Evidence(logging.Handler):
    """Everything that was said, shown or logged, down to the local variables of tracebacks."""

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__(logging.DEBUG)
        self._texts: list[str] = []

    def __enter__(self) -> Self:
        """Listen to all loggers."""
        root = logging.getLogger()
        self._level_before = root.level
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Listen no more."""
        root = logging.getLogger()
        root.removeHandler(self)
        root.setLevel(self._level_before)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a log record."""
        self._texts.append(logging.Formatter().format(record))

    def add(self, *things: object) -> None:
        """Keep how these show themselves."""
        for thing in things:
            self._texts += [repr(thing), str(thing)]
            self._texts += [repr(value) for value in getattr(thing, "__dict__", {}).values()]

    def add_error(self, error: BaseException) -> None:
        """Keep an error, with its chain and the local variables of every frame but this suite's."""
        self.add(error, *getattr(error, "__notes__", ()))
        self._texts += _frames(error)
        context = None if error.__suppress_context__ else error.__context__
        for chained in (error.__cause__, context):
            if chained is not None:
                self.add_error(chained)

    def check(self) -> None:
        """Fail if the key is in any of it."""
        showing = [text for text in self._texts if PART in text]
        require(
            not showing,
            "no exception, log line, event or repr shows an API key, in whole or part, even where "
            "the server repeats it: keep it a SecretStr from the moment it arrives",
            seen=showing[:3],
            see="realtime_core.errors",
        )


def _frames(error: BaseException) -> list[str]:
    summary = traceback.TracebackException.from_exception(error, capture_locals=True)
    return [
        f"{frame.filename}: {name} = {value}"
        for frame in summary.stack
        if "/realtime_core/testing/" not in frame.filename.replace("\\", "/")
        for name, value in (frame.locals or {}).items()
    ]
