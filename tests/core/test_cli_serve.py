"""``realtime serve`` while it begins and when it ends; what it serves is told end to end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Self

import pytest
import typer

from realtime_core.cli.exit_codes import exit_with
from realtime_core.cli.serve import serve_until_stopped
from realtime_core.cli.serve_display import make_display
from realtime_core.cli.serve_options import ServeOptions
from realtime_core.plugins import PluginManager

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")


class SignalledServer:
    """Gets a signal while it opens, which takes for ever."""

    url = "http://127.0.0.1:1/v1"

    def __init__(self, number: signal.Signals) -> None:
        self._number = number

    def __call__(self, **options: object) -> SignalledServer:
        return self

    async def __aenter__(self) -> Self:
        os.kill(os.getpid(), self._number)
        await asyncio.Event().wait()
        return self

    async def __aexit__(self, *exc: object) -> None:
        raise AssertionError("it was never open")


@needs_signals
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_opens_interrupts_that(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(PluginManager, "factory", lambda *_: SignalledServer(number))
    with pytest.raises(typer.Exit) as exiting:
        exit_with(serve_until_stopped(ServeOptions()))
    assert (exiting.value.exit_code, *capsys.readouterr()) == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    ("is_terminal", "as_json", "shown"),
    [(True, False, "\rstopped\n"), (False, False, ""), (True, True, "")],
)
def test_the_end_is_told_to_people(
    is_terminal: bool, as_json: bool, shown: str, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    make_display(is_quiet=False, as_json=as_json).stopped()
    assert capsys.readouterr().out == shown


def test_the_key_is_in_no_representation_of_the_options():
    assert "canary" not in repr(ServeOptions(api_key="canary"))


def test_what_was_not_asked_for_is_not_given_to_a_server():
    assert ServeOptions().extra() == {}
    asked = ServeOptions(seed=7, strict=True, faults=["loss=1%"], api_key="")
    assert asked.extra() == {"seed": 7, "strict": True, "faults": ["loss=1%"], "api_key": ""}
