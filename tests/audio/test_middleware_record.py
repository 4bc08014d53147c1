"""The record: what is in it, what is left out of it, and what a killed process leaves."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from realtime_audio_plugins.middlewares import RecordMiddleware, RedactMiddleware
from realtime_core.audio import frame_from_mono
from realtime_core.errors import PluginError, UserError, ValidationError
from realtime_core.middleware import EventMiddleware
from realtime_core.plugins import PluginManager
from realtime_core.record import read_record
from realtime_core.replay import Replay
from realtime_transports.openai.websocket_protocol import WebSocketProtocol
from tests.transports.bare import BareTransport

RATE_HZ = 24_000
KEY = "ek_" + "a1b2c3d4e5f6g7h8"
TRANSCRIPT = "response.output_audio_transcript"


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "call.jsonl"


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [line for _, line in read_record(path)]


def of_kind(path: Path, kind: str) -> list[dict[str, Any]]:
    return [line for line in lines_of(path) if line.get("kind") == kind]


def is_replayed(path: Path) -> bool:
    return Replay(read_record(path), PluginManager(allow=[]).engine).run().difference is None


def audio_delta(pcm: bytes) -> dict[str, Any]:
    return {
        "type": "response.output_audio.delta",
        "event_id": "e",
        "response_id": "r",
        "item_id": "a",
        "output_index": 0,
        "content_index": 0,
        "delta": base64.b64encode(pcm).decode(),
    }


def tone(seconds: float, hz: float = 440) -> np.ndarray:
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.rint(8_000 * np.sin(2 * np.pi * hz * time_s)).astype(np.int16)


def play(middleware: EventMiddleware, seconds: float, at_s: float = 0.0) -> None:
    """The user talks for so long; the model is heard for the second half of it."""
    samples, tap = tone(seconds), middleware.tap
    for first in range(0, len(samples), 480):
        time_s = at_s + first / RATE_HZ
        frame = frame_from_mono(samples[first : first + 480], RATE_HZ, first)
        tap.sent(frame, time_s)
        if first >= len(samples) // 2:
            tap.heard(frame, time_s)


# What is in it


def test_the_header_says_what_it_is_and_every_line_when_it_was(path):
    now = iter(range(100, 200))
    transport = BareTransport([RecordMiddleware(path, clock=lambda: next(now))])
    transport.open()
    transport.close()
    header, *lines = lines_of(path)
    assert header["format"] == "realtime-record"
    assert header["version"] == 1
    assert header["engine"] == "openai:ClientProtocol"
    assert header["options"] == {"audio": True, "redact": [], "pattern": None}
    times = [line["t"] for line in lines]
    assert times == sorted(times)
    assert times[0] > 0


def test_server_events_client_events_and_calls_are_lines_in_their_order(path):
    transport = BareTransport([RecordMiddleware(path)])
    transport.open()
    transport.get({"type": "session.created", "event_id": "e", "session": {"id": "s"}})
    transport.send_message("hi")
    transport.close()
    told = [
        (line["kind"], line.get("name") or line.get("event", {}).get("type") or line.get("type"))
        for line in lines_of(path)[1:]
    ]
    assert told == [
        ("call", "model="),
        ("call", "link_opened"),
        ("out", "session.update"),
        ("in", "session.created"),
        ("out", "session.update"),
        ("told", "*"),
        ("told", "session.created"),
        ("call", "send_message"),
        ("out", "conversation.item.create"),
        ("out", "response.create"),
        ("call", "link_closed"),
    ]


def test_a_transport_that_never_connects_leaves_no_file(path):
    BareTransport([RecordMiddleware(path)])
    assert not path.exists()


def test_an_attempt_that_fails_is_in_the_record_with_its_reason(path):
    transport = BareTransport([RecordMiddleware(path)])
    transport.on("error", lambda _: None)
    transport.close()
    transport._report(UserError(f"refused: {KEY}"))
    [line] = of_kind(path, "error")
    assert line["error"] == {"$error": {"class": "UserError", "message": "refused: ***"}}


def test_a_second_connection_goes_on_in_the_same_record_with_audio_of_its_own(path):
    record = RecordMiddleware(path)
    transport = BareTransport([record])
    for _ in range(2):
        transport.open()
        play(record, 0.2)
        transport.close()
    assert len([line for line in lines_of(path) if line.get("name") == "link_opened"]) == 2
    assert [line["path"] for line in of_kind(path, "media")] == ["call.flac", "call.2.flac"]
    assert soundfile.info(path.with_name("call.2.flac")).frames == round(0.2 * RATE_HZ)
    assert is_replayed(path)


def test_the_audio_is_a_flac_file_with_the_user_left_and_the_model_right(path):
    record = RecordMiddleware(path)
    transport = BareTransport([record])
    transport.open()
    play(record, 1.0)
    transport.close()
    samples, rate_hz = soundfile.read(path.with_suffix(".flac"), dtype="int16")
    assert rate_hz == RATE_HZ
    assert np.abs(samples[: RATE_HZ // 2, 0]).max() > 7_000
    assert np.abs(samples[: RATE_HZ // 2 - 480, 1]).max() == 0
    assert np.abs(samples[RATE_HZ // 2 + 480 :, 1]).max() > 7_000


def test_audio_outside_of_a_connection_is_not_of_interest(path):
    record = RecordMiddleware(path)
    play(record, 0.1)
    transport = BareTransport([record])
    transport.open()
    transport.close()
    play(record, 0.1)
    assert of_kind(path, "media") == []
    assert not path.with_suffix(".flac").exists()


def test_what_another_middleware_makes_of_an_event_is_noted_beside_what_came_by(path):
    class Shout(EventMiddleware):
        def incoming(self, event: dict[str, Any]) -> dict[str, Any] | None:
            return None if event["type"] == "secret" else {**event, "loud": True}

        def outgoing(self, event: dict[str, Any]) -> dict[str, Any]:
            return {**event, "loud": True}

    transport = BareTransport([Shout(), RecordMiddleware(path)])
    transport.open()
    transport.get({"type": "some.thing"})
    transport.get({"type": "secret"})
    transport.close()
    wire = [(line["direction"], line["event"]["type"]) for line in of_kind(path, "wire")]
    assert wire == [("out", "session.update"), ("in", "some.thing"), ("in", "secret")]
    assert [line["event"] for line in of_kind(path, "in")] == [{"type": "some.thing", "loud": True}]
    assert is_replayed(path)


def test_what_the_middlewares_left_as_it_was_is_noted_once(path):
    transport = BareTransport([EventMiddleware(), RecordMiddleware(path), EventMiddleware()])
    transport.open()
    transport.get({"type": "some.thing"})
    transport.send_message("hi")
    transport.close()
    assert of_kind(path, "wire") == []


# What is left out


def test_keys_and_tokens_are_masked_wherever_they_stand(path):
    transport = BareTransport([RecordMiddleware(path)])
    tool = {"type": "mcp", "authorization": "hush", "headers": {"X-Key": "hush"}}
    transport.open({"tools": [{**tool, "server_url": "https://x", "server_label": "x"}]})
    transport.send_message(f"my key is {KEY}, sk-proj-abcdefghijklmnop, Bearer abcdefghijkl")
    transport.get({"type": "odd", "value": KEY, "client_secret": {"value": "hush"}})
    transport.close()
    text = path.read_text()
    for secret in ("hush", KEY, "sk-proj", "abcdefghijkl"):
        assert secret not in text
    assert is_replayed(path)


@pytest.mark.parametrize("content", ["audio", "none"])
def test_audio_is_kept_or_replaced_by_its_length(path, content):
    record = RecordMiddleware(path, audio=content == "audio")
    transport = BareTransport([record], protocol=WebSocketProtocol())
    transport.open()
    transport.get(audio_delta(b"\x01\x02" * 240))
    transport.send_audio(b"\x03\x04" * 240, commit=True)
    transport.close()
    text = path.read_text()
    for piece in (b"\x01\x02", b"\x03\x04"):
        encoded = base64.b64encode(piece * 240).decode()
        assert (encoded in text) is (content == "audio")
    if content == "none":
        assert record.tap is None
        [line] = of_kind(path, "in")
        assert line["event"]["delta"] == {"$base64_bytes": 480}
    assert is_replayed(path)


def test_what_is_redacted_is_in_no_line_and_its_audio_is_not_kept(path):
    record = RecordMiddleware(path, redact=["email", "card"], pattern="project \\w+")
    transport = BareTransport([record])
    transport.open()
    transport.send_message("ann@example.org pays with 4111 1111 1111 1111 for project apollo")
    base = {"event_id": "e", "response_id": "r", "item_id": "a", "output_index": 0}
    for piece in ("ann@exam", "ple.org"):
        transport.get({"type": f"{TRANSCRIPT}.delta", **base, "content_index": 0, "delta": piece})
    done = {"transcript": "write to ann@example.org"}
    transport.get({"type": f"{TRANSCRIPT}.done", **base, "content_index": 0, **done})
    transport.close()
    text = path.read_text()
    for said in ("ann", "ple.org", "4111", "apollo"):
        assert said not in text
    assert "[email] pays with [card] for [redacted]" in text
    assert record.tap is None
    assert is_replayed(path)


# What goes wrong


def test_a_directory_that_is_not_there_is_told_when_the_middleware_is_made(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        RecordMiddleware(tmp_path / "none" / "call.jsonl")


def test_an_unknown_preset_is_told_when_the_middleware_is_made(path):
    with pytest.raises(ValidationError, match="there is no pattern 'mail'; there are: card, email"):
        RecordMiddleware(path, redact=["mail"])


def test_a_pattern_that_is_none_is_told_when_the_middleware_is_made(path):
    with pytest.raises(ValidationError, match="is no regular expression"):
        RecordMiddleware(path, pattern="(")


def test_one_record_of_two_transports_is_refused(path):
    record = RecordMiddleware(path)
    BareTransport([record])
    with pytest.raises(UserError, match="a record is of one transport"):
        BareTransport([record])


def test_a_path_that_is_a_directory_is_told_when_the_middleware_is_made(tmp_path):
    with pytest.raises(UserError, match="it is a directory"):
        RecordMiddleware(tmp_path)


def test_a_file_that_cannot_be_written_is_reported_once_and_the_conversation_goes_on(path):
    transport = BareTransport([RecordMiddleware(path)])
    path.mkdir()
    transport.open()
    transport.send_message("hi")
    transport.close()
    errors = [args[0].error for name, args in transport.told if name == "error"]
    assert len({str(error) for error in errors}) == 1
    assert all(isinstance(error, PluginError) and error.plugin == "record" for error in errors)
    assert [event["type"] for event in transport.written][1:] == [
        "conversation.item.create",
        "response.create",
    ]


KILLED = """
import os, signal, sys
from tests.audio.test_middleware_record import RecordMiddleware, BareTransport, Path, play
record = RecordMiddleware(Path(sys.argv[1]))
transport = BareTransport([record])
transport.open()
play(record, 3.0)
transport.send_message("the last word")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_a_whole_record_and_audio_that_plays(path):
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], cwd=root, check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert lines_of(path)[-1]["event"] == {
        "type": "response.create",
        "event_id": "realtime_response_create_1",
    }
    assert is_replayed(path)
    [media] = of_kind(path, "media")
    with av.open(str(path.with_name(media["until_complete"]))) as file:
        played = sum(frame.samples for frame in file.decode(audio=0))
    # What was played last is still held: two seconds where one side is silent, and a block.
    assert played > 0.9 * RATE_HZ


