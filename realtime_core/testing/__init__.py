"""What transports, sources, sinks, middlewares, and the programs on top of them, are tested with.

Contracts for whoever writes one of them, a server in a thread, and a bad network.

Importing the contracts needs pytest; the coroutine tests need pytest-asyncio.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_core.testing.harness import Capability, FarEnd, Manner, TransportHarness
    from realtime_core.testing.link import LinkConditions
    from realtime_core.testing.middlewares import EventMiddlewareContract, MiddlewareCase
    from realtime_core.testing.running_server import RunningServer
    from realtime_core.testing.sinks import AudioSinkContract, SinkCase
    from realtime_core.testing.sources import AudioSourceContract, SourceCase
    from realtime_core.testing.transport_contract import TransportContract
    from realtime_core.testing.udp_relay import UdpRelay

__all__ = [
    "AudioSinkContract",
    "AudioSourceContract",
    "Capability",
    "EventMiddlewareContract",
    "FarEnd",
    "LinkConditions",
    "Manner",
    "MiddlewareCase",
    "RunningServer",
    "SinkCase",
    "SourceCase",
    "TransportContract",
    "TransportHarness",
    "UdpRelay",
]

_HOMES = {
    "AudioSinkContract": "sinks",
    "AudioSourceContract": "sources",
    "Capability": "harness",
    "EventMiddlewareContract": "middlewares",
    "FarEnd": "harness",
    "LinkConditions": "link",
    "Manner": "harness",
    "MiddlewareCase": "middlewares",
    "RunningServer": "running_server",
    "SinkCase": "sinks",
    "SourceCase": "sources",
    "TransportContract": "transport_contract",
    "TransportHarness": "harness",
    "UdpRelay": "udp_relay",
}


def __getattr__(name: str) -> Any:
    """Import a suite when it is first asked for: the pytest plugin lives here and starts fast."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
