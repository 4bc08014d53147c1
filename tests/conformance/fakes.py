"""The world around a transport: peer connection, data channel, microphone.

They do what the fakes did with which the reference was recorded (vectors/README.md), in the shape
that aiortc gives to these things.
"""

# ruff: noqa: N802 - the names are WebRTC's

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

from realtime_core.audio import AudioFrame, AudioSource
from realtime_core.errors import AudioError
from tests.conformance.case import Scene
from tests.conformance.fake_http import FakeHttpClient
from tests.conformance.recorder import Recorder
from tests.conformance.values import Behaviour, without_undefined

__all__ = [
    "FakeDataChannel",
    "FakeMediaPath",
    "FakePeerConnection",
    "FakeSource",
    "World",
]


class _Emitter:
    """Handlers as aiortc's classes have them (pyee)."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._handlers: dict[str, list[Callable[..., Any]]] = {}

    def on(self, event: str, handler: Callable[..., Any] | None = None) -> Any:
        """Add a handler; a decorator when none is given."""
        if handler is None:
            return lambda decorated: self.on(event, decorated)
        self._handlers.setdefault(event, []).append(handler)
        return handler

    add_listener = on

    def once(self, event: str, handler: Callable[..., Any] | None = None) -> Any:
        """Add a handler for the next time."""
        if handler is None:
            return lambda decorated: self.once(event, decorated)

        def run(*args: Any) -> Any:
            self.remove_listener(event, run)
            return handler(*args)

        return self.on(event, run)

    def remove_listener(self, event: str, handler: Callable[..., Any]) -> None:
        """Forget a handler."""
        if handler in self._handlers.get(event, []):
            self._handlers[event].remove(handler)

    def remove_all_listeners(self, event: str | None = None) -> None:
        """Forget the handlers of an event, or all."""
        if event is None:
            self._handlers.clear()
        else:
            self._handlers.pop(event, None)

    def fire(self, event: str, *args: Any) -> None:
        """Run the handlers; what comes out of one has nobody to catch it in real life."""
        for handler in list(self._handlers.get(event, ())):
            try:
                result = handler(*args)
                if inspect.iscoroutine(result):
                    self._recorder.background(result)
            except Exception as exc:  # any is told as it is
                self._recorder.failed("listener", exc)


class World:
    """All fakes of one case, and what they are told to do."""

    def __init__(self, scene: Scene, recorder: Recorder) -> None:
        """Begin without any connection."""
        self.scene = scene
        self.recorder = recorder
        self.loop = asyncio.get_running_loop()
        self.peers: list[FakePeerConnection] = []
        self.links: list[FakeDataChannel] = []
        self.http = FakeHttpClient(recorder, holds_answers=scene.holds_http)
        self._deferred: dict[str, asyncio.Future[Any]] = {}
        self._calls: dict[str, int] = {}
        self._sends: dict[int, int] = {}
        self._acks = 0

    def check(self, operation: str, error_class: type[Exception] = RuntimeError) -> None:
        """Fail, if this operation is told to fail this time."""
        self._calls[operation] = count = self._calls.get(operation, 0) + 1
        spec = self.scene.fakes.get("fail", {}).get(operation)
        if spec is None:
            return
        if isinstance(spec, str):
            raise error_class(spec)
        if spec.get("nth", count) == count:
            raise error_class(spec["message"])

    def failing_send(self, event_type: Any) -> Mapping[str, Any] | None:
        """What is told about sending such an event this time, if anything."""
        for index, spec in enumerate(self.scene.fakes.get("sendFails", ())):
            if spec["type"] not in (event_type, "*"):
                continue
            self._sends[index] = count = self._sends.get(index, 0) + 1
            if spec.get("nth", count) == count:
                return dict(spec)
        return None

    def deferred(self, name: str) -> asyncio.Future[Any]:
        """What a step settles later."""
        if name not in self._deferred:
            self._deferred[name] = self.loop.create_future()
        return self._deferred[name]

    def settle_deferred(self, name: str, value: Any, error: Exception | None) -> None:
        """Settle it, once."""
        future = self.deferred(name)
        if future.done():
            return
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
            future.exception()  # whether anybody waits for it is the case's business

    def function(
        self, behaviour: Behaviour, error_class: type[Exception] = RuntimeError
    ) -> Callable[..., Any]:
        """A function, or a coroutine function, that does as it is told."""
        if behaviour.kind in ("returns", "throws"):

            def at_once(*_: Any) -> Any:
                if behaviour.kind == "throws":
                    raise error_class(behaviour.value)
                return without_undefined(behaviour.value)

            return at_once
        return lambda *_: self._later(behaviour, error_class)

    async def _later(self, behaviour: Behaviour, error_class: type[Exception]) -> Any:
        if behaviour.kind == "deferred":
            return await self.deferred(behaviour.value)
        if behaviour.after_ms:
            await asyncio.sleep(behaviour.after_ms / 1000)
        if behaviour.kind == "rejects":
            raise error_class(behaviour.value)
        return without_undefined(behaviour.value)

    def new_peer(self, *_: Any, **__: Any) -> FakePeerConnection:
        """The peer connection factory."""
        self.check("RTCPeerConnection")
        peer = FakePeerConnection(self, len(self.peers) + 1)
        self.peers.append(peer)
        return peer

    def media_path(self, **_: Any) -> FakeMediaPath:
        """The media path factory."""
        return FakeMediaPath()

    def open_soon(self, channel: FakeDataChannel) -> None:
        """Open a link by itself, one turn later, unless a step shall do it."""
        if self.scene.auto_open:
            self.loop.call_soon(channel.open_if_connecting)

    def acknowledge(self, channel: FakeDataChannel, session: Any) -> None:
        """Answer a session.update, as far as this server does."""
        if not self.scene.auto_ack or (self.scene.auto_ack == "first" and self._acks):
            return
        self._acks += 1
        event_id = f"evt_auto_ack_{self._acks}"
        event = {"type": "session.updated", "event_id": event_id, "session": session}
        self.loop.call_soon(channel.deliver, json.dumps(event))


class FakeDataChannel(_Emitter):
    """A link, as `aiortc.RTCDataChannel`."""

    def __init__(self, world: World, conn: int, label: str) -> None:
        """Begin unopened."""
        super().__init__(world.recorder)
        self.world = world
        self.conn = conn
        self.label = label
        self.readyState = "connecting"
        self.bufferedAmount = 0
        self.bufferedAmountLowThreshold = 0

    def send(self, data: str) -> None:
        """Take a message for the server."""
        if self.readyState != "open":
            raise RuntimeError(f"the data channel is {self.readyState}")
        event = json.loads(data)
        spec = self.world.failing_send(event.get("type"))
        if spec is not None and spec.get("socketError"):
            self.world.loop.call_soon(self.fire, "error", RuntimeError(spec["message"]))
            return
        if spec is not None:
            raise RuntimeError(spec["message"])
        self.world.recorder.sent(self.conn, event)
        if event.get("type") == "session.update":
            self.world.acknowledge(self, event.get("session"))

    def close(self) -> None:
        """Close, without telling anybody."""
        self.readyState = "closed"
        self.world.check("channel.close")

    def open_if_connecting(self) -> None:
        """Open, unless something happened meanwhile."""
        if self.readyState == "connecting":
            self.change("open")

    def change(self, what: str, message: str = "link error") -> None:
        """Do what a step says: open, close, closing or error."""
        if what == "error":
            self.fire("error", RuntimeError(message))
            return
        self.readyState = {"open": "open", "close": "closed", "closing": "closing"}[what]
        if what != "closing":
            self.fire(what)

    def deliver(self, data: str | bytes) -> None:
        """A message of the server; nothing comes through a link that is not open yet."""
        if self.readyState != "connecting":
            self.fire("message", data)


class FakePeerConnection(_Emitter):
    """A connection, as `aiortc.RTCPeerConnection`."""

    def __init__(self, world: World, conn: int) -> None:
        """Begin without tracks."""
        super().__init__(world.recorder)
        self.world = world
        self.conn = conn
        self.connectionState = "new"
        self.iceConnectionState = "new"
        self.iceGatheringState = "complete"
        self.signalingState = "stable"
        self.localDescription: Any = None
        self.remoteDescription: Any = None
        self._senders: list[Any] = []

    def createDataChannel(self, label: str, **_: Any) -> FakeDataChannel:
        """Make the link."""
        self.world.check("createDataChannel")
        channel = FakeDataChannel(self.world, self.conn, label)
        self.world.links.append(channel)
        return channel

    def addTrack(self, track: Any) -> Any:
        """Take the microphone's track."""
        self.world.check("addTrack")
        sender = SimpleNamespace(track=track)
        self._senders.append(sender)
        return sender

    def getSenders(self) -> list[Any]:
        """What was added."""
        self.world.check("getSenders")
        return list(self._senders)

    def getReceivers(self) -> list[Any]:
        """Nothing is received here."""
        return []

    def getTransceivers(self) -> list[Any]:
        """Nothing is negotiated here."""
        return []

    async def createOffer(self) -> Any:
        """The offer."""
        self.world.check("createOffer")
        return SimpleNamespace(type="offer", sdp=self.world.scene.fakes.get("offerSdp", OFFER_SDP))

    async def setLocalDescription(self, description: Any) -> None:
        """Take the offer."""
        self.world.check("setLocalDescription")
        self.localDescription = description

    async def setRemoteDescription(self, description: Any) -> None:
        """Take the answer; the link opens one turn later."""
        self.world.check("setRemoteDescription")
        self.remoteDescription = description
        mine = [link for link in self.world.links if link.conn == self.conn]
        for link in (mine or self.world.links)[-1:]:
            self.world.open_soon(link)

    async def close(self) -> None:
        """Close, without telling anybody."""
        self.connectionState = "closed"
        self.world.check("pc.close")

    def change_state(self, state: str) -> None:
        """Do what a step says."""
        self.connectionState = state
        self.fire("connectionstatechange")


