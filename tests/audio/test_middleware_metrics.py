"""The figures of a turn, against conversations whose times are known."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import numpy as np
import pytest

from realtime_audio_plugins.middlewares import MetricsMiddleware, TurnMetrics
from realtime_core.audio import frame_from_mono
from realtime_core.errors import UserError
from realtime_core.loop_lag import LagMeter
from realtime_core.plugins import PluginManager
from tests.conformance.virtual_loop import VirtualLoop, run_virtually
from tests.transports.bare import BareTransport

RATE_HZ = 24_000
BLOCK_S = 0.02


class Room:
    """A conversation whose clock is moved by hand."""

    def __init__(self, **options: Any) -> None:
        self.now = 100.0
        self.metrics = MetricsMiddleware(clock=lambda: self.now, **options)
        self.tap = self.metrics.tap

    def get(self, event_type: str, **fields: Any) -> None:
        self.metrics.incoming({"type": event_type, **fields})

    def send(self, event_type: str, **fields: Any) -> None:
        self.metrics.outgoing({"type": event_type, **fields})

    def pass_time(self, seconds: float, *, user: bool = False, model: bool = False) -> None:
        """Blocks go both ways, with or without sound in them."""
        for _ in range(round(seconds / BLOCK_S)):
            self.tap.sent(block(is_sound=user), self.now)
            self.tap.heard(block(is_sound=model), self.now)
            self.now += BLOCK_S

    def respond(self, response_id: str = "r") -> None:
        self.get("response.created", response={"id": response_id})

    def finish(self, response_id: str = "r", **fields: Any) -> None:
        response = {"id": response_id, "status": "completed", **fields}
        self.get("response.done", response=response)

    @property
    def turn(self) -> TurnMetrics:
        [turn] = self.metrics.turns
        return turn


def block(*, is_sound: bool) -> Any:
    samples = np.full(round(BLOCK_S * RATE_HZ), 5_000 if is_sound else 20, np.int16)
    return frame_from_mono(samples, RATE_HZ)


@pytest.fixture
def room() -> Room:
    return Room()


def test_voice_to_voice_is_from_the_last_sound_sent_to_the_first_sound_heard(room):
    room.pass_time(1.0, user=True)
    room.pass_time(0.5)
    room.get("input_audio_buffer.speech_stopped")
    room.respond()
    room.pass_time(0.2)
    room.get("output_audio_buffer.started", response_id="r")
    room.pass_time(0.1)
    room.pass_time(1.0, model=True)
    room.finish(usage={"input_tokens": 11, "output_tokens": 22})
    room.get("output_audio_buffer.stopped", response_id="r")
    assert room.metrics.turns == ()  # a breath, or the end?
    room.pass_time(0.4)
    assert room.turn.voice_to_voice_s == pytest.approx(0.8, abs=1e-6)
    assert room.turn.first_audio_s == pytest.approx(0.3, abs=1e-6)
    assert (room.turn.input_tokens, room.turn.output_tokens) == (11, 22)
    assert room.turn.measured_by == "audio"
    assert room.turn.interruption_to_silence_s is None
    assert room.turn.truncation_error_ms is None


def test_sound_within_a_frame_counts_from_where_it_is():
    room = Room()
    samples = np.zeros(480, np.int16)
    samples[:120] = 5_000
    room.tap.sent(frame_from_mono(samples, RATE_HZ), 100.0)
    room.respond()
    room.tap.heard(frame_from_mono(samples[::-1].copy(), RATE_HZ), 101.0)
    room.finish()
    room.metrics.link_closed()
    assert room.turn.voice_to_voice_s == pytest.approx(1.015 - 0.005, abs=1e-6)


def test_an_answer_that_was_asked_for_counts_from_the_request(room):
    room.send("response.create")
    room.pass_time(0.1)
    room.respond()
    room.pass_time(0.1)
    room.pass_time(0.1, model=True)
    room.finish()
    room.metrics.link_closed()
    assert room.turn.first_audio_s == pytest.approx(0.2, abs=1e-6)
    assert room.turn.voice_to_voice_s is None


def test_an_interrupted_answer_tells_how_long_it_went_on_and_what_is_kept_of_it(room):
    room.respond()
    room.get("output_audio_buffer.started", response_id="r")
    room.pass_time(1.0, model=True)
    room.get("input_audio_buffer.speech_started")
    room.finish(status="cancelled")
    room.get("output_audio_buffer.cleared", response_id="r")
    room.get("conversation.item.truncated", item_id="a", audio_end_ms=1_040)
    room.pass_time(0.16, model=True)
    room.pass_time(0.4)
    assert room.turn.status == "cancelled"
    assert room.turn.interruption_to_silence_s == pytest.approx(0.16, abs=1e-6)
    assert room.turn.truncation_error_ms == pytest.approx(1_040 - 1_160, abs=0.01)


def test_the_program_interrupts_and_truncates_where_it_plays_itself(room):
    room.respond()
    room.pass_time(0.5, model=True)
    room.send("response.cancel")
    room.send("conversation.item.truncate", item_id="a", content_index=0, audio_end_ms=500)
    room.finish(status="cancelled")
    room.respond("r2")
    assert room.turn.interruption_to_silence_s == 0
    assert room.turn.truncation_error_ms == pytest.approx(0, abs=0.01)


def test_talking_when_the_answer_is_over_is_no_interruption(room):
    room.respond()
    room.get("output_audio_buffer.started", response_id="r")
    room.pass_time(0.2, model=True)
    room.finish()
    room.get("output_audio_buffer.stopped", response_id="r")
    room.get("input_audio_buffer.speech_started")
    room.pass_time(0.4)
    assert room.turn.interruption_to_silence_s is None


def test_where_no_audio_passes_events_stand_in(room):
    room.get("input_audio_buffer.speech_stopped")
    room.now += 0.3
    room.respond()
    room.now += 0.2
    room.get("response.output_audio.delta", response_id="r", delta="AAAA")
    room.finish()
    assert room.turn.measured_by == "events"
    assert room.turn.voice_to_voice_s == pytest.approx(0.5)
    assert room.turn.first_audio_s == pytest.approx(0.2)


def test_a_written_answer_has_no_times_of_sound(room):
    room.pass_time(0.1)
    room.respond()
    room.finish(output=[{"content": [{"type": "output_text", "text": "hi"}]}])
    assert room.turn.voice_to_voice_s is None
    assert room.turn.status == "completed"


def test_an_answer_that_is_done_before_it_is_heard_is_waited_for(room):
    room.pass_time(0.1)
    room.respond()
    room.finish(output=[{"content": [{"type": "output_audio"}]}])
    assert room.metrics.turns == ()
    room.pass_time(0.1, model=True)
    room.pass_time(0.4)
    assert room.turn.first_audio_s == pytest.approx(0)


def test_a_turn_under_way_when_the_link_ends_is_told_without_a_status(room):
    room.respond()
    room.metrics.link_closed()
    assert room.turn.status is None


def test_answers_beside_the_conversation_do_not_end_the_turn(room):
    room.respond()
    room.finish("other")
    assert room.metrics.turns == ()


def test_turns_are_logged_written_and_told(tmp_path, caplog):
    caplog.set_level(logging.INFO, "realtime.metrics")
    told: list[TurnMetrics] = []
    path = tmp_path / "turns.jsonl"
    room = Room(path=path, on_turn=told.append)
    for response_id in ("r1", "r2"):
        room.respond(response_id)
        room.finish(response_id)
    assert tuple(told) == room.metrics.turns
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["response_id"] for line in lines] == ["r1", "r2"]
    assert lines[0]["type"] == "turn_metrics"
    assert [json.loads(record.getMessage()) for record in caplog.records] == lines


def test_events_of_any_form_do_no_harm(room):
    for response in (None, 7, {"id": None, "output": 7, "usage": 7}, {"output": [7, {}]}):
        room.get("response.created", response=response)
        room.get("response.done", response=response)
    room.send("conversation.item.truncate", audio_end_ms="x")


def test_a_directory_that_is_not_there_is_told_when_the_middleware_is_made(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        MetricsMiddleware(tmp_path / "none" / "turns.jsonl")


def test_it_can_be_made_by_its_spec(tmp_path):
    plugins = PluginManager(allow=[])
    assert isinstance(plugins.middleware("metrics"), MetricsMiddleware)
    assert isinstance(plugins.middleware(f"metrics:{tmp_path}/t.jsonl"), MetricsMiddleware)


# The event loop


def test_the_lag_of_the_event_loop_is_how_late_its_timers_are():
    meter = LagMeter()

    async def main(loop: VirtualLoop) -> None:
        meter.start()
        await loop.advance(18 * 20)
        loop._now_s += 0.3  # somebody keeps the loop
        await loop.advance(20)
        meter.stop()
        meter.stop()

    run_virtually(main)
    lag = meter.take()
    assert lag is not None
    assert lag.p50_ms == 0
    assert lag.max_ms == pytest.approx(300, abs=21)
    assert meter.take() is None


async def test_a_stopped_meter_sets_no_more_timers():
    transport = BareTransport([MetricsMiddleware()])
    transport.open()
    transport.close()
    assert not [
        handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()
    ]


def test_without_an_event_loop_there_is_no_lag():
    meter = LagMeter()
    meter.start()
    assert meter.take() is None
