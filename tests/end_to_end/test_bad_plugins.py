"""A plugin that raises, blocks or is slow: the call goes on, or an error names it. Never a hang."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from realtime_core.audio import AudioFrame, AudioSink, AudioSource, frame_from_mono
from realtime_core.errors import ConnectError, ConnectStage, RealtimeError
from realtime_core.events import ErrorEvent
from realtime_core.hookspecs import hookimpl
from realtime_core.middleware import EventMiddleware, Passed
from realtime_core.plugins import PluginManager
from realtime_core.turn import Turn, TurnResult
from realtime_transports import LocalRealtimeServer, OpenAIRealtimeMemory, OpenAIRealtimeWebSocket
from realtime_transports.audio import call_audio, foreign
from realtime_transports.connecting import ConnectTimeouts
from realtime_transports.local_server import AnswerPiece, AudioPiece, Responder, TextPiece
from realtime_transports.local_server import Turn as AskedTurn
from realtime_transports.memory import audio as memory_audio

DEADLINE_S = 15.0
ANSWER_DEADLINE_S = 3.0
SHORT_S = 0.2
RATE_HZ = 24_000


async def misbehave(how: str) -> None:
    """Raise, never return, or take a little long."""
    match how:
        case "raises":
            raise RuntimeError("of its own")
        case "blocks":
            await asyncio.Event().wait()
        case "is slow":
            await asyncio.sleep(0.01)


class BadSource(AudioSource):
    """Three tenths of a second, unless it misbehaves in one method."""

    def __init__(self, where: str = "", how: str = "") -> None:
        self._where, self._how = where, how
        self._position = 0

    async def _do(self, method: str) -> None:
        if method == self._where:
            await misbehave(self._how)

    async def open(self) -> None:
        await self._do("open")

    async def read(self) -> AudioFrame | None:
        await self._do("read")
        await asyncio.sleep(0)
        first, self._position = self._position, self._position + 480
        if first >= 0.3 * RATE_HZ:
            return None
        return frame_from_mono(np.full(480, 3_000, np.int16), RATE_HZ, first)

    async def close(self) -> None:
        await self._do("close")


class BadSink(AudioSink):
    """Counts, unless it misbehaves in one method."""

    def __init__(self, where: str = "", how: str = "") -> None:
        self._where, self._how = where, how
        self._written = 0
        self.is_closed = False

    async def _do(self, method: str) -> None:
        if method == self._where:
            await misbehave(self._how)

    async def open(self) -> None:
        await self._do("open")

    async def write(self, frame: AudioFrame) -> None:
        await self._do("write")
        self._written += len(frame.samples)

    def clear(self) -> None:
        if self._where == "clear":
            raise RuntimeError("of its own")

    async def drain(self) -> None:
        await self._do("drain")

    @property
    def played_samples(self) -> int:
        if self._where == "played_samples":
            raise RuntimeError("of its own")
        return self._written

    async def close(self, *, complete: bool = True) -> None:
        self.is_closed = True
        await self._do("close")


class BadTap:
    """Raises, or keeps the loop a little."""

    def __init__(self, where: str, how: str) -> None:
        self._where, self._how = where, how

    def _do(self, method: str) -> None:
        if method == self._where:
            raising_or_slow(self._how)

    def sent(self, _frame: AudioFrame, _at_s: float) -> None:
        self._do("sent")

    def heard(self, _frame: AudioFrame, _at_s: float) -> None:
        self._do("heard")


class BadMiddleware(EventMiddleware):
    """Raises, keeps the loop a little, or returns what is no event."""

    def __init__(self, where: str, how: str) -> None:
        self._where, self._how = where, how

    def _do(self, method: str) -> Any:
        if method == self._where:
            raising_or_slow(self._how)
        if method == self._where and self._how == "is a coroutine function":
            return misbehave("blocks")
        return None

    def incoming(self, event: dict[str, Any]) -> Passed:
        return self._do("incoming") or event

    def outgoing(self, event: dict[str, Any]) -> Passed:
        return self._do("outgoing") or event

    def link_opened(self, _model: str) -> None:
        self._do("link_opened")

    def link_closed(self) -> None:
        self._do("link_closed")

    def error_reported(self, _error: Exception) -> None:
        self._do("error_reported")


class BadResponder(Responder):
    """Begins to answer, and then misbehaves."""

    def __init__(self, how: str) -> None:
        self._how = how

    async def respond(self, turn: AskedTurn) -> AsyncGenerator[AnswerPiece]:
        yield TextPiece("To begin ")
        await misbehave(self._how)
        yield TextPiece("with.")
        if turn.output_modality == "audio":
            yield AudioPiece(np.full(2_400, 3_000, np.int16))


def raising_or_slow(how: str) -> None:
    if how == "raises":
        raise RuntimeError("of its own")
    if how == "is slow":
        time.sleep(0.002)  # what must not block and does


@dataclass
class Held:
    """How a turn ended."""

    result: TurnResult | None = None
    failure: Exception | None = None
    errors: list[Exception] = field(default_factory=list)
    """What the transport told of."""

    @property
    def told(self) -> str:
        """Everything that whoever started the turn can read."""
        return " | ".join(str(error) for error in [self.failure, *self.errors] if error)


@asynccontextmanager
async def memory(**options: Any) -> AsyncIterator[Any]:
    yield OpenAIRealtimeMemory(**options)


@asynccontextmanager
async def websocket(responder: Any = "parrot", **options: Any) -> AsyncIterator[Any]:
    async with LocalRealtimeServer(responder=responder) as server:
        url = server.url.replace("http://", "ws://") + "/realtime"
        yield OpenAIRealtimeWebSocket(url=url, api_key="any", pace="fast", **options)


Transport = Callable[..., Any]

pytestmark = pytest.mark.parametrize("transport", [memory, websocket])


async def hold(transport: Transport, **options: Any) -> Held:
    """A whole turn, which ends within the deadline whatever happens."""
    held = Held()
    options = {"source": BadSource(), "sink": BadSink(), **options}
    async with asyncio.timeout(DEADLINE_S), transport(**options) as made:
        made.on("error", lambda event: note(held, event))
        try:
            held.result = await Turn(made).run(deadline_s=ANSWER_DEADLINE_S)
        except RealtimeError as exc:
            held.failure = exc
        assert made.status == "disconnected"
    return held


def note(held: Held, event: ErrorEvent) -> None:
    if isinstance(event.error, Exception):
        held.errors.append(event.error)


def plugins(**made: object) -> PluginManager:
    """Whatever is made under the names `source:bad` and `sink:bad`, which the transport owns."""

    class Plugin:
        """As a plugin's module."""

    manager = PluginManager(allow=())
    plugin = Plugin()
    for kind, thing in made.items():
        hook = lambda thing=thing: {"bad": lambda _text: thing}  # noqa: E731
        hook.__name__ = f"realtime_audio_{kind}s"
        setattr(plugin, hook.__name__, hookimpl(hook))
    manager.register(plugin, "bad plugins")
    return manager


