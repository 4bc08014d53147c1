"""How the suite meets the memory transport."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import numpy as np

from realtime_core.audio import Pcm16
from realtime_core.errors import ConnectError, ConnectStage
from realtime_core.testing import Capability, FarEnd, Manner, TransportHarness
from realtime_transports.memory import MemoryServer, OpenAIRealtimeMemory


class PlayedServer(MemoryServer, FarEnd):
    """A server that a test plays; whoever serves it says how it behaves."""

    manner = Manner.GOOD

    @property
    def connect_options(self) -> Mapping[str, Any]:
        return {}

    @property
    def heard(self) -> Pcm16:
        appends = self.of_type("input_audio_buffer.append")
        data = b"".join(base64.b64decode(event["audio"]) for event in appends)
        return np.frombuffer(data, "<i2")

    def accept(self) -> None:
        if self.manner is Manner.REFUSING:
            raise ConnectError(ConnectStage.HTTP, "turned away", status=401)

    def receive(self, event: dict[str, Any]) -> None:
        if self.manner is Manner.DROPPING:
            self.lose_link()
        elif self.manner is Manner.GOOD:
            super().receive(event)

    def speak(self, samples: Pcm16, labels: Mapping[str, Any]) -> None:
        delta = base64.b64encode(samples.astype("<i2").tobytes()).decode()
        self.send("response.output_audio.delta", delta=delta, **labels)

    def lose_link(self) -> None:
        MemoryServer.lose(self)

    async def lose(self) -> None:  # type: ignore[override]
        self.lose_link()

    async def wait_until(self, is_fulfilled: Callable[[], bool]) -> None:
        await MemoryServer.wait_until(self, is_fulfilled)


class MemoryHarness(TransportHarness):
    """One server object plays all the far ends of a test, one after the other."""

    lacks: ClassVar = {Capability.KEYS: "there is nobody to show a key to"}

    def __init__(
        self,
        make: Callable[..., Any] = OpenAIRealtimeMemory,
        *,
        deadline_s: float = 20.0,
    ) -> None:
        self._make = make
        self.deadline_s = deadline_s
        self._server = PlayedServer()

    def make(self, **options: Any) -> Any:
        return self._make(server=self._server, **options)

    @asynccontextmanager
    async def serve(self, manner: Manner) -> AsyncIterator[FarEnd]:
        before, self._server.manner = self._server.manner, manner
        try:
            yield self._server
        finally:
            self._server.manner = before
