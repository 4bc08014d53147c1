"""The memory transport, beside what the contract suite proves of it."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realtime_audio_plugins import FileSource, NullSink, ToneSource
from realtime_core.audio import AudioFrame, frame_from_mono
from realtime_core.errors import ConnectError, ConnectStage, PluginError, UserError
from realtime_core.events import FunctionCall, TurnDone
from realtime_core.hookspecs import hookimpl
from realtime_core.plugins import PluginManager, default_plugins
from realtime_transports.local_server.responders import (
    AudioPiece,
    CallPiece,
    Responder,
    TextPiece,
    Turn,
)
from realtime_transports.memory import MemoryServer, OpenAIRealtimeMemory, ScriptedResponder

QUESTION = Path(__file__).parents[1] / "data" / "mailbox_number.wav"


async def conversation() -> list[dict[str, Any]]:
    """Everything that a server sends in a conversation of two turns."""
    events: list[dict[str, Any]] = []
    async with OpenAIRealtimeMemory(responder=["Hello!", "Goodbye!"]) as transport:
        transport.on("*", events.append)
        await transport.connect()
        for text in ("Hi", "Bye"):
            transport.send_message(text)
            await transport.wait_for("turn_done")
    return events


async def test_a_conversation_is_the_same_each_time_ids_included() -> None:
    assert await conversation() == await conversation()


async def test_answers_are_given_as_scripted_and_then_the_response_fails() -> None:
    responder = ScriptedResponder(["Hello!", [TextPiece("Good"), TextPiece("bye")]])
    async with OpenAIRealtimeMemory(responder=responder) as transport:
        await transport.connect(initial_session_config={"output_modalities": ["text"]})
        texts, ends = [], []
        transport.on("output_text_delta", lambda event: texts.append(event.delta))
        transport.on("response.done", lambda event: ends.append(event["response"]["status"]))
        for _ in range(3):
            transport.send_message("And?")
            await transport.wait_for("turn_done")
    assert texts == ["Hello!", "Good", "bye"]
    assert ends == ["completed", "completed", "failed"]
    assert [turn.text for turn in responder.turns] == ["And?"] * 3


async def test_a_function_call_is_made_answered_and_answered_to() -> None:
    responder = ScriptedResponder([[CallPiece("look_up", '{"q": 1}')], "It is 17."])
    calls: list[FunctionCall] = []
    async with OpenAIRealtimeMemory(responder=responder) as transport:
        transport.on("function_call", calls.append)
        transport.on("function_call", lambda c: transport.send_function_call_output(c, "17"))
        transport.on("error", lambda event: calls.append(event.error))
        await transport.connect()
        transport.send_message("Look it up")
        for _ in range(2):
            await transport.wait_for("turn_done")
        history = transport.history
    assert [(call.name, call.arguments) for call in calls] == [("look_up", '{"q": 1}')]
    assert [turn.text for turn in responder.turns] == ["Look it up", "17"]
    assert [item.type for item in history] == ["message", "function_call", "message"]
    assert getattr(history[1], "output", None) == "17"


async def test_a_call_beside_words_has_its_own_place_in_the_output() -> None:
    answer = [TextPiece("One moment"), CallPiece("look_up"), TextPiece(", please")]
    async with OpenAIRealtimeMemory(responder=[answer]) as transport:
        await transport.connect()
        transport.send_message("Look it up")
        added: list[tuple[str, int]] = []
        transport.on(
            "response.output_item.added",
            lambda event: added.append((event["item"]["type"], event["output_index"])),
        )
        (done,) = await transport.wait_for("turn_done")
    assert added == [("message", 0), ("function_call", 1), ("message", 2)]
    before, call, after = done.response.output
    assert before["content"][0]["transcript"] == "One moment"
    assert call["name"] == "look_up"
    assert after["content"][0]["transcript"] == ", please"


async def test_a_spoken_question_comes_back_from_the_parrot_without_a_clock() -> None:
    sink = NullSink()
    source = FileSource(QUESTION)
    async with OpenAIRealtimeMemory(source=source, sink=sink) as transport:
        await transport.connect()
        # The server detects the end of the turn by the silence that follows the file.
        done = asyncio.ensure_future(transport.wait_for("turn_done"))
        await transport.wait_source_ended()
        (turn,) = await done
        assert isinstance(turn, TurnDone)
        await transport.wait_heard()
        assert source.duration_s is not None
        assert sink.played_s == pytest.approx(source.duration_s, abs=1.0)
    await source.close()


async def test_without_turn_detection_nothing_follows_the_source() -> None:
    config = {"audio": {"input": {"turn_detection": None}}}
    source = ToneSource(440, 0.5, rate_hz=24_000)
    async with OpenAIRealtimeMemory(source=source) as transport:
        await transport.connect(initial_session_config=config)
        await transport.wait_source_ended()
        appends = transport.server.of_type("input_audio_buffer.append")
        assert sum(len(event["audio"]) * 3 // 4 for event in appends) == 2 * 12_000
    await source.close()


class HalfHeard(NullSink):
    """Plays only half of what it gets."""

    @property
    def played_samples(self) -> int:
        return super().played_samples // 2


async def test_an_interrupted_answer_is_cut_where_the_sink_was() -> None:
    spoken = asyncio.Event()

    class Endless(Responder):
        async def respond(self, turn: Turn) -> Any:
            yield AudioPiece(np.full(24_000, 100, np.int16))
            spoken.set()
            await asyncio.Event().wait()

    async with OpenAIRealtimeMemory(responder=Endless(), sink=HalfHeard()) as transport:
        await transport.connect()
        transport.send_message("Tell me everything")
        await spoken.wait()
        await transport.wait_heard()
        transport.interrupt()
        event = (await transport.wait_for("conversation.item.truncated"))[0]
    assert event["audio_end_ms"] == 500


async def test_a_server_of_ones_own_refuses_answers_and_hangs_up() -> None:
    class Moody(MemoryServer):
        is_open = False

        def accept(self) -> None:
            if not self.is_open:
                raise ConnectError(ConnectStage.HTTP, "not today", status=503)

    server = Moody()
    async with OpenAIRealtimeMemory(server=server) as transport:
        with pytest.raises(ConnectError, match="not today"):
            await transport.connect()
        server.is_open = True
        await transport.connect()
        transport.send_message("Anybody there?")
        await server.wait_until(lambda: bool(server.of_type("response.create")))
        ended = asyncio.ensure_future(transport.wait_for("disconnected"))
        await asyncio.sleep(0)
        server.hang_up()
        await ended
        assert transport.status == "disconnected"


async def test_a_configuration_that_the_server_refuses_is_a_connect_error() -> None:
    async with OpenAIRealtimeMemory() as transport:
        with pytest.raises(ConnectError, match="audio/pcmu") as caught:
            await transport.connect(
                initial_session_config={"audio": {"input": {"format": "g711_ulaw"}}}
            )
    assert caught.value.stage is ConnectStage.SESSION


async def test_a_file_that_the_transport_made_is_whole_at_the_end(tmp_path: Path) -> None:
    answer = tmp_path / "answer.wav"
    transport = OpenAIRealtimeMemory(responder=["Hello!"], sink=f"file:{answer}")
    async with transport:
        await transport.connect()
        transport.send_message("Hi")
        await transport.wait_for("turn_done")
    assert answer.stat().st_size > 1_000


async def test_a_responder_made_from_a_name_is_closed_with_each_connection() -> None:
    closed: list[str] = []

    class Closing(ScriptedResponder):
        async def close(self) -> None:
            closed.append("closed")

    class Plugin:
        @hookimpl
        def realtime_responders(self) -> Any:
            return {"closing": lambda argument: Closing([argument])}

    plugins = PluginManager(entry_points=[])
    plugins.register(Plugin(), "closing")
    async with OpenAIRealtimeMemory(responder="closing:Hello", plugins=plugins) as transport:
        for count in (1, 2):
            await transport.connect()
            transport.close()
            await transport.wait_closed()
            assert closed == ["closed"] * count


async def test_a_responder_that_cannot_be_made_is_named() -> None:
    def fail(argument: str) -> Responder:
        raise ValueError(f"no model {argument}")

    class Plugin:
        @hookimpl
        def realtime_responders(self) -> Any:
            return {"own": fail}

    plugins = PluginManager(entry_points=[])
    plugins.register(Plugin(), "made-up")
    async with OpenAIRealtimeMemory(responder="own:tiny", plugins=plugins) as transport:
        with pytest.raises(ConnectError, match=r"plugin made-up .* ValueError: no model tiny"):
            await transport.connect()


async def test_a_sink_is_closed_though_its_source_cannot_be() -> None:
    closed: list[str] = []

    class BadSource(FileSource):
        async def close(self) -> None:
            closed.append("source")
            raise OSError("unplugged")

    class BadSink(NullSink):
        async def close(self, *, complete: bool = True) -> None:
            closed.append("sink")
            raise OSError("full")

    class Plugin:
        @hookimpl
        def realtime_audio_sources(self) -> Any:
            return {"bad": lambda argument: BadSource(QUESTION)}

        @hookimpl
        def realtime_audio_sinks(self) -> Any:
            return {"bad": lambda argument: BadSink()}

    plugins = PluginManager(entry_points=[])
    plugins.register(Plugin(), "bad")
    told: list[str] = []
    async with OpenAIRealtimeMemory(
        responder=["Hi"], source="bad", sink="bad", plugins=plugins
    ) as transport:
        transport.on("error", lambda event: told.append(str(event.error)))
        await transport.connect()
    assert closed == ["source", "sink"]
    assert told == ["source BadSource raised OSError: unplugged"]


async def test_a_source_that_never_waits_lets_others_run() -> None:
    class Endless(FileSource):
        reads = 0

        async def read(self) -> AudioFrame | None:
            self.reads += 1
            assert self.reads < 1_000, "nobody else ran"
            return frame_from_mono(np.zeros(0, np.int16), 24_000, 0)

    source = Endless(QUESTION)
    async with OpenAIRealtimeMemory(responder=["Hi"], source=source) as transport:
        transport.on("error", lambda event: pytest.fail(str(event.error)))
        await transport.connect()
        await turns_of_the_loop(10)
    assert 0 < source.reads < 20


async def turns_of_the_loop(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_call_id_is_refused() -> None:
    async with OpenAIRealtimeMemory() as transport:
        with pytest.raises(UserError, match="no call to attach to"):
            await transport.connect(call_id="rtc_1")


def test_an_unknown_responder_is_refused_at_once() -> None:
    with pytest.raises(PluginError, match="there is no responder 'parot'; did you mean 'parrot'"):
        OpenAIRealtimeMemory(responder="parot")


def test_it_is_a_plugins_transport() -> None:
    made = default_plugins().factory("transport", "memory")(responder=["Hello"])
    assert isinstance(made, OpenAIRealtimeMemory)


async def test_a_tap_sees_one_sound_behind_the_other() -> None:
    seen: list[tuple[str, float, float]] = []

    class Tap:
        def sent(self, frame: AudioFrame, at_s: float) -> None:
            seen.append(("sent", at_s, frame.duration_s))

        def heard(self, frame: AudioFrame, at_s: float) -> None:
            seen.append(("heard", at_s, frame.duration_s))

    async with OpenAIRealtimeMemory(source=f"file:{QUESTION}", tap=Tap()) as transport:
        await transport.connect()
        done = asyncio.ensure_future(transport.wait_for("turn_done"))
        await transport.wait_source_ended()
        await done
    assert {way for way, _, _ in seen} == {"sent", "heard"}
    for (_, at_s, duration_s), (_, next_s, _) in itertools.pairwise(seen):
        assert next_s == pytest.approx(at_s + duration_s)