@pytest.fixture(autouse=True)
def short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """No codec's delay is to be covered here."""
    monkeypatch.setattr("realtime_core.turn.SILENCE_AFTER_S", 0.01)


@pytest.fixture
def short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (memory_audio, call_audio):
        monkeypatch.setattr(module, "CLOSE_DEADLINE_S", SHORT_S)
    monkeypatch.setattr(foreign, "STALLED_S", SHORT_S)


# Sources


@pytest.mark.parametrize("how", ["raises", "blocks"])
async def test_a_source_that_cannot_be_opened_ends_the_attempt(
    transport: Transport, how: str
) -> None:
    held = await hold(
        transport,
        source=BadSource("open", how),
        timeouts=ConnectTimeouts(audio_s=SHORT_S),
    )
    assert isinstance(held.failure, ConnectError)
    assert held.failure.stage is ConnectStage.AUDIO
    assert "BadSource" in held.told


@pytest.mark.parametrize("how", ["raises", "blocks"])
async def test_a_source_that_cannot_be_read_ends_the_turn(
    transport: Transport, how: str, short_deadlines: None
) -> None:
    held = await hold(transport, source=BadSource("read", how))
    assert "BadSource" in str(held.failure)


async def test_a_slow_source_is_waited_for(transport: Transport) -> None:
    held = await hold(transport, source=BadSource("read", "is slow"))
    assert held.result is not None, held.told
    assert not held.errors


@pytest.mark.parametrize("how", ["raises", "blocks"])
async def test_a_source_that_cannot_be_closed_does_not_keep_the_sink_open(
    transport: Transport, how: str, short_deadlines: None
) -> None:
    sink = BadSink()
    made = plugins(source=BadSource("close", how), sink=sink)
    held = await hold(transport, source="bad", sink="bad", plugins=made)
    assert held.result is not None, held.told
    assert sink.is_closed
    assert how == "blocks" or "BadSource" in held.told


# Sinks


@pytest.mark.parametrize("how", ["raises", "blocks"])
async def test_a_sink_that_cannot_be_opened_ends_the_attempt(
    transport: Transport, how: str
) -> None:
    held = await hold(
        transport, sink=BadSink("open", how), timeouts=ConnectTimeouts(audio_s=SHORT_S)
    )
    assert isinstance(held.failure, ConnectError)
    assert held.failure.stage is ConnectStage.AUDIO
    assert "BadSink" in held.told


@pytest.mark.parametrize(
    ("where", "how"),
    [("write", "raises"), ("write", "blocks"), ("played_samples", "raises"), ("drain", "raises")],
)
async def test_a_sink_that_fails_ends_the_turn(
    transport: Transport, where: str, how: str, short_deadlines: None
) -> None:
    held = await hold(transport, sink=BadSink(where, how))
    assert "BadSink" in held.told
    assert held.failure is not None


async def test_a_sink_that_never_drains_ends_the_turn_at_its_deadline(
    transport: Transport,
) -> None:
    held = await hold(transport, sink=BadSink("drain", "blocks"))
    assert held.failure is not None


