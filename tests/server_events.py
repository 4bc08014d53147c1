"""Looks at every event that a server of ours hands out in this process."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_transports.local_server.websocket import ServerSocket
from realtime_transports.openai.server_outputs import SendEvent, ServerOutput
from realtime_transports.openai.server_protocol import ServerProtocol
from tests.realtime_schema import NotInTheApiError, require_api_event


def watch_server_events(monkeypatch: pytest.MonkeyPatch) -> list[NotInTheApiError]:
    """Check the events that leave the protocol, and what goes out to sockets besides them.

    Returns:
        What was wrong, which fills while the test runs: a server must not stumble over the check.
    """
    problems: list[NotInTheApiError] = []
    take_outputs, send_event = ServerProtocol.take_outputs, ServerSocket.send_event

    def check(event: dict[str, Any]) -> None:
        try:
            require_api_event(event)
        except NotInTheApiError as exc:
            problems.append(exc)

    def take_checked(protocol: ServerProtocol) -> list[ServerOutput]:
        outputs = take_outputs(protocol)
        for output in outputs:
            if isinstance(output, SendEvent):
                check(output.event)
        return outputs

    def send_checked(socket: ServerSocket, event: dict[str, Any]) -> None:
        check(event)
        send_event(socket, event)

    monkeypatch.setattr(ServerProtocol, "take_outputs", take_checked)
    monkeypatch.setattr(ServerSocket, "send_event", send_checked)
    return problems
