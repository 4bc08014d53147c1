"""OpenTelemetry spans of sessions, responses and tool calls, by the GenAI conventions.

Names of attributes and operations are those of the semantic conventions for generative AI
(github.com/open-telemetry/semantic-conventions-genai, status: development). They know no session
that lasts: its span has the operation ``realtime_session``, which they allow, and is the parent of
the others.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from realtime_core.errors import UserError
from realtime_core.masking import mask_secrets
from realtime_core.middleware import EventMiddleware
from realtime_core.specs import SpecOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Span, SpanKind, TracerProvider

__all__ = ["OpenTelemetryMiddleware", "OpenTelemetryOptions"]

SCOPE = "realtime-transports"

FINISH_REASONS = {
    "completed": "stop",
    "max_output_tokens": "length",
    "content_filter": "content_filter",
    "failed": "error",
}
"""The conventions' words for the API's; what is not here is told as the API says it."""


class OpenTelemetryOptions(SpecOptions):
    """Options of ``otel``."""

    content: bool = Field(
        default=False, description="put transcripts, arguments and outputs into the spans"
    )
    provider: str = Field("openai", description="the value of gen_ai.provider.name")


class OpenTelemetryMiddleware(EventMiddleware):
    """Makes spans; where they go is the program's tracer provider's business.

    A session's span lasts from the link's opening to its end, a response's from
    ``response.created`` to ``response.done``, a tool call's from the call to its output.
    """

    def __init__(
        self,
        *,
        content: bool = False,
        provider: str = "openai",
        tracer_provider: TracerProvider | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask for a tracer.

        Args:
            content: Whether what was said, arguments and outputs go into the spans.
            provider: The value of ``gen_ai.provider.name``; ``azure.ai.openai`` for Azure.
            tracer_provider: Where spans go; None means the process's.
            clock: Seconds, for the time to the first chunk.

        Raises:
            UserError: The extra ``otel`` is not installed.
        """
        try:
            from opentelemetry import trace
        except ImportError as exc:
            raise UserError(
                "the otel middleware needs OpenTelemetry: pip install 'realtime-transports[otel]'"
            ) from exc
        self._trace = trace
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
        self._keeps_content = content
        self._provider = provider
        self._clock = clock
        self._model = ""
        self._session: Span | None = None
        self._responses: dict[str, Span] = {}
        self._began_s: dict[str, float] = {}
        """When responses began that nothing was heard or read of yet."""
        self._tools: dict[str, Span] = {}

    @classmethod
    def from_options(cls, options: OpenTelemetryOptions) -> OpenTelemetryMiddleware:
        """What ``otel`` in a spec makes."""
        return cls(content=options.content, provider=options.provider)

    @property
    def name(self) -> str:
        """What it is called in errors."""
        return "otel"

    def link_opened(self, model: str) -> None:
        """Begin the session's span; its parent is whatever span is current."""
        self._model = model
        self._session = self._start("realtime_session", model, self._trace.SpanKind.CLIENT)

    def link_closed(self) -> None:
        """End the session's span and all that were still open."""
        for span in (*self._tools.values(), *self._responses.values()):
            self._fail(span, "connection_lost", "the connection ended first")
            span.end()
        self._tools.clear()
        self._responses.clear()
        self._began_s.clear()
        session, self._session = self._session, None
        if session is not None:
            session.end()

    def error_reported(self, error: Exception) -> None:
        """Note an error of the transport's own on the session's span."""
        if self._session is not None:
            self._fail(self._session, type(error).__name__, str(error))

    def incoming(self, event: dict[str, Any]) -> dict[str, Any]:
        """Follow the server's events."""
        match event.get("type"):
            case "session.created" | "session.updated":
                self._note_session(_object(event, "session"))
            case "response.created":
                self._begin_response(_object(event, "response"))
            case "response.output_audio.delta" | "response.output_text.delta":
                self._note_first_chunk(event)
            case "output_audio_buffer.started":
                self._note_first_chunk(event)
            case "response.done":
                self._end_response(_object(event, "response"))
            case "response.output_item.done":
                self._begin_tool(_object(event, "item"))
            case "error":
                self._note_error(_object(event, "error"))
        return event

    def outgoing(self, event: dict[str, Any]) -> dict[str, Any]:
        """End a tool call's span when its output is sent."""
        item = _object(event, "item")
        if item.get("type") == "function_call_output":
            span = self._tools.pop(str(item.get("call_id")), None)
            if span is not None:
                self._set_content(span, "gen_ai.tool.call.result", item.get("output"))
                span.end()
        return event

    def _start(
        self,
        operation: str,
        subject: str,
        kind: SpanKind,
        attributes: Mapping[str, Any] | None = None,
    ) -> Span:
        parent = self._trace.set_span_in_context(self._session) if self._session else None
        return self._tracer.start_span(
            f"{operation} {subject}".strip(),
            context=parent,
            kind=kind,
            attributes={
                "gen_ai.operation.name": operation,
                "gen_ai.provider.name": self._provider,
                **({"gen_ai.request.model": self._model} if self._model else {}),
                **(attributes or {}),
            },
        )

    def _note_session(self, session: Mapping[str, Any]) -> None:
        if self._session is None:
            return
        _set(self._session, "gen_ai.conversation.id", session.get("id"))
        _set(self._session, "gen_ai.response.model", session.get("model"))

    def _begin_response(self, response: Mapping[str, Any]) -> None:
        response_id = str(response.get("id"))
        span = self._start("chat", self._model, self._trace.SpanKind.CLIENT)
        span.set_attribute("gen_ai.response.id", response_id)
        _set(span, "gen_ai.conversation.id", response.get("conversation_id"))
        modalities = response.get("output_modalities")
        if isinstance(modalities, list):
            span.set_attribute("gen_ai.output.type", "speech" if "audio" in modalities else "text")
        self._responses[response_id] = span
        self._began_s[response_id] = self._clock()

    def _note_first_chunk(self, event: Mapping[str, Any]) -> None:
        response_id = str(event.get("response_id"))
        span, began_s = self._responses.get(response_id), self._began_s.pop(response_id, None)
        if span is not None and began_s is not None:
            waited_s = self._clock() - began_s
            span.set_attribute("gen_ai.response.time_to_first_chunk", waited_s)

    def _end_response(self, response: Mapping[str, Any]) -> None:
        response_id = str(response.get("id"))
        span = self._responses.pop(response_id, None)
        self._began_s.pop(response_id, None)
        if span is None:
            return
        status = str(response.get("status"))
        details = _object(response, "status_details")
        reason = str(details.get("reason") or status)
        finish = FINISH_REASONS.get(reason, reason)
        if _has_call(response):
            finish = "tool_call"
        span.set_attribute("gen_ai.response.finish_reasons", [finish])
        _set_usage(span, _object(response, "usage"))
        self._set_content(span, "gen_ai.output.messages", _messages(response, finish))
        if status == "failed":
            error = _object(details, "error")
            kind = str(error.get("code") or error.get("type") or "_OTHER")
            self._fail(span, kind, str(error.get("message") or "the response failed"))
        span.end()

    def _begin_tool(self, item: Mapping[str, Any]) -> None:
        if item.get("type") != "function_call":
            return
        name, call_id = str(item.get("name")), str(item.get("call_id"))
        attributes = {
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.id": call_id,
            "gen_ai.tool.type": "function",
        }
        span = self._start("execute_tool", name, self._trace.SpanKind.INTERNAL, attributes)
        self._set_content(span, "gen_ai.tool.call.arguments", item.get("arguments"))
        self._tools[call_id] = span

    def _note_error(self, error: Mapping[str, Any]) -> None:
        """An error of the server ends nothing, so it is an event of the session's span."""
        if self._session is not None:
            kind = error.get("code") or error.get("type")
            self._session.add_event("error", {"error.type": str(kind or "_OTHER")})

    def _fail(self, span: Span, kind: str, message: str) -> None:
        span.set_attribute("error.type", kind)
        description = str(mask_secrets(message))
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, description))

    def _set_content(self, span: Span, key: str, value: Any) -> None:
        if self._keeps_content and value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            span.set_attribute(key, str(mask_secrets(text)))


