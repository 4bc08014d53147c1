"""``realtime serve``, and ``realtime run`` against it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from realtime_core.cli import serve_display
from realtime_core.serving import RefusedRequest, ServedSession, ServedTurn, ToolCall
from tests.end_to_end.commands import DATA, Running, realtime
from tests.end_to_end.listening import likeness
from tests.end_to_end.server_clients import Client, bearer

SPEECH = DATA / "say_your_name.wav"
PROMPT_S = 3.0
"""A server that is told to end ends within it, calls or not; a half of it is the machine's."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")


class Server(Running):
    """A server on a free port."""

    def __init__(self, *arguments: str) -> None:
        super().__init__("serve", "--port", "0", "--responder", "parrot", *arguments)
        said = self.line()
        found = re.fullmatch(r"serving the Realtime API at (http://\S+/v1) \(.*\)", said)
        assert found, said
        self.url = found[1]
        self.advice = self.line()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def test_it_says_where_it_is_and_how_to_use_it(server: Server):
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", server.url)
    expected = f"try: realtime run question.wav --out answer.wav --to {server.url}"
    assert server.advice == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_its_proper_end(server: Server, number: signal.Signals):
    server.process.send_signal(number)
    ended = server.end(deadline_s=PROMPT_S)
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_a_port_in_use_is_one_line(server: Server):
    port = server.url.removesuffix("/v1").rpartition(":")[2]
    ended = realtime("serve", "--port", port)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"error: port {port} is in use already; choose another one with --port\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1"),
        (["--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid"),
        (["--responder", "parot"], "did you mean 'parrot'?"),
        (["--responder", "parrot:loud"], "takes no argument"),
        (["--fault", "latncy=1s"], "did you mean 'latency'?"),
        (["--fault", "loss=200%"], "fault 'loss=200%': input should be less than or equal to 1"),
        (["--api-key", ""], "the API key is empty"),
    ],
)
def test_what_cannot_be_served_is_one_line(arguments: list[str], words: str):
    ended = realtime("serve", "--port", "0", *arguments)
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("error: ")
    assert words in line


def test_it_answers_at_its_base_url_and_at_the_full_endpoint_and_ends_during_a_call(
    server: Server, tmp_path: Path
):
    endpoint = f"{server.url}/realtime/calls"
    with ExitStack() as stack:
        base, full = (
            stack.enter_context(
                Running("run", SPEECH, "--out", tmp_path / name, "--json", "--to", to)
            )
            for name, to in (("base.wav", server.url), ("full.wav", endpoint))
        )
        for name, running in (("base.wav", base), ("full.wav", full)):
            ended = running.end()
            assert ended.code == 0, ended
            report = json.loads(ended.out)
            assert (report["endpoint"], report["is_embedded"]) == (endpoint, False)
            assert likeness(tmp_path / name, SPEECH) > 0.9

    with Running("run", SPEECH, "--out", tmp_path / "cut.wav", "--to", server.url) as caller:
        assert caller.line() == f"connecting to {endpoint}"
        assert caller.line() == "connected; the question begins"
        server.process.send_signal(signal.SIGTERM)
        begin_s = time.monotonic()
        ended = server.end(deadline_s=PROMPT_S)
        assert (ended.code, ended.err) == (0, "")
        lost = caller.end()
        assert time.monotonic() - begin_s < PROMPT_S
    assert (lost.code, lost.out) == (1, "")
    (line,) = lost.err.splitlines()
    assert line.startswith("error: ")
    assert "the peer" in line
    assert not list(tmp_path.glob("cut*"))


# What it shows


async def talk(url: str, key: str, text: str) -> None:
    """One written turn over WebSocket."""
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{url}/realtime?model=gpt-realtime", headers=bearer(key)) as socket,
    ):
        await Client(socket).ask(text)


def json_lines(server: Running, count: int) -> list[dict[str, Any]]:
    return [json.loads(server.line()) for _ in range(count)]


def test_it_shows_a_line_for_each_session_turn_and_refusal(server: Server) -> None:
    asyncio.run(talk(server.url, "sk-test", "hello\x1b[2J you"))
    began, turn, ended = (server.line() for _ in range(3))
    clock, who = r"\d\d:\d\d:\d\d ", "sess_[0-9a-f]{7} "
    assert re.fullmatch(clock + who + r"began: websocket from 127\.0\.0\.1, gpt-realtime", began)
    said = r'turn 1: "hello \[2J you" -> "hello \[2J you" '
    measures = r"\(first words after \d+\.\d\d s, \d+\.\d s in all\)"
    assert re.fullmatch(clock + who + said + measures, turn), turn
    assert re.fullmatch(clock + who + r"ended after \d+\.\d s, 1 turn: the client left", ended)
    with pytest.raises(aiohttp.WSServerHandshakeError):
        asyncio.run(talk(server.url, "ek_unknown", "hello"))
    refused = server.line()
    assert "refused GET /v1/realtime from 127.0.0.1: 401 invalid_api_key" in refused
    assert "ek_unknown" not in refused


def test_speech_is_what_answers_unless_told_otherwise() -> None:
    with Running("serve", "--port", "0", "--json") as server:
        (listening,) = json_lines(server, 1)
        assert listening["responder"] == "speech"
        asyncio.run(talk(listening["url"], "sk-test", "hello"))
        _, turn, _ = json_lines(server, 3)
    assert turn["agent"] == "You said: hello"


