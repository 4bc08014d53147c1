"""Spans of a session, its responses and tool calls, as the GenAI conventions name them."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from realtime_audio_plugins.middlewares import OpenTelemetryMiddleware
from realtime_core.errors import ConnectionLostError, UserError
from realtime_core.events import FunctionCall
from realtime_core.plugins import PluginManager
from tests.transports.bare import BareTransport

MESSAGE = {
    "id": "i",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_audio", "transcript": "well said"}],
}
CALL = {
    "id": "fc",
    "type": "function_call",
    "status": "completed",
    "name": "look_up",
    "call_id": "call_1",
    "arguments": '{"who": "ann"}',
}


class Room:
    """A transport with the middleware, and the spans that ended."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.now = 10.0
        self.transport = BareTransport(
            [OpenTelemetryMiddleware(tracer_provider=provider, clock=lambda: self.now, **options)]
        )
        self.transport.on("error", lambda _: None)
        self.transport.current_model = "gpt-x"
        self.transport.open()

    def get(self, event_type: str, **fields: Any) -> None:
        self.transport.get({"type": event_type, "event_id": "e", **fields})

    def respond(self, **done: Any) -> None:
        self.get("response.created", response={"id": "r", "output_modalities": ["audio"]})
        self.now += 0.25
        self.get("output_audio_buffer.started", response_id="r")
        self.get("response.done", response={"id": "r", "status": "completed", **done})

    def call(self) -> None:
        self.get("response.output_item.done", response_id="r", output_index=0, item=CALL)

    def spans(self) -> dict[str, Any]:
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def room() -> Room:
    return Room()


def test_a_session_is_a_span_and_the_parent_of_the_others(room):
    room.get("session.created", session={"id": "sess_1", "model": "gpt-x-2026"})
    room.respond()
    room.transport.close()
    spans = room.spans()
    session = spans["realtime_session gpt-x"]
    assert session.kind is SpanKind.CLIENT
    assert dict(session.attributes) == {
        "gen_ai.operation.name": "realtime_session",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-x",
        "gen_ai.response.model": "gpt-x-2026",
        "gen_ai.conversation.id": "sess_1",
    }
    assert spans["chat gpt-x"].parent.span_id == session.context.span_id
    assert session.parent is None


def test_a_response_has_its_tokens_reason_and_time_to_the_first_chunk(room):
    details = {"cached_tokens": 3}
    usage = {"input_tokens": 10, "output_tokens": 20, "input_token_details": details}
    room.respond(output=[MESSAGE], usage=usage)
    attributes = room.spans()["chat gpt-x"].attributes
    assert dict(attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-x",
        "gen_ai.response.id": "r",
        "gen_ai.output.type": "speech",
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 3,
    }


@pytest.mark.parametrize(
    ("done", "reason"),
    [
        ({"status": "cancelled", "status_details": {"reason": "turn_detected"}}, "turn_detected"),
        ({"status": "incomplete", "status_details": {"reason": "max_output_tokens"}}, "length"),
        ({"output": [CALL]}, "tool_call"),
    ],
)
def test_why_a_response_ended_is_told_in_the_conventions_words(room, done, reason):
    room.respond(**done)
    span = room.spans()["chat gpt-x"]
    assert span.attributes["gen_ai.response.finish_reasons"] == (reason,)
    assert span.status.status_code is StatusCode.UNSET


def test_a_failed_response_is_an_error(room):
    error = {"code": "server_error", "message": "sk-abcdefghijklmnopqrst is overloaded"}
    room.respond(status="failed", status_details={"error": error})
    span = room.spans()["chat gpt-x"]
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "*** is overloaded"
    assert span.attributes["error.type"] == "server_error"


def test_a_tool_call_lasts_until_its_output_is_sent(room):
    room.call()
    assert "execute_tool look_up" not in room.spans()
    room.transport.send_function_call_output(
        FunctionCall("look_up", "{}", "call_1", "fc"), "found", False
    )
    span = room.spans()["execute_tool look_up"]
    assert span.kind is SpanKind.INTERNAL
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-x",
        "gen_ai.tool.name": "look_up",
        "gen_ai.tool.call.id": "call_1",
        "gen_ai.tool.type": "function",
    }


def test_what_was_said_is_in_the_spans_only_when_asked_for():
    for content in (False, True):
        room = Room(content=content)
        room.call()
        room.transport.send_function_call_output(
            FunctionCall("look_up", "{}", "call_1", "fc"), "found", False
        )
        room.respond(output=[MESSAGE, CALL])
        spans = room.spans()
        attributes = {
            **spans["chat gpt-x"].attributes,
            **spans["execute_tool look_up"].attributes,
        }
        said = [text for text in ("well said", "ann", "found") if text in str(attributes)]
        assert said == (["well said", "ann", "found"] if content else [])
    [message] = json.loads(attributes["gen_ai.output.messages"])
    assert message["role"] == "assistant"
    assert [part["type"] for part in message["parts"]] == ["text", "tool_call"]


def test_what_is_open_when_the_link_ends_is_ended_as_an_error(room):
    room.get("response.created", response={"id": "r"})
    room.call()
    room.transport.close()
    spans = room.spans()
    for name in ("chat gpt-x", "execute_tool look_up"):
        assert spans[name].attributes["error.type"] == "connection_lost"
    assert spans["realtime_session gpt-x"].status.status_code is StatusCode.UNSET


def test_errors_are_on_the_sessions_span(room):
    room.get("error", error={"type": "invalid_request_error", "code": "no_such_item"})
    room.transport._report(ConnectionLostError("the peer is gone"))
    room.transport.close()
    span = room.spans()["realtime_session gpt-x"]
    assert [event.attributes["error.type"] for event in span.events] == ["no_such_item"]
    assert span.attributes["error.type"] == "ConnectionLostError"
    assert span.status.status_code is StatusCode.ERROR


def test_events_of_any_form_do_no_harm(room):
    for event in ("response.created", "response.done", "response.output_item.done", "error"):
        room.get(event, response=7, item=None, error="x")
    room.transport.close()
    errors = [args[0].error for name, args in room.transport.told if name == "error"]
    assert not any(isinstance(error, Exception) for error in errors)


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(UserError, match=r"pip install 'realtime-transports\[otel\]'"):
        OpenTelemetryMiddleware()


def test_it_can_be_made_by_its_spec():
    plugins = PluginManager(allow=[])
    assert isinstance(plugins.middleware("otel?content=true"), OpenTelemetryMiddleware)
