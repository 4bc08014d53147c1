"""What tests of the client's protocol begin with."""

from __future__ import annotations

import pytest

from realtime_transports.openai.protocol import ClientProtocol


@pytest.fixture
def protocol() -> ClientProtocol:
    """A protocol whose link is open."""
    protocol = ClientProtocol()
    protocol.link_opened(None)
    protocol.take_sends()
    return protocol
