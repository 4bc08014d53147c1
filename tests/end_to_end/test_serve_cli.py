"""``realtime serve``, and ``realtime run`` against it."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.end_to_end.commands import DATA, Running, realtime
from tests.end_to_end.listening import likeness

SPEECH = DATA / "say_your_name.wav"
PROMPT_S = 3.0
"""A server that is told to end ends within it, calls or not; a half of it is the machine's."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")


class Server(Running):
    """A server on a free port."""

    def __init__(self, *arguments: str) -> None:
        super().__init__("serve", "--port", "0", *arguments)
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
