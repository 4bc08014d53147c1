"""How the fields of a dataclass become a command's options."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from realtime_core.cli.app import app
from realtime_core.cli.options import NoPlugins, Plugin, allowed, taking
from realtime_core.plugins import PluginManager

COMMANDS = typer.main.get_group(app).commands


@dataclass(frozen=True, kw_only=True)
class Options:
    where: Annotated[str, typer.Argument(metavar="WHERE", help="Which way.")]
    loud: Annotated[bool, typer.Option("--loud/--soft", help="How loud.")] = True
    tags: Annotated[list[str] | None, typer.Option("--tag", help="Any.")] = None
    no_plugins: NoPlugins = False
    plugin: Plugin = None


def called_with(*arguments: str) -> Options:
    """What a command gets."""
    given: list[Options] = []
    one = typer.Typer()

    @one.command()
    @taking(Options)
    def command(options: Options) -> None:
        """Do it."""
        given.append(options)

    ended = CliRunner().invoke(one, arguments, catch_exceptions=False)
    assert ended.exit_code == 0, ended.stderr
    return given[0]


def test_fields_are_given_or_have_their_default():
    assert called_with("north") == Options(where="north")
    assert called_with("north", "--soft", "--tag", "a", "--tag", "b") == Options(
        where="north", loud=False, tags=["a", "b"]
    )


def test_a_command_keeps_its_name_and_its_words():
    @taking(Options)
    def command(options: Options) -> None:
        """Do it."""

    assert (command.__name__, command.__doc__) == ("command", "Do it.")


@pytest.mark.parametrize(
    ("no_plugins", "plugin", "names"),
    [(False, None, None), (False, [], None), (False, ["a"], ["a"]), (True, ["a"], [])],
)
def test_the_choice_of_plugins_is_that_of_the_plugin_manager(
    no_plugins: bool, plugin: list[str] | None, names: list[str] | None
):
    assert allowed(no_plugins, plugin) == names


@pytest.mark.parametrize("command", ["run", "batch", "serve", "plugins", "replay", "devices"])
def test_a_plugin_that_is_not_there_cannot_be_allowed(command: str):
    ended = CliRunner().invoke(app, [command, "--plugin", "nowhere"], env={"COLUMNS": "300"})
    assert ended.exit_code == 2
    known = ", ".join(sorted(status.name for status in PluginManager(allow=[]).statuses()))
    assert f"there is no plugin 'nowhere'; there are: {known}" in ended.stderr


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_every_option_whole(command: str, columns: int):
    ended = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": str(columns)})
    assert all(len(line) <= columns for line in ended.stdout.splitlines())
    for parameter in COMMANDS[command].params:
        for name in (*parameter.opts, *parameter.secondary_opts):
            if name.startswith("-"):
                assert re.search(rf"{name}\s", ended.stdout), name


def helped(*command: str) -> str:
    return CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "120"}).stdout


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_tells_no_type_of_what_takes_no_value(command: list[str]):
    told = helped(*command)
    assert "--help" in told
    assert not re.search("<bool>|BOOLEAN", told)
    if not command:
        assert re.search(r"--verbose +-v +Log more", told)


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("run", "realtime run [OPTIONS] QUESTION "),
        ("batch", "realtime batch [OPTIONS] INPUTS... "),
        ("report", "realtime report [OPTIONS] DIR [DIR2] "),
    ],
)
def test_an_argument_that_must_be_given_does_not_look_like_a_choice(command: str, usage: str):
    assert usage in helped(command)


@pytest.mark.parametrize("command", [["run", "question.wav"], ["batch", "questions"]])
def test_a_wrong_choice_is_told_in_one_sentence(command: list[str]):
    arguments = [*command, "--out", "answers", "--turns", "vda"]
    ended = CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})
    assert ended.exit_code == 2
    assert "Invalid value for '--turns': 'vda' is not one of 'manual', 'vad'." in ended.stderr