def test_quiet_says_only_where_it_is() -> None:
    with Server("--quiet") as server:
        asyncio.run(talk(server.url, "sk-test", "hello"))
        server.process.send_signal(signal.SIGTERM)
        ended = server.end(deadline_s=PROMPT_S)
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_json_is_an_object_a_line() -> None:
    with Running(
        *("serve", "--port", "0", "--responder", "parrot", "--json"),
        *("--api-key", "sk-right-and-long-enough"),
    ) as server:
        (listening,) = json_lines(server, 1)
        assert listening["event"] == "listening"
        assert (listening["responder"], listening["needs_key"]) == ("parrot", True)
        asyncio.run(talk(listening["url"], "sk-right-and-long-enough", "hello"))
        began, turn, ended = json_lines(server, 3)
        session = began["session"]
        assert {**began, "peer": "-"} == {
            "event": "session_started",
            "session": session,
            "transport": "websocket",
            "peer": "-",
            "model": "gpt-realtime",
        }
        assert (turn["event"], turn["session"], turn["number"]) == ("turn", session, 1)
        assert (turn["user"], turn["agent"], turn["status"]) == ("hello", "hello", "completed")
        assert (turn["calls"], turn["reason"]) == ([], None)
        assert turn["latency_s"] >= 0
        assert (ended["event"], ended["turns"]) == ("session_ended", 1)
        assert ended["reason"] == "the client left"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            asyncio.run(talk(listening["url"], "sk-wrong-and-long-enough", "hello"))
        (refused,) = json_lines(server, 1)
        assert (refused["event"], refused["status"]) == ("refused", 401)
        server.process.send_signal(signal.SIGTERM)
        end = server.end(deadline_s=PROMPT_S)
    assert (end.code, end.out, end.err) == (0, "", "")


def test_the_key_may_come_from_the_environment_and_is_not_shown() -> None:
    key = "sk-from-the-environment-1"
    with Running(
        "serve", "--port", "0", "--responder", "parrot", REALTIME_SERVE_API_KEY=key
    ) as server:
        first, advice = server.line(), server.line()
        url = first.split()[5]
        assert (
            advice
            == f"try: REALTIME_API_KEY=... realtime run question.wav --out answer.wav --to {url}"
        )
        assert key not in first + advice
        asyncio.run(talk(url, key, f"my key is {key}"))
        lines = [server.line() for _ in range(3)]
        assert key not in "".join(lines)
        assert '"my key is ***"' in lines[1]


def test_faults_and_limits_reach_the_server() -> None:
    with Server("--fault", "http=503:1", "--fault", "disconnect@response.created", "--seed", "1",
                "--strict", "--max-sessions", "1", "--max-session", "30", "--max-idle", "20",
                "--allowed-host", "voice.example", "--allowed-origin", "https://a.example",
                "--quiet") as server:  # fmt: skip
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            asyncio.run(talk(server.url, "sk", "hello"))
        with pytest.raises(TypeError):  # the socket is dropped, and gives no more texts
            asyncio.run(talk(server.url, "sk", "hello"))


def test_nobody_who_reads_is_no_reason_to_end(server: Server) -> None:
    assert server.process.stdout is not None
    server.process.stdout.close()
    for _ in range(2):
        asyncio.run(talk(server.url, "sk", "hello"))
    server.process.stdout = None
    server.process.send_signal(signal.SIGTERM)
    ended = server.end(deadline_s=PROMPT_S)
    assert (ended.code, ended.err) == (0, "")


def session_of(turn: ServedTurn) -> ServedSession:
    return ServedSession("rtc_0123456789", "webrtc", "127.0.0.1", "m", turns=[turn])


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (
            ServedTurn(2, "r", duration_s=1.25),
            "turn 2: (audio) -> (nothing) (in_progress, 1.2 s in all)",
        ),
        (
            ServedTurn(1, "r", "a" * 100, "b", status="completed", latency_s=0.1234, duration_s=0),
            f'turn 1: "{"a" * 39}…" -> "b" (first words after 0.12 s, 0.0 s in all)',
        ),
        (
            ServedTurn(1, "r", "hi", status="completed", calls=[ToolCall("f", '{"x": 1}', "c")]),
            'turn 1: "hi" -> calls f({"x": 1}) (0.0 s in all)',
        ),
        (
            ServedTurn(1, "r", "hi", "he", status="cancelled", reason="turn_detected"),
            'turn 1: "hi" -> "he" (cancelled, turn_detected, 0.0 s in all)',
        ),
    ],
)
def test_a_turn_is_a_line(turn: ServedTurn, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    serve_display.make_display(is_quiet=False, as_json=False).turn_done(session_of(turn), turn)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.split(" ", 1)[1] == f"rtc_01234567 {words}"


def test_what_a_client_sends_breaks_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    display = serve_display.make_display(is_quiet=False, as_json=False)
    display.request_refused(RefusedRequest("GET", "/\n\x1b[31m", "::1", 404, None, "Not\nFound"))
    (line,) = capsys.readouterr().out.splitlines()
    assert "\x1b" not in line
