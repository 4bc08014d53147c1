"""What the command logs."""

from __future__ import annotations

import io
import logging

import pytest

from realtime_core.cli.logs import set_up_logging


def test_a_warning_is_one_plain_line(capsys: pytest.CaptureFixture[str]):
    set_up_logging(0)
    logging.getLogger("realtime_core.thing").warning("it says %s", "\x1b[2J\nboo")
    logging.getLogger("realtime_core.thing").info("nobody asked")
    assert capsys.readouterr() == ("", "warning: it says [2J boo\n")


def test_the_verbose_see_who_says_it(capsys: pytest.CaptureFixture[str]):
    set_up_logging(1)
    logging.getLogger("realtime_core.thing").info("connected")
    assert capsys.readouterr().err == "info realtime_core.thing: connected\n"


@pytest.mark.parametrize(("verbosity", "is_told"), [(2, False), (3, True)])
def test_libraries_below_are_heard_only_when_asked_for(
    verbosity: int, is_told: bool, capsys: pytest.CaptureFixture[str]
):
    set_up_logging(verbosity)
    logging.getLogger("realtime_core").debug("ours")
    logging.getLogger("aioice").info("theirs")
    err = capsys.readouterr().err
    assert "ours" in err
    assert ("theirs" in err) == is_told


def test_a_traceback_stays_below_its_line(capsys: pytest.CaptureFixture[str]):
    set_up_logging(0)
    try:
        raise ValueError("bad value")
    except ValueError:
        logging.getLogger("realtime_core").exception("it failed")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["error: it failed", "Traceback (most recent call last):"]
    assert lines[-1] == "ValueError: bad value"


def test_lines_go_to_what_is_stderr_at_the_time(monkeypatch: pytest.MonkeyPatch):
    set_up_logging(0)
    display = io.StringIO()
    monkeypatch.setattr("sys.stderr", display)
    logging.getLogger("realtime_core").warning("beside the display")
    assert display.getvalue() == "warning: beside the display\n"


def test_setting_it_up_again_replaces_what_was(capsys: pytest.CaptureFixture[str]):
    set_up_logging(2)
    set_up_logging(0)
    logging.getLogger("realtime_core").warning("once")
    logging.getLogger("realtime_core").debug("never")
    assert capsys.readouterr().err == "warning: once\n"
