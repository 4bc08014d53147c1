"""The middlewares by the names they have in specs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_audio_plugins.middlewares.log import LogMiddleware, LogOptions
from realtime_audio_plugins.middlewares.metrics import MetricsMiddleware, MetricsOptions
from realtime_audio_plugins.middlewares.otel import OpenTelemetryMiddleware, OpenTelemetryOptions
from realtime_audio_plugins.middlewares.record import RecordMiddleware, RecordOptions
from realtime_audio_plugins.middlewares.redact import RedactMiddleware, RedactOptions
from realtime_core.specs import SpecFactory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from realtime_core.middleware import EventMiddleware

__all__ = ["middleware_factories"]


def middleware_factories() -> Mapping[str, Callable[[str], EventMiddleware]]:
    """For the hook `realtime_event_middlewares`."""
    return {
        "log": SpecFactory("log", LogOptions, LogMiddleware.from_options),
        "metrics": SpecFactory("metrics", MetricsOptions, MetricsMiddleware.from_options),
        "otel": SpecFactory("otel", OpenTelemetryOptions, OpenTelemetryMiddleware.from_options),
        "record": SpecFactory("record", RecordOptions, RecordMiddleware.from_options),
        "redact": SpecFactory("redact", RedactOptions, RedactMiddleware.from_options),
    }
