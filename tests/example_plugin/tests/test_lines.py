import asyncio
from contextlib import asynccontextmanager

import pytest
from realtime_core.errors import ConnectError
from realtime_core.testing import Capability, TransportContract, TransportHarness
from realtime_transports import ConnectTimeouts, LocalRealtimeServer

from gateway import PlayedGateway, gateway_to, listening
from realtime_example.lines import make_lines
from realtime_example.parts import PartsSink

pytestmark = pytest.mark.usefixtures("realtime_leaks")

LIKE_WEBSOCKET = "like the WebSocket transport, which it is but for the link"


class LinesHarness(TransportHarness):
    lacks = {
        Capability.CONFIRMATION: LIKE_WEBSOCKET,
        Capability.JOINING: LIKE_WEBSOCKET,
    }

    def make(self, **options):
        return make_lines(**{"api_key": "sk-example", **options})

    @asynccontextmanager
    async def serve(self, manner):
        gateway = PlayedGateway(manner)
        async with listening(gateway.handle) as url:
            gateway.url = url
            yield gateway


class TestLines(TransportContract):
    @pytest.fixture
    def harness(self):
        return LinesHarness()


@pytest.mark.asyncio
async def test_a_conversation_through_a_gateway(tmp_path):
    sink = PartsSink(tmp_path)
    async with (
        asyncio.timeout(30),
        LocalRealtimeServer(responder="parrot") as server,
        gateway_to(server.url) as url,
        make_lines(url=url, api_key="any", sink=sink) as transport,
    ):
        said = []
        transport.on("audio_transcript_delta", lambda event: said.append(event.delta))
        await transport.connect()
        transport.send_message("Good morning")
        await transport.wait_for("turn_done")
        await transport.wait_heard()
    await sink.close()
    assert "".join(said) == "Good morning"
    assert sink.duration_s > 0.5
    assert [path.name for path in tmp_path.iterdir()] == ["0001.wav"]


@pytest.mark.asyncio
@pytest.mark.parametrize("url", ["tcp://127.0.0.1", "http://127.0.0.1:1", "tcp://127.0.0.1:1"])
async def test_where_no_gateway_is_there_is_no_connection(url):
    timeouts = ConnectTimeouts(http_s=5.0)
    async with make_lines(url=url, api_key="any", timeouts=timeouts) as transport:
        with pytest.raises(ConnectError):
            await transport.connect()
