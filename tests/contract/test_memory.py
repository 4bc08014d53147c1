"""The memory transport keeps the contract."""

from __future__ import annotations

import pytest

from realtime_core.testing import TransportContract
from tests.contract.memory_harness import MemoryHarness


class TestMemory(TransportContract):
    @pytest.fixture
    def harness(self) -> MemoryHarness:
        return MemoryHarness()
