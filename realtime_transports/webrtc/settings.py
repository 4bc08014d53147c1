"""What a WebRTC transport was told about placing calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_transports.connecting import ConnectTimeouts
    from realtime_transports.webrtc.attempt import KeyRules
    from realtime_transports.webrtc.link import PeerConnection
    from realtime_transports.webrtc.signaling import Signaling

__all__ = ["CallSettings"]


@dataclass(frozen=True)
class CallSettings:
    """How calls are placed; what the fields mean is told at `OpenAIRealtimeWebRTC`."""

    base_url: str
    key_rules: KeyRules
    change_peer_connection: Callable[[Any], Any | Awaitable[Any]] | None
    loopback: bool | None
    timeouts: ConnectTimeouts
    signaling: Signaling
    make_peer_connection: Callable[[], PeerConnection]
