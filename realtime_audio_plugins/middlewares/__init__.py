"""Event middlewares: log, record, redact, metrics, otel."""

from realtime_audio_plugins.middlewares.log import LogMiddleware
from realtime_audio_plugins.middlewares.metrics import LoopLag, MetricsMiddleware, TurnMetrics
from realtime_audio_plugins.middlewares.otel import OpenTelemetryMiddleware
from realtime_audio_plugins.middlewares.record import RecordMiddleware
from realtime_audio_plugins.middlewares.redact import RedactMiddleware

__all__ = [
    "LogMiddleware",
    "LoopLag",
    "MetricsMiddleware",
    "OpenTelemetryMiddleware",
    "RecordMiddleware",
    "RedactMiddleware",
    "TurnMetrics",
]
