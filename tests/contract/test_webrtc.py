"""The WebRTC transport keeps the contract."""

from __future__ import annotations

import pytest

from realtime_core.testing import TransportContract
from tests.contract.webrtc_harness import WebRTCHarness


class TestWebRTC(TransportContract):
    @pytest.fixture
    def harness(self) -> WebRTCHarness:
        return WebRTCHarness()
