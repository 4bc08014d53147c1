"""What the transport suite needs to know of a transport: the only part that differs."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from realtime_core.audio import Pcm16
    from realtime_core.transport import RealtimeTransportLayer

__all__ = ["Capability", "FarEnd", "Manner", "TransportHarness"]


class Manner(enum.Enum):
    """How the far end behaves towards whoever connects."""

    GOOD = "good"
    """It lets everybody in, answers each ``session.update`` with ``session.updated``, and says
    nothing else by itself."""
    REFUSING = "refusing"
    """It turns everybody away, with a reason; where there are keys, it repeats the key in it."""
    SILENT = "silent"
    """It never lets a connection become ready: no confirmation or, for a transport that does not
    wait for one, no end of the handshake."""
    DROPPING = "dropping"
    """It lets go of the link before the connection is ready."""


class Capability(enum.Enum):
    """What not every transport can do, or does otherwise for a good reason."""

    CONFIRMATION = "connect() waits until the server has confirmed the configuration"
    JOINING = "connect() while connecting waits for that attempt, and while connected does nothing"
    KEYS = "it uses an API key"
    SOURCE = "it takes an audio source"
    SINK = "it takes an audio sink"
    MUTE = "it can hold the source's audio back"


class FarEnd(ABC):
    """The server's end of the link, as a test plays it."""

    events: Sequence[Mapping[str, Any]]
    """All client events that came, over all connections, parsed, oldest first."""

    @property
    @abstractmethod
    def connect_options(self) -> Mapping[str, Any]:
        """Arguments for `RealtimeTransportLayer.connect` that lead here, such as `url`."""

    @property
    @abstractmethod
    def heard(self) -> Pcm16:
        """The user's audio that came so far: int16, mono, 24 kHz."""

    @abstractmethod
    def send_text(self, text: str) -> None:
        """Send a message to the transport as it is."""

    @abstractmethod
    def speak(self, samples: Pcm16, labels: Mapping[str, Any]) -> None:
        """Send audio of the model: on the media track, or in a ``response.output_audio.delta``.

        Args:
            samples: int16, mono, 24 kHz, at most a second.
            labels: `response_id`, `item_id`, `output_index` and `content_index` for the event.
        """

    @abstractmethod
    async def lose(self) -> None:
        """Break the link so that the transport notices in a few seconds."""

    @abstractmethod
    async def wait_until(self, is_fulfilled: Callable[[], bool]) -> None:
        """Wait for something that is looked at whenever an event or audio has come."""


class TransportHarness(ABC):
    """Tells the suite how to make a transport and how to meet it."""

    lacks: ClassVar[Mapping[Capability, str]] = {}
    """What the transport cannot do, and why. The tests for it are skipped, with the reason."""

    deadline_s: float = 20.0
    """For each test; only a broken transport needs it."""

    @abstractmethod
    def make(self, **options: Any) -> RealtimeTransportLayer:
        """Make a transport; nothing is opened.

        Args:
            options: `middlewares`, a sequence; where the transport can: `source`, `sink` (objects;
                neither means none), `api_key` (in place of the harness's own).
        """

    @abstractmethod
    def serve(self, manner: Manner) -> AbstractAsyncContextManager[FarEnd]:
        """A far end that behaves in this manner, while the context is open."""

    def can(self, capability: Capability) -> bool:
        """Whether the transport can do this."""
        return capability not in self.lacks