def test_it_can_be_made_by_its_spec(path):
    plugins = PluginManager(allow=[])
    record = plugins.middleware(f"record:{path}?audio=false&redact=email,phone")
    assert isinstance(record, RecordMiddleware)
    assert record.tap is None
    with pytest.raises(ValidationError, match="record: path: it must be given"):
        plugins.middleware("record")
    with pytest.raises(ValidationError, match="did you mean 'redact'"):
        plugins.middleware(f"record:{path}?redcat=email")


async def test_its_times_are_those_of_the_event_loop_as_the_taps_are(path):
    record = RecordMiddleware(path)
    transport = BareTransport([record])
    began_s = asyncio.get_running_loop().time()
    transport.open()
    play(record, 0.1, at_s=began_s + 5)
    transport.close()
    [media] = of_kind(path, "media")
    assert media["t"] == pytest.approx(5, abs=1)


def test_redaction_before_it_does_not_change_what_the_engine_decided(path):
    transport = BareTransport([RedactMiddleware(["email"]), RecordMiddleware(path, audio=False)])
    transport.open()
    transport.send_message("ann@example.org")
    transport.close()
    assert "[email]" in json.dumps(of_kind(path, "wire"))
    assert "ann@example.org" in json.dumps(of_kind(path, "out"))
    assert is_replayed(path)
