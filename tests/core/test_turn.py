"""One spoken turn, on a transport in memory and in time that is moved by hand."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from realtime_core.errors import (
    AudioError,
    ConnectError,
    ConnectionLostError,
    ConnectStage,
    TransportError,
)
from realtime_core.events import (
    ErrorEvent,
    TextDelta,
    TranscriptDelta,
    TurnDone,
    TurnResponse,
    TurnUsage,
)
from realtime_core.transport import ConnectionState, RealtimeTransportLayer
from realtime_core.turn import Turn, TurnFailedError, TurnResult, TurnTaking
from tests.conformance.virtual_loop import VirtualLoop, run_virtually, settle

SPEECH = [{"type": "message", "content": [{"type": "output_audio", "transcript": "Hello"}]}]
TEXT = [{"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}]


class FakeTransport(RealtimeTransportLayer):
    """A transport whose server is the test."""

    status = "disconnected"
    muted = False
    current_model = "a-model"
    call_id = None
    connection_state = ConnectionState()
    history = ()

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[dict[str, Any]] = []
        self.connected_with: dict[str, Any] = {}
        self.while_connecting: Callable[[], object] = lambda: None
        self.source_ended = asyncio.Event()
        self.heard = asyncio.Event()
        self.heard.set()
        self.send_failure: Exception | None = None
        self.is_closed = False

    async def connect(self, **options: Any) -> None:
        self.connected_with = options
        self.while_connecting()
        self.status = "connected"

    def send_event(self, event: Mapping[str, Any]) -> None:
        if self.send_failure is not None:
            raise self.send_failure
        self.sent.append(dict(event))

    def request_response(self, response: Mapping[str, Any] | None = None) -> None:
        self.send_event({"type": "response.create"})

    async def wait_source_ended(self) -> None:
        await self.source_ended.wait()

    async def wait_heard(self) -> None:
        await self.heard.wait()

    def close(self) -> None:
        if self.status == "connected":
            self.status = "disconnected"
            self.emit("disconnected")

    async def wait_closed(self) -> None:
        self.is_closed = True

    # What the server does

    def serve(self, event_type: str, response_id: str = "resp_1", **fields: Any) -> None:
        self.emit(event_type, {"type": event_type, "response_id": response_id, **fields})

    def begin(self, response_id: str = "resp_1") -> None:
        self.serve("response.created", response={"id": response_id})

    def end(self, response_id: str = "resp_1", output: Any = TEXT, **fields: Any) -> None:
        response = {"id": response_id, "status": "completed", "output": output, **fields}
        self.serve("response.done", response_id, response=response)

    def start_sound(self, response_id: str = "resp_1") -> None:
        self.serve("output_audio_buffer.started", response_id)

    def stop_sound(self, response_id: str = "resp_1") -> None:
        self.serve("output_audio_buffer.stopped", response_id)


# What the fake leaves out, no turn needs.
FakeTransport.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]


class Scene:
    """A turn under way."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.transport = FakeTransport()
        self._task: asyncio.Task[TurnResult] | None = None

    async def begin(self, taking: TurnTaking = TurnTaking.MANUAL, **options: Any) -> FakeTransport:
        turn = Turn(self.transport, taking=taking)
        self._task = asyncio.create_task(turn.run(**options))
        await settle()
        return self.transport

    async def ask(self, **options: Any) -> FakeTransport:
        """Begin, and speak the question to its end."""
        transport = await self.begin(**options)
        transport.source_ended.set()
        await settle()
        await self.loop.advance(300)
        return transport

    async def is_over(self) -> bool:
        await settle()
        assert self._task is not None
        return self._task.done()

    async def result(self) -> TurnResult:
        """What came out; it must be there without any more time or events."""
        assert await self.is_over()
        assert self._task is not None
        assert self.transport.is_closed
        return self._task.result()

    async def cancel(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await settle()


def virtually(test: Callable[..., Any]) -> Callable[..., None]:
    """Make a test of a coroutine function that wants a `Scene`; it must leave no task behind."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        async def main(loop: VirtualLoop) -> None:
            await test(Scene(loop), **fixtures)
            await settle()
            assert asyncio.all_tasks() == {asyncio.current_task()}

        run_virtually(main)

    _, *rest = inspect.signature(test).parameters.values()
    run.__signature__ = inspect.Signature(rest)  # type: ignore[attr-defined]
    return run


# Asking


@virtually
async def test_a_manual_turn_is_committed_300_ms_after_the_source_has_ended(scene: Scene):
    transport = await scene.begin()
    await scene.loop.advance(60_000)
    assert transport.sent == []
    transport.source_ended.set()
    await settle()
    await scene.loop.advance(299)
    assert transport.sent == []
    await scene.loop.advance(1)
    assert transport.sent == [{"type": "input_audio_buffer.commit"}, {"type": "response.create"}]
    await scene.cancel()


@virtually
async def test_a_manual_turn_switches_turn_detection_off_and_keeps_the_rest(scene: Scene):
    config = {
        "voice": "marin",
        "audio": {"input": {"noise_reduction": None, "turn_detection": {"type": "server_vad"}}},
    }
    transport = await scene.begin(api_key="ek_1", session_config=config)
    assert transport.connected_with == {
        "api_key": "ek_1",
        "initial_session_config": {
            "voice": "marin",
            "audio": {"input": {"noise_reduction": None, "turn_detection": None}},
        },
    }
    assert config["audio"]["input"]["turn_detection"] == {"type": "server_vad"}  # type: ignore[index]
    await scene.cancel()


@virtually
async def test_a_turn_left_to_the_server_sends_nothing_and_keeps_the_configuration(scene: Scene):
    config = {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}
    transport = await scene.ask(taking=TurnTaking.VAD, session_config=config)
    await scene.loop.advance(60_000)
    assert transport.sent == []
    assert transport.connected_with["initial_session_config"] == config
    await scene.cancel()


# Hearing the answer to its end


@virtually
async def test_a_turn_ends_after_the_response_its_sound_and_the_sink(scene: Scene):
    transport = await scene.ask()
    transport.heard.clear()
    transport.begin()
    transport.start_sound()
    assert not await scene.is_over()
    transport.end(output=SPEECH)
    assert not await scene.is_over()
    transport.stop_sound()
    assert not await scene.is_over()
    transport.heard.set()
    assert (await scene.result()).responses == 1


@virtually
async def test_the_sound_may_end_before_the_response_is_told_to_be_done(scene: Scene):
    transport = await scene.ask()
    transport.begin()
    transport.start_sound()
    transport.stop_sound()
    assert not await scene.is_over()
    transport.end(output=SPEECH)
    assert (await scene.result()).responses == 1


@virtually
async def test_the_sound_may_begin_after_the_response_is_done(scene: Scene):
    transport = await scene.ask()
    transport.begin()
    transport.end(output=SPEECH)
    await scene.loop.advance(1000)
    assert not await scene.is_over()
    transport.start_sound()
    await scene.loop.advance(1000)
    assert not await scene.is_over()
    transport.stop_sound()
    await scene.result()


@virtually
async def test_sound_that_is_cleared_is_over(scene: Scene):
    transport = await scene.ask()
    transport.begin()
    transport.start_sound()
    transport.end(output=SPEECH)
    transport.serve("output_audio_buffer.cleared")
    await scene.result()


@virtually
async def test_an_answer_in_text_needs_no_sound(scene: Scene):
    transport = await scene.ask()
    transport.begin()
    transport.emit("output_text_delta", TextDelta("Hello, ", "item_1", "resp_1"))
    transport.emit("output_text_delta", TextDelta("world", "item_1", "resp_1"))
    transport.end(output=TEXT)
    result = await scene.result()
    assert result.transcript == "Hello, world"
    assert result.first_audio_s is None


@pytest.mark.parametrize("output", [None, [], ["?"], [{"content": None}], [{"content": ["?"]}]])
@virtually
async def test_an_output_without_anything_known_needs_no_sound(scene: Scene, output: Any):
    transport = await scene.ask()
    transport.begin()
    transport.end(output=output)
    assert (await scene.result()).responses == 1


@virtually
async def test_the_result_has_transcript_usage_and_the_time_to_the_first_sound(scene: Scene):
    transport = await scene.ask()
    await scene.loop.advance(450)
    transport.begin()
    transport.start_sound()
    transport.emit("audio_transcript_delta", TranscriptDelta("Hello", "item_1", "resp_1"))
    await scene.loop.advance(2000)
    usage = TurnUsage(10, 20, 30)
    transport.emit("turn_done", TurnDone(TurnResponse("resp_1", usage=usage)))
    transport.end(output=SPEECH)
    transport.stop_sound()
    assert await scene.result() == TurnResult("Hello", 1, usage, pytest.approx(0.3 + 0.45))


# Turns left to the server


@virtually
async def test_a_turn_left_to_the_server_may_bring_two_responses(scene: Scene):
    transport = await scene.ask(taking=TurnTaking.VAD)
    for number in (1, 2):
        response_id = f"resp_{number}"
        transport.begin(response_id)
        transport.start_sound(response_id)
        text = TranscriptDelta(f"Answer {number}.", "item", response_id)
        transport.emit("audio_transcript_delta", text)
        usage = TurnUsage(number, 10 * number, 11 * number)
        transport.emit("turn_done", TurnDone(TurnResponse(response_id, usage=usage)))
        transport.end(response_id, output=SPEECH)
        transport.stop_sound(response_id)
        await settle()
        await scene.loop.advance(1900)
        assert not await scene.is_over()
    await scene.loop.advance(100)
    result = await scene.result()
    assert result.responses == 2
    assert result.transcript == "Answer 1. Answer 2."
    assert result.usage == TurnUsage(3, 30, 33)


@virtually
async def test_a_turn_left_to_the_server_is_not_over_before_the_source(scene: Scene):
    transport = await scene.begin(TurnTaking.VAD)
    transport.begin()
    transport.start_sound()
    transport.end(output=SPEECH)
    transport.stop_sound()
    await scene.loop.advance(60_000)
    assert not await scene.is_over()
    transport.source_ended.set()
    await settle()
    await scene.loop.advance(300)
    assert not await scene.is_over()
    await scene.loop.advance(2000)
    result = await scene.result()
    assert result.responses == 1
    assert result.first_audio_s is None  # the sound came before the question's end


@virtually
async def test_a_response_that_is_cancelled_before_it_sounds_is_not_waited_for(scene: Scene):
    transport = await scene.ask(taking=TurnTaking.VAD)
    transport.begin("resp_1")
    transport.end("resp_1", output=SPEECH, status="cancelled")
    transport.begin("resp_2")
    transport.start_sound("resp_2")
    transport.end("resp_2", output=SPEECH)
    transport.stop_sound("resp_2")
    await settle()
    await scene.loop.advance(2000)
    assert (await scene.result()).responses == 2


# Failures


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (
            {"status": "failed", "status_details": {"error": {"message": "no quota left"}}},
            "the response is failed: no quota left",
        ),
        (
            {"status": "incomplete", "status_details": {"reason": "max_output_tokens"}},
            "the response is incomplete: max_output_tokens",
        ),
        ({"status": "failed", "status_details": None}, "the response is failed: no reason given"),
    ],
)
@virtually
async def test_a_failed_response_fails_the_turn_with_the_providers_message(
    scene: Scene, response: dict[str, Any], message: str
):
    transport = await scene.ask()
    transport.begin()
    transport.end(**response)
    with pytest.raises(TurnFailedError) as caught:
        await scene.result()
    assert str(caught.value) == message


@virtually
async def test_an_error_of_the_server_fails_the_turn_with_its_message(scene: Scene):
    transport = await scene.ask()
    error = {"type": "error", "error": {"message": "buffer too small"}}
    transport.emit("error", ErrorEvent(error))
    with pytest.raises(TurnFailedError, match="the server reports: buffer too small"):
        await scene.result()


@virtually
async def test_an_error_of_the_server_without_a_message_is_told_whole(scene: Scene):
    transport = await scene.ask()
    transport.emit("error", ErrorEvent({"type": "error", "error": "odd"}))
    with pytest.raises(TurnFailedError, match="'error': 'odd'"):
        await scene.result()


@virtually
async def test_an_error_of_ours_comes_as_it_is(scene: Scene):
    transport = await scene.ask()
    error = AudioError("the disk is full")
    transport.emit("error", ErrorEvent(error))
    with pytest.raises(AudioError) as caught:
        await scene.result()
    assert caught.value is error


@virtually
async def test_a_connection_that_ends_midway_is_lost(scene: Scene):
    transport = await scene.ask()
    transport.begin()
    transport.close()
    with pytest.raises(ConnectionLostError, match="before the answer was over"):
        await scene.result()


@virtually
async def test_of_several_failures_the_first_is_told(scene: Scene):
    transport = await scene.ask()
    first = ConnectionLostError("silence", silent_for_s=3.0)
    transport.emit("error", ErrorEvent(first))
    transport.emit("error", ErrorEvent(TransportError("a consequence")))
    transport.close()
    with pytest.raises(ConnectionLostError) as caught:
        await scene.result()
    assert caught.value is first


@virtually
async def test_a_failure_while_the_question_is_spoken_ends_the_turn_at_once(scene: Scene):
    transport = await scene.begin()
    transport.emit("error", ErrorEvent(AudioError("the microphone is gone")))
    with pytest.raises(AudioError):
        await scene.result()
    assert transport.sent == []


@virtually
async def test_a_failure_within_the_silence_after_the_question_ends_the_turn(scene: Scene):
    transport = await scene.begin()
    transport.source_ended.set()
    await settle()
    await scene.loop.advance(100)
    transport.close()
    with pytest.raises(ConnectionLostError):
        await scene.result()
    assert transport.sent == []


@virtually
async def test_an_error_told_while_connecting_ends_a_turn_whose_source_never_ends(scene: Scene):
    transport = scene.transport
    error = AudioError("the microphone is gone")
    transport.while_connecting = lambda: transport.emit("error", ErrorEvent(error))
    await scene.begin()
    with pytest.raises(AudioError):
        await scene.result()


@virtually
async def test_a_sink_that_fails_while_the_rest_is_heard_fails_the_turn(scene: Scene):
    transport = await scene.ask()
    transport.heard.clear()
    transport.begin()
    transport.end()
    assert not await scene.is_over()
    transport.emit("error", ErrorEvent(AudioError("the disk is full")))
    with pytest.raises(AudioError, match="the disk is full"):
        await scene.result()


@virtually
async def test_a_turn_without_a_connection_fails_as_connecting_does(scene: Scene):
    def refuse() -> None:
        raise ConnectError(ConnectStage.HTTP, "no such host")

    scene.transport.while_connecting = refuse
    await scene.begin()
    with pytest.raises(ConnectError, match="no such host"):
        await scene.result()


@virtually
async def test_a_commit_that_cannot_be_sent_fails_the_turn(scene: Scene):
    scene.transport.send_failure = TransportError("the channel is full")
    await scene.ask()
    with pytest.raises(TransportError, match="the channel is full"):
        await scene.result()


# Deadlines and cancelling


@virtually
async def test_a_model_that_does_not_begin_is_given_up_at_the_deadline(scene: Scene):
    await scene.ask(deadline_s=5.0)
    await scene.loop.advance(4999)
    assert not await scene.is_over()
    await scene.loop.advance(1)
    with pytest.raises(TurnFailedError, match="did not begin to answer within 5 s of"):
        await scene.result()


@virtually
async def test_an_answer_that_does_not_end_is_given_up_at_the_deadline(scene: Scene):
    transport = await scene.ask(deadline_s=5.0)
    transport.begin()
    transport.start_sound()
    transport.end(output=SPEECH)
    await scene.loop.advance(5000)
    with pytest.raises(TurnFailedError, match="the answer was not over 5 s after"):
        await scene.result()


@virtually
async def test_a_sink_that_never_drains_is_given_up_at_the_deadline(scene: Scene):
    transport = await scene.ask(deadline_s=5.0)
    transport.heard.clear()
    transport.begin()
    transport.end()
    await settle()
    await scene.loop.advance(5000)
    with pytest.raises(TurnFailedError, match="the answer was not over 5 s after"):
        await scene.result()


@virtually
async def test_the_deadline_does_not_count_the_question(scene: Scene):
    transport = await scene.begin(deadline_s=5.0)
    await scene.loop.advance(600_000)
    transport.source_ended.set()
    await settle()
    await scene.loop.advance(300)
    transport.begin()
    transport.end()
    assert (await scene.result()).responses == 1


@pytest.mark.parametrize("moment", ["question", "answer"])
@virtually
async def test_a_cancelled_turn_closes_the_transport_and_leaves_nothing(scene: Scene, moment: str):
    transport = await (scene.begin() if moment == "question" else scene.ask())
    if moment == "answer":
        transport.begin()
        await settle()
    await scene.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scene.result()
    assert transport.status == "disconnected"
