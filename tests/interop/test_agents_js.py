"""OpenAI Agents JS in Node holds a conversation with the local server."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from tests.end_to_end.listening import sounding_part
from tests.interop.checks import check_conversation
from tests.interop.required import program
from tests.interop.speech import question

DEADLINE_S = 120

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.realtime_server(responder="speech"),
]


async def converse(javascript, kind: str, url: str, question_path) -> dict:
    process = await asyncio.create_subprocess_exec(
        program("node"),
        "node_client.js",
        kind,
        url,
        str(question_path),
        cwd=javascript,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return json.loads(out.splitlines()[-1])


async def test_over_websocket(realtime_server, javascript, tmp_path):
    question(24_000).tofile(tmp_path / "question")
    url = f"{realtime_server.websocket_url}/realtime?model=gpt-realtime"
    report = await converse(javascript, "websocket", url, tmp_path / "question")
    # A whole story is made in the time in which 300 ms of it are heard: the SDK's cancel may cross
    # the response's end.
    late = [error for error in report["errors"] if "response_cancel_not_active" in error]
    report["errors"] = [error for error in report["errors"] if error not in late]
    assert len(late) <= 1
    check_conversation(report)


@pytest.mark.parametrize("times", [1, 3], ids=["short", "long"])
async def test_over_webrtc(realtime_server, javascript, tmp_path, times):
    # The audio of the long one is more than a message of a data channel takes.
    np.tile(sounding_part(question(48_000)), times).tofile(tmp_path / "question")
    url = realtime_server.base_url
    report = await converse(javascript, "webrtc", url, tmp_path / "question")
    check_conversation(report)
