"""The fixture `realtime_server`, in projects of their own, each in a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from realtime_core.errors import PluginError, RealtimeError, UserError
from realtime_core.serving import ServedSession, ServedTurn
from realtime_core.testing.running_server import RunningServer

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "agent_tests"

INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
addopts = -p no:cacheprovider --strict-markers
"""

CONFTEST = """
import pytest

@pytest.fixture(autouse=True)
def leaves_nothing(realtime_leaks):
    pass
"""

HELPERS = """
import aiohttp
import pytest
from openai import AsyncOpenAI, OpenAI

def ask(server, text):
    with (
        OpenAI(base_url=server.base_url, api_key=server.api_key) as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        content = [{"type": "input_text", "text": text}]
        connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": content}
        )
        connection.response.create(response={"output_modalities": ["text"]})
        answer = ""
        for event in connection:
            if event.type == "response.output_text.delta":
                answer += event.delta
            if event.type == "response.done":
                return answer

async def status_of(server):
    headers = {"Authorization": f"Bearer {server.api_key}"}
    url = f"{server.base_url}/realtime/client_secrets"
    async with aiohttp.ClientSession() as http, http.post(url, headers=headers) as answer:
        return answer.status
"""


def run(pytester: pytest.Pytester, test: str, *arguments: str, ini: str = "") -> pytest.RunResult:
    pytester.makeini(INI + ini)
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(HELPERS + test)
    return pytester.runpytest_subprocess(*arguments)


