"""What this distribution brings. The entry point in pyproject.toml names this module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from realtime_core.audio import AudioSink, AudioSource
from realtime_core.hookspecs import hookimpl
from realtime_core.middleware import EventMiddleware
from realtime_core.specs import SpecFactory

from realtime_example.dial import DialOptions, make_dial
from realtime_example.label import LabelOptions, make_label
from realtime_example.parts import PartsOptions, make_parts


@hookimpl
def realtime_audio_sources() -> Mapping[str, Callable[[str], AudioSource]]:
    """Sources by name."""
    return {"dial": SpecFactory("dial", DialOptions, make_dial)}


@hookimpl
def realtime_audio_sinks() -> Mapping[str, Callable[[str], AudioSink]]:
    """Sinks by name."""
    return {"parts": SpecFactory("parts", PartsOptions, make_parts)}


@hookimpl
def realtime_event_middlewares() -> Mapping[str, Callable[[str], EventMiddleware]]:
    """Middlewares by name."""
    return {"label": SpecFactory("label", LabelOptions, make_label)}


@hookimpl
def realtime_transports() -> Mapping[str, Callable[..., Any]]:
    """Transports by name."""
    return {"lines": make_lines}


def make_lines(**options: Any) -> Any:
    """The transport. Its module is imported by those who use it, not by those who list plugins."""
    from realtime_example import lines

    return lines.make_lines(**options)
