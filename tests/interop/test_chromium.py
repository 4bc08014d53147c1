"""Pages in a real Chromium, with a recording for a microphone, call the local server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from aiohttp import ClientSession, web

from tests.chromium import running_chromium
from tests.interop.checks import LOUD, SILENT, check_conversation
from tests.interop.speech import question

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.realtime_server(responder="speech"),
]

DEADLINE_S = 120
PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<audio autoplay></audio><script type="module" src="/js/{name}_page.js"></script>"""
RUN = """
const [url, key, done] = arguments;
const begin = () => window.run
  ? window.run(url, key).then((report) => done(JSON.stringify(report)), (e) => done(e.stack))
  : setTimeout(begin, 50);
begin();
"""
SWITCHES = (
    "use-fake-ui-for-media-stream",
    "use-fake-device-for-media-stream",
    "allow-loopback-in-peer-connection",
)


@pytest.fixture
def browser(tmp_path) -> Iterator[Any]:
    """A Chromium that hears the question, then 2 s of silence, again and again."""
    speech = np.concatenate([question(48_000), np.zeros(96_000, np.int16)])
    soundfile.write(tmp_path / "microphone.wav", speech, 48_000)
    switches = (*SWITCHES, f"use-file-for-fake-audio-capture={tmp_path}/microphone.wav")
    with running_chromium(deadline_s=DEADLINE_S, switches=switches) as driver:
        yield driver


@pytest.fixture
async def pages(javascript: Path):
    """Where the pages are served."""

    async def page(request: web.Request) -> web.Response:
        html = PAGE.format(name=request.match_info["name"])
        return web.Response(text=html, content_type="text/html")

    app = web.Application()
    app.router.add_get("/{name}.html", page)
    app.router.add_static("/js", javascript)
    sdk = javascript / "node_modules" / "@openai" / "agents-realtime" / "dist" / "bundle"
    app.router.add_static("/sdk", sdk)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def ephemeral_key(server: Any) -> str:
    """The key that a page gets from its own site."""
    async with (
        ClientSession() as http,
        http.post(
            f"{server.base_url}/realtime/client_secrets",
            json={"session": {"type": "realtime", "model": "gpt-realtime"}},
            headers={"Authorization": f"Bearer {server.api_key}"},
        ) as answer,
    ):
        return str((await answer.json())["value"])


async def run(browser: Any, page: str, server: Any) -> dict[str, Any]:
    key = await ephemeral_key(server)

    def drive() -> str:
        browser.get(page)
        return str(browser.execute_async_script(RUN, server.base_url, key))

    report = await asyncio.to_thread(drive)
    assert report.startswith("{"), report
    assert await asyncio.to_thread(browser.get_log, "browser") == []
    return dict(json.loads(report))


async def test_the_sdk_in_a_page(realtime_server, browser, pages):
    check_conversation(await run(browser, f"{pages}/sdk.html", realtime_server))


async def test_a_page_without_sdk(realtime_server, browser, pages):
    report = await run(browser, f"{pages}/plain.html", realtime_server)
    assert report["status"] == 201
    assert report["location"].startswith("/v1/realtime/calls/")
    assert report["session"] == "realtime.session"
    assert report["loudness"] > LOUD
    assert report["loudnessAfter"] < SILENT
