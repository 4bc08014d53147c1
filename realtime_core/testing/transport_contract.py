"""The suite that every transport passes.

Subclass it and override one fixture::

    class TestMine(TransportContract):
        @pytest.fixture
        def harness(self):
            return MyHarness()

The tests mark themselves for pytest-asyncio, so any of its modes will do.
"""

from __future__ import annotations

from realtime_core.testing.transport_audio import AudioContract
from realtime_core.testing.transport_closing import ClosingContract
from realtime_core.testing.transport_connecting import ConnectingContract
from realtime_core.testing.transport_events import EventContract
from realtime_core.testing.transport_middlewares import MiddlewareUseContract
from realtime_core.testing.transport_secrets import SecretsContract
from realtime_core.testing.transport_sending import SendingContract

__all__ = ["TransportContract"]


class TransportContract(
    ConnectingContract,
    ClosingContract,
    EventContract,
    SendingContract,
    AudioContract,
    MiddlewareUseContract,
    SecretsContract,
):
    """Everything that a program may rely on, whatever the transport."""
