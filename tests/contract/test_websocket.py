"""The WebSocket transport keeps the contract."""

from __future__ import annotations

import pytest

from realtime_core.testing import TransportContract
from tests.contract.websocket_harness import WebSocketHarness


class TestWebSocket(TransportContract):
    @pytest.fixture
    def harness(self) -> WebSocketHarness:
        return WebSocketHarness()
