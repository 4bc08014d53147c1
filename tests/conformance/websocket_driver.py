"""Plays cases of transport ``websocket`` on `OpenAIRealtimeWebSocket`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from realtime_transports.websocket import OpenAIRealtimeWebSocket, SocketRequest
from tests.conformance.fake_socket import FakeWebSocket
from tests.conformance.stage import Stage
from tests.conformance.values import UNDEFINED, CreatedWebSocket
from tests.conformance.virtual_loop import VirtualLoop
from tests.conformance.webrtc_driver import Player, newest

__all__ = ["SocketPlayer", "play_websocket"]


async def play_websocket(stage: Stage, loop: VirtualLoop) -> None:
    """Play a case on a new transport with fakes all around it."""
    await SocketPlayer(stage, loop, OpenAIRealtimeWebSocket).play()


class SocketPlayer(Player):
    """Does the steps of a case on a transport whose link is a WebSocket."""

    def options(self) -> dict[str, Any]:
        """The constructor's options; a browser is one that sends the key as a subprotocol."""
        given = self.stage.decode(self.scene.options)
        is_browser = self.scene.env == "browser"
        creating = given.get("createWebSocket")
        options: dict[str, Any] = {
            "create_web_socket": self._new_socket,
            "require_ephemeral_key": is_browser,
            "key_in_subprotocol": is_browser,
        }
        if isinstance(creating, CreatedWebSocket):
            options["create_web_socket"] = self._creator(creating)
        translated = {
            "url": "url",
            "model": "model",
            "apiKey": "api_key",
            "useInsecureApiKey": "use_insecure_api_key",
            "skipOpenEventListeners": "skip_open_event_listeners",
        }
        for js, python in translated.items():
            if given.get(js, UNDEFINED) is not UNDEFINED:
                options[python] = self.value(given[js])
        return options

    def steps(self) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
        """What each kind of step does."""
        return {**super().steps(), "socket": self._socket}

    def reduced(self, state: Any) -> dict[str, Any]:
        """What of a connection's state is compared."""
        return {
            "status": str(state.status),
            "hasPeerConnection": False,
            "hasLink": state.websocket is not None,
        }

    def _socket(self, step: Mapping[str, Any]) -> None:
        socket = newest(self.world.links, step)
        if socket is not None:
            socket.change(step["socket"], step.get("message", "link error"))

    def _new_socket(self, request: SocketRequest) -> FakeWebSocket:
        if request.subprotocols:
            how: dict[str, Any] = {"protocols": list(request.subprotocols)}
        else:
            how = {"headers": request.headers}
        return self._open({"via": "constructor", "url": request.url, **how})

    def _open(self, how: dict[str, Any]) -> FakeWebSocket:
        self.world.check("WebSocket")
        links: list[Any] = self.world.links
        socket = FakeWebSocket(self.world, len(links) + 1)
        links.append(socket)
        self.recorder.opened(socket.conn, how)
        return socket

    def _creator(self, creating: CreatedWebSocket) -> Callable[[SocketRequest], Any]:
        async def create(request: SocketRequest) -> FakeWebSocket:
            if creating.behaviour is not None:
                result = self.world.function(creating.behaviour)()
                if inspect.isawaitable(result):
                    await _whatever_happens(asyncio.ensure_future(result))
            return self._open(
                {
                    "via": "createWebSocket",
                    "url": request.url,
                    "apiKey": request.api_key.get_secret_value(),
                }
            )

        return create


async def _whatever_happens(task: asyncio.Future[Any]) -> None:
    """Wait for a task without letting oneself be cancelled, as a promise cannot be."""
    while True:
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.done():
                raise
        else:
            return
