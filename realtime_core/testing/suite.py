"""What all parts of the transport suite share."""

from __future__ import annotations

import pytest

from realtime_core.testing.harness import Capability, TransportHarness

__all__ = ["Suite", "needs"]


class Suite:
    """Base of the parts of `TransportContract`. The tests mark themselves for pytest-asyncio."""

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def harness(self) -> TransportHarness:
        """Override this one: the harness of your transport, a new one for each test."""
        raise NotImplementedError(
            f"{type(self).__name__} must override the fixture `harness`, which returns a "
            "TransportHarness for the transport to test"
        )


def needs(harness: TransportHarness, *capabilities: Capability) -> None:
    """Skip the test where the transport cannot do what it is about."""
    for capability in capabilities:
        if not harness.can(capability):
            pytest.skip(f"not here: {capability.value} ({harness.lacks[capability]})")
