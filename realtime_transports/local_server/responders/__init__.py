"""What answers: the contract, and the responders that come with the server."""

from realtime_transports.local_server.responders.base import (
    AnswerPiece,
    AudioPiece,
    CallPiece,
    Responder,
    ResponseFailedError,
    TextPiece,
    Turn,
)
from realtime_transports.local_server.responders.hum import HummingEngine, hum
from realtime_transports.local_server.responders.parrot import (
    ParrotResponder,
    make_parrot,
    with_faded_ends,
)
from realtime_transports.local_server.responders.rules import RuleBook
from realtime_transports.local_server.responders.rules_file import parse_rules, read_rules
from realtime_transports.local_server.responders.spoken import (
    SpeechResponder,
    make_speech_responder,
)
from realtime_transports.local_server.responders.tone import ToneResponder

__all__ = [
    "AnswerPiece",
    "AudioPiece",
    "CallPiece",
    "HummingEngine",
    "ParrotResponder",
    "Responder",
    "ResponseFailedError",
    "RuleBook",
    "SpeechResponder",
    "TextPiece",
    "ToneResponder",
    "Turn",
    "hum",
    "make_parrot",
    "make_speech_responder",
    "parse_rules",
    "read_rules",
    "with_faded_ends",
]
