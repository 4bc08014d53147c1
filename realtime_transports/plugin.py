"""What this distribution's transports bring as a plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from realtime_core.hookspecs import hookimpl
from realtime_core.specs import SpecFactory
from realtime_transports import responder_options

__all__ = [
    "realtime_engines",
    "realtime_local_servers",
    "realtime_responders",
    "realtime_transports",
]


@hookimpl
def realtime_transports() -> Mapping[str, Callable[..., Any]]:
    """WebRTC, WebSocket, SIP, and memory for tests."""
    return {"memory": _memory, "sip": _sip, "webrtc": _webrtc, "websocket": _websocket}


@hookimpl
def realtime_engines() -> Mapping[str, Callable[[str], Any]]:
    """OpenAI's Realtime protocol, the client's side."""
    return {"openai": _engine}


@hookimpl
def realtime_responders() -> Mapping[str, Callable[[str], Any]]:
    """What speaks, what follows a script, the parrot and the tone."""
    return {
        "parrot": _parrot,
        "script": SpecFactory("script", responder_options.ScriptOptions, _speech),
        "speech": SpecFactory("speech", responder_options.SpeechOptions, _speech),
        "tone": SpecFactory("tone", responder_options.ToneOptions, _tone),
    }


@hookimpl
def realtime_local_servers() -> Mapping[str, Callable[..., Any]]:
    """A server that speaks OpenAI's Realtime protocol."""
    return {"openai": _local_server}


def _memory(**options: Any) -> Any:
    from realtime_transports.memory import OpenAIRealtimeMemory

    return OpenAIRealtimeMemory(**options)


def _sip(**options: Any) -> Any:
    from realtime_transports.sip import OpenAIRealtimeSIP

    return OpenAIRealtimeSIP(**options)


def _webrtc(**options: Any) -> Any:
    from realtime_transports.webrtc import OpenAIRealtimeWebRTC

    return OpenAIRealtimeWebRTC(**options)


def _websocket(**options: Any) -> Any:
    from realtime_transports.websocket import OpenAIRealtimeWebSocket

    return OpenAIRealtimeWebSocket(**options)


def _engine(name: str) -> Any:
    from realtime_transports.openai.replay import make_engine

    return make_engine(name)


def _parrot(argument: str) -> Any:
    from realtime_transports.local_server.responders import make_parrot

    return make_parrot(argument)


def _speech(chosen: responder_options.SpeechOptions | responder_options.ScriptOptions) -> Any:
    from realtime_transports.local_server.responders import make_speech_responder

    return make_speech_responder(chosen.rules, chosen.engine)


def _tone(chosen: responder_options.ToneOptions) -> Any:
    from realtime_transports.local_server.responders import ToneResponder

    return ToneResponder(chosen.hz, chosen.seconds)


def _local_server(**options: Any) -> Any:
    from realtime_transports.local_server import LocalRealtimeServer

    return LocalRealtimeServer(**options)
