"""The server's side of the protocol, in a test's hands."""

from __future__ import annotations

import base64
import itertools
from typing import Any

import numpy as np

from realtime_transports.openai.server_outputs import SendEvent, StartResponse
from realtime_transports.openai.server_protocol import Link, ServerProtocol
from realtime_transports.openai.server_session import SessionConfig

RATE = 24_000


class Room:
    """A protocol whose outputs are kept and whose clock is moved by hand."""

    def __init__(
        self,
        link: Link = Link.WEBRTC,
        *,
        turn_detection: Any = None,
        strict: bool = False,
        **options: Any,
    ) -> None:
        counter = itertools.count()
        config = SessionConfig("sess_1", strict=strict)
        config.update({"audio": {"input": {"turn_detection": turn_detection}}})
        self.now = 100.0
        self.protocol = ServerProtocol(
            link,
            config,
            now_s=self.now,
            make_id=lambda prefix: f"{prefix}_{next(counter)}",
            **options,
        )
        self.outputs: list[Any] = []
        self.events: list[dict[str, Any]] = []
        self.played = 0
        self.take()

    def take(self) -> list[str]:
        """Types of the events since the last call."""
        outputs = self.protocol.take_outputs()
        self.outputs += outputs
        events = [output.event for output in outputs if isinstance(output, SendEvent)]
        self.events += events
        return [event["type"] for event in events]

    def send(self, event_type: str, **fields: Any) -> list[str]:
        self.protocol.receive({"type": event_type, **fields}, self.now)
        return self.take()

    def hear(self, samples: np.ndarray) -> list[str]:
        for start in range(0, len(samples), 480):
            self.now += 0.02
            self.protocol.hear(samples[start : start + 480], self.now)
        return self.take()

    def play(self, seconds: float) -> list[str]:
        """The track plays on."""
        for _ in range(round(seconds / 0.02)):
            self.now += 0.02
            self.played += 480
            self.protocol.played(self.played, self.now)
        return self.take()

    def wait(self, seconds: float) -> list[str]:
        self.now += seconds
        self.protocol.advance(self.now)
        return self.take()

    def update(self, **session: Any) -> list[str]:
        """Change the session; it has to work."""
        told = self.send("session.update", session={"type": "realtime", **session})
        assert told[0] == "session.updated", self.last
        return told

    def append(self, samples: np.ndarray) -> list[str]:
        """Audio in an event."""
        return self.send("input_audio_buffer.append", audio=base64_of(samples))

    def outputs_of(self, kind: type[Any]) -> list[Any]:
        """What the shell was asked, of one kind."""
        return [output for output in self.outputs if isinstance(output, kind)]

    @property
    def error(self) -> dict[str, Any]:
        """The error that was sent last, as the last of all."""
        assert self.last["type"] == "error", self.last
        return self.last["error"]

    def say(self, text: str) -> None:
        self.send(
            "conversation.item.create",
            item={
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": text}],
            },
        )

    def begin_answer(self, **response: Any) -> str:
        self.send("response.create", response=response)
        return self.turns[-1].response_id

    def answer(self, seconds: float = 1.0, text: str = "hello") -> str:
        """Ask for an answer and give it."""
        response_id = self.begin_answer()
        self.protocol.answer_text(response_id, text)
        self.protocol.answer_audio(response_id, tone(seconds))
        self.protocol.answer_done(response_id, self.now)
        self.take()
        return response_id

    @property
    def turns(self) -> list[Any]:
        return [output.turn for output in self.outputs if isinstance(output, StartResponse)]

    @property
    def last(self) -> dict[str, Any]:
        return self.events[-1]

    def of_type(self, event_type: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == event_type]

    def items(self) -> list[str]:
        return [stored.id for stored in self.protocol.conversation]


def tone(seconds: float, amplitude: float = 8000) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * 300 * time)).astype(np.int16)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.int16)


def base64_of(samples: np.ndarray) -> str:
    return base64.b64encode(samples.tobytes()).decode()