async def test_a_slow_sink_is_waited_for(transport: Transport) -> None:
    held = await hold(transport, sink=BadSink("write", "is slow"))
    assert held.result is not None, held.told
    assert not held.errors


@pytest.mark.parametrize("how", ["raises", "blocks"])
async def test_a_sink_that_cannot_be_closed_holds_nothing_up(
    transport: Transport, how: str, short_deadlines: None
) -> None:
    made = plugins(sink=BadSink("close", how))
    held = await hold(transport, sink="bad", plugins=made)
    assert held.result is not None, held.told
    assert how == "blocks" or "BadSink" in held.told


# Those who look on


@pytest.mark.parametrize("where", ["sent", "heard"])
async def test_a_raising_tap_is_told_once_by_name(transport: Transport, where: str) -> None:
    held = await hold(transport, tap=BadTap(where, "raises"))
    assert len(held.errors) == 1
    assert "BadTap" in held.told


@pytest.mark.parametrize("where", ["sent", "heard"])
async def test_a_slow_tap_costs_time_and_no_more(transport: Transport, where: str) -> None:
    held = await hold(transport, tap=BadTap(where, "is slow"))
    assert held.result is not None, held.told
    assert not held.errors


@pytest.mark.parametrize(
    ("where", "how"),
    [
        ("incoming", "raises"),
        ("outgoing", "raises"),
        ("incoming", "is a coroutine function"),
        ("outgoing", "is a coroutine function"),
        ("link_opened", "raises"),
        ("link_closed", "raises"),
    ],
)
async def test_a_failing_middleware_is_named_and_the_turn_goes_on(
    transport: Transport, where: str, how: str
) -> None:
    held = await hold(transport, middlewares=[BadMiddleware(where, how)])
    assert held.result is not None, held.told
    assert held.result.responses == 1
    assert held.errors
    assert all("BadMiddleware" in str(error) for error in held.errors)


async def test_a_middleware_that_fails_at_errors_does_not_go_round_for_ever(
    transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    failing = [BadMiddleware("incoming", "raises"), BadMiddleware("error_reported", "raises")]
    held = await hold(transport, middlewares=failing)
    assert held.result is not None, held.told
    assert "BadMiddleware" in caplog.text


@pytest.mark.parametrize("where", ["incoming", "outgoing"])
async def test_a_slow_middleware_costs_time_and_no_more(transport: Transport, where: str) -> None:
    held = await hold(transport, middlewares=[BadMiddleware(where, "is slow")])
    assert held.result is not None, held.told
    assert not held.errors


@pytest.mark.parametrize("part", ["tap", "watch"])
async def test_a_middleware_whose_parts_cannot_be_had_is_named_at_once(
    transport: Transport, part: str
) -> None:
    def fail(_self: object) -> None:
        raise RuntimeError("of its own")

    bad = type("BadMiddleware", (EventMiddleware,), {part: property(fail)})()
    with pytest.raises(RealtimeError, match="BadMiddleware"):
        async with transport(middlewares=[bad]):
            pass


@pytest.mark.parametrize("event", ["connected", "turn_done", "disconnected", "*"])
async def test_a_raising_listener_is_named_and_the_turn_goes_on(
    transport: Transport, event: str
) -> None:
    def bad_listener(*_args: object) -> None:
        raise RuntimeError("of its own")

    async def bad_coroutine_listener(*_args: object) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("of its own")

    for listener in (bad_listener, bad_coroutine_listener):
        held = await hold_with_listener(transport, event, listener)
        assert held.result is not None, held.told
        assert listener.__name__ in held.told


@pytest.mark.parametrize("event", ["connected", "turn_done", "disconnected"])
async def test_a_listener_that_never_returns_is_cancelled_at_the_end(
    transport: Transport, event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_core.emitter.LISTENER_DEADLINE_S", SHORT_S)
    ends: list[str] = []

    async def bad_listener(*_args: object) -> None:
        try:
            await misbehave("blocks")
        finally:
            ends.append(event)

    held = await hold_with_listener(transport, event, bad_listener)
    assert held.result is not None, held.told
    assert ends


async def hold_with_listener(
    transport: Transport, event: str, listener: Callable[..., object]
) -> Held:
    @asynccontextmanager
    async def listening(**options: Any) -> AsyncIterator[Any]:
        async with transport(**options) as made:
            made.on(event, listener)
            yield made

    return await hold(listening)


# Responders


@pytest.mark.parametrize("how", ["raises", "blocks"])
async def test_a_responder_that_fails_ends_the_turn(transport: Transport, how: str) -> None:
    held = await hold(transport, responder=BadResponder(how))
    assert held.failure is not None
    assert how == "blocks" or "BadResponder" in held.told


async def test_a_slow_responder_is_waited_for(transport: Transport) -> None:
    held = await hold(transport, responder=BadResponder("is slow"))
    assert held.result is not None, held.told
    assert held.result.transcript == "To begin with."
