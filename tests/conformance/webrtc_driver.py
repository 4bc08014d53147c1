"""Plays cases of transport ``webrtc`` on `OpenAIRealtimeWebRTC`."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from realtime_core.events import FunctionCall
from tests.conformance.fakes import FakeSource, World, microphone
from tests.conformance.names import (
    CALLS,
    CONNECT_OPTIONS,
    PROPERTIES,
    from_config,
    from_item,
    from_message,
    from_payload,
    from_tool_call,
)
from tests.conformance.recorder import Recorder
from tests.conformance.stage import Stage, UnknownStepError
from tests.conformance.values import (
    UNDEFINED,
    Behaviour,
    ChangedPeerConnection,
    Function,
    MediaStream,
    plain,
    without_undefined,
)
from tests.conformance.virtual_loop import VirtualLoop

__all__ = ["Player", "newest", "play_webrtc", "recorded"]


async def play_webrtc(stage: Stage, loop: VirtualLoop) -> None:
    """Play a case on a new transport with fakes all around it."""
    # Cases of other kinds do without aiortc.
    from realtime_transports.webrtc.transport import OpenAIRealtimeWebRTC

    await Player(stage, loop, OpenAIRealtimeWebRTC).play()


def recorded(transport_class: type[Any], recorder: Recorder) -> type[Any]:
    """The class, with each event taken down before its listeners run."""

    class Recorded(transport_class):  # type: ignore[misc]
        def emit(self, event: str, *args: Any) -> bool:
            recorder.emitted(event, args)
            return bool(super().emit(event, *args))

    return Recorded


class Player:
    """Does the steps of a case on a transport."""

    def __init__(self, stage: Stage, loop: VirtualLoop, transport_class: type[Any]) -> None:
        self.stage = stage
        self.scene = stage.scene
        self.recorder = stage.recorder
        self.loop = loop
        self.world = World(self.scene, self.recorder)
        self.transport_class = transport_class
        self.transport: Any = None

    async def play(self) -> None:
        try:
            self.transport = recorded(self.transport_class, self.recorder)(**self.options())
        except Exception as exc:  # any is compared
            self.recorder.failed("constructor", exc)
            return
        self._listen()
        await self.stage.play(self.do)
        self._end()

    def _end(self) -> None:
        """Close, for the sake of what the transport holds; nothing of it is compared."""
        try:
            self.transport.close()
        except Exception as exc:
            if not self.scene.fakes.get("fail"):
                raise RuntimeError("closing after the last step failed") from exc

    def options(self) -> dict[str, Any]:
        given = self.stage.decode(self.scene.options)
        is_browser = self.scene.env == "browser"
        options: dict[str, Any] = {
            "source": microphone(self.world),
            "sink": None,
            "peer_connection_factory": self.world.new_peer,
            "http": self.world.http,
            "media_path_factory": self.world.media_path,
            "require_ephemeral_key": is_browser,
            "use_insecure_api_key": given.get("useInsecureApiKey", not is_browser),
        }
        if isinstance(given.get("mediaStream"), MediaStream):
            options["source"] = FakeSource()
        if isinstance(given.get("changePeerConnection"), ChangedPeerConnection):
            options["change_peer_connection"] = self._changer(given["changePeerConnection"].spec)
        for js, python in (("baseUrl", "base_url"), ("model", "model"), ("apiKey", "api_key")):
            if given.get(js, UNDEFINED) is not UNDEFINED:
                options[python] = self.value(given[js])
        return options

    def _changer(self, spec: Any) -> Callable[..., Any]:
        if isinstance(spec, str):
            return lambda peer: self.world.new_peer() if spec == "new" else peer
        function = self.world.function(Behaviour.from_json(spec))

        async def change(peer: Any) -> Any:
            result = function()
            if inspect.isawaitable(result):
                await result
            return peer

        return change

    def value(self, value: Any) -> Any:
        return self.world.function(value.behaviour) if isinstance(value, Function) else value

    def _listen(self) -> None:
        if self.scene.has_error_listener:
            self.transport.on("error", lambda *_: None)
        for observer in self.scene.observers:
            self.transport.on(observer["on"], self._observer(observer))

    def _observer(self, spec: Mapping[str, Any]) -> Callable[..., None]:
        event, seen = spec["on"], 0
        wanted = [from_payload(event, arg) for arg in self.stage.decode(spec.get("when", []))]

        def listener(*args: Any) -> None:
            nonlocal seen
            actual = [from_payload(event, plain(arg)) for arg in args]
            if self.recorder.is_over or ("when" in spec and actual != wanted):
                return
            seen += 1
            if spec.get("nth", seen) == seen:
                self._react(spec["do"])

        return listener

    def _react(self, reaction: Mapping[str, Any]) -> None:
        if "throw" in reaction:
            raise RuntimeError(reaction["throw"])
        if "set" in reaction:
            self._set(reaction)
        else:
            self._invoke(reaction["call"], self.stage.decode(reaction.get("args", [])))

    def do(self, step: Mapping[str, Any]) -> Any:
        """Do one step."""
        for kind, handle in self.steps().items():
            if kind in step:
                return handle(step)
        raise UnknownStepError(f"unknown step {json.dumps(step)}")

    def steps(self) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
        return {
            "call": self._call,
            "get": self._get,
            "set": self._set,
            "server": lambda s: self._deliver(
                s, json.dumps(without_undefined(self.stage.decode(s["server"])))
            ),
            "serverRaw": lambda s: self._deliver(s, s["serverRaw"]),
            "serverBytes": lambda s: self._deliver(
                s, self.stage.decode({"$bytes": s["serverBytes"]})
            ),
            "channel": self._channel,
            "pcState": self._peer_state,
            "pcTrack": self._peer_track,
            "http": lambda s: self.world.http.answer(self.stage.decode(s["http"])),
            "resolve": lambda s: self.world.settle_deferred(
                s["resolve"], without_undefined(self.stage.decode(s.get("value"))), None
            ),
            "reject": lambda s: self.world.settle_deferred(
                s["reject"], None, RuntimeError(s.get("message", "rejected"))
            ),
            "advanceMs": lambda s: self.loop.advance(s["advanceMs"]),
        }

    def _call(self, step: Mapping[str, Any]) -> None:
        try:
            self._invoke(step["call"], self.stage.decode(step.get("args", [])))
        except UnknownStepError:
            raise
        except Exception as exc:  # any is compared
            self.recorder.failed("call", exc, step["call"])

    def _invoke(self, name: str, args: list[Any]) -> None:
        if name not in CALLS:
            raise UnknownStepError(f"unknown method {name}")
        positional, keywords = self._arguments(name, args)
        result = getattr(self.transport, CALLS[name])(*positional, **keywords)
        if inspect.iscoroutine(result):
            self.recorder.watch(name, result)
        else:
            self.recorder.got("call", name, result)

    def _arguments(self, name: str, args: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        special: dict[str, Callable[..., Any]] = {
            "connect": self._connect_arguments,
            "sendMessage": _message_arguments,
            "addImage": lambda args: (args[:1], _options_of(args[1:], "triggerResponse")),
            "sendAudio": lambda args: (args[:1], _options_of(args[1:], "commit")),
            "updateSessionConfig": lambda args: ([from_config(arg) for arg in args], {}),
            "buildSessionPayload": lambda args: ([from_config(arg) for arg in args], {}),
            "sendFunctionCallOutput": lambda args: ([_tool_call(args[0]), *args[1:]], {}),
            "sendMcpResponse": lambda args: ([from_item(args[0]), *args[1:]], {}),
            "resetHistory": lambda args: ([[from_item(i) for i in items] for items in args], {}),
        }
        translate = special.get(name)
        positional, keywords = translate(args) if translate else (args, {})
        return without_undefined(positional), without_undefined(keywords)

    def _connect_arguments(self, args: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        keywords = {}
        for js, value in (args[0] if args else {}).items():
            if value is not UNDEFINED:
                keywords[CONNECT_OPTIONS.get(js, js)] = (
                    from_config(value) if js == "initialSessionConfig" else self.value(value)
                )
        return [], keywords

    def _get(self, step: Mapping[str, Any]) -> None:
        name = step["get"]
        if name not in PROPERTIES:
            raise UnknownStepError(f"unknown property {name}")
        value = getattr(self.transport, PROPERTIES[name])
        self.recorder.got("get", name, self.reduced(value) if name == "connectionState" else value)

    def reduced(self, state: Any) -> dict[str, Any]:
        """What of a connection's state is compared."""
        return {
            "status": str(state.status),
            "callId": state.call_id,
            "hasPeerConnection": state.peer_connection is not None,
            "hasLink": state.data_channel is not None,
        }

    def _set(self, step: Mapping[str, Any]) -> None:
        name = PROPERTIES.get(step["set"], step["set"])
        setattr(self.transport, name, without_undefined(self.stage.decode(step["value"])))

    def _deliver(self, step: Mapping[str, Any], data: str | bytes) -> None:
        link = newest(self.world.links, step)
        if link is not None:
            link.deliver(data)

    def _channel(self, step: Mapping[str, Any]) -> None:
        link = newest(self.world.links, step)
        if link is not None:
            link.change(step["channel"], step.get("message", "link error"))

    def _peer_state(self, step: Mapping[str, Any]) -> None:
        peer = newest(self.world.peers, step)
        if peer is not None:
            peer.change_state(step["pcState"])

    def _peer_track(self, step: Mapping[str, Any]) -> None:
        peer = newest(self.world.peers, step)
        if peer is not None:
            peer.fire("track", SimpleNamespace(kind="audio", id=str(step["pcTrack"])))


def newest(things: list[Any], step: Mapping[str, Any]) -> Any:
    """The newest, or the one that the step counts out; None when there is none."""
    conn = step.get("conn")
    if conn is None:
        return things[-1] if things else None
    return things[conn - 1] if conn <= len(things) else None


def _options_of(rest: list[Any], name: str) -> dict[str, Any]:
    """The one option that a call has, in Python's spelling."""
    options = rest[0] if rest and isinstance(rest[0], dict) else {}
    python = {"triggerResponse": "trigger_response"}.get(name, name)
    return {python: options[name]} if options.get(name, UNDEFINED) is not UNDEFINED else {}


def _message_arguments(args: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    return [from_message(args[0]), *args[1:2]], _options_of(args[2:], "triggerResponse")


def _tool_call(call: Any) -> Any:
    """What `function_call` brought, or a mapping where the case left something out."""
    fields = without_undefined(from_tool_call(call))
    try:
        return FunctionCall(**fields)
    except TypeError:
        return fields