def test_a_plain_test_and_a_coroutine_use_it_and_leave_nothing(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.mark.realtime_server(responder="parrot")
def test_plain(realtime_server):
    assert ask(realtime_server, "hello") == "hello"
    realtime_server.wait_until(lambda: not realtime_server.sessions[0].is_open)
    (session,) = realtime_server.sessions
    assert session.transport == "websocket"
    assert session.model == "gpt-realtime"
    assert session.transcript == "user: hello\\nagent: hello"
    assert session.of_type("response.create")[0]["response"] == {"output_modalities": ["text"]}
    assert [each["type"] for each in session.client_events] == [
        "conversation.item.create", "response.create"
    ]
    assert session.turns[0].status == "completed"
    assert session.turns[0].latency_s >= 0
    assert realtime_server.calls == []

async def test_coroutine(realtime_server):
    async with AsyncOpenAI(
        base_url=realtime_server.base_url, api_key=realtime_server.api_key
    ) as client, client.realtime.connect(model="gpt-realtime") as connection:
        event = await connection.recv()
        assert event.type == "session.created"
        await realtime_server.until(lambda: realtime_server.sessions[0].server_events)
    await realtime_server.until(lambda: not realtime_server.sessions[0].is_open)
    assert realtime_server.websocket_url.startswith("ws://127.0.0.1:")
""",
    )
    result.assert_outcomes(passed=2)


def test_a_marker_says_how_it_behaves(pytester: pytest.Pytester) -> None:
    (pytester.path / "rules.yaml").write_text("rules:\n  - words: hello\n    say: Good day.\n")
    result = run(
        pytester,
        """
pytestmark = pytest.mark.realtime_server(rules="rules.yaml")

def test_rules_beside_the_test(realtime_server):
    assert ask(realtime_server, "hello") == "Good day."

@pytest.mark.realtime_server(responder="parrot", rules=None)
def test_the_nearer_marker_counts(realtime_server):
    assert ask(realtime_server, "hello") == "hello"

@pytest.mark.realtime_server(api_key="sk-mine", seed=3, strict=True)
async def test_keys(realtime_server):
    assert realtime_server.api_key == "sk-mine"
    assert await status_of(realtime_server) == 200
    realtime_server.api_key = "sk-other"
    assert await status_of(realtime_server) == 401
    (refused,) = realtime_server.refused
    assert (refused.status, refused.code) == (401, "invalid_api_key")

@pytest.mark.realtime_server(faults="http=503:1")
async def test_faults(realtime_server):
    assert [await status_of(realtime_server) for _ in range(2)] == [503, 200]
""",
    )
    result.assert_outcomes(passed=4)


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("respnder='parrot'", "unexpected keyword argument 'respnder'"),
        ("'parrot'", "there are: responder, rules, faults"),
        ("rules='missing.yaml'", "there is no file"),
        ("faults='latncy=1s'", "did you mean 'latency'"),
        ("responder='parot'", "did you mean 'parrot'"),
        ("kind='made-up'", "there is no local server 'made-up'"),
    ],
)
def test_a_wrong_marker_is_told_in_one_line(
    pytester: pytest.Pytester, marker: str, words: str
) -> None:
    result = run(
        pytester,
        f"""
@pytest.mark.realtime_server({marker})
def test_it(realtime_server):
    pass
""",
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"E *{words}*"])


def test_tests_may_share_a_server_and_see_only_their_own_sessions(
    pytester: pytest.Pytester,
) -> None:
    result = run(
        pytester,
        """
urls = []

@pytest.mark.parametrize("text", ["one", "two", "three"])
@pytest.mark.realtime_server(responder="parrot")
def test_shared(realtime_server, text):
    assert realtime_server.sessions == []
    assert realtime_server.refused == []
    assert ask(realtime_server, text) == text
    assert len(realtime_server.sessions) == 1
    urls.append(realtime_server.base_url)
    assert len(set(urls)) == 1

@pytest.mark.realtime_server(responder="parrot", faults="http=503")
async def test_another_one_for_other_options(realtime_server):
    assert realtime_server.base_url not in urls
    assert await status_of(realtime_server) == 503

@pytest.mark.realtime_server(responder="parrot")
def test_what_the_last_test_left_open_is_ended(realtime_server):
    client = OpenAI(base_url=realtime_server.base_url, api_key=realtime_server.api_key)
    manager = client.realtime.connect(model="gpt-realtime")
    connection = manager.enter()
    realtime_server.wait_until(lambda: realtime_server.sessions)
    realtime_server.forget_sessions()
    with pytest.raises(Exception, match="1001|going away"):
        while True:
            connection.recv()
    connection.close()
    client.close()
    assert realtime_server.sessions == []
""",
        ini="realtime_server_scope = session\n",
    )
    result.assert_outcomes(passed=5)


def test_a_scope_that_is_none_is_told(pytester: pytest.Pytester) -> None:
    result = run(
        pytester, "def test_it(realtime_server): pass", ini="realtime_server_scope = modul\n"
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*realtime_server_scope is function or session, not 'modul'*"])


def test_the_marker_is_known(pytester: pytest.Pytester) -> None:
    result = run(pytester, "def test_it(): pass", "--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.realtime_server(*"])


def test_plain_tests_need_no_asyncio_plugin(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        HELPERS
        + """
@pytest.mark.realtime_server(responder="parrot")
def test_plain(realtime_server, realtime_leaks):
    assert ask(realtime_server, "hello") == "hello"
"""
    )
    result = pytester.runpytest_subprocess("-p", "no:asyncio", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)


def test_the_example_of_the_guide_passes(pytester: pytest.Pytester) -> None:
    for path in EXAMPLE.iterdir():
        if path.is_file():
            shutil.copy(path, pytester.path)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=3)


def test_the_example_of_the_guide_passes_in_its_folder_without_the_plugins_of_our_tests() -> None:
    plugins = ("no:timeout", "no:asyncio", "no:cacheprovider")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *(word for name in plugins for word in ("-p", name))],
        cwd=EXAMPLE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "3 passed" in ended.stdout


def test_the_guide_shows_the_example_as_it_is() -> None:
    guide = (ROOT / "docs" / "how-to" / "testing-your-agent.md").read_text()
    for name in ("agent.py", "rules.yaml", "test_agent.py"):
        text = (EXAMPLE / name).read_text()
        shown = [block for block in guide.split("```")[1::2] if text.strip() in block]
        assert shown, f"{name} is not in the guide as it is"


# The server behind it


def test_it_is_closed_and_its_thread_has_ended_after_the_context() -> None:
    with RunningServer() as server:
        assert any(each.name == "realtime-server" for each in threading.enumerate())
        with pytest.raises(UserError, match="open already"):
            server.open()
    server.close()
    assert not any(each.name == "realtime-server" for each in threading.enumerate())
    server.forget_sessions()


def test_what_keeps_it_from_opening_is_raised_in_the_thread_that_opens_it() -> None:
    with pytest.raises(PluginError, match="parot"), RunningServer(responder="parot"):
        pass
    with pytest.raises(PluginError, match="made-up"):
        RunningServer(kind="made-up")


def test_a_wait_that_ends_in_vain_tells_what_happened_instead() -> None:
    with RunningServer() as server:
        with pytest.raises(TimeoutError, match="no client came"):
            server.wait_until(lambda: server.sessions, timeout_s=0.01)
        server._server.sessions.append(
            ServedSession(
                id="sess_1",
                transport="websocket",
                peer="127.0.0.1",
                model="m",
                turns=[ServedTurn(1, "resp_1", user="hello", agent="good day")],
            )
        )
        with pytest.raises(TimeoutError, match=r"websocket session .* agent: good day"):
            server.wait_until(lambda: False, timeout_s=0.01)
        server._server.sessions.clear()


def test_a_server_that_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    server = RunningServer()
    server.open()
    loop = server._loop
    assert loop is not None
    release = threading.Event()
    loop.call_soon_threadsafe(release.wait)
    monkeypatch.setattr("realtime_core.testing.running_server.CLOSE_DEADLINE_S", 0.05)
    thread = server._thread
    assert thread is not None
    with pytest.raises(RealtimeError, match="did not end"):
        server.close()
    release.set()
    thread.join()
