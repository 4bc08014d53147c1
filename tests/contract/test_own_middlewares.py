"""This distribution's middlewares keep the contract that strangers' do."""

from __future__ import annotations

import itertools
import logging

import pytest
from opentelemetry.sdk.trace import TracerProvider

from realtime_audio_plugins.middlewares import (
    LogMiddleware,
    MetricsMiddleware,
    OpenTelemetryMiddleware,
    RecordMiddleware,
    RedactMiddleware,
)
from realtime_core.testing.middlewares import EventMiddlewareContract, MiddlewareCase


class TestLog(EventMiddlewareContract):
    @pytest.fixture
    def case(self, monkeypatch):
        # Whether logs are printed is for whoever sets logging up; other tests do.
        monkeypatch.setattr(logging.getLogger("contract.events"), "propagate", False)
        return MiddlewareCase(make=lambda: LogMiddleware("contract.events"))


class TestRecord(EventMiddlewareContract):
    @pytest.fixture
    def case(self, tmp_path):
        names = itertools.count()
        return MiddlewareCase(make=lambda: RecordMiddleware(tmp_path / f"{next(names)}.jsonl"))


class TestRecordWithoutContent(EventMiddlewareContract):
    @pytest.fixture
    def case(self, tmp_path):
        names = itertools.count()
        return MiddlewareCase(
            make=lambda: RecordMiddleware(tmp_path / f"{next(names)}.jsonl", redact=["email"])
        )


class TestRedact(EventMiddlewareContract):
    @pytest.fixture
    def case(self):
        held = {
            "response.output_audio_transcript.delta",
            "response.output_audio_transcript.done",
            "response.output_text.delta",
            "response.output_text.done",
            "response.done",
        }
        return MiddlewareCase(make=lambda: RedactMiddleware(["email"]), changes=frozenset(held))


class TestMetrics(EventMiddlewareContract):
    @pytest.fixture
    def case(self):
        return MiddlewareCase(make=MetricsMiddleware)


class TestOpenTelemetry(EventMiddlewareContract):
    @pytest.fixture
    def case(self):
        provider = TracerProvider(shutdown_on_exit=False)
        return MiddlewareCase(make=lambda: OpenTelemetryMiddleware(tracer_provider=provider))
