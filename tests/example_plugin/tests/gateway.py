"""Gateways for the transport `lines`: one that a test plays, and one to a real server."""

import asyncio
import base64
import json
from contextlib import asynccontextmanager

import aiohttp
import numpy as np
from realtime_core.testing import FarEnd, Manner

MAX_LINE_BYTES = 32 * 1024 * 1024


@asynccontextmanager
async def listening(handle):
    """Serve lines; gives the URL. Whoever is still there at the end is cut off."""
    clients = {}

    async def serve(reader, writer):
        clients[writer] = asyncio.current_task()
        try:
            await handle(reader, writer)
        except ConnectionError:
            pass  # the client is gone
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=MAX_LINE_BYTES)
    try:
        yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in clients:
            writer.transport.abort()
        await asyncio.gather(*clients.values())


class PlayedGateway(FarEnd):
    """What the transport suite plays."""

    def __init__(self, manner):
        self.events = []
        self.url = ""
        self._manner = manner
        self._writer = None
        self._changed = asyncio.Event()

    async def handle(self, reader, writer):
        key = await reader.readline()
        if self._manner is Manner.REFUSING:
            writer.write(b"not with this key: " + key)
            await writer.drain()
        if self._manner is Manner.SILENT:
            await reader.readline()
        if self._manner is Manner.GOOD:
            self._writer = writer
            writer.write(b"ok\n")
            while line := await reader.readline():
                self._take(json.loads(line))

    def _take(self, event):
        self.events.append(event)
        if event["type"] == "session.update":
            self._send("session.updated", session=event["session"])
        self._changed.set()

    def _send(self, event_type, **fields):
        self.send_text(json.dumps({"type": event_type, "event_id": "event_1", **fields}))

    @property
    def connect_options(self):
        return {"url": self.url}

    @property
    def heard(self):
        appended = [e["audio"] for e in self.events if e["type"] == "input_audio_buffer.append"]
        return np.frombuffer(b"".join(map(base64.b64decode, appended)), "<i2")

    def send_text(self, text):
        self._writer.write(text.encode() + b"\n")

    def speak(self, samples, labels):
        delta = base64.b64encode(samples.astype("<i2").tobytes()).decode()
        self._send("response.output_audio.delta", delta=delta, **labels)

    async def lose(self):
        self._writer.transport.abort()

    async def wait_until(self, is_fulfilled):
        while not is_fulfilled():
            self._changed.clear()
            await self._changed.wait()


@asynccontextmanager
async def gateway_to(server_url):
    """A gateway that passes everything on to a Realtime server, over WebSocket."""

    async def handle(reader, writer):
        key = (await reader.readline()).decode().strip()
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.ws_connect(f"{server_url}/realtime") as socket,
        ):
            writer.write(b"ok\n")
            sending = asyncio.create_task(pass_on(reader, socket))
            try:
                async for message in socket:
                    writer.write(message.data.encode() + b"\n")
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    async def pass_on(reader, socket):
        while line := await reader.readline():
            await socket.send_str(line.decode())
        await socket.close()

    async with listening(handle) as url:
        yield url
