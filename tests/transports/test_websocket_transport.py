"""`OpenAIRealtimeWebSocket` above a socket that the test is the server of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from realtime_core.audio import AudioFrame, AudioSink, AudioSource, frame_from_mono
from realtime_core.errors import (
    AudioError,
    ConnectError,
    ConnectionLostError,
    ConnectStage,
    TransportError,
    UserError,
)
from realtime_transports.connecting import ConnectTimeouts
from realtime_transports.websocket import OpenAIRealtimeWebSocket, SocketRequest
from tests.transports.sockets import Line, Socket, delta

RATE_HZ = 24_000


class Samples(AudioSource):
    """Gives some samples, block by block."""

    def __init__(self, samples: np.ndarray, rate_hz: int = RATE_HZ) -> None:
        self.blocks = [
            samples[i : i + rate_hz // 50] for i in range(0, len(samples), rate_hz // 50)
        ]
        self.source_rate_hz = rate_hz
        self.calls: list[str] = []

    async def open(self) -> None:
        self.calls.append("open")

    async def read(self) -> AudioFrame | None:
        if not self.blocks:
            return None
        return frame_from_mono(self.blocks.pop(0), self.source_rate_hz)

    async def close(self) -> None:
        self.calls.append("close")


class Player(AudioSink):
    """Plays when the test says so."""

    rate_hz = RATE_HZ

    def __init__(self) -> None:
        self.written: list[np.ndarray] = []
        self.played = 0
        self.clears = 0
        self.arrived = asyncio.Event()

    async def open(self) -> None:
        pass

    async def write(self, frame: AudioFrame) -> None:
        self.written.append(frame.samples[:, 0])
        self.arrived.set()

    def clear(self) -> None:
        self.clears += 1

    async def drain(self) -> None:
        pass

    @property
    def played_samples(self) -> int:
        return self.played

    async def close(self, *, complete: bool = True) -> None:
        pass

    def all_written(self) -> np.ndarray:
        return np.concatenate(self.written)


def make(line: Line, **options: Any) -> OpenAIRealtimeWebSocket:
    return OpenAIRealtimeWebSocket(**{"api_key": "ek_test", "create_web_socket": line, **options})


@asynccontextmanager
async def connected(
    line: Line | None = None, config: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[OpenAIRealtimeWebSocket, Socket]]:
    line = line or Line()
    async with make(line, **options) as transport:
        await transport.connect(initial_session_config=config or {})
        yield transport, line.socket


def tone(seconds: float, rate_hz: int = RATE_HZ) -> np.ndarray:
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.round(10_000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16)


# Connecting


async def test_the_configuration_is_sent_before_a_listener_is_heard_of():
    line = Line()
    async with make(line) as transport:
        transport.on("connected", lambda: transport.send_message("early"))
        await transport.connect()
        assert line.socket.types()[:2] == ["session.update", "conversation.item.create"]


async def test_a_configuration_that_cannot_be_sent_fails_the_attempt_even_for_a_listener():
    line = Line(opens=False)
    async with make(line) as transport:
        transport.on("connected", lambda: transport.send_message("early"))
        connecting = asyncio.ensure_future(transport.connect())
        await line.made.wait()
        await asyncio.sleep(0)
        line.socket.fails = OSError("broken pipe")
        line.socket.open()
        with pytest.raises(Exception, match="broken pipe"):
            await connecting
        assert transport.status == "disconnected"


async def test_a_second_connect_is_refused_and_harms_nothing():
    async with connected() as (transport, _):
        with pytest.raises(UserError, match="already connected"):
            await transport.connect(model="other")
        assert transport.status == "connected"
        assert transport.current_model != "other"


async def test_a_socket_that_never_opens_ends_the_attempt():
    line = Line(opens=False)
    async with make(line, timeouts=ConnectTimeouts(http_s=0.02)) as transport:
        with pytest.raises(ConnectError, match="longer than") as info:
            await transport.connect()
        assert info.value.stage is ConnectStage.HTTP
        assert line.socket.is_closed


async def test_a_socket_that_is_open_already_is_used_as_it_is():
    line = Line(opens=False)

    def open_already(request: SocketRequest) -> Socket:
        socket = line(request)
        socket.is_open = True
        return socket

    async with make(line, create_web_socket=open_already) as transport:
        await transport.connect()
        assert line.socket.types() == ["session.update"]


async def test_connect_does_not_wait_for_the_confirmation_and_a_refusal_is_an_error():
    async with connected() as (transport, socket):
        errors: list[Any] = []
        transport.on("error", errors.append)
        socket.say("error", error={"type": "invalid_request_error", "message": "no voice"})
        assert errors[0].error["error"]["message"] == "no voice"
        assert transport.status == "connected"


async def test_nothing_can_be_sent_while_the_socket_opens_or_closes():
    line = Line(opens=False)
    async with make(line) as transport:
        told: list[Any] = []
        transport.on("error", told.append)
        connecting = asyncio.ensure_future(transport.connect())
        await line.made.wait()
        with pytest.raises(TransportError):
            transport.request_response()
        await asyncio.sleep(0)
        line.socket.open()
        await connecting
        line.socket.is_open = False  # it closes
        for send in (transport.request_response, lambda: transport.send_message("x")):
            with pytest.raises(TransportError, match="not open"):
                send()
        assert line.socket.types() == ["session.update"]
        assert not told


async def test_a_socket_that_fails_raises_a_connect_error():
    line = Line(opens=False)
    async with make(line) as transport:
        connecting = asyncio.ensure_future(transport.connect())
        await line.made.wait()
        await asyncio.sleep(0)
        line.socket.events.on_error(OSError("no route"))
        with pytest.raises(ConnectError, match="no route"):
            await connecting


async def test_a_url_given_to_connect_is_for_that_connection():
    line = Line()
    async with make(line, url="ws://own/") as transport:
        for options in ({"url": "ws://other/"}, {}, {"call_id": "c"}):
            await transport.connect(**options)
            transport.close()
            await transport.wait_closed()
    urls = [socket.request.url for socket in line.sockets]
    assert urls == ["ws://other/", "ws://own/", "ws://own/?call_id=c"]


async def test_cancelling_connect_releases_everything():
    line, source = Line(opens=False), Samples(tone(1))
    transport = make(line, source=source)
    connecting = asyncio.ensure_future(transport.connect())
    await line.made.wait()
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await transport.wait_closed()
    assert line.socket.is_closed
    assert transport.status == "disconnected"


async def test_a_socket_that_comes_too_late_is_closed():
    line, asked, may_come = Line(opens=False), asyncio.Event(), asyncio.Event()

    async def slowly(request: SocketRequest) -> Socket:
        asked.set()
        while not may_come.is_set():
            try:
                await may_come.wait()
            except asyncio.CancelledError:
                continue  # foreign code may not let itself be stopped
        return line(request)

    transport = make(line, create_web_socket=slowly)
    connecting = asyncio.ensure_future(transport.connect())
    await asked.wait()
    transport.close()
    with pytest.raises(TransportError, match="closed before setup"):
        await connecting
    may_come.set()
    await transport.wait_closed()
    assert line.socket.is_closed


async def test_closing_while_connecting_can_be_followed_by_another_attempt():
    line = Line(opens=False)
    async with make(line, source=Samples(tone(0.1))) as transport:
        first = asyncio.ensure_future(transport.connect())
        await line.made.wait()
        transport.close()
        line.opens = True
        await transport.connect()
        with pytest.raises(TransportError):
            await first
        assert transport.status == "connected"
        assert [socket.is_closed for socket in line.sockets] == [True, False]


@pytest.mark.parametrize(
    ("connect", "url"),
    [
        ({}, "wss://api.openai.com/v1/realtime?model=m%2F1"),
        ({"call_id": "c/1"}, "wss://api.openai.com/v1/realtime?call_id=c%2F1"),
        ({"url": "ws://host/x?model=y"}, "ws://host/x?model=y"),
        ({"url": "ws://host/x?model=y&v=1", "call_id": "c"}, "ws://host/x?v=1&call_id=c"),
        (
            {"url": "ws://host/x?s=a%20b&e=", "call_id": "c d"},
            "ws://host/x?s=a%20b&e=&call_id=c%20d",
        ),
    ],
)
async def test_the_address_names_model_or_call(connect: dict[str, str], url: str):
    line = Line()
    async with make(line, model="m/1") as transport:
        await transport.connect(**connect)
        assert line.socket.request.url == url
        assert transport.call_id == connect.get("call_id")


async def test_the_key_goes_where_it_is_wanted_and_is_never_shown():
    request = await request_of(api_key="sk-secret", headers={"X-Own": "1"})
    assert request.headers["Authorization"] == "Bearer sk-secret"
    assert request.headers["X-Own"] == "1"
    assert "secret" not in repr(request)
    own = await request_of(api_key=SecretStr("sk-secret"), key_header="api-key")
    assert own.headers["api-key"] == "sk-secret"
    assert "Authorization" not in own.headers
    browser = await request_of(api_key="ek_x", key_in_subprotocol=True)
    assert browser.subprotocols == ("realtime", "openai-insecure-api-key.ek_x")
    assert not browser.headers


async def request_of(**options: Any) -> SocketRequest:
    line = Line()
    async with make(line, **options) as transport:
        await transport.connect()
    return line.socket.request


async def test_the_environments_key_is_for_openai_only(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    assert (await request_of(api_key=None)).headers["Authorization"] == "Bearer sk-env"
    with pytest.raises(UserError, match="API key is not set"):
        await request_of(api_key=None, url="wss://elsewhere.test/v1/realtime")


# Losing it


async def test_a_lost_link_is_told_once_with_its_reason():
    async with connected() as (transport, socket):
        told: list[Any] = []
        transport.on("error", lambda event: told.append(event.error))
        transport.on("connection_change", told.append)
        socket.events.on_error(OSError("cable cut"))
        socket.events.on_error(OSError("again"))
        assert isinstance(told[0], ConnectionLostError)
        assert "cable cut" in str(told[0])
        assert told[1:] == ["disconnected"]
        with pytest.raises(TransportError, match="not connected"):
            transport.send_message("anybody there?")


async def test_whoever_waits_for_audio_learns_that_the_connection_ended():
    async with connected(source=Samples(tone(60))) as (transport, socket):
        waiting = asyncio.ensure_future(transport.wait_source_ended())
        await asyncio.sleep(0)
        socket.events.on_close("code 1000")
        with pytest.raises(TransportError, match="ended while waiting"):
            await waiting


async def test_without_a_connection_audio_is_refused_and_interrupting_does_nothing():
    line = Line(opens=False)
    async with make(line) as transport:
        with pytest.raises(TransportError, match="not connected"):
            transport.send_audio(b"\1\2")
        transport.interrupt()
        connecting = asyncio.ensure_future(transport.connect())
        await line.made.wait()
        with pytest.raises(TransportError, match="connect"):
            transport.send_audio(b"\1\2")
        transport.interrupt()
        transport.close()
        assert not line.socket.sent
        with pytest.raises(TransportError):
            await connecting


# Audio that leaves


async def test_a_source_is_sent_as_fast_as_the_server_takes_it_and_then_comes_silence():
    samples = tone(1.0)
    async with connected(source=Samples(samples), pace="fast") as (transport, socket):
        await transport.wait_source_ended()
        heard = socket.heard()
        assert (heard[: len(samples)] == samples).all()
        assert len(heard) < len(samples) + RATE_HZ // 10
        await socket.wait(lambda: len(socket.heard()) > len(heard))
        assert not socket.heard()[len(samples) :].any()


async def test_a_source_is_sent_in_pieces_of_20_to_100_ms():
    async with connected(source=Samples(tone(0.5)), pace="fast") as (transport, socket):
        await transport.wait_source_ended()
        sizes = {len(e["audio"]) for e in socket.of_type("input_audio_buffer.append")[:-1]}
        assert all(RATE_HZ / 50 * 2 <= size * 3 / 4 <= RATE_HZ / 10 * 2 for size in sizes)


async def test_a_source_in_real_time_does_not_run_ahead():
    async with connected(source=Samples(tone(10))) as (_, socket):
        began_s = asyncio.get_running_loop().time()
        await socket.wait(lambda: len(socket.heard()) >= 0.2 * RATE_HZ)
        elapsed_s = asyncio.get_running_loop().time() - began_s
        assert len(socket.heard()) <= (elapsed_s + 0.1) * RATE_HZ


async def test_a_server_that_does_not_take_it_holds_the_source_back():
    source = Samples(tone(60))
    async with connected(source=source, pace="fast") as (_, socket):
        socket.has_room.clear()
        await socket.wait(lambda: len(socket.heard()))
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(socket.heard()) <= RATE_HZ
        assert len(source.blocks) > 2_500
        socket.has_room.set()
        await socket.wait(lambda: len(socket.heard()) > RATE_HZ)


async def test_a_session_in_a_telephone_format_gets_its_audio_in_it():
    samples = tone(0.5, 8_000)
    config = {"audio": {"input": {"format": "g711_ulaw"}}}
    async with connected(source=Samples(samples, 8_000), pace="fast", config=config) as (
        transport,
        socket,
    ):
        await transport.wait_source_ended()
        appended = socket.of_type("input_audio_buffer.append")
        size = sum(len(event["audio"]) * 3 // 4 for event in appended)
        assert size == pytest.approx(len(samples), abs=1_000)


async def test_muting_sends_silence_and_holds_for_later_connections():
    line = Line()
    async with make(line, source=Samples(tone(60)), pace="fast") as transport:
        transport.mute(True)
        await transport.connect()
        await line.socket.wait(lambda: len(line.socket.heard()) > 1_000)
        assert not line.socket.heard().any()
        transport.mute(False)
        await line.socket.wait(lambda: line.socket.heard().any())
        assert transport.muted is False


async def test_without_a_source_there_is_nothing_to_mute():
    async with connected() as (transport, _):
        assert transport.muted is None
        with pytest.raises(TransportError, match="not supported"):
            transport.mute(True)


async def test_a_call_that_is_attached_to_takes_no_source():
    async with make(Line(), source=Samples(tone(1))) as transport:
        with pytest.raises(UserError, match="its own way"):
            await transport.connect(call_id="rtc_1")


async def test_a_source_that_fails_is_named_and_the_call_goes_on():
    class Broken(Samples):
        async def read(self) -> AudioFrame | None:
            raise OSError("unplugged")

    line, errors = Line(), []
    async with make(line, source=Broken(tone(1)), pace="fast") as transport:
        transport.on("error", lambda event: errors.append(event.error))
        await transport.connect()
        await transport.wait_source_ended()
        assert transport.status == "connected"
        assert isinstance(errors[0], AudioError)
        assert "Broken" in str(errors[0])
        await line.socket.wait(lambda: len(line.socket.heard()))


# Audio that comes


async def test_the_models_audio_reaches_sink_and_listeners():
    player, samples = Player(), tone(0.4)
    async with connected(sink=player) as (transport, socket):
        events: list[Any] = []
        transport.on("audio", events.append)
        socket.say("response.output_audio.delta", **delta(samples.tobytes()))
        await transport.wait_heard()
        assert (player.all_written() == samples).all()
        assert [event.data for event in events] == [samples.tobytes()]


async def test_an_answer_that_comes_at_once_is_not_cut_to_what_a_sink_has_room_for():
    player, samples = Player(), tone(20)
    async with connected(sink=player) as (transport, socket):
        for first in range(0, len(samples), RATE_HZ):
            piece = samples[first : first + RATE_HZ]
            socket.say("response.output_audio.delta", **delta(piece.tobytes()))
        await transport.wait_heard()
        assert len(player.all_written()) == len(samples)


async def test_truncation_is_by_what_the_sink_has_played():
    player = Player()
    async with connected(sink=player) as (transport, socket):
        socket.say("response.output_audio.delta", **delta(tone(2).tobytes(), item_id="a1"))
        await transport.wait_heard()
        player.played = 2 * RATE_HZ
        socket.say("response.output_audio.delta", **delta(tone(1).tobytes(), item_id="a2"))
        await transport.wait_heard()
        player.played += RATE_HZ // 4
        transport.interrupt()
        (truncation,) = socket.of_type("conversation.item.truncate")
        assert (truncation["item_id"], truncation["audio_end_ms"]) == ("a2", 250)
        assert player.clears == 1


async def test_all_items_that_the_sink_has_not_played_are_cut_off():
    player = Player()
    async with connected(sink=player) as (transport, socket):
        for item_id in ("a1", "a2", "a3"):
            socket.say("response.output_audio.delta", **delta(tone(1).tobytes(), item_id=item_id))
        await transport.wait_heard()
        player.played = RATE_HZ + RATE_HZ // 4
        transport.interrupt()
        truncations = socket.of_type("conversation.item.truncate")
        ends = [(each["item_id"], each["audio_end_ms"]) for each in truncations]
        assert ends == [("a2", 250), ("a3", 0)]


async def test_without_a_sink_an_item_is_heard_from_when_it_came():
    async with connected() as (transport, socket):
        socket.say("response.output_audio.delta", **delta(tone(1).tobytes()))
        loop = asyncio.get_running_loop()
        passed = loop.create_future()
        loop.call_later(0.05, passed.set_result, None)
        await passed
        transport.interrupt()
        (truncation,) = socket.of_type("conversation.item.truncate")
        assert 50 <= truncation["audio_end_ms"] < 1000


async def test_what_comes_of_an_interrupted_answer_reaches_neither_sink_nor_listeners():
    player = Player()
    async with connected(sink=player) as (transport, socket):
        heard: list[Any] = []
        transport.on("audio", heard.append)
        socket.say("response.created", response={"id": "r1"})
        transport.interrupt()
        socket.say("response.output_audio.delta", **delta(tone(1).tobytes()))
        await transport.wait_heard()
        assert not heard
        assert not player.written
        (truncation,) = socket.of_type("conversation.item.truncate")
        assert truncation["audio_end_ms"] == 0


async def test_after_an_interruption_the_sinks_clock_counts_for_the_next_answer():
    player = Player()
    async with connected(sink=player) as (transport, socket):
        socket.say("response.output_audio.delta", **delta(tone(2).tobytes(), item_id="a1"))
        await transport.wait_heard()
        player.played = RATE_HZ
        transport.interrupt()  # the second half is never heard
        socket.say("response.output_audio.delta", **delta(tone(1).tobytes(), item_id="a2"))
        await transport.wait_heard()
        player.played += RATE_HZ // 10
        transport.interrupt()
        ends = [e["audio_end_ms"] for e in socket.of_type("conversation.item.truncate")]
        assert ends == [1000, 100]


async def test_an_answer_played_to_its_end_keeps_its_transcript():
    player = Player()
    async with connected(sink=player) as (transport, socket):
        socket.say("response.output_audio.delta", **delta(tone(1).tobytes()))
        fields = delta(b"")
        del fields["delta"]
        socket.say("response.output_audio.done", **fields)
        await transport.wait_heard()
        player.played = RATE_HZ - 10  # what a resampler or a clock may lag
        socket.say("input_audio_buffer.speech_started", item_id="u", audio_start_ms=1)
        assert not socket.of_type("conversation.item.truncate")


async def test_whoever_plays_hears_of_an_interruption_before_the_server():
    async with connected() as (transport, socket):
        seen: list[list[str]] = []
        transport.on("audio_interrupted", lambda: seen.append(socket.types()))
        socket.say("response.output_audio.delta", **delta(bytes(4_800)))
        transport.interrupt()
        assert "conversation.item.truncate" not in seen[0]
        assert socket.types()[-1] == "conversation.item.truncate"


async def test_a_tap_sees_both_sides_and_the_caller_keeps_what_is_the_callers():
    class Tap:
        def __init__(self) -> None:
            self.sent_s = self.heard_s = 0.0

        def sent(self, frame: AudioFrame, at_s: float) -> None:
            self.sent_s += frame.duration_s

        def heard(self, frame: AudioFrame, at_s: float) -> None:
            self.heard_s += frame.duration_s

    tap, source = Tap(), Samples(tone(0.5))
    async with connected(source=source, tap=tap, pace="fast") as (transport, socket):
        socket.say("response.output_audio.delta", **delta(tone(0.25).tobytes()))
        await transport.wait_source_ended()
    assert tap.sent_s == pytest.approx(0.5, abs=0.1)
    assert tap.heard_s == pytest.approx(0.25)
    assert source.calls == ["open"]


async def test_a_sink_that_fails_is_named_and_the_call_goes_on():
    class Broken(Player):
        async def write(self, frame: AudioFrame) -> None:
            raise OSError("disk full")

    async with connected(sink=Broken()) as (transport, socket):
        error = asyncio.ensure_future(transport.wait_for("error"))
        await asyncio.sleep(0)
        socket.say("response.output_audio.delta", **delta(tone(0.1).tobytes()))
        (event,) = await error
        assert isinstance(event.error, AudioError)
        assert "Broken" in str(event.error)
        assert transport.status == "connected"


def test_a_pace_that_is_none_is_refused():
    with pytest.raises(UserError, match="pace"):
        OpenAIRealtimeWebSocket(pace="slow")
