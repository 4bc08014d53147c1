"""Questions whose audio is more than a message of a data channel takes."""

from __future__ import annotations

import base64
import json
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import numpy as np
import pytest
import soundfile

from realtime_transports.local_server import LocalRealtimeServer
from tests.end_to_end.commands import Running
from tests.end_to_end.listening import sounding_part
from tests.end_to_end.stock_client import StockCaller
from tests.speech_corpus import own_recordings, word_error_rate

RATE_HZ = 24_000
LONG_S = 8


def long_question() -> tuple[np.ndarray, str]:
    """More than 8 s of speech without a long pause, and its words."""
    pieces, words, seconds = [], [], 0.0
    for recording in own_recordings():
        if seconds < LONG_S:
            pieces += [sounding_part(recording.samples()), np.zeros(RATE_HZ // 5, np.int16)]
            words.append(recording.text)
            seconds += (len(pieces[-2]) + len(pieces[-1])) / RATE_HZ
    return np.concatenate(pieces), " ".join(words)


def audio_item(seconds: float) -> dict:
    audio = base64.b64encode(np.zeros(round(seconds * RATE_HZ), np.int16).tobytes()).decode()
    part = {"type": "input_audio", "audio": audio, "transcript": "Hello"}
    return {"type": "message", "role": "user", "id": "long", "content": [part]}


@pytest.mark.parametrize(("seconds", "has_audio"), [(1.0, True), (LONG_S, False)])
async def test_over_webrtc_an_item_comes_without_audio_that_is_too_large(
    seconds: float, has_audio: bool
) -> None:
    item = audio_item(seconds)
    headers = {"Authorization": "Bearer any"}
    async with (
        LocalRealtimeServer(responder="parrot") as server,
        StockCaller() as caller,
        aiohttp.ClientSession(headers=headers) as http,
    ):
        await caller.call(server.url)
        call_id = caller.location.rpartition("/")[2]
        url = f"{server.url}/realtime?call_id={call_id}"
        async with http.ws_connect(url, max_msg_size=0) as sideband:
            await sideband.receive_json()
            await sideband.send_json({"type": "conversation.item.create", "item": item})
            await caller.wait("conversation.item.done")
            caller.send("conversation.item.retrieve", item_id="long")
            told = await caller.wait("conversation.item.retrieved")
            while (whole := await sideband.receive_json())["type"] != told["type"]:
                pass
    (part,) = told["item"]["content"]
    assert ("audio" in part) is has_audio
    assert part["transcript"] == "Hello"
    assert not caller.of_type("error")
    assert whole["item"]["content"] == item["content"]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_long_question_is_understood_and_answered_with_either_way_of_taking_turns(
    tmp_path: Path,
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra local is not installed")
    samples, words = long_question()
    assert len(samples) > LONG_S * RATE_HZ
    soundfile.write(tmp_path / "long.wav", samples, RATE_HZ)
    ways = {"manual": [], "vad": ["--turns", "vad"]}
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(
                Running(
                    *("run", tmp_path / "long.wav", "--out", tmp_path / f"{name}.wav", "--json"),
                    *arguments,
                )
            )
            for name, arguments in ways.items()
        }
        for name, one in running.items():
            ended = one.end(deadline_s=100)
            assert (ended.code, ended.err) == (0, ""), name
            report = json.loads(ended.out)
            understood = report["question"]["transcript"]
            assert word_error_rate([words], [understood]) < 0.2, understood
            assert report["answer"]["transcript"] == f"You said: {understood}"
            assert report["responses"] == 1
            assert report["answer"]["duration_s"] > LONG_S / 2
