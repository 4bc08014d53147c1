"""The stages of a connection that only WebRTC has: addresses, keys, the data channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_core.errors import ConnectError, ConnectStage
from realtime_transports.connecting import with_hint

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_transports.connecting import Stages
    from realtime_transports.webrtc.link import WebRTCLink

__all__ = ["wait_until_connected"]


async def wait_until_connected(link: WebRTCLink, stages: Stages) -> None:
    """Wait until the data channel is open.

    Raises:
        ConnectError: A stage took too long, or the connection failed in it.
    """
    reached: list[tuple[ConnectStage, Callable[[], bool]]] = [
        (ConnectStage.ICE, link.is_ice_connected),
        (ConnectStage.DTLS, link.is_dtls_connected),
        (ConnectStage.CHANNEL, lambda: link.is_open),
    ]
    for stage, is_reached in reached:
        async with stages.enter(stage):
            await link.wait_until(lambda done=is_reached: done() or link.has_failed())  # type: ignore[misc]
            if not is_reached():
                raise ConnectError(stage, with_hint(stage, "the connection failed"))