def _set(span: Span, key: str, value: Any) -> None:
    if isinstance(value, str):
        span.set_attribute(key, value)


def _set_usage(span: Span, usage: Mapping[str, Any]) -> None:
    counts = {
        "gen_ai.usage.input_tokens": usage.get("input_tokens"),
        "gen_ai.usage.output_tokens": usage.get("output_tokens"),
        "gen_ai.usage.cache_read.input_tokens": _object(usage, "input_token_details").get(
            "cached_tokens"
        ),
    }
    for key, count in counts.items():
        if isinstance(count, int):
            span.set_attribute(key, count)


def _messages(response: Mapping[str, Any], finish: str) -> list[dict[str, Any]]:
    """What the model said, in the form of ``gen_ai.output.messages``."""
    parts: list[dict[str, Any]] = []
    for item in _objects(response.get("output")):
        if item.get("type") == "function_call":
            call = {"id": item.get("call_id"), "name": item.get("name")}
            parts.append({"type": "tool_call", **call, "arguments": item.get("arguments")})
        for part in _objects(item.get("content")):
            text = part.get("transcript") or part.get("text")
            if text:
                parts.append({"type": "text", "content": text})
    return [{"role": "assistant", "parts": parts, "finish_reason": finish}]


def _has_call(response: Mapping[str, Any]) -> bool:
    return any(item.get("type") == "function_call" for item in _objects(response.get("output")))


def _object(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = value.get(key)
    return inner if isinstance(inner, Mapping) else {}


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []
