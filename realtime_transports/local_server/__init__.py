"""A Realtime server on this machine, to develop and test against without an account."""

from realtime_transports.local_server.faults import Faults, parse_faults
from realtime_transports.local_server.responders import (
    AnswerPiece,
    AudioPiece,
    CallPiece,
    ParrotResponder,
    Responder,
    ResponseFailedError,
    SpeechResponder,
    TextPiece,
    Turn,
)
from realtime_transports.local_server.server import LocalRealtimeServer

__all__ = [
    "AnswerPiece",
    "AudioPiece",
    "CallPiece",
    "Faults",
    "LocalRealtimeServer",
    "ParrotResponder",
    "Responder",
    "ResponseFailedError",
    "SpeechResponder",
    "TextPiece",
    "Turn",
    "parse_faults",
]
