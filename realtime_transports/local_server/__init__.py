"""A Realtime server on this machine, to develop and test against without an account."""

from realtime_transports.local_server.responders import (
    AnswerPiece,
    AudioPiece,
    CallPiece,
    ParrotResponder,
    Responder,
    TextPiece,
    Turn,
)
from realtime_transports.local_server.server import LocalRealtimeServer

__all__ = [
    "AnswerPiece",
    "AudioPiece",
    "CallPiece",
    "LocalRealtimeServer",
    "ParrotResponder",
    "Responder",
    "TextPiece",
    "Turn",
]
