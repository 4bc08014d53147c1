"""How commands end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest
import typer

from realtime_core.cli.exit_codes import (
    ExitCode,
    InputError,
    exit_with,
    usage_error_as_json,
)
from realtime_core.errors import (
    AudioError,
    ConnectError,
    ConnectionLostError,
    ConnectStage,
    PluginError,
    ProtocolError,
    RealtimeError,
    TransportError,
    UserError,
    ValidationError,
)

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")


class Ending(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def end(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ending]:
    """Run a command to its end."""

    def end(command: Callable[[], Awaitable[ExitCode]], *, as_json: bool = False) -> Ending:
        with pytest.raises(typer.Exit) as exiting:
            exit_with(command(), as_json=as_json)
        return Ending(exiting.value.exit_code, *capsys.readouterr())

    return end


def raising(exc: Exception) -> Callable[[], Awaitable[ExitCode]]:
    async def command() -> ExitCode:
        raise exc

    return command


@pytest.mark.parametrize("code", list(ExitCode))
def test_a_command_says_its_own_exit_code(end: Callable[..., Ending], code: ExitCode):
    async def command() -> ExitCode:
        return code

    assert end(command) == (code, "", "")


@pytest.mark.parametrize(
    ("exc", "code"),
    [
        (UserError("no"), 2),
        (ValidationError("no"), 2),
        (InputError("no"), 2),
        (PluginError("no"), 2),
        (AudioError("no"), 1),
        (TransportError("no"), 1),
        (ConnectError(ConnectStage.ICE, "no"), 1),
        (ConnectionLostError("no"), 1),
        (ProtocolError("no"), 1),
        (RealtimeError("no"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_is_one_line_and_a_code_that_says_whose_turn_it_is(
    end: Callable[..., Ending], exc: RealtimeError, code: int, as_json: bool
):
    ended = end(raising(exc), as_json=as_json)
    assert (ended.code, ended.err) == (code, "error: no\n")
    if as_json:
        described = json.loads(ended.out)
        assert (described["error"], described["class"]) == ("no", type(exc).__name__)
    else:
        assert not ended.out


def test_notes_follow_their_error(end: Callable[..., Ending]):
    exc = TransportError("no")
    exc.add_note("one")
    exc.add_note("two\nlines")
    ended = end(raising(exc), as_json=True)
    assert ended.err == "error: no\nnote: one\nnote: two lines\n"
    assert json.loads(ended.out)["notes"] == ["one", "two\nlines"]


def test_a_failed_connection_has_its_stage_and_status_in_json(end: Callable[..., Ending]):
    exc = ConnectError(ConnectStage.HTTP, "refused", status=401, provider_message="who?")
    assert json.loads(end(raising(exc), as_json=True).out) == {
        "error": "refused",
        "class": "ConnectError",
        "stage": "http",
        "status": 401,
    }


def test_words_of_the_server_stay_one_harmless_line(end: Callable[..., Ending]):
    ended = end(raising(TransportError("it says:\n\x1b[2Jboo\ud800")))
    assert ended.err == "error: it says: [2Jboo\N{REPLACEMENT CHARACTER}\n"


@pytest.mark.parametrize("as_json", [False, True])
def test_a_bug_keeps_its_traceback(as_json: bool, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(ZeroDivisionError):
        exit_with(raising(ZeroDivisionError("oops"))(), as_json=as_json)
    out = capsys.readouterr().out
    assert (json.loads(out)["class"] == "ZeroDivisionError") if as_json else not out


@needs_signals
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_signal_lets_everything_be_closed(
    end: Callable[..., Ending], number: signal.Signals, as_json: bool
):
    closed: list[str] = []

    async def command() -> ExitCode:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        except asyncio.CancelledError as exc:
            await asyncio.sleep(0)  # closing may take its time
            closed.append("everything")
            exc.add_note("something is left")
            raise
        return ExitCode.DONE

    ended = end(command, as_json=as_json)
    assert (ended.code, ended.err) == (130, "interrupted\nnote: something is left\n")
    assert closed == ["everything"]
    if as_json:
        expected = {"error": "interrupted", "class": "Interrupted", "notes": ["something is left"]}
        assert json.loads(ended.out) == expected
    else:
        assert not ended.out


@needs_signals
def test_a_second_interrupt_does_not_wait_for_the_closing(end: Callable[..., Ending]):
    async def command() -> ExitCode:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        return ExitCode.DONE

    assert end(command)[:1] == (130,)


class RefusedError(Exception):
    """What a parser raises, as typer and click have it."""

    def format_message(self) -> str:
        return "no such option: --nope"


@pytest.mark.parametrize(("arguments", "is_told"), [(["--json"], True), ([], False)])
@pytest.mark.parametrize("cause", [RefusedError, typer.Exit])
def test_a_refused_command_line_is_json_where_asked_for(
    arguments: list[str],
    is_told: bool,
    cause: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr("sys.argv", ["realtime", "run", *arguments])
    try:
        try:
            raise cause
        except cause:
            sys.exit(2)
    except SystemExit as exiting:
        usage_error_as_json(exiting)
    out = capsys.readouterr().out
    if is_told and cause is RefusedError:
        assert json.loads(out) == {"error": "no such option: --nope", "class": "UserError"}
    else:
        assert not out