OFFER_SDP = "v=0 fake-offer"


class FakeSource(AudioSource):
    """The microphone: `open` is what getUserMedia is in a browser."""

    def __init__(self, opens: Callable[[], Awaitable[None]] | None = None) -> None:
        """Begin closed.

        Args:
            opens: What opening does; None when the caller opened it before.
        """
        self._opens = opens

    async def open(self) -> None:
        """Ask for the microphone."""
        if self._opens is not None:
            await self._opens()

    async def read(self) -> AudioFrame | None:
        """Nothing, ever: no case is about the audio itself."""
        return None

    async def close(self) -> None:
        """Nothing is open."""


class FakeMediaPath:
    """Audio to and from nowhere."""

    def __init__(self) -> None:
        """Begin unmuted."""
        self._ended = asyncio.Event()
        self.track = SimpleNamespace(kind="audio", id="mic", stop=lambda: None)

    def start(self) -> None:
        """Nothing comes from the microphone."""

    def set_muted(self, muted: bool) -> None:
        """Nothing is sent anyway."""

    def receive(self, track: Any) -> None:
        """Nothing comes from the peer."""

    def clear(self) -> None:
        """Nothing waits to be heard."""

    def silence(self, for_s: float) -> None:
        """Nothing comes that could be heard."""

    async def wait_source_ended(self) -> None:
        """A microphone has no end."""
        await self._ended.wait()

    async def wait_heard(self) -> None:
        """Everything was heard."""

    def statistics(self) -> Any:
        """Nothing was counted."""
        return SimpleNamespace(
            sent_s=0.0, received_s=0.0, outgoing_dropped_s=0.0, incoming_dropped_s=0.0
        )

    async def close(self) -> None:
        """Nothing is open."""


def microphone(world: World) -> FakeSource:
    """A microphone of the transport's, which may be refused or be slow."""
    behaviour = world.scene.fakes.get("getUserMedia")

    async def opens() -> None:
        world.check("getUserMedia", AudioError)
        if behaviour is None:
            return
        result = world.function(Behaviour.from_json(behaviour), AudioError)()
        if inspect.isawaitable(result):
            await result

    return FakeSource(opens)
