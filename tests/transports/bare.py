"""A transport with no link behind it: what the shell and the protocol do, call by call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from realtime_core.errors import TransportError
from realtime_core.middleware import EventMiddleware
from realtime_core.transport import ConnectionState
from realtime_transports.openai.protocol import ClientProtocol
from realtime_transports.openai.transport import OpenAIRealtimeBase


class BareTransport(OpenAIRealtimeBase):
    """Everything but a link; `refuses` says which client events the link does not take."""

    def __init__(
        self,
        middlewares: Iterable[EventMiddleware] = (),
        *,
        protocol: ClientProtocol | None = None,
        refuses: Callable[[dict[str, Any]], bool] = lambda event: False,
    ) -> None:
        super().__init__(middlewares=middlewares, protocol=protocol)
        self.written: list[dict[str, Any]] = []
        self.told: list[tuple[str, tuple[Any, ...]]] = []
        self._refuses = refuses
        self._is_open = False

    def emit(self, event: str, *args: Any) -> bool:
        self.told.append((event, args))
        return super().emit(event, *args)

    def open(self, config: Mapping[str, Any] | None = None) -> None:
        self._is_open = True
        self._begin_link(config)
        self._flush()

    def get(self, event: Mapping[str, Any]) -> None:
        self._receive_message(json.dumps(event))

    def close(self) -> None:
        self._is_open = False
        self._end_link()

    def _check_can_send(self) -> None:
        if not self._is_open:
            raise TransportError("not connected")

    def _write(self, text: str) -> None:
        event = json.loads(text)
        if self._refuses(event):
            raise TransportError(f"the link does not take a {event['type']}")
        self.written.append(event)

    @property
    def status(self) -> Any:
        return "connected" if self._is_open else "disconnected"

    @property
    def muted(self) -> None:
        return None

    @property
    def call_id(self) -> None:
        return None

    @property
    def connection_state(self) -> ConnectionState:
        return ConnectionState(self.status)

    def mute(self, muted: bool) -> None: ...

    async def connect(self, **kwargs: Any) -> None: ...

    async def drain(self) -> None: ...

    async def wait_source_ended(self) -> None: ...

    async def wait_heard(self) -> None: ...

    async def wait_closed(self) -> None: ...
